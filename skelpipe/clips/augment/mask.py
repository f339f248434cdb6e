"""mask: one of x, y, z, or of x and y in a picture, becomes 0."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from skelpipe.clips.augment.base import (
    Augmentation,
    Batch,
    Extent,
    Numbers,
    OnDevice,
    Options,
    P,
    draw_whether,
    whole,
)


# parameters: whether, which axis
def _draw_mask(u: Numbers, extent: Extent, options: Options) -> Numbers:
    return np.hstack([draw_whether(u[:, :1], extent, options), whole(u[:, 1:], extent.layout.coordinates)])


def _apply_mask(x: Batch, params: Numbers, extent: Extent, options: Options) -> None:
    masked = np.flatnonzero(params[:, 0])
    x[masked, params[masked, 1].astype(np.int64)] = 0


def _send(params: Numbers, extent: Extent, options: Options) -> dict[str, Any]:
    return {"hidden": (params[:, :1] > 0) & (params[:, 1:] == np.arange(extent.layout.channels))}


def _on_device(x: Tensor, sent: Mapping[str, Tensor], extent: Extent, options: Options) -> Tensor:
    return x.masked_fill(sent["hidden"][:, :, None, None, None], 0)


MASK = Augmentation(2, _draw_mask, _apply_mask, {"p": P}, device=OnDevice(_send, _on_device))
