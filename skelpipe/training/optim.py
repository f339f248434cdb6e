"""Optimisers."""

from __future__ import annotations

import torch

from skelpipe.training.recipe import Optimizer


def build_sgd(options: Optimizer, method: torch.nn.Module) -> torch.optim.SGD:
    """The optimiser over all that is trained."""
    return torch.optim.SGD(
        [p for p in method.parameters() if p.requires_grad],
        lr=options.lr,
        momentum=options.momentum,
        weight_decay=options.weight_decay,
        nesterov=options.nesterov,
    )
