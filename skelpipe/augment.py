"""Augmentations as (draw, apply) pairs, and views: ordered lists of them, rendered straight from the clips in memory.

`draw` turns uniform numbers into parameters and does nothing else; `apply` changes a batch in place by given parameters
and holds no randomness. The uniform numbers come from `philox`, keyed by (seed, epoch, clip, view, place in the list):
any view of any clip can be rebuilt alone, and neither threads, nor workers, nor the rest of the batch can change it.

The defaults are those of CrosSCLR (Li et al., CVPR 2021) and AimCLR (Guo et al., AAAI 2022) as released. Where that
code is odd, an option gives the sane behaviour: `blur: {normalise: true}`, `flip: {mirror_x: true}`,
`noise: {absent: false}`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from skelpipe.errors import BadInput, suggest
from skelpipe.parallel import map_slices
from skelpipe.philox import WORD, normals4, uniforms
from skelpipe.skeleton import Layout, X
from skelpipe.streams import check_stream, stream_slice

Batch = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.float64]
Options = Mapping[str, Any]

# So many clips pass through all steps together: few enough to stay in a core's cache, enough to hide the calls.
CLIPS_AT_A_TIME = 8
# The gather reads a piece of a clip three times, once for each coordinate it writes: it has to stay in the L1 cache.
FRAMES_AT_A_TIME = 16
POINTS_AT_A_TIME = 800
# A tap of less weight, relative to the middle's, cannot be seen in a float32.
WEIGHTLESS = 1e-9


@dataclass(frozen=True)
class Option:
    """One setting of an augmentation: its default, whose type it has, and the range it must lie in."""

    default: bool | int | float
    low: float = 0
    high: float = math.inf

    def check(self, where: str, value: Any) -> bool | int | float:
        """Return the value as the default's type, or raise BadInput."""
        kind = type(self.default)
        fits = (
            isinstance(value, bool) if kind is bool else isinstance(value, int | float) and not isinstance(value, bool)
        )
        if not fits or kind(value) != value:
            names = {bool: "true or false", int: "a whole number", float: "a number"}
            raise BadInput(where, f"{value!r} is not {names[kind]}", f"the default is {self.default}")
        if kind is not bool and not self.low <= value <= self.high:
            raise BadInput(where, f"{value} is out of range", f"use a number from {self.low:g} to {self.high:g}")
        return kind(value)


@dataclass(frozen=True)
class Augmentation:
    """One way to change a clip.

    Attributes:
        uniforms: how many uniform numbers one draw takes.
        draw: (u (B, uniforms), frames, options) -> parameters (B, P), both float64.
        apply: (x (B, C, T, V, M) float32, parameters (B, P), layout, options) -> None; changes x in place.
        options: its settings.
        move: adds it to the moves that the gather makes, for those that only move frames, joints or points.
    """

    uniforms: int
    draw: Callable[[Numbers, int, Options], Numbers]
    apply: Callable[[Batch, Numbers, Layout, Options], None]
    options: Mapping[str, Option]
    move: Callable[[Moves, Numbers, Options], Moves] | None = None


class Moves(NamedTuple):
    """What the first steps of a view do to each of B clips, as one crop, one flip and one matrix in any order.

    A clip that several steps go through is read and written once, and the product of their matrices is rounded once.

    Attributes:
        shifts: (B,) int64, of the crop; None without one.
        flips: (B,) bool, whether left and right joints change places; None if no step asks.
        matrices: (B, 3, 3) float64, what every point is multiplied by; None where points stay.
    """

    shifts: npt.NDArray[np.int64] | None = None
    flips: npt.NDArray[np.bool_] | None = None
    matrices: Numbers | None = None

    def turned(self, matrices: Numbers) -> Moves:
        """These moves and then a product with `matrices`."""
        return self._replace(matrices=matrices if self.matrices is None else _products(matrices, self.matrices))


