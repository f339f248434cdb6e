"""Weights and points that tests of point clouds share."""

from __future__ import annotations

import torch
from torch import nn


@torch.no_grad()
def waves(module: nn.Module) -> nn.Module:
    """The module in float64 and eval mode: biases 0, every weight p.flat[i] = 2 sin(i² + 1) / √(numbers of a row)."""
    for p in module.parameters():
        if p.dim() > 1:
            i = torch.arange(p.numel(), dtype=torch.float64)
            p.copy_((2 * torch.sin(i**2 + 1) / p.shape[1] ** 0.5).view(p.shape))
    for name, p in module.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(p)
    return module.double().eval()


def cloud(seed: int, *shape: int) -> torch.Tensor:
    """Normal numbers in float64."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
