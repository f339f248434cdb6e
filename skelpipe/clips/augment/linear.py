"""Linear maps of every joint: shear and rotate."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from skelpipe.clips.augment.base import (
    POINTS_AT_A_TIME,
    Augmentation,
    Batch,
    Moves,
    Numbers,
    Option,
    Options,
    copy_row,
    whole,
)
from skelpipe.layouts.base import Layout


# shear: p' = A p with A = [[1, a, b], [c, 1, d], [e, f, 1]]
# parameters: a, b, c, d, e, f
def _draw_shear(u: Numbers, frames: int, options: Options) -> Numbers:
    return np.asarray((2 * u - 1) * options["amplitude"])


# x (B, 3, T*V*M); matrices (B, 3, 3). Points are read from a copy: a loop that writes the three arrays that it reads
# has no vector code
@njit(cache=True, nogil=True)
def transform(x, matrices):  # type: ignore[no-untyped-def]
    piece = np.empty((3, POINTS_AT_A_TIME), x.dtype)
    for b in range(len(x)):
        clip, matrix = x[b], matrices[b].astype(np.float32)
        for start in range(0, clip.shape[1], POINTS_AT_A_TIME):
            stop = min(start + POINTS_AT_A_TIME, clip.shape[1])
            for c in range(3):
                copy_row(clip[c, start:stop], piece[c])
            for c in range(3):
                turn_row(piece[0], piece[1], piece[2], matrix[c], clip[c, start:stop])


# one coordinate of the product of points with a matrix, of which `row` makes it
@njit(cache=True, nogil=True, inline="always")
def turn_row(xs, ys, zs, row, to):  # type: ignore[no-untyped-def]
    ax, ay, az = row[0], row[1], row[2]
    for i in range(to.size):
        to[i] = ax * xs[i] + ay * ys[i] + az * zs[i]


def _shears(params: Numbers) -> Numbers:
    matrices = np.ones((len(params), 9))
    matrices[:, [1, 2, 3, 5, 6, 7]] = params
    return matrices.reshape(-1, 3, 3)


def _move_shear(moves: Moves, params: Numbers, options: Options) -> Moves:
    return moves.turned(_shears(params))


def _apply_shear(x: Batch, params: Numbers, layout: Layout, options: Options) -> None:
    transform(x.reshape(*x.shape[:2], -1), _shears(params))


# rotate: about x, then y, then z; one axis, drawn, is turned far and the others little, never backwards
# parameters: the three angles in radians
def _draw_rotate(u: Numbers, frames: int, options: Options) -> Numbers:
    main = np.arange(3) == whole(u[:, :1], 3)
    return np.asarray(u[:, 1:] * np.where(main, options["angle"], options["other"]) * (math.pi / 180))


# angles (B, 3) -> (B, 3, 3), R = Rz Ry Rx; plain loops, because NumPy's sine may differ in the last bit with its place
@njit(cache=True, nogil=True)
def _rotations(angles):  # type: ignore[no-untyped-def]
    out = np.empty((len(angles), 3, 3))
    for b in range(len(angles)):
        cx, cy, cz = math.cos(angles[b, 0]), math.cos(angles[b, 1]), math.cos(angles[b, 2])
        sx, sy, sz = math.sin(angles[b, 0]), math.sin(angles[b, 1]), math.sin(angles[b, 2])
        out[b, 0] = (cz * cy, sz * cx + cz * sy * sx, sz * sx - cz * sy * cx)
        out[b, 1] = (-sz * cy, cz * cx - sz * sy * sx, cz * sx + sz * sy * cx)
        out[b, 2] = (sy, -cy * sx, cy * cx)
    return out


def _move_rotate(moves: Moves, params: Numbers, options: Options) -> Moves:
    return moves.turned(_rotations(params))


def _apply_rotate(x: Batch, params: Numbers, layout: Layout, options: Options) -> None:
    transform(x.reshape(*x.shape[:2], -1), _rotations(params))


SHEAR = Augmentation(6, _draw_shear, _apply_shear, {"amplitude": Option(0.5)}, _move_shear)


ROTATE = Augmentation(
    4, _draw_rotate, _apply_rotate, {"angle": Option(30.0, -360, 360), "other": Option(1.0, -360, 360)}, _move_rotate
)
