"""reverse: the frames run backwards, those that a clip is filled up with too unless `padding` is false."""

from __future__ import annotations

from typing import Any

import numpy as np

from skelpipe.clips.augment.base import (
    Augmentation,
    Batch,
    Extent,
    Lengths,
    Numbers,
    OnDevice,
    Option,
    Options,
    P,
    draw_whether,
)
from skelpipe.clips.augment.crop import take_sent
from skelpipe.kernels import compiled


# parameters: whether
# x (B, C, T, K); lengths (B,): so many frames run backwards
@compiled
def _reverse(x, whether, lengths):  # type: ignore[no-untyped-def]
    batch, channels, _, width = x.shape
    for b in range(batch):
        if not whether[b]:
            continue
        for c in range(channels):
            for t in range(lengths[b] // 2):
                early, late = x[b, c, t], x[b, c, lengths[b] - 1 - t]
                for i in range(width):
                    early[i], late[i] = late[i], early[i]


def _turning(extent: Extent, options: Options) -> Lengths:
    return np.full_like(extent.lengths, extent.frames) if extent.padded and options["padding"] else extent.lengths


def _apply_reverse(x: Batch, params: Numbers, extent: Extent, options: Options) -> None:
    _reverse(x.reshape(*x.shape[:3], -1), params[:, 0] > 0, _turning(extent, options))


# what a clip was filled up with stands before it afterwards, so that no frame is left to be told apart
def _lengths(params: Numbers, extent: Extent, options: Options) -> Lengths:
    return np.where(params[:, 0] > 0, _turning(extent, options), extent.lengths)


def _send(params: Numbers, extent: Extent, options: Options) -> dict[str, Any]:
    t, turning = np.arange(extent.frames), _turning(extent, options)[:, None]
    return {"frames": np.where((params[:, :1] > 0) & (t < turning), turning - 1 - t, t)}


REVERSE = Augmentation(
    1,
    draw_whether,
    _apply_reverse,
    {"p": P, "padding": Option(True)},
    lengths=_lengths,
    device=OnDevice(_send, take_sent),
)
