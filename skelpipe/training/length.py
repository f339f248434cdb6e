"""How long a run is: in epochs, or in steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skelpipe.training.recipe import Recipe


@dataclass(frozen=True)
class Length:
    """A run's length.

    Attributes:
        steps: of an epoch.
        iterations: steps in all. The last epoch ends where they do, so it may be shorter.
    """

    steps: int
    iterations: int

    @property
    def epochs(self) -> int:
        """Epochs in all, one that is not whole among them."""
        return -(-self.iterations // self.steps)

    def steps_of(self, epoch: int) -> int:
        """Steps of one epoch, from 1."""
        return max(0, min(self.steps, self.iterations - (epoch - 1) * self.steps))

    def taken(self, epoch: int, step: int) -> int:
        """Steps from the start of the run to after `step` steps of an epoch."""
        return (epoch - 1) * self.steps + step


def length_of(recipe: Recipe, clips: int) -> Length:
    """The length of a recipe's run on so many clips; the batch that is not full at an epoch's end is left out."""
    steps = clips // recipe.batch_size
    return Length(steps, recipe.epochs * steps if recipe.iterations is None else recipe.iterations)