# a, b (B, 3, 3) -> a b; plain loops, because the last bit of NumPy's product may hang on the batch
@njit(cache=True, nogil=True)
def _products(a, b):  # type: ignore[no-untyped-def]
    out = np.empty_like(b)
    for n in range(len(out)):
        for i in range(3):
            for j in range(3):
                out[n, i, j] = a[n, i, 0] * b[n, 0, j] + a[n, i, 1] * b[n, 1, j] + a[n, i, 2] * b[n, 2, j]
    return out


def _whole(u: Numbers, n: int) -> Numbers:
    """Uniform whole numbers 0..n-1 from uniform numbers in [0, 1)."""
    return np.asarray(np.floor(u * n))


# ---- crop: a window of T frames out of the clip extended at both ends by its reflection, the edge frame doubled
# parameters: shift, the window's first frame in the clip's own count, -pad..pad


def _draw_crop(u: Numbers, frames: int, options: Options) -> Numbers:
    pad = frames // options["ratio"]
    return np.asarray(_whole(u, 2 * pad + 1) - pad)


@njit(cache=True, nogil=True, inline="always")
def _reflect(t, frames):  # type: ignore[no-untyped-def]
    if t < 0:
        return -1 - t
    return 2 * frames - 1 - t if t >= frames else t


# a slice assignment does the same at three times the cost
@njit(cache=True, nogil=True, inline="always")
def _copy(row, to):  # type: ignore[no-untyped-def]
    for i in range(row.size):
        to[i] = row[i]


# x (B, C, T, K); shifts (B,)
@njit(cache=True, nogil=True)
def _crop(x, shifts):  # type: ignore[no-untyped-def]
    batch, channels, frames, width = x.shape
    scratch = np.empty((frames, width), x.dtype)
    for b in range(batch):
        for c in range(channels):
            for t in range(frames):
                _copy(x[b, c, t], scratch[t])
            for t in range(frames):
                _copy(scratch[_reflect(t + shifts[b], frames)], x[b, c, t])


def _move_crop(moves: Moves, params: Numbers, options: Options) -> Moves:
    return moves._replace(shifts=params[:, 0].astype(np.int64))


def _apply_crop(x: Batch, params: Numbers, layout: Layout, options: Options) -> None:
    _crop(x.reshape(*x.shape[:3], -1), params[:, 0].astype(np.int64))


# ---- shear: p' = A p with A = [[1, a, b], [c, 1, d], [e, f, 1]]
# parameters: a, b, c, d, e, f


def _draw_shear(u: Numbers, frames: int, options: Options) -> Numbers:
    return np.asarray((2 * u - 1) * options["amplitude"])


# x (B, 3, T*V*M); matrices (B, 3, 3). Points are read from a copy: a loop that writes the three arrays that it reads
# has no vector code
@njit(cache=True, nogil=True)
def _transform(x, matrices):  # type: ignore[no-untyped-def]
    piece = np.empty((3, POINTS_AT_A_TIME), x.dtype)
    for b in range(len(x)):
        clip, matrix = x[b], matrices[b].astype(np.float32)
        for start in range(0, clip.shape[1], POINTS_AT_A_TIME):
            stop = min(start + POINTS_AT_A_TIME, clip.shape[1])
            for c in range(3):
                _copy(clip[c, start:stop], piece[c])
            for c in range(3):
                _turn(piece[0], piece[1], piece[2], matrix[c], clip[c, start:stop])


# one coordinate of the product of points with a matrix, of which `row` makes it
@njit(cache=True, nogil=True, inline="always")
def _turn(xs, ys, zs, row, to):  # type: ignore[no-untyped-def]
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
    _transform(x.reshape(*x.shape[:2], -1), _shears(params))


# ---- rotate: about x, then y, then z; one axis, drawn, is turned far and the others little, never backwards
# parameters: the three angles in radians


def _draw_rotate(u: Numbers, frames: int, options: Options) -> Numbers:
    main = np.arange(3) == _whole(u[:, :1], 3)
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
    _transform(x.reshape(*x.shape[:2], -1), _rotations(params))


