"""Linear maps of every joint: shear, rotate, tilt, yaw and scale. In a picture they are maps of the plane.

A confidence behind the coordinates is left as it is. tilt is the random rotation of VA-RNN (Zhang et al., TPAMI 2019).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from torch import Tensor

from skelpipe.clips.augment.base import (
    POINTS_AT_A_TIME,
    Augmentation,
    Batch,
    Extent,
    Moves,
    Numbers,
    OnDevice,
    Option,
    Options,
    copy_row,
    send_matrices,
    turned,
    whole,
)
from skelpipe.kernels import compiled, inlined


# shear: p' = A p with A = [[1, a, b], [c, 1, d], [e, f, 1]], or [[1, a], [b, 1]]
# parameters: a, b, c, d, e, f, or a, b
def _draw_shear(u: Numbers, extent: Extent, options: Options) -> Numbers:
    return np.asarray((2 * u[:, : 6 if extent.layout.coordinates == 3 else 2] - 1) * options["amplitude"])


# x (B, 3, T*V*M); matrices (B, 3, 3). Points are read from a copy: a loop that writes the three arrays that it reads
# has no vector code
@compiled
def _transform(x, matrices):  # type: ignore[no-untyped-def]
    piece = np.empty((3, POINTS_AT_A_TIME), x.dtype)
    for b in range(len(x)):
        clip, matrix = x[b], matrices[b].astype(np.float32)
        for start in range(0, clip.shape[1], POINTS_AT_A_TIME):
            stop = min(start + POINTS_AT_A_TIME, clip.shape[1])
            for c in range(3):
                copy_row(clip[c, start:stop], piece[c])
            for c in range(3):
                turn_row(piece[0], piece[1], piece[2], matrix[c], clip[c, start:stop])


# as above, of x (B, 2, T*V*M)
@compiled
def _transform_plane(x, matrices):  # type: ignore[no-untyped-def]
    for b in range(len(x)):
        xs, ys, matrix = x[b, 0], x[b, 1], matrices[b].astype(np.float32)
        for i in range(xs.size):
            x0, y0 = xs[i], ys[i]
            xs[i] = matrix[0, 0] * x0 + matrix[0, 1] * y0
            ys[i] = matrix[1, 0] * x0 + matrix[1, 1] * y0


def transform(x: Batch, matrices: Numbers) -> None:
    """Multiply the D coordinates of every point of x (B, C, T, V, M) by its clip's matrix, of (B, D, D)."""
    points, kernel = x.reshape(*x.shape[:2], -1), _transform if matrices.shape[1] == 3 else _transform_plane
    kernel(points[:, : matrices.shape[1]], matrices)


# one coordinate of the product of points with a matrix, of which `row` makes it
@inlined
def turn_row(xs, ys, zs, row, to):  # type: ignore[no-untyped-def]
    ax, ay, az = row[0], row[1], row[2]
    for i in range(to.size):
        to[i] = ax * xs[i] + ay * ys[i] + az * zs[i]


def _shears(params: Numbers) -> Numbers:
    size = 3 if params.shape[1] == 6 else 2
    matrices = np.ones((len(params), size * size))
    matrices[:, [1, 2, 3, 5, 6, 7] if size == 3 else [1, 2]] = params
    return matrices.reshape(-1, size, size)


def _move_shear(moves: Moves, params: Numbers, extent: Extent, options: Options) -> Moves:
    return moves.turned(_shears(params))


def _apply_shear(x: Batch, params: Numbers, extent: Extent, options: Options) -> None:
    transform(x, _shears(params))


# rotate: about x, then y, then z; one axis, drawn, is turned far and the others little, never backwards; in a picture
# there is one axis, and it is turned far
# parameters: the angles in radians
def _draw_rotate(u: Numbers, extent: Extent, options: Options) -> Numbers:
    if extent.layout.coordinates == 2:
        return np.asarray(u[:, 1:2] * options["angle"] * (math.pi / 180))
    main = np.arange(3) == whole(u[:, :1], 3)
    return np.asarray(u[:, 1:] * np.where(main, options["angle"], options["other"]) * (math.pi / 180))


# angles (B, 3) -> (B, 3, 3), R = Rz Ry Rx; plain loops, because NumPy's sine may differ in the last bit with its place
@compiled
def _turns_in_space(angles):  # type: ignore[no-untyped-def]
    out = np.empty((len(angles), 3, 3))
    for b in range(len(angles)):
        cx, cy, cz = math.cos(angles[b, 0]), math.cos(angles[b, 1]), math.cos(angles[b, 2])
        sx, sy, sz = math.sin(angles[b, 0]), math.sin(angles[b, 1]), math.sin(angles[b, 2])
        out[b, 0] = (cz * cy, sz * cx + cz * sy * sx, sz * sx - cz * sy * cx)
        out[b, 1] = (-sz * cy, cz * cx - sz * sy * sx, cz * sx + sz * sy * cx)
        out[b, 2] = (sy, -cy * sx, cy * cx)
    return out


