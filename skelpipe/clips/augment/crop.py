"""crop: a window of T frames out of the clip extended at both ends by its reflection, the edge frame doubled.

Of a clip that is filled up only its own frames take part.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from skelpipe.clips.augment.base import Augmentation, Batch, Extent, Moves, Numbers, Option, Options, copy_row, whole


# parameters: shift, the window's first frame in the clip's own count, -pad..pad
def _draw_crop(u: Numbers, extent: Extent, options: Options) -> Numbers:
    pad = extent.lengths[:, None] // options["ratio"]
    return np.asarray(whole(u, 2 * pad + 1) - pad)


@njit(cache=True, nogil=True, inline="always")
def reflect(t, frames):  # type: ignore[no-untyped-def]
    if t < 0:
        return -1 - t
    return 2 * frames - 1 - t if t >= frames else t


# x (B, C, T, K); shifts, lengths (B,)
@njit(cache=True, nogil=True)
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


CROP = Augmentation(1, _draw_crop, _apply_crop, {"ratio": Option(6, 1)}, _move_crop)