# ---- flip: left and right joints change places; x keeps its sign unless mirror_x
# parameters: whether (0 or 1)


def _draw_whether(u: Numbers, frames: int, options: Options) -> Numbers:
    return np.asarray(u < options["p"], np.float64)


# x (B, C, T, K); left, right: which numbers of a frame change places
@njit(cache=True, nogil=True)
def _flip(x, whether, left, right):  # type: ignore[no-untyped-def]
    batch, channels, frames, _ = x.shape
    for b in range(batch):
        if not whether[b]:
            continue
        for c in range(channels):
            for t in range(frames):
                row = x[b, c, t]
                for p in range(left.size):
                    i, j = left[p], right[p]
                    row[i], row[j] = row[j], row[i]


def _flip_joints(x: Batch, whether: npt.NDArray[np.bool_], layout: Layout) -> None:
    _flip(x.reshape(*x.shape[:3], -1), whether, *_sides(layout, x.shape[4]))


@cache
def _sides(layout: Layout, bodies: int) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """Where the left and the right number of every pair stand in a frame of V joints of M bodies."""
    pairs = np.array([(v, w) for v, w in enumerate(layout.mirror) if v < w], np.uint64).reshape(-1, 2, 1)
    numbers = (pairs * np.uint64(bodies) + np.arange(bodies, dtype=np.uint64)).astype(np.uint64)
    return numbers[:, 0].ravel(), numbers[:, 1].ravel()


def _mirrors(whether: npt.NDArray[np.bool_]) -> Numbers:
    matrices = np.tile(np.eye(3), (len(whether), 1, 1))
    matrices[whether, X, X] = -1
    return matrices


def _move_flip(moves: Moves, params: Numbers, options: Options) -> Moves:
    flips = params[:, 0] > 0
    moves = moves._replace(flips=flips if moves.flips is None else flips != moves.flips)
    return moves.turned(_mirrors(flips)) if options["mirror_x"] else moves


def _apply_flip(x: Batch, params: Numbers, layout: Layout, options: Options) -> None:
    whether = params[:, 0] > 0
    _flip_joints(x, whether, layout)
    if options["mirror_x"]:
        x[whether, X] *= -1


# ---- noise: + N(0, std^2) on every number, those of absent bodies too unless `absent` is false
# parameters: whether, and the two words of the key that the normal numbers grow from


def _draw_noise(u: Numbers, frames: int, options: Options) -> Numbers:
    return np.hstack([_draw_whether(u[:, :1], frames, options), _whole(u[:, 1:], WORD)])


# x (B, C*T*V*M); keys (B, 2) uint32. A counter's four numbers go to the four quarters, so that the loop has vector code
@njit(cache=True, nogil=True, error_model="numpy")
def _noise(x, whether, keys, std):  # type: ignore[no-untyped-def]
    zero = np.uint32(0)
    for b in range(len(x)):
        if not whether[b]:
            continue
        n = (x.shape[1] + 3) // 4
        first, second, third, last = x[b, :n], x[b, n : 2 * n], x[b, 2 * n : 3 * n], x[b, 3 * n :]
        for i in range(last.size):
            r0, r1, r2, r3 = normals4(np.uint32(i), zero, zero, zero, keys[b, 0], keys[b, 1], std)
            first[i] += r0
            second[i] += r1
            third[i] += r2
            last[i] += r3
        for i in range(last.size, n):
            r0, r1, r2, r3 = normals4(np.uint32(i), zero, zero, zero, keys[b, 0], keys[b, 1], std)
            first[i] += r0
            second[i] += r1
            third[i] += r2


def _apply_noise(x: Batch, params: Numbers, layout: Layout, options: Options) -> None:
    present = None if options["absent"] else x.any(axis=(1, 3), keepdims=True)
    _noise(x.reshape(len(x), -1), params[:, 0] > 0, params[:, 1:].astype(np.uint32), np.float32(options["std"]))
    if present is not None:
        np.multiply(x, present, out=x)


