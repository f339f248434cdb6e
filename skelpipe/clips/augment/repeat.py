"""repeat: behind a clip's own frames each body is played again from its start, over and over; none become its own.

So 2s-AGCN's and ISC's prepared arrays look (Shi et al., CVPR 2019; Thoker et al., MM 2021), which MS2L's encoder
(Lin et al., MM 2020) reads to their end. Where the clip shows a body no longer at its end, it begins again behind the
last frame that does. One that the preparation `isc` has begun again within the clip does so once more at the clip's
end; all others are as that preparation stores them.
"""

from __future__ import annotations

from numba import njit

from skelpipe.clips.augment.base import Augmentation, Batch, Extent, Numbers, Options, draw_nothing


# x (B, C, T, V, M); lengths (B,)
@njit(cache=True, nogil=True)
def _repeat(x, lengths):  # type: ignore[no-untyped-def]
    batch, channels, frames, joints, bodies = x.shape
    for b in range(batch):
        for m in range(bodies):
            period = lengths[b]
            while period > 0 and not _shows(x[b, :, period - 1, :, m]):
                period -= 1
            if period == 0:
                continue
            for c in range(channels):
                for t in range(period, frames):
                    for v in range(joints):
                        x[b, c, t, v, m] = x[b, c, t - period, v, m]


# frame (C, V)
@njit(cache=True, nogil=True)
def _shows(frame):  # type: ignore[no-untyped-def]
    for c in range(frame.shape[0]):
        for v in range(frame.shape[1]):
            if frame[c, v] != 0:
                return True
    return False


def _apply_repeat(x: Batch, params: Numbers, extent: Extent, options: Options) -> None:
    if extent.padded:
        _repeat(x, extent.lengths)


REPEAT = Augmentation(0, draw_nothing, _apply_repeat, {}, fills=True)
