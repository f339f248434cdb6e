"""Optimisers, all of them torch's, without its compiler: that takes a second to load, and they are never compiled."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field, NonNegativeInt, model_validator
from torch import nn

from skelpipe.settings import Settings
from skelpipe.training.optim.clipping import Clipping, clip_gradients
from skelpipe.training.optim.schedules import Steps

Share = Annotated[float, Field(ge=0, lt=1)]  # of an average that is kept at a step


class SGDOptions(Settings):
    """SGD with momentum. Without a `schedule` the rate is multiplied by `gamma` after each epoch listed in `steps`.

    Attributes:
        lr: the learning rate.
        momentum: the share of the step before that is added to a step.
        weight_decay: times the weights is added to the gradient.
        nesterov: whether momentum is Nesterov's.
        steps: epochs after which the rate falls, where there is no `schedule`.
        gamma: by which the rate is then multiplied.
    """

    LATER: ClassVar[tuple[str, ...]] = ("name",)

    name: Literal["sgd"] = "sgd"
    lr: float = Field(0.1, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(1e-4, ge=0)
    nesterov: bool = False
    steps: tuple[NonNegativeInt, ...] = (250,)
    gamma: float = Field(0.1, gt=0)

    @model_validator(mode="after")
    def _momentum_fits(self) -> SGDOptions:
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov: it needs a momentum above 0")
        return self

    @property
    def falls(self) -> Steps:
        """Where the rate falls without a `schedule`."""
        return Steps(at=self.steps, gamma=self.gamma)

    def rate(self, epoch: int) -> float:
        """The rate of an epoch, counted from 1, without a `schedule`."""
        return self.lr * self.falls.factor(epoch - 1, epoch)


class AdamOptions(Settings):
    """Adam (Kingma and Ba, ICLR 2015); `weight_decay` is added to the gradient.

    Attributes:
        lr: the learning rate.
        betas: how slowly the means of the gradients and of their squares follow.
        eps: is added to what a step is divided by.
        weight_decay: times the weights is added to the gradient.
    """

    name: Literal["adam"] = "adam"
    lr: float = Field(1e-3, gt=0)
    betas: tuple[Share, Share] = (0.9, 0.999)
    eps: float = Field(1e-8, gt=0)
    weight_decay: float = Field(0.0, ge=0)


class AdamWOptions(Settings):
    """Adam whose `weight_decay` shrinks the weights by itself (Loshchilov and Hutter, ICLR 2019).

    Attributes:
        lr: the learning rate.
        betas: how slowly the means of the gradients and of their squares follow.
        eps: is added to what a step is divided by.
        weight_decay: times the rate is the share by which each step shrinks the weights.
    """

    name: Literal["adamw"] = "adamw"
    lr: float = Field(1e-3, gt=0)
    betas: tuple[Share, Share] = (0.9, 0.999)
    eps: float = Field(1e-8, gt=0)
    weight_decay: float = Field(1e-2, ge=0)


class RMSpropOptions(Settings):
    """RMSprop (Hinton, lecture 6e of Neural Networks for Machine Learning, 2012); `alpha` smooths the squares.

    Attributes:
        lr: the learning rate.
        alpha: how slowly the mean of the squared gradients follows.
        eps: is added to what a step is divided by.
        momentum: the share of the step before that is added to a step.
        weight_decay: times the weights is added to the gradient.
        centered: whether steps are divided by the deviation of the gradients, and not by their mean square.
    """

    name: Literal["rmsprop"] = "rmsprop"
    lr: float = Field(1e-2, gt=0)
    alpha: float = Field(0.99, ge=0, lt=1)
    eps: float = Field(1e-8, gt=0)
    momentum: float = Field(0.0, ge=0)
    weight_decay: float = Field(0.0, ge=0)
    centered: bool = False


LET_ALONE = ("add_param_group", "state_dict", "load_state_dict", "zero_grad")


def without_compiler(kind: type[torch.optim.Optimizer]) -> Any:
    """torch's class of optimisers with those methods bare that load its compiler only to be let alone by it."""
    bare = {name: inspect.unwrap(getattr(kind, name)) for name in LET_ALONE}
    return type(kind.__name__, (kind,), bare | {"step": torch.no_grad()(inspect.unwrap(kind.step))})


@dataclass(frozen=True)
class Kind:
    """What a recipe may say of an optimiser, and its class, which takes the same by the same names."""

    Options: type[Settings]
    build: type[torch.optim.Optimizer]


OPTIMIZERS: dict[str, Kind] = {
    "sgd": Kind(SGDOptions, without_compiler(torch.optim.SGD)),
    "adam": Kind(AdamOptions, without_compiler(torch.optim.Adam)),
    "adamw": Kind(AdamWOptions, without_compiler(torch.optim.AdamW)),
    "rmsprop": Kind(RMSpropOptions, without_compiler(torch.optim.RMSprop)),
}
NOT_TORCHS = ("name", "steps", "gamma")


def build_optimizer(options: Any, method: nn.Module, clip: Clipping | None = None) -> torch.optim.Optimizer:
    """The optimiser over all that is trained.

    Gradients are clipped right before each of its steps, so after their average over the ranks was taken.

    Args:
        options: the `Options` of an entry of OPTIMIZERS, or more than those.
        method: its `parameter_groups(options)` are taken where it has some, or else all parameters as one group.
    """
    own: Any = getattr(method, "parameter_groups", None)
    groups = [{"params": [p for p in method.parameters() if p.requires_grad]}] if own is None else own(options)
    kind: Any = OPTIMIZERS[options.name]
    told = {key: getattr(options, key) for key in kind.Options.model_fields if key not in NOT_TORCHS}
    optimizer: torch.optim.Optimizer = kind.build(groups, **told)
    if clip is not None:
        optimizer.register_step_pre_hook(lambda *given: clip_gradients(method, clip))
    return optimizer
