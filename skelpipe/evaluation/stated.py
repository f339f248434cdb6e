"""The linear probe "stated": a linear layer, trained as the options of the protocol `linear` say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from pydantic import Field, PositiveInt, field_validator
from torch import Tensor, nn

from skelpipe import settings
from skelpipe.settings import Settings
from skelpipe.training.length import Length
from skelpipe.training.optim import OPTIMIZERS, SCHEDULES, Rates, Schedule, Steps, build_optimizer
from skelpipe.training.optim.optimizers import SGDOptions
from skelpipe.training.recipe import FittingView

if TYPE_CHECKING:
    from skelpipe.evaluation.linear import Data

    OptimizerOptions = Any
    ScheduleOptions = Schedule
else:
    OptimizerOptions = settings.one_of(OPTIMIZERS, unnamed="sgd")
    ScheduleOptions = settings.one_of(SCHEDULES)


class LinearOptions(Settings):
    """What may be chosen beside the probe; all but `balance` are of the probe "stated".

    Attributes:
        balance: "weights" weighs the loss of each training clip by inverse class frequency, with mean 1, and chooses
            what is chosen on validation by balanced accuracy.
        optimizer: as in a recipe; for SGD its own `steps` and `gamma` count where there is no schedule.
        schedule: what the rate does.
        epochs: the last one counts.
        batch_size: where there are fewer clips than that, all of them are one batch.
        rest: whether the clips that fill no batch are a smaller one, or left out.
        weights: how they are drawn: normal with deviation `std`, or by Glorot's rules; biases are 0. "torch" draws both
            as torch does.
        std: of normal weights.
        view: augmentations of the training clips, whose features are then computed anew in every epoch; none trains on
            the features of the clips as they are evaluated.
    """

    LATER: ClassVar[tuple[str, ...]] = (
        "balance", "optimizer", "schedule", "epochs", "batch_size", "rest", "weights", "std", "view",
    )  # fmt: skip

    balance: Literal["none", "weights"] = "none"
    optimizer: OptimizerOptions = Field(default_factory=lambda: SGDOptions(weight_decay=0, steps=()))
    schedule: ScheduleOptions | None = None
    epochs: PositiveInt = 100
    batch_size: PositiveInt = 128
    rest: Literal["kept", "left_out"] = "kept"
    weights: Literal["normal", "xavier_uniform", "xavier_normal", "torch"] = "normal"
    std: float = Field(0.01, gt=0)
    view: FittingView = Field(default_factory=list)

    @field_validator("schedule")
    @classmethod
    def _watches_nothing(cls, value: Any) -> Any:
        if value is not None and value.name == "plateau":
            raise ValueError("plateau holds clips out, which this training does not")
        return value

    @property
    def rates(self) -> Schedule:
        """What the rate does: the schedule, or what SGD's own options say, or nothing."""
        if self.schedule is not None:
            return self.schedule
        falls: Schedule = self.optimizer.falls if self.optimizer.name == "sgd" else Steps()
        return falls


class StatedProbe:
    """One linear layer under training; everything random follows from `seed`.

    The gradient of the mean cross-entropy is written out, as of `Descent`; the optimiser is torch's.
    """

    def __init__(self, size: int, classes: int, options: LinearOptions, clips: int, seed: int, device: Any) -> None:
        self.options = options
        self.generator = torch.Generator().manual_seed(seed)
        self.layer = drawn(size, classes, options, self.generator).to(device)
        for p in self.layer.parameters():
            p.grad = torch.zeros_like(p)
        self.batch = min(options.batch_size, clips)
        self.kept = clips if options.rest == "kept" else clips // self.batch * self.batch
        self.optimizer = build_optimizer(options.optimizer, self.layer)
        steps = -(-self.kept // self.batch)
        self.rates = Rates(options.rates, self.optimizer, Length(steps, steps * options.epochs))

    @torch.no_grad()
    def epoch(self, data: Data, number: int) -> float:
        """One pass over the training clips, epochs numbered from 1; returns the mean loss, taken before each step."""
        order = torch.randperm(len(data.y), generator=self.generator)[: self.kept].to(data.x.device)
        total = torch.zeros((), device=data.x.device)
        x, y = data.x[order], data.y[order, None]
        weight = None if data.weight is None else data.weight[order, None]
        for step, start in enumerate(range(0, self.kept, self.batch)):
            if step == 0 or self.rates.schedule.by == "iteration":
                self.rates.set(number, step)
            now = slice(start, start + self.batch)
            total += self.step(x[now], y[now], None if weight is None else weight[now])
        return float(total) / self.kept

    def step(self, x: Tensor, y: Tensor, weight: Tensor | None) -> Tensor:
        """Change the layer by a batch x (B, features), y and weight (B, 1); returns the sum of its losses."""
        log_p = torch.log_softmax(self.layer(x), 1)
        wrong = log_p.exp()
        wrong.scatter_add_(1, y, wrong.new_full((1, 1), -1.0).expand(len(y), 1))
        own = log_p.gather(1, y)
        if weight is not None:
            wrong.mul_(weight)
            own.mul_(weight)
        wrong.div_(len(y))
        torch.mm(wrong.t(), x, out=self.layer.weight.grad)
        torch.sum(wrong, 0, out=self.layer.bias.grad)
        self.optimizer.step()
        return -own.sum()


@torch.no_grad()
def drawn(size: int, classes: int, options: LinearOptions, generator: torch.Generator) -> nn.Linear:
    """A fresh layer as the options say."""
    layer = nn.Linear(size, classes)
    if options.weights == "torch":
        for p in layer.parameters():
            nn.init.uniform_(p, -(size**-0.5), size**-0.5, generator=generator)
        return layer
    if options.weights == "normal":
        nn.init.normal_(layer.weight, 0.0, options.std, generator=generator)
    elif options.weights == "xavier_uniform":
        nn.init.xavier_uniform_(layer.weight, generator=generator)
    else:
        nn.init.xavier_normal_(layer.weight, generator=generator)
    nn.init.zeros_(layer.bias)
    return layer
