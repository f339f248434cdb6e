"""The clip itself as its feature: what any encoder has to beat."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from skelpipe.encoders.base import Encoder
from skelpipe.encoders.plain import plain
from skelpipe.layouts.base import Layout
from skelpipe.settings import Settings


class CoordinatesOptions(Settings):
    """What a recipe may say about the encoder.

    Attributes:
        frames: to so many frames a clip is resized, linear between two of them; its length decides nothing else.
        velocities: whether the differences of following frames stand behind the coordinates.
    """

    name: Literal["coordinates"] = "coordinates"
    frames: PositiveInt = 32
    velocities: bool = False


class Coordinates(Encoder):
    """All numbers of a clip in one row, nothing to learn: (B, C, T, V, M) -> (B, C · frames · V · M; or twice)."""

    Options = CoordinatesOptions
    SIDE_BY_SIDE = True

    def __init__(self, layout: Layout, options: CoordinatesOptions, bodies: int) -> None:
        super().__init__()
        self.options = options
        each = layout.channels * len(layout.joints) * bodies
        self.features = each * (2 * options.frames - 1 if options.velocities else options.frames)

    def forward(self, x: Tensor) -> Tensor:
        y = x.permute(0, 1, 3, 4, 2).flatten(1, 3)
        if y.shape[2] != self.options.frames or plain():
            y = nn.functional.interpolate(y, self.options.frames, mode="linear")
        if self.options.velocities:
            y = torch.cat([y, y[:, :, 1:] - y[:, :, :-1]], dim=2)  # not diff(), which ONNX has not
        return y.flatten(1)