# ---- blur: along time, weights exp(-k^2 / 2 sigma^2), zeros beyond the ends; their sum is not 1 unless `normalise`
# parameters: whether, sigma (in frames)


def _draw_blur(u: Numbers, frames: int, options: Options) -> Numbers:
    sigma = options["low"] + u[:, 1:] * (options["high"] - options["low"])
    return np.hstack([_draw_whether(u[:, :1], frames, options), sigma])


# x (B, C, T, K); the taps on both sides of the middle share a weight, and two such pairs share a pass over the clip
@njit(cache=True, nogil=True)
def _blur(x, whether, sigmas, taps, normalise):  # type: ignore[no-untyped-def]
    batch, channels, frames, width = x.shape
    reach, size = taps // 2, frames * width
    padded = np.zeros((frames + 2 * reach) * width, np.float32)
    for b in range(batch):
        if not whether[b]:
            continue
        weights = _bell(taps, sigmas[b], normalise)
        pairs = 0
        while pairs < reach and weights[reach + pairs + 1] > WEIGHTLESS * weights[reach]:
            pairs += 1
        for c in range(channels):
            clip = x[b, c].reshape(-1)
            _copy(clip, padded[reach * width : reach * width + size])
            for i in range(size):
                clip[i] *= weights[reach]
            for k in range(1, pairs, 2):
                near, far = weights[reach + k], weights[reach + k + 1]
                before, early = padded[(reach - k - 1) * width :], padded[(reach - k) * width :]
                late, after = padded[(reach + k) * width :], padded[(reach + k + 1) * width :]
                for i in range(size):
                    clip[i] += near * (early[i] + late[i]) + far * (before[i] + after[i])
            if pairs % 2:
                far = weights[reach + pairs]
                before, after = padded[(reach - pairs) * width :], padded[(reach + pairs) * width :]
                for i in range(size):
                    clip[i] += far * (before[i] + after[i])