# angles (B, 1) -> (B, 2, 2), the turn about z
@compiled
def _turns_in_the_plane(angles):  # type: ignore[no-untyped-def]
    out = np.empty((len(angles), 2, 2))
    for b in range(len(angles)):
        c, s = math.cos(angles[b, 0]), math.sin(angles[b, 0])
        out[b, 0] = (c, s)
        out[b, 1] = (-s, c)
    return out


def _rotations(angles: Numbers) -> Numbers:
    matrices: Numbers = _turns_in_space(angles) if angles.shape[1] == 3 else _turns_in_the_plane(angles)
    return matrices


def _move_rotate(moves: Moves, params: Numbers, extent: Extent, options: Options) -> Moves:
    return moves.turned(_rotations(params))


def _apply_rotate(x: Batch, params: Numbers, extent: Extent, options: Options) -> None:
    transform(x, _rotations(params))


# tilt: about x, then y, then z, each by an angle of either sign; the other way round than rotate's for the same angle
# parameters: the angles in radians, about x, y, z, or in the plane
def _draw_tilt(u: Numbers, extent: Extent, options: Options) -> Numbers:
    return np.asarray((2 * u[:, : 3 if extent.layout.coordinates == 3 else 1] - 1) * options["angle"])


def _move_tilt(moves: Moves, params: Numbers, extent: Extent, options: Options) -> Moves:
    return moves.turned(_rotations(-params))


def _apply_tilt(x: Batch, params: Numbers, extent: Extent, options: Options) -> None:
    transform(x, _rotations(-params))


# yaw: about the vertical, y, by an angle of either sign, as a camera beside this one would see it; a picture, which has
# no depth, stays as it is
# parameters: the angle in radians
def _draw_yaw(u: Numbers, extent: Extent, options: Options) -> Numbers:
    return np.asarray((2 * u - 1) * options["angle"] * (math.pi / 180))


def _yaws(params: Numbers, coordinates: int) -> Numbers:
    if coordinates == 2:
        return np.tile(np.eye(2), (len(params), 1, 1))
    angles = np.zeros((len(params), 3))
    angles[:, 1] = params[:, 0]
    return _rotations(angles)


def _move_yaw(moves: Moves, params: Numbers, extent: Extent, options: Options) -> Moves:
    return moves.turned(_yaws(params, extent.layout.coordinates))


def _apply_yaw(x: Batch, params: Numbers, extent: Extent, options: Options) -> None:
    transform(x, _yaws(params, extent.layout.coordinates))


# scale: all coordinates by one factor, 1 - amplitude to 1 + amplitude
# parameters: the factor
def _draw_scale(u: Numbers, extent: Extent, options: Options) -> Numbers:
    return np.asarray(1 + (2 * u - 1) * options["amplitude"])


def _scales(params: Numbers, coordinates: int) -> Numbers:
    return np.asarray(params[:, :, None] * np.eye(coordinates))


def _move_scale(moves: Moves, params: Numbers, extent: Extent, options: Options) -> Moves:
    return moves.turned(_scales(params, extent.layout.coordinates))


def _apply_scale(x: Batch, params: Numbers, extent: Extent, options: Options) -> None:
    transform(x, _scales(params, extent.layout.coordinates))


def _turn_sent(x: Tensor, sent: Mapping[str, Tensor], extent: Extent, options: Options) -> Tensor:
    return turned(x, sent["matrix"])


# the torch form of one that multiplies by the matrices that it makes of (parameters, coordinates)
def _by(matrices: Callable[[Numbers, int], Numbers]) -> OnDevice:
    def send(params: Numbers, extent: Extent, options: Options) -> dict[str, Any]:
        return send_matrices(matrices(params, extent.layout.coordinates))

    return OnDevice(send, _turn_sent)


SHEAR = Augmentation(
    6,
    _draw_shear,
    _apply_shear,
    {"amplitude": Option(0.5)},
    _move_shear,
    device=_by(lambda params, _: _shears(params)),
)


ROTATE = Augmentation(
    4,
    _draw_rotate,
    _apply_rotate,
    {"angle": Option(30.0, -360, 360), "other": Option(1.0, -360, 360)},
    _move_rotate,
    device=_by(lambda params, _: _rotations(params)),
)


TILT = Augmentation(
    3,
    _draw_tilt,
    _apply_tilt,
    {"angle": Option(0.3, 0, math.pi)},
    _move_tilt,
    device=_by(lambda params, _: _rotations(-params)),
)


YAW = Augmentation(1, _draw_yaw, _apply_yaw, {"angle": Option(60.0, 0, 180)}, _move_yaw, device=_by(_yaws))


SCALE = Augmentation(
    1, _draw_scale, _apply_scale, {"amplitude": Option(0.2, 0, 0.99)}, _move_scale, device=_by(_scales)
)
