"""reverse: the frames run backwards."""

from __future__ import annotations

from numba import njit

from skelpipe.clips.augment.base import Augmentation, Batch, Numbers, Options, P, draw_whether
from skelpipe.layouts.base import Layout


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


REVERSE = Augmentation(1, draw_whether, _apply_reverse, {"p": P})
