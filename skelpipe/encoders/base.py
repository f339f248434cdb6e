"""What an encoder is: clip -> feature."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import nn

from skelpipe.layouts.base import Layout
from skelpipe.settings import Settings


class Encoder(nn.Module):
    """Maps clips (B, C, T, V, M) to features (B, H); made of a layout and its own options.

    An encoder may also have `sequence`, which gives the features of every frame, (B, T', H'), or `feature_map` and
    `pool`, as ST-GCN has them; a method says which of them it needs.

    Attributes:
        features: H.
        USES_LENGTHS: whether `forward` and `sequence` are told, behind the clips, how many frames of each are its own:
            (B,) int64, or None where all are.
        SIDE_BY_SIDE: whether the bodies of a clip stand side by side in its input, so that it is told their number M
            behind layout and options.
    """

    Options: ClassVar[type[Settings]]
    USES_LENGTHS: ClassVar[bool] = False
    SIDE_BY_SIDE: ClassVar[bool] = False
    features: int

    @classmethod
    def gives(cls, name: str, options: Any) -> bool:
        """Whether one with these options has `sequence`, `feature_map` or `pool`."""
        return hasattr(cls, name)


def build_encoder(kind: Any, layout: Layout, options: Settings, bodies: int) -> Encoder:
    """A fresh encoder of that kind, an entry of ENCODERS, for clips of so many bodies."""
    made: Encoder = kind(layout, options, bodies) if kind.SIDE_BY_SIDE else kind(layout, options)
    return made
