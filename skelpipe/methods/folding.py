"""FoldingNet's decoder: a square grid that a feature folds into a cloud of points, twice.

Source: Yang et al., FoldingNet: Point Cloud Auto-encoder via Deep Grid Deformation (CVPR 2018), §3.2, as Tao's public
code of unsupervised reconstruction has it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

SPAN = 0.3  # the grid goes from -SPAN to SPAN on both axes


class Folding(nn.Module):
    """Features (B, D) -> points (B, side², channels)."""

    grid: Tensor

    def __init__(self, features: int, channels: int, side: int = 45) -> None:
        super().__init__()
        line = torch.linspace(-SPAN, SPAN, side, dtype=torch.float64)
        # The second coordinate runs fastest.
        self.register_buffer("grid", torch.cartesian_prod(line, line).float(), persistent=False)
        self.first, self.second = Fold(features, 2, channels), Fold(features, channels, channels)

    def forward(self, h: Tensor) -> Tensor:
        y: Tensor = self.second(h, self.first(h, self.grid))
        return y


class Fold(nn.Module):
    """Linear, ReLU, Linear, ReLU, Linear of the feature and a point: (B, D), (B, N, C) -> (B, N, channels).

    The feature's part of the first layer is one product for each clip and not one for each point.
    """

    def __init__(self, features: int, size: int, channels: int) -> None:
        super().__init__()
        self.features = features
        self.meet = nn.Linear(features + size, features)
        self.inner, self.out = nn.Linear(features, features), nn.Linear(features, channels)

    def forward(self, h: Tensor, points: Tensor) -> Tensor:
        """Args: h: (B, D). points: (B, N, C), or (N, C) for points that all clips share."""
        weight: Tensor = self.meet.weight
        of_feature, of_point = weight[:, : self.features], weight[:, self.features :]
        whole = linear(h, of_feature, self.meet.bias)[:, None]
        y = torch.relu_(whole + linear(points, of_point))
        out: Tensor = self.out(torch.relu_(self.inner(y)))
        return out
