"""An optimiser's step as part of what is recorded of a step."""

from __future__ import annotations

import torch


class RecordedSGD:
    """Steps of torch's SGD by its fused kernel, which reads the rates where they lie on the device.

    torch's other ways to take that step hold a rate as a number, which a recording would burn in; and what its other
    optimisers count besides is on the device only if they were built for it.
    """

    def __init__(self, optimizer: torch.optim.SGD) -> None:
        self.optimizer = optimizer
        self.rates = [torch.zeros((), device=group["params"][0].device) for group in optimizer.param_groups]

    def set_rates(self) -> None:
        """Let the next replay take the optimiser's rates as they are now."""
        for rate, group in zip(self.rates, self.optimizer.param_groups, strict=True):
            rate.fill_(group["lr"])

    def step(self) -> None:
        """The step that is recorded, with whatever comes before it, as clipping does."""
        groups = self.optimizer.param_groups
        before = [{key: group[key] for key in ("lr", "fused", "foreach")} for group in groups]
        try:
            for group, rate in zip(groups, self.rates, strict=True):
                group.update(lr=rate, fused=True, foreach=False)
            self.optimizer.step()
        finally:
            for group, own in zip(groups, before, strict=True):
                group.update(own)


def recorded_optimizer(optimizer: torch.optim.Optimizer) -> RecordedSGD | None:
    """The optimiser as it can be recorded; None if it cannot, and takes its steps behind each replay."""
    return RecordedSGD(optimizer) if isinstance(optimizer, torch.optim.SGD) else None
