"""jigsaw: equal segments of the clip's own frames in a random order, and which order as `order`.

The task of MS2L (Lin et al., MM 2020): 3 segments of floor(F / 3) frames; those that are left over stay at the end.
`order` (B,) int64 is the place of the order among all of them, in that of the dictionary: 012 021 102 120 201 210.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from itertools import permutations
from typing import Any

import numpy as np
from torch import Tensor

from skelpipe.clips.augment.base import (
    Augmentation,
    Batch,
    Brought,
    Extent,
    Lengths,
    Numbers,
    OnDevice,
    Option,
    Options,
    Shape,
    Targets,
    copy_row,
    whole,
)
from skelpipe.clips.augment.crop import take_sent
from skelpipe.kernels import compiled


@cache
def _orders(segments: int) -> Lengths:
    return np.array(list(permutations(range(segments))), np.int64)


# parameters: the order's place
def _draw_jigsaw(u: Numbers, extent: Extent, options: Options) -> Numbers:
    return whole(u, math.factorial(options["segments"]))


# x (B, C, T, K); orders (B, S): segment k becomes what segment orders[b, k] was; lengths (B,)
@compiled
def _permute(x, orders, lengths):  # type: ignore[no-untyped-def]
    batch, channels, frames, width = x.shape
    segments = orders.shape[1]
    scratch = np.empty((frames, width), x.dtype)
    for b in range(batch):
        size = lengths[b] // segments
        for c in range(channels):
            for t in range(size * segments):
                copy_row(x[b, c, t], scratch[t])
            for k in range(segments):
                for t in range(size):
                    copy_row(scratch[orders[b, k] * size + t], x[b, c, k * size + t])


def _apply_jigsaw(x: Batch, params: Numbers, extent: Extent, options: Options) -> None:
    orders = _orders(options["segments"])[params[:, 0].astype(np.int64)]
    _permute(x.reshape(*x.shape[:3], -1), orders, extent.lengths)


def _targets(shape: Shape, options: Options) -> Brought:
    return {"order": ((), "int64")}


def _bring_order(x: Batch, params: Numbers, extent: Extent, options: Options, targets: Targets) -> None:
    targets["order"][...] = params[:, 0]


def _send(params: Numbers, extent: Extent, options: Options) -> dict[str, Any]:
    t, segments, order = np.arange(extent.frames), options["segments"], params[:, 0].astype(np.int64)
    size = extent.lengths[:, None] // segments
    segment, within = np.divmod(t, np.maximum(size, 1))
    moved = np.take_along_axis(_orders(segments)[order], np.minimum(segment, segments - 1), axis=1) * size + within
    return {"frames": np.where(t < size * segments, moved, t), "order": order}


def _bring_on_device(x: Tensor, sent: Mapping[str, Tensor], extent: Extent, options: Options) -> dict[str, Tensor]:
    return {"order": sent["order"].clone()}


JIGSAW = Augmentation(
    1,
    _draw_jigsaw,
    _apply_jigsaw,
    {"segments": Option(3, 2, 6)},
    targets=_targets,
    bring=_bring_order,
    device=OnDevice(_send, take_sent, _bring_on_device),
)
