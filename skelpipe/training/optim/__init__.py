"""How weights are moved: optimisers, the rates that they are given, and what clips gradients before.

To add one of a kind: a class or a function in its module, and a line in the dict there.
"""

from __future__ import annotations

from skelpipe.training.optim.clipping import CLIPPINGS, Clipping, clip_gradients
from skelpipe.training.optim.optimizers import OPTIMIZERS, build_optimizer, without_compiler
from skelpipe.training.optim.rates import Rates
from skelpipe.training.optim.schedules import SCHEDULES, Plateau, Schedule, Steps

__all__ = [
    "CLIPPINGS",
    "OPTIMIZERS",
    "SCHEDULES",
    "Clipping",
    "Plateau",
    "Rates",
    "Schedule",
    "Steps",
    "build_optimizer",
    "clip_gradients",
    "without_compiler",
]
