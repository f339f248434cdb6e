"""HCN: convolutions over pictures whose channels are joints.

Source: Li et al., Co-occurrence Feature Learning from Skeleton Data for Action Recognition and Detection with
Hierarchical Aggregation (IJCAI 2018), as Thoker et al., Skeleton-Contrastive 3D Action Representation Learning (ACM MM
2021), have it in public code.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from skelpipe.encoders.base import Encoder
from skelpipe.encoders.plain import plain
from skelpipe.layouts.base import Layout
from skelpipe.settings import Settings

HALVINGS = 4  # of a picture's two sides
CHANNELS_LAST = torch.channels_last  # in memory, which is quicker


class HCNOptions(Settings):
    """What a recipe may say about the encoder.

    Attributes:
        frames: one side of a picture, to which clips of another length are resized; a multiple of 16.
        embedding: the other side: how many numbers stand for a joint in a frame; a multiple of 16.
        width: channels of the first convolution of pictures; those after it have 2, 4 and 8 times as many.
        dropout: the share of whole channels that is dropped behind all but the first.
    """

    name: Literal["hcn"] = "hcn"
    frames: int = Field(64, ge=16, multiple_of=2**HALVINGS)
    embedding: int = Field(64, ge=16, multiple_of=2**HALVINGS)
    width: PositiveInt = 32
    dropout: float = Field(0.5, ge=0, lt=1)


class Pictures(nn.Module):
    """Positions or motions as pictures, and two convolutions of them: (B, C, T, V) -> (B, 2 · width, T / 4, E / 4)."""

    def __init__(self, layout: Layout, options: HCNOptions) -> None:
        super().__init__()
        size, width = options.embedding, options.width
        self.point = nn.Conv2d(layout.channels, size, 1)
        self.time = nn.Conv2d(size, size, (3, 1), padding=(1, 0))
        self.first = nn.Conv2d(len(layout.joints), width, 3, padding=1)
        self.second = nn.Conv2d(width, 2 * width, 3, padding=1)
        self.drop = nn.Dropout2d(options.dropout)

    def forward(self, x: Tensor) -> Tensor:
        y = self.time(torch.relu(self.point(x.contiguous(memory_format=CHANNELS_LAST))))
        y = y.transpose(1, 3).contiguous(memory_format=CHANNELS_LAST)  # now a channel is a joint
        y = nn.functional.max_pool2d(self.first(y), 2)
        return nn.functional.max_pool2d(self.drop(self.second(y)), 2)


class HCN(Encoder):
    """Pictures of positions and of motions, convolved apart and then together; the maximum over bodies, in one row.

    (B, C, T, V, M) -> (B, width / 32 · frames · embedding): 4096 in the authors' sizes. A clip's frames are resized
    linearly to `frames`, and so are the differences between neighbouring ones. There is no ReLU behind either branch's
    convolutions of pictures, as in the public code; an absent body takes part in the maximum.

    Source: see the module.
    """

    Options = HCNOptions

    def __init__(self, layout: Layout, options: HCNOptions) -> None:
        super().__init__()
        self.frames = options.frames
        width = 4 * options.width
        self.position, self.motion = Pictures(layout, options), Pictures(layout, options)
        self.third, self.fourth = nn.Conv2d(width, width, 3, padding=1), nn.Conv2d(width, 2 * width, 3, padding=1)
        self.drop = nn.Dropout2d(options.dropout)
        self.features = 2 * width * (options.frames // 2**HALVINGS) * (options.embedding // 2**HALVINGS)

    def start(self) -> None:
        """Draw the weights by Glorot's uniform rule, biases 0, as the public code does."""
        for conv in self.modules():
            if isinstance(conv, nn.Conv2d):
                start_glorot(conv)

    def start_head(self, layer: nn.Linear) -> None:
        """Draw the last layer behind a feature in the same way."""
        start_glorot(layer)

    def forward(self, x: Tensor) -> Tensor:
        batch, _, _, _, bodies = x.shape
        x = x.permute(0, 4, 1, 2, 3).flatten(0, 1)
        motion = x[:, :, 1:] - x[:, :, :-1]  # not diff(), which ONNX has not
        y = torch.cat([self.position(resize(x, self.frames)), self.motion(resize(motion, self.frames))], dim=1)
        for conv in (self.third, self.fourth):
            y = nn.functional.max_pool2d(self.drop(torch.relu(conv(y))), 2)
        return y.reshape(batch, bodies, -1).amax(dim=1)


def start_glorot(layer: nn.Conv2d | nn.Linear) -> None:
    """Glorot's uniform weights, and no biases."""
    nn.init.xavier_uniform_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def resize(x: Tensor, frames: int) -> Tensor:
    """(B, C, T, V) of another T, linear between the centres of frames; a clip without motion has none."""
    if x.shape[2] == frames and not plain():
        return x
    if x.shape[2] == 0:
        return x.new_zeros(*x.shape[:2], frames, x.shape[3])
    return nn.functional.interpolate(x, (frames, x.shape[3]), mode="bilinear", align_corners=False)
