"""The rates of an optimiser's groups, as a schedule has them."""

from __future__ import annotations

import torch

from skelpipe.training.length import Length
from skelpipe.training.optim.schedules import Schedule


class Rates:
    """Sets the rates of an optimiser that was just built, each group from the one that it was built with."""

    def __init__(self, schedule: Schedule, optimizer: torch.optim.Optimizer, length: Length) -> None:
        self.schedule, self.optimizer = schedule, optimizer
        self.base = [float(group["lr"]) for group in optimizer.param_groups]
        self.length = length

    def set(self, epoch: int, step: int, share: float = 1.0) -> None:
        """Set them for the step that follows on `step` of an epoch, from 1; `share` is what a plateau has left."""
        if self.schedule.by == "epoch":
            factor = self.schedule.factor(epoch - 1, self.length.epochs)
        else:
            factor = self.schedule.factor(self.length.taken(epoch, step), self.length.iterations)
        # Asked for anew: a checkpoint that is loaded replaces the groups.
        for group, rate in zip(self.optimizer.param_groups, self.base, strict=True):
            group["lr"] = rate * factor * share

    @property
    def first(self) -> float:
        """The rate of the first group."""
        return float(self.optimizer.param_groups[0]["lr"])
