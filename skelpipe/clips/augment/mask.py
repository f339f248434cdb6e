"""mask: one of x, y, z becomes 0."""

from __future__ import annotations

import numpy as np

from skelpipe.clips.augment.base import Augmentation, Batch, Numbers, Options, P, draw_whether, whole
from skelpipe.layouts.base import Layout


# parameters: whether, which axis
def _draw_mask(u: Numbers, frames: int, options: Options) -> Numbers:
    return np.hstack([draw_whether(u[:, :1], frames, options), whole(u[:, 1:], 3)])


def _apply_mask(x: Batch, params: Numbers, layout: Layout, options: Options) -> None:
    masked = np.flatnonzero(params[:, 0])
    x[masked, params[masked, 1].astype(np.int64)] = 0


MASK = Augmentation(2, _draw_mask, _apply_mask, {"p": P})
