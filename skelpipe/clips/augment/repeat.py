"""repeat: behind a clip's own frames each body is played again from its start, over and over; none become its own.

So 2s-AGCN's and ISC's prepared arrays look (Shi et al., CVPR 2019; Thoker et al., MM 2021), which MS2L's encoder
(Lin et al., MM 2020) reads to their end. Where the clip shows a body no longer at its end, it begins again behind the
last frame that does. One that the preparation `isc` has begun again within the clip does so once more at the clip's
end; all others are as that preparation stores them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from skelpipe.clips.augment.base import Augmentation, Batch, Extent, Numbers, OnDevice, Options, draw_nothing
from skelpipe.kernels import compiled


# x (B, C, T, V, M); lengths (B,)
@compiled
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
@compiled
def _shows(frame):  # type: ignore[no-untyped-def]
    for c in range(frame.shape[0]):
        for v in range(frame.shape[1]):
            if frame[c, v] != 0:
                return True
    return False


def _apply_repeat(x: Batch, params: Numbers, extent: Extent, options: Options) -> None:
    if extent.padded:
        _repeat(x, extent.lengths)


def _send(params: Numbers, extent: Extent, options: Options) -> dict[str, Any]:
    return {"own": extent.lengths}


def _on_device(x: Tensor, sent: Mapping[str, Tensor], extent: Extent, options: Options) -> Tensor:
    if not extent.padded:
        return x
    t = torch.arange(x.shape[2], device=x.device)
    shows = (x != 0).any(3).any(1) & (t < sent["own"][:, None])[:, :, None]  # (B, T, M)
    period = (shows * (t + 1)[:, None]).amax(1)[:, None]
    frames = (t[:, None] % period.clamp(min=1)).where(period > 0, t[:, None])
    return x.gather(2, frames[:, None, :, None].expand(x.shape))


REPEAT = Augmentation(0, draw_nothing, _apply_repeat, {}, fills=True, device=OnDevice(_send, _on_device))
