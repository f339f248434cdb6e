"""Schedules: which share of the optimiser's rate a step is taken with."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from skelpipe.settings import Settings


class Schedule(Settings):
    """Base of the schedules.

    Attributes:
        by: what is counted, whole epochs or single steps.
    """

    name: str
    by: Literal["epoch", "iteration"] = "epoch"

    def factor(self, done: int, total: int) -> float:
        """The share of the rate once `done` of the run's `total` epochs (or steps) are taken; 0 at the start."""
        raise NotImplementedError

    @property
    def knows_length(self) -> bool:
        """Whether the rates follow from the run's length, so that a longer run has others from the start."""
        return False


class Steps(Schedule):
    """The rate is multiplied by `gamma` after each epoch listed in `at`: a step at 250 acts from epoch 251 on.

    Attributes:
        at: epochs, or steps, after which the rate falls.
        gamma: by which it is then multiplied.
    """

    name: Literal["steps"] = "steps"
    at: tuple[NonNegativeInt, ...] = ()
    gamma: float = Field(0.1, gt=0)

    def factor(self, done: int, total: int) -> float:
        return self.gamma ** sum(done >= step for step in self.at)


class Exponential(Schedule):
    """The rate is multiplied by `gamma` again and again.

    Attributes:
        gamma: by which it is multiplied each time.
        every: after so many epochs each time.
        after: how many are at the full rate; by default `every`.
    """

    name: Literal["exponential"] = "exponential"
    gamma: float = Field(0.95, gt=0)
    every: PositiveInt = 1
    after: NonNegativeInt | None = None

    def factor(self, done: int, total: int) -> float:
        after = self.every if self.after is None else self.after
        return 1.0 if done < after else self.gamma ** (1 + (done - after) // self.every)


class Cosine(Schedule):
    """Half a cosine down to `final`, after a linear rise (Loshchilov and Hutter, SGDR, ICLR 2017, Eq. 5).

    Attributes:
        warmup: epochs in which the rate rises, from 1/warmup of it to all of it.
        length: epochs in all; by default those of the run. Afterwards the rate stays at `final`.
        final: share of the rate at the end.
    """

    name: Literal["cosine"] = "cosine"
    warmup: NonNegativeInt = 0
    length: PositiveInt | None = None
    final: float = Field(0.0, ge=0, le=1)

    @model_validator(mode="after")
    def _rises_before_it_falls(self) -> Cosine:
        if self.length is not None and self.warmup >= self.length:
            raise ValueError(f"warmup: {self.warmup} leaves nothing of a length of {self.length}")
        return self

    def factor(self, done: int, total: int) -> float:
        if done < self.warmup:
            return (done + 1) / self.warmup
        falling = max(1, (self.length or total) - self.warmup)
        fallen = min(1.0, (done - self.warmup) / falling)
        return self.final + (1 - self.final) * (1 + math.cos(math.pi * fallen)) / 2

    @property
    def knows_length(self) -> bool:
        return self.length is None


Clockwork = Annotated[Steps | Exponential | Cosine, Field(discriminator="name")]


class Plateau(Schedule):
    """The rate is multiplied by `gamma` when held-out clips of the training part show no gain any more.

    After each epoch the method's loss on them is taken, or the share of them that is recognised where it learns from
    labels. Waiting and cooling down follow Keras' ReduceLROnPlateau, the end its EarlyStopping.

    Attributes:
        by: epochs, and nothing else.
        gamma: 1 leaves the rate as it is; held-out clips then decide the end, and which weights are kept.
        patience: after so many epochs without gain the rate falls.
        cooldown: epochs after a fall that are not counted.
        stop_after: training ends after so many epochs without gain, whatever the rate did; None goes on to the end.
        least: by how much a figure must be better to be a gain.
        held_out: share of the training clips that is held out.
        held_out_by: in whole persons or videos ("group"), so that what is chosen by them holds for others; or "clip" by
            clip, of persons who are also trained on.
        keep: which weights the run leaves, those of its last epoch or of that with the best figure.
        meanwhile: another schedule, by epochs, which the rate follows besides.
    """

    LATER: ClassVar[tuple[str, ...]] = ("held_out_by", "meanwhile")

    name: Literal["plateau"] = "plateau"
    by: Literal["epoch"] = "epoch"
    gamma: float = Field(0.1, gt=0, le=1)
    patience: PositiveInt = 5
    cooldown: NonNegativeInt = 0
    stop_after: PositiveInt | None = None
    least: float = Field(0.0, ge=0)
    held_out: float = Field(0.1, gt=0, lt=1)
    held_out_by: Literal["group", "clip"] = "group"
    keep: Literal["last", "best"] = "last"
    meanwhile: Clockwork | None = None

    @model_validator(mode="after")
    def _counts_epochs(self) -> Plateau:
        if self.meanwhile is not None and self.meanwhile.by != "epoch":
            raise ValueError("meanwhile: a plateau is looked for after each epoch; let this count epochs too")
        return self

    def factor(self, done: int, total: int) -> float:
        """What `meanwhile` says, or 1: how often the rate has fallen is known to who watches the held-out clips."""
        return 1.0 if self.meanwhile is None else self.meanwhile.factor(done, total)

    @property
    def knows_length(self) -> bool:
        return self.meanwhile is not None and self.meanwhile.knows_length


SCHEDULES: dict[str, type[Schedule]] = {
    "steps": Steps, "exponential": Exponential, "cosine": Cosine, "plateau": Plateau,
}  # fmt: skip