@njit(cache=True, nogil=True)
def _bell(taps, sigma, normalise):  # type: ignore[no-untyped-def]
    weights = np.empty(taps)
    for k in range(taps):
        weights[k] = math.exp(-((k - taps // 2) ** 2) / (2 * sigma**2))
    if normalise:
        weights /= weights.sum()
    return weights.astype(np.float32)


def _apply_blur(x: Batch, params: Numbers, layout: Layout, options: Options) -> None:
    taps, normalise = options["taps"], options["normalise"]
    _blur(x.reshape(*x.shape[:3], -1), params[:, 0] > 0, params[:, 1], taps, normalise)


# ---- mask: one of x, y, z becomes 0
# parameters: whether, which axis


def _draw_mask(u: Numbers, frames: int, options: Options) -> Numbers:
    return np.hstack([_draw_whether(u[:, :1], frames, options), _whole(u[:, 1:], 3)])


def _apply_mask(x: Batch, params: Numbers, layout: Layout, options: Options) -> None:
    masked = np.flatnonzero(params[:, 0])
    x[masked, params[masked, 1].astype(np.int64)] = 0


# ---- reverse: the frames run backwards
# parameters: whether


# x (B, C, T, K)
@njit(cache=True, nogil=True)
def _reverse(x, whether):  # type: ignore[no-untyped-def]
    batch, channels, frames, width = x.shape
    for b in range(batch):
        if not whether[b]:
            continue
        for c in range(channels):
            for t in range(frames // 2):
                early, late = x[b, c, t], x[b, c, frames - 1 - t]
                for i in range(width):
                    early[i], late[i] = late[i], early[i]


def _apply_reverse(x: Batch, params: Numbers, layout: Layout, options: Options) -> None:
    _reverse(x.reshape(*x.shape[:3], -1), params[:, 0] > 0)


_P = Option(0.5, 0, 1)
AUGMENTATIONS: dict[str, Augmentation] = {
    "crop": Augmentation(1, _draw_crop, _apply_crop, {"ratio": Option(6, 1)}, _move_crop),
    "shear": Augmentation(6, _draw_shear, _apply_shear, {"amplitude": Option(0.5)}, _move_shear),
    "flip": Augmentation(1, _draw_whether, _apply_flip, {"p": _P, "mirror_x": Option(False)}, _move_flip),
    "rotate": Augmentation(
        4,
        _draw_rotate,
        _apply_rotate,
        {"angle": Option(30.0, -360, 360), "other": Option(1.0, -360, 360)},
        _move_rotate,
    ),
    "noise": Augmentation(3, _draw_noise, _apply_noise, {"p": _P, "std": Option(0.01), "absent": Option(True)}),
    "blur": Augmentation(
        2,
        _draw_blur,
        _apply_blur,
        {
            "p": _P,
            "taps": Option(15, 1, 999),
            "low": Option(0.1, 1e-3),
            "high": Option(2.0, 1e-3),
            "normalise": Option(False),
        },
    ),
    "mask": Augmentation(2, _draw_mask, _apply_mask, {"p": _P}),
    "reverse": Augmentation(1, _draw_whether, _apply_reverse, {"p": _P}),
}

NORMAL = ("crop", "shear")
EXTREME = ("crop", "shear", "flip", "rotate", "noise", "blur", "mask")
VIEWS = {"normal": NORMAL, "extreme": EXTREME}


@dataclass(frozen=True)
class Step:
    """An augmentation by name, with all its options filled in."""

    name: str
    options: Mapping[str, bool | int | float]

    @property
    def augmentation(self) -> Augmentation:
        """The entry of `AUGMENTATIONS`."""
        return AUGMENTATIONS[self.name]


@dataclass(frozen=True)
class View:
    """Augmentations in the order they are applied; an empty one leaves clips as they are."""

    steps: tuple[Step, ...]

    def draws(
        self, seed: int, epoch: int, clip_ids: npt.NDArray[np.integer], view_index: int, frames: int
    ) -> list[Numbers]:
        """Draw the parameters of every step, each (B, P), for clips of so many frames; all its randomness."""
        drawn = []
        for slot, step in enumerate(self.steps):
            u = uniforms(seed, epoch, clip_ids, view_index, slot, step.augmentation.uniforms)
            drawn.append(step.augmentation.draw(u, frames, step.options))
        return drawn

    def apply(self, x: Batch, drawn: Sequence[Numbers], layout: Layout) -> None:
        """Change a batch (B, C, T, V, M) in place by parameters from `draws`."""
        for step, params in zip(self.steps, drawn, strict=True):
            step.augmentation.apply(x, params, layout, step.options)

    def render(
        self,
        clips: npt.NDArray[Any],
        seed: int,
        epoch: int,
        clip_ids: npt.NDArray[np.integer],
        view_index: int,
        layout: Layout,
        out: Batch | None = None,
        threads: int | None = None,
    ) -> Batch:
        """Augment a whole batch (B, C, T, V, M), float32 or float16: `render_view` without gather and stream."""
        rows = np.arange(len(clips))
        return render_view(clips, rows, clip_ids, self, "joint", layout, seed, epoch, view_index, out, threads)


def build_view(plain: str | Sequence[str | Mapping[str, Mapping[str, Any] | None]]) -> View:
    """Make a view from a recipe's "normal", "extreme", or list such as ["crop", {"shear": {"amplitude": 1}}].

    Raises:
        BadInput: an augmentation or option is unknown (the nearest is named), or a value does not fit.
    """
    if isinstance(plain, str):
        if plain not in VIEWS:
            raise BadInput(
                "view", f"{plain!r} is not a named view", f"use {' or '.join(VIEWS)}, or a list of augmentations"
            )
        plain = VIEWS[plain]
    steps = []
    for item in plain:
        named = {item: None} if isinstance(item, str) else item
        if not isinstance(named, Mapping) or len(named) != 1:
            raise BadInput("view", f"{item!r} is not one augmentation", "write a name, or {name: {option: value}}")
        steps += [_build_step(name, options or {}) for name, options in named.items()]
    return View(tuple(steps))


def _build_step(name: str, options: Mapping[str, Any]) -> Step:
    if name not in AUGMENTATIONS:
        raise BadInput("view", f"{name!r} is not an augmentation", suggest(str(name), AUGMENTATIONS))
    known = AUGMENTATIONS[name].options
    if not isinstance(options, Mapping):
        raise BadInput(f"view: {name}", f"{options!r} is no set of options", f"its options are {', '.join(known)}")
    for key in options:
        if key not in known:
            raise BadInput(f"view: {name}", f"{key!r} is not an option", suggest(str(key), known))
    values = {k: o.check(f"view: {name}.{k}", options.get(k, o.default)) for k, o in known.items()}
    if name == "blur" and not values["taps"] % 2:
        raise BadInput("view: blur.taps", f"{values['taps']} is even", "use an odd number, so that there is a middle")
    return Step(name, values)


def render_view(
    source: npt.NDArray[Any],
    rows: npt.NDArray[np.integer],
    clip_ids: npt.NDArray[np.integer],
    view: View,
    stream: str,
    layout: Layout,
    seed: int,
    epoch: int,
    view_index: int,
    out: Batch | None = None,
    threads: int | None = None,
) -> Batch:
    """Gather clips, augment them and compute their stream, in one pass; returns (B, C, T, V, M) float32.

    Args:
        source: (N, C=3, T, V, M) float32 or float16, C-contiguous; finite.
        rows: (B,) which clips of `source`.
        clip_ids: (B,) the numbers that the clips' random choices hang on, in 0..2**32 - 1.
        view_index: which copy this is (query 0, key 1, ...).
        out: where to write; None makes a new array.

    Raises:
        BadInput: the stream is unknown, or a number does not fit 32 bits.
        ValueError: arrays do not fit each other.
    """
    check_stream(stream)
    index = np.asarray(rows, np.int64)
    clip_ids = np.asarray(clip_ids)
    out = np.empty((len(index), *source.shape[1:]), np.float32) if out is None else out
    _check_arrays(source, index, clip_ids, layout, out)
    drawn = view.draws(seed, epoch, clip_ids, view_index, source.shape[2])
    moves, done = _moves(view, drawn)
    rest, drawn = View(view.steps[done:]), drawn[done:]
    shifts = np.zeros(len(index), np.int64) if moves.shifts is None else moves.shifts

    def render_slice(start: int, stop: int) -> None:
        for a in range(start, stop, CLIPS_AT_A_TIME):
            some = slice(a, min(a + CLIPS_AT_A_TIME, stop))
            turns = None if moves.matrices is None else moves.matrices[some]
            _gather(source, index[some], shifts[some], turns, out[some])
            if moves.flips is not None:
                _flip_joints(out[some], moves.flips[some], layout)
            rest.apply(out[some], [params[some] for params in drawn], layout)
            stream_slice(out[some], stream, layout, out[some])

    map_slices(render_slice, len(index), threads)
    return out


def _check_arrays(
    source: npt.NDArray[Any], rows: npt.NDArray[np.int64], clip_ids: npt.NDArray[Any], layout: Layout, out: Batch
) -> None:
    # The kernels do not check bounds, so nothing wrong may reach them.
    if source.dtype not in (np.float32, np.float16) or source.ndim != 5 or not source.flags.c_contiguous:
        raise ValueError("source must be a C-contiguous float32 or float16 array (N, C, T, V, M)")
    if source.shape[1] != 3 or source.shape[3] != len(layout.joints):
        raise ValueError(f"source has shape {source.shape}, but {layout.name} has 3 x {len(layout.joints)} coordinates")
    if clip_ids.shape != rows.shape or (len(rows) and not 0 <= rows.min() <= rows.max() < len(source)):
        raise ValueError("rows and clip_ids must be as long as each other, and rows must lie within source")
    if out.dtype != np.float32 or out.shape != (len(rows), *source.shape[1:]) or not out.flags.c_contiguous:
        raise ValueError(f"out must be a C-contiguous float32 array {(len(rows), *source.shape[1:])}")


def _moves(view: View, drawn: Sequence[Numbers]) -> tuple[Moves, int]:
    """The moves of the view's first steps, and how many steps those are; a second crop is not among them."""
    moves = Moves()
    for count, (step, params) in enumerate(zip(view.steps, drawn, strict=True)):
        if step.augmentation.move is None or (step.name == "crop" and moves.shifts is not None):
            return moves, count
        moves = step.augmentation.move(moves, params, step.options)
    return moves, len(view.steps)


def _gather(
    source: npt.NDArray[Any],
    rows: npt.NDArray[np.int64],
    shifts: npt.NDArray[np.int64],
    turns: Numbers | None,
    out: Batch,
) -> None:
    flat = out.reshape(*out.shape[:3], -1)
    frames = source.reshape(*source.shape[:3], -1)
    if source.dtype != np.float32:
        _gather_half(frames.view(np.uint16), rows, shifts, flat, flat.view(np.uint32))
        if turns is not None:
            _transform(out.reshape(*out.shape[:2], -1), turns)
    elif turns is None:
        _gather_single(frames, rows, shifts, flat)
    else:
        _gather_turned(frames, rows, shifts, turns, flat)


# source (N, C, T, K); out (B, C, T, K); rows, shifts (B,)
@njit(cache=True, nogil=True)
def _gather_single(source, rows, shifts, out):  # type: ignore[no-untyped-def]
    batch, channels, frames, _ = out.shape
    for b in range(batch):
        for c in range(channels):
            for t in range(frames):
                _copy(source[rows[b], c, _reflect(t + shifts[b], frames)], out[b, c, t])


# the frames t..stop-1 of a cropped clip that follow each other in the clip too, from there on; a reflected one is alone
@njit(cache=True, nogil=True, inline="always")
def _stretch(t, shift, frames, most):  # type: ignore[no-untyped-def]
    first, end = max(0, -shift), min(frames, frames - shift)
    stop = min(t + most, end) if first <= t < end else t + 1
    return stop, _reflect(t + shift, frames)


# as above, with C=3 and every point multiplied by its clip's matrix (B, 3, 3)
@njit(cache=True, nogil=True)
def _gather_turned(source, rows, shifts, matrices, out):  # type: ignore[no-untyped-def]
    batch, _, frames, width = out.shape
    for b in range(batch):
        clip, view, matrix = source[rows[b]].reshape(3, -1), out[b].reshape(3, -1), matrices[b].astype(np.float32)
        t = 0
        while t < frames:
            stop, begin = _stretch(t, shifts[b], frames, FRAMES_AT_A_TIME)
            a, z = begin * width, (begin + stop - t) * width
            for c in range(3):
                _turn(clip[0, a:z], clip[1, a:z], clip[2, a:z], matrix[c], view[c, t * width : stop * width])
            t = stop


# as above, without matrices; source: the bits of float16; bits: the same memory as out. Numba has no float16, so the
# exponent and fraction are moved to their places in a float32, and the product with 2**112 sets the bias right
# (subnormals too)
@njit(cache=True, nogil=True)
def _gather_half(source, rows, shifts, out, bits):  # type: ignore[no-untyped-def]
    batch, channels, frames, width = out.shape
    for b in range(batch):
        for c in range(channels):
            clip, view, t = source[rows[b], c].reshape(-1), bits[b, c].reshape(-1), 0
            while t < frames:
                stop, begin = _stretch(t, shifts[b], frames, frames)
                half, whole = clip[begin * width : (begin + stop - t) * width], view[t * width : stop * width]
                for i in range(half.size):
                    h = np.uint32(half[i])
                    sign, rest = (h & np.uint32(0x8000)) << np.uint32(16), (h & np.uint32(0x7FFF)) << np.uint32(13)
                    whole[i] = sign | rest
                t = stop
            values = out[b, c].reshape(-1)
            for i in range(values.size):
                values[i] *= np.float32(2.0**112)
