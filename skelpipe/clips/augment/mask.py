"""mask: one of x, y, z, or of x and y in a picture, becomes 0."""

from __future__ import annotations

import numpy as np

from skelpipe.clips.augment.base import Augmentation, Batch, Extent, Numbers, Options, P, draw_whether, whole


# parameters: whether, which axis
def _draw_mask(u: Numbers, extent: Extent, options: Options) -> Numbers:
    return np.hstack([draw_whether(u[:, :1], extent, options), whole(u[:, 1:], extent.layout.coordinates)])


def _apply_mask(x: Batch, params: Numbers, extent: Extent, options: Options) -> None:
    masked = np.flatnonzero(params[:, 0])
    x[masked, params[masked, 1].astype(np.int64)] = 0


MASK = Augmentation(2, _draw_mask, _apply_mask, {"p": P})
