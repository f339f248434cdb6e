"""The Chamfer distance between clouds of points."""

from __future__ import annotations

import torch
from torch import Tensor

DISTANCES = 1 << 24  # numbers of a distance matrix that are held at a time


def chamfer(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """From every point to the nearest of the other cloud.

    Which one that is is found without gradient, and for some points at a time.

    Args:
        x: (B, N, C).
        y: (B, N', C).

    Returns:
        The distances of the points of x, (B, N), and of y, (B, N'); at distance 0 without gradient.
    """
    return distances(x, y), distances(y, x)


def distances(x: Tensor, y: Tensor) -> Tensor:
    """From every point of x (B, N, C) to the nearest of y (B, N', C): (B, N)."""
    places = nearest(x, y)[:, :, None].expand(-1, -1, y.shape[2])
    found: Tensor = torch.linalg.vector_norm(x - y.gather(1, places), dim=2)
    return found


@torch.no_grad()
def nearest(x: Tensor, y: Tensor) -> Tensor:
    """Which of the points y (B, N', C) is nearest to each of x (B, N, C): (B, N).

    The order of |y|² - 2 x y is that of the distances.
    """
    middle = y.mean(dim=1, keepdim=True)
    x, y = x - middle, y - middle
    squares, others = y.square().sum(2)[:, None], y.transpose(1, 2)
    step = max(1, DISTANCES // (len(x) * y.shape[1]))
    return torch.cat(
        [torch.baddbmm(squares, part, others, alpha=-2).argmin(2) for part in torch.split(x, step, dim=1)], dim=1
    )
