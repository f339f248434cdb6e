"""crop: a window of T frames out of the clip extended at both ends by its reflection, the edge frame doubled.

Of a clip that is filled up only its own frames take part.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from skelpipe.clips.augment.base import (
    Augmentation,
    Batch,
    Extent,
    Lengths,
    Moves,
    Numbers,
    OnDevice,
    Option,
    Options,
    copy_row,
    frames_taken,
    whole,
)
from skelpipe.kernels import compiled, inlined


# parameters: shift, the window's first frame in the clip's own count, -pad..pad
def _draw_crop(u: Numbers, extent: Extent, options: Options) -> Numbers:
    pad = extent.lengths[:, None] // options["ratio"]
    return np.asarray(whole(u, 2 * pad + 1) - pad)


@inlined
def reflect(t, frames):  # type: ignore[no-untyped-def]
    if t < 0:
        return -1 - t
    return 2 * frames - 1 - t if t >= frames else t


# x (B, C, T, K); shifts, lengths (B,)
@compiled
def _crop(x, shifts, lengths):  # type: ignore[no-untyped-def]
    batch, channels, frames, width = x.shape
    scratch = np.empty((frames, width), x.dtype)
    for b in range(batch):
        for c in range(channels):
            for t in range(lengths[b]):
                copy_row(x[b, c, t], scratch[t])
            for t in range(lengths[b]):
                copy_row(scratch[reflect(t + shifts[b], lengths[b])], x[b, c, t])


def _move_crop(moves: Moves, params: Numbers, extent: Extent, options: Options) -> Moves:
    return moves._replace(shifts=params[:, 0].astype(np.int64))


def _apply_crop(x: Batch, params: Numbers, extent: Extent, options: Options) -> None:
    _crop(x.reshape(*x.shape[:3], -1), params[:, 0].astype(np.int64), extent.lengths)


def reflected(shifts: Lengths, lengths: Lengths, frames: int) -> Lengths:
    """(B, T), which frame each one is of a clip that is shifted within its own frames; shifts, lengths (B,)."""
    t, own = np.arange(frames), lengths[:, None]
    moved = t + shifts[:, None]
    moved = np.where(moved < 0, -1 - moved, moved)
    moved = np.where(moved >= own, 2 * own - 1 - moved, moved)
    return np.where(t < own, moved, t)


def _send(params: Numbers, extent: Extent, options: Options) -> dict[str, Any]:
    return {"frames": reflected(params[:, 0].astype(np.int64), extent.lengths, extent.frames)}


def take_sent(x: Tensor, sent: Mapping[str, Tensor], extent: Extent, options: Options) -> Tensor:
    """The frames that were sent."""
    return frames_taken(x, sent["frames"])


CROP = Augmentation(1, _draw_crop, _apply_crop, {"ratio": Option(6, 1)}, _move_crop, device=OnDevice(_send, take_sent))
