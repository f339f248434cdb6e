"""A frame-wise method: every frame of a clip, whole or not, is told from the features of the frames before it."""

from __future__ import annotations

from typing import Literal

from torch import nn

from skelpipe.encoders.recurrent import own_frames
from skelpipe.methods.base import Method, MethodOptions
from skelpipe.methods.network import initialise


class NextFrameOptions(MethodOptions):
    """Nothing to choose."""

    name: Literal["next_frame"] = "next_frame"


class NextFrame(Method):
    """The clip itself is the target, or what the view has brought as `clip`; frames that fill it up do not count."""

    Options = NextFrameOptions
    VIEWS = ("clip",)
    LOSSES = ("next",)
    NEEDS = ("sequence",)

    def __init__(self, build, size, options, positives, init):
        super().__init__(options)
        self.network = build()
        self.tell = nn.Linear(self.network.encoder.features, size)
        initialise(self, init)

    @property
    def evaluated(self):
        return self.network

    def losses(self, batch, epoch):
        x, lengths = batch.views["clip"], batch.lengths.get("clip")
        wanted = batch.targets.get("clip", {}).get("clip", x).permute(0, 2, 1, 3, 4).flatten(2)[:, 1:]
        away = (self.tell(self.network.sequence(x, lengths)[:, :-1])[..., : wanted.shape[2]] - wanted).abs().mean(2)
        if lengths is None:
            return {"next": away.mean()}
        own = own_frames(wanted, lengths - 1)[..., 0]
        return {"next": ((away * own).sum(1) / own.sum(1)).mean()}
