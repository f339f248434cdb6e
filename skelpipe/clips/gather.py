"""Clips in memory, of one length or of their own: gathered, cropped and turned in one pass, or made of other frames."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from skelpipe.clips.augment.base import FRAMES_AT_A_TIME, Batch, Extent, Lengths, Numbers, copy_row
from skelpipe.clips.augment.crop import reflect
from skelpipe.clips.augment.linear import transform, turn_row
from skelpipe.kernels import compiled, inlined
from skelpipe.layouts.base import Layout
from skelpipe.recordings.native import Native

Source = npt.NDArray[Any] | Native


def find_extent(source: Source, rows: Lengths, layout: Layout, valid: npt.NDArray[np.integer] | None = None) -> Extent:
    """The extent of clips `rows` of a source, as the first step finds it."""
    if isinstance(source, Native):
        lengths = source.lengths
        return Extent(int(lengths.max(initial=0)), lengths[rows], True, source.bodies, layout)
    frames, bodies = source.shape[2], source.shape[4]
    own = np.full(len(rows), frames, np.int64) if valid is None else valid[rows].astype(np.int64)
    return Extent(frames, own, valid is not None, bodies, layout)


def check_source(
    source: Source, rows: Lengths, clip_ids: npt.NDArray[Any], layout: Layout, valid: npt.NDArray[np.integer] | None
) -> None:
    """Raise ValueError if arrays do not fit each other."""
    # The kernels do not check bounds, so nothing wrong may reach them.
    if isinstance(source, Native):
        values, channels, joints = source.values, source.channels, source.joints
        size = int(source.offset[-1]) * channels * joints * source.bodies
        shaped = values.shape == (size,) and source.offset[0] == 0 and (source.lengths >= 0).all()
    else:
        values, shaped = source, source.ndim == 5
        channels, joints = (source.shape[1], source.shape[3]) if shaped else (0, 0)
    if values.dtype not in (np.float32, np.float16) or not shaped or not values.flags.c_contiguous:
        raise ValueError("source must be C-contiguous, float32 or float16, (N, C, T, V, M) or as its offsets say")
    if channels != layout.channels or joints != len(layout.joints):
        wanted = f"{layout.channels} x {len(layout.joints)}"
        raise ValueError(f"source has shape {channels} x {joints}, but {layout.name} has {wanted} coordinates")
    if clip_ids.shape != rows.shape or (len(rows) and not 0 <= rows.min() <= rows.max() < len(source)):
        raise ValueError("rows and clip_ids must be as long as each other, and rows must lie within source")
    if valid is not None:
        fits = not isinstance(source, Native) and valid.shape == (len(source),)
        if not fits or (len(valid) and not 0 <= valid.min() <= valid.max() <= source.shape[2]):  # type: ignore[union-attr]
            raise ValueError("valid must be one number from 0 to T for every clip, and none for clips of own lengths")


def gather(
    source: npt.NDArray[Any],
    rows: npt.NDArray[np.int64],
    shifts: npt.NDArray[np.int64],
    turns: Numbers | None,
    out: Batch,
) -> None:
    """Copy clips `rows` of (N, C, T, V, M) into `out` (B, C, T, V, M), cropped by `shifts`, their points turned."""
    flat = out.reshape(*out.shape[:3], -1)
    frames = source.reshape(*source.shape[:3], -1)
    if source.dtype != np.float32:
        _gather_half(frames.view(np.uint16), rows, shifts, flat, flat.view(np.uint32))
        if turns is not None:
            transform(out, turns)
    elif turns is not None and out.shape[1] == turns.shape[1] == 3:
        _gather_turned(frames, rows, shifts, turns, flat)
    else:
        _gather_single(frames, rows, shifts, flat)
        if turns is not None:
            transform(out, turns)


# source (N, C, T, K); out (B, C, T, K); rows, shifts (B,)
@compiled
def _gather_single(source, rows, shifts, out):  # type: ignore[no-untyped-def]
    batch, channels, frames, _ = out.shape
    for b in range(batch):
        for c in range(channels):
            for t in range(frames):
                copy_row(source[rows[b], c, reflect(t + shifts[b], frames)], out[b, c, t])


# the frames t..stop-1 of a cropped clip that follow each other in the clip too, from there on; a reflected one is alone
@inlined
def _stretch(t, shift, frames, most):  # type: ignore[no-untyped-def]
    first, end = max(0, -shift), min(frames, frames - shift)
    stop = min(t + most, end) if first <= t < end else t + 1
    return stop, reflect(t + shift, frames)


# as above, with C=3 and every point multiplied by its clip's matrix (B, 3, 3)
@compiled
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
@compiled
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


def resample(source: Source, rows: Lengths, positions: Numbers, out: Batch) -> None:
    """Make clips of other frames: place positions[b, t] of clip rows[b], linear between two frames, becomes frame t.

    Args:
        source: (N, C, T, V, M), C-contiguous, or clips of their own lengths; float32 or float16.
        rows: (B,) which clips.
        positions: (B, T') 0..L - 1; a negative one gives a frame of zeros.
        out: (B, C, T', V, M).
    """
    flat = out.reshape(*out.shape[:3], -1)
    if isinstance(source, Native):
        values, frames = source.values, source.lengths[rows]
        starts = source.offset[rows] * (out.shape[1] * flat.shape[3])
    else:
        values, frames = source.reshape(-1), np.full(len(rows), source.shape[2])
        starts = rows * (out.shape[1] * source.shape[2] * flat.shape[3])
    if values.dtype == np.float32:
        _resample_single(values, starts, frames, positions, flat)
    else:
        _resample_half(values.view(np.uint16), starts, frames, positions, flat)


# values: all numbers of all clips; starts (B,): where a clip's begin; frames (B,): how many it has; out (B, C, T', K)
@compiled
def _resample_single(values, starts, frames, positions, out):  # type: ignore[no-untyped-def]
    batch, channels, length, width = out.shape
    for b in range(batch):
        for c in range(channels):
            channel = values[starts[b] + c * frames[b] * width :][: frames[b] * width]
            for t in range(length):
                to, at = out[b, c, t], positions[b, t]
                early = int(at)
                weight = np.float32(at - early)
                if at < 0:
                    to[:] = 0
                elif weight == 0:
                    copy_row(channel[early * width : (early + 1) * width], to)
                else:
                    now, then = channel[early * width :], channel[(early + 1) * width :]
                    rest = np.float32(1) - weight
                    for i in range(to.size):
                        to[i] = now[i] * rest + then[i] * weight


# as above; values: the bits of float16
@compiled
def _resample_half(values, starts, frames, positions, out):  # type: ignore[no-untyped-def]
    batch, channels, length, width = out.shape
    for b in range(batch):
        for c in range(channels):
            channel = values[starts[b] + c * frames[b] * width :][: frames[b] * width]
            for t in range(length):
                to, at = out[b, c, t], positions[b, t]
                early = int(at)
                weight = np.float32(at - early)
                if at < 0:
                    to[:] = 0
                    continue
                late = early if weight == 0 else early + 1
                now, then = channel[early * width :], channel[late * width :]
                rest = np.float32(1) - weight
                for i in range(to.size):
                    to[i] = from_half(now[i]) * rest + from_half(then[i]) * weight


# the bits of a float16 -> float32, as above
@inlined
def from_half(bits):  # type: ignore[no-untyped-def]
    h = np.uint32(bits)
    sign, rest = (h & np.uint32(0x8000)) << np.uint32(16), (h & np.uint32(0x7FFF)) << np.uint32(13)
    return np.uint32(sign | rest).view(np.float32) * np.float32(2.0**112)


# x (B, C, T, K); lengths (B,)
@compiled
def clear_padding(x, lengths):  # type: ignore[no-untyped-def]
    """Set the frames behind the clips' own to zero."""
    for b in range(len(x)):
        for c in range(x.shape[1]):
            x[b, c, lengths[b] :] = 0
