"""What an encoder is: clip -> feature."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, PositiveInt
from torch import nn

from skelpipe.layouts.base import Layout
from skelpipe.settings import Settings


def _odd(value: int) -> int:
    if value % 2 == 0:
        raise ValueError("must be odd, or the clip would change its length")
    return value


Kernel = Annotated[PositiveInt, AfterValidator(_odd)]  # frames that one convolution over time sees


class Encoder(nn.Module):
    """Maps clips (B, C, T, V, M) to features (B, H); made of a layout and its own options.

    An encoder may also have `sequence`, which gives the features of every frame, (B, T', H'), and `pool_sequence`,
    which makes the clips' features of these; or `feature_map` and `pool`, as ST-GCN has them. A method says which of
    them it needs. One that has `start_head` is given the last linear layer behind its feature, to draw it as its
    authors do.

    Attributes:
        features: H.
        inputs: how many numbers a frame has, C · V · M, of encoders that have `sequence`.
        USES_LENGTHS: whether `forward` and `sequence` are told, behind the clips, how many frames of each are its own:
            (B,) int64, or None where all are.
        SIDE_BY_SIDE: whether the bodies of a clip stand side by side in its input, so that it is told their number M
            behind layout and options.

    Example:
        >>> class MeanPose(sk.Encoder):
        ...     def __init__(self, layout, options):
        ...         super().__init__()
        ...         self.features = layout.channels * len(layout.joints)
        ...
        ...     def forward(self, x):
        ...         return x.mean(dim=(2, 4)).flatten(1)
        >>> _ = sk.register("encoder", "mean_pose", MeanPose)
        >>> sk.build_encoder("mean_pose", "coco17")(torch.randn(4, 2, 50, 17, 2)).shape
        torch.Size([4, 34])
    """

    Options: ClassVar[type[Settings]]
    USES_LENGTHS: ClassVar[bool] = False
    SIDE_BY_SIDE: ClassVar[bool] = False
    features: int
    inputs: int

    @classmethod
    def gives(cls, name: str, options: Any) -> bool:
        """Whether one with these options has `sequence`, `feature_map` or `pool`."""
        return hasattr(cls, name)


def build_encoder(kind: Any, layout: Layout, options: Settings, bodies: int) -> Encoder:
    """A fresh encoder of that kind, an entry of ENCODERS, for clips of so many bodies."""
    made: Encoder = kind(layout, options, bodies) if kind.SIDE_BY_SIDE else kind(layout, options)
    return made
