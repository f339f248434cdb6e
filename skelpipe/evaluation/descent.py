"""The steps of the probes: SGD written out, and L-BFGS."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from skelpipe.training.optim import without_compiler


class Descent:
    """Stochastic gradient descent with momentum 0.9 on a linear layer and cross-entropy.

    Autograd and an optimiser cost several times the two products of a step, so the gradient is written out: for
    softmax p and one-hot y of a batch of B it is (p - y)^T x / B; with weights w, (w (p - y))^T x / B.
    """

    MOMENTUM = 0.9

    def __init__(self, layer: nn.Linear) -> None:
        self.weight, self.bias = layer.weight, layer.bias
        self.fall, self.drift = torch.zeros_like(self.weight), torch.zeros_like(self.bias)

    def step(self, x: Tensor, y: Tensor, rate: float, weight: Tensor | None = None) -> Tensor:
        """Change the layer by a batch x (B, features), y and weight (B, 1); returns log-probabilities (B, classes)."""
        log_p = torch.log_softmax(nn.functional.linear(x, self.weight, self.bias), 1)
        wrong = log_p.exp()
        wrong.scatter_add_(1, y, wrong.new_full((1, 1), -1.0).expand(len(y), 1))
        if weight is not None:
            wrong.mul_(weight)
        self.fall.addmm_(wrong.t(), x, beta=self.MOMENTUM, alpha=1 / len(y))
        self.drift.mul_(self.MOMENTUM).add_(wrong.sum(0), alpha=1 / len(y))
        self.weight.add_(self.fall, alpha=-rate)
        self.bias.add_(self.drift, alpha=-rate)
        return log_p


Solver = without_compiler(torch.optim.LBFGS)
