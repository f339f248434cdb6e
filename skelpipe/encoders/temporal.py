"""Convolutions over time, which see all joints of a frame at once: cheap, and at home on small data.

The form is that of temporal convolutional networks (Bai, Kolter and Koltun, 2018; of skeletons Kim and Reiter, 2017),
here without causality, and narrow. Coordinates go in as they are: a norm of each joint by itself, which ST-GCN has,
would make the little that a joint near the origin moves as large as a hand's way, and the sizes of bodies with it.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from skelpipe.encoders.base import Encoder, Kernel
from skelpipe.layouts.base import Layout
from skelpipe.settings import Settings

HALVING = (2, 3)  # blocks that keep every other frame


class TemporalOptions(Settings):
    """What a recipe may say about the encoder.

    Attributes:
        width: channels of the frames, and of all blocks but the last.
        features: channels of the last block, which is the size of the feature h.
        layers: how many blocks stand on each other; the second and the third halve the frames.
        kernel: frames that one convolution sees (odd).
    """

    name: Literal["temporal"] = "temporal"
    width: PositiveInt = 64
    features: PositiveInt = 128
    layers: int = Field(3, ge=1, le=64)
    kernel: Kernel = 5


class TemporalBlock(nn.Module):
    """Convolution over time, BN, plus the residual, ReLU: (B, C_in, T) -> (B, C_out, T / stride, rounded up)."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(channels_in, channels_out, kernel, stride, kernel // 2, bias=False)
        self.norm = nn.BatchNorm1d(channels_out)
        same = channels_in == channels_out and stride == 1
        self.residual = nn.Identity() if same else nn.Conv1d(channels_in, channels_out, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.norm(self.conv(x)) + self.residual(x))


class Temporal(Encoder):
    """A linear map of each frame, blocks over time, average over frames: (B, C, T, V, M) -> (B, features).

    Frames that a clip was filled up with take part, as in ST-GCN.
    """

    Options = TemporalOptions
    SIDE_BY_SIDE = True

    def __init__(self, layout: Layout, options: TemporalOptions, bodies: int) -> None:
        super().__init__()
        self.features = options.features
        self.frame = nn.Conv1d(layout.channels * len(layout.joints) * bodies, options.width, 1)
        widths = [*[options.width] * options.layers, options.features]
        self.blocks = nn.Sequential(
            *(
                TemporalBlock(channels_in, channels_out, options.kernel, 2 if number in HALVING else 1)
                for number, (channels_in, channels_out) in enumerate(pairwise(widths), start=1)
            )
        )

    def feature_map(self, x: Tensor) -> Tensor:
        """The last block's output: (B, C, T, V, M) -> (B, features, T', 1)."""
        y: Tensor = self.blocks(self.frame(x.permute(0, 1, 3, 4, 2).flatten(1, 3)))
        return y.unsqueeze(3)

    def pool(self, feature_map: Tensor, batch: int) -> Tensor:
        """Average over frames: (B, features, T', 1) -> (B, features)."""
        return feature_map.mean(dim=(2, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(self.feature_map(x), x.shape[0])
