"""Views: ordered lists of augmentations, rendered straight from the clips in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from skelpipe.clips.augment import AUGMENTATIONS
from skelpipe.clips.augment.base import FRAMES_AT_A_TIME, Augmentation, Batch, Moves, Numbers, copy_row
from skelpipe.clips.augment.crop import reflect
from skelpipe.clips.augment.flip import flip_joints
from skelpipe.clips.augment.linear import transform, turn_row
from skelpipe.clips.philox import uniforms
from skelpipe.clips.streams import check_stream, stream_slice
from skelpipe.errors import BadInput, suggest
from skelpipe.layouts.base import Layout
from skelpipe.parallel import map_slices

# So many clips pass through all steps together: few enough to stay in a core's cache, enough to hide the calls.
CLIPS_AT_A_TIME = 8

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
                flip_joints(out[some], moves.flips[some], layout)
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
            transform(out.reshape(*out.shape[:2], -1), turns)
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
                copy_row(source[rows[b], c, reflect(t + shifts[b], frames)], out[b, c, t])


# the frames t..stop-1 of a cropped clip that follow each other in the clip too, from there on; a reflected one is alone
@njit(cache=True, nogil=True, inline="always")
def _stretch(t, shift, frames, most):  # type: ignore[no-untyped-def]
    first, end = max(0, -shift), min(frames, frames - shift)
    stop = min(t + most, end) if first <= t < end else t + 1
    return stop, reflect(t + shift, frames)


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
                turn_row(clip[0, a:z], clip[1, a:z], clip[2, a:z], matrix[c], view[c, t * width : stop * width])
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
