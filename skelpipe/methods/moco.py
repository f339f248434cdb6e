"""Momentum contrast: a query and a key network, and a queue of past keys; the base of all methods that contrast so.

Source: He et al., Momentum Contrast for Unsupervised Visual Representation Learning (CVPR 2020), by default in the
order of steps that SkeletonCLR's public code has.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import ClassVar, Literal

import torch
from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor, nn

from skelpipe.methods.base import Method, MethodOptions
from skelpipe.methods.network import Init, Network, initialise
from skelpipe.methods.positives import Positives
from skelpipe.methods.queue import Queue, momentum_update


class MoCoOptions(MethodOptions):
    """What a recipe may say about momentum contrast.

    Attributes:
        queue_size: K, how many past keys are kept.
        momentum: share of the key network that an update keeps.
        temperature: τ.
        key_init: "copy" starts the key network from the query network, as MoCo's paper says; "independent" draws it
            anew, as the public SkeletonCLR and AimCLR code does.
        normalise: whether embeddings are unit vectors; AS-CAL contrasts them as they are.
        queue_init: the queue starts as random unit vectors ("normal"), or uniform within ±1/√(D/3), as in AS-CAL.
        key_follows: whether the key network moves before a step's keys are computed, or after the optimiser's step.
        key_mode: in "eval" the key network's dropout is off, and its batch norm uses statistics that follow those of
            the query network.
        fill_epochs: so many first epochs take no step; they only fill the queue.
    """

    LATER: ClassVar[tuple[str, ...]] = (
        *MethodOptions.LATER,
        "normalise",
        "queue_init",
        "key_follows",
        "key_mode",
        "fill_epochs",
    )

    queue_size: PositiveInt = 32768
    momentum: float = Field(0.999, ge=0, le=1)
    temperature: float = Field(0.07, gt=0)
    key_init: Literal["copy", "independent"] = "copy"
    normalise: bool = True
    queue_init: Literal["normal", "uniform"] = "normal"
    key_follows: Literal["before", "after"] = "before"
    key_mode: Literal["train", "eval"] = "train"
    fill_epochs: NonNegativeInt = 0


class MoCo(Queue):
    """A pair of networks, of which the key follows the query by momentum, and the queue of past keys.

    `queue_label` (the classes of the keys, -1 at first) serves the log only.
    """

    def __init__(self, build: Callable[[], Network], size: int, options: MoCoOptions, init: Init) -> None:
        nn.Module.__init__(self)
        self.options = options
        self.query, self.key = build(), build()
        for network in (self.query, self.key):
            initialise(network, init)
            network.normalise = options.normalise
        if options.key_init == "copy":
            self.key.load_state_dict(self.query.state_dict())
        self.key.requires_grad_(False)
        self._begin(size, options.queue_size, options.queue_init)  # behind the networks, whose weights are drawn first

    def train(self, mode: bool = True) -> MoCo:
        """Set the mode of the networks; by `key_mode: eval` the key network stays in eval mode."""
        super().train(mode)
        if self.options.key_mode == "eval":
            self.key.eval()
        return self

    def follow(self) -> None:
        """Move the key network's parameters towards the query network's.

        Its BN statistics are its own in train mode; in eval mode, where it gathers none, they follow as well.
        """
        momentum_update(self.key, self.query, self.options.momentum, buffers=self.options.key_mode == "eval")

    @torch.no_grad()
    def embed_keys(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Embeddings by the key network, in train mode with active dropout: (B, C, T, V, M) -> (B, D)."""
        z: Tensor = self.key(x, lengths)
        return z


class MomentumContrast(Method):
    """Base of the methods with one or several pairs of networks: when their keys follow, and when no step is taken."""

    Options: ClassVar[type[MoCoOptions]]
    options: MoCoOptions
    positives: Positives

    def pairs(self, epoch: int) -> Iterable[MoCo]:
        """The pairs whose key network moves in this epoch; by default all."""
        return [module for module in self.modules() if isinstance(module, MoCo)]

    def follow(self, epoch: int) -> None:
        """Move the key networks, where that comes before their keys: to be called in `losses`, after the queries."""
        if self.options.key_follows == "before" and self.learns(epoch):
            for moco in self.pairs(epoch):
                moco.follow()

    def after_step(self, epoch: int) -> None:
        if self.options.key_follows == "after":
            for moco in self.pairs(epoch):
                moco.follow()

    def phase(self, epoch: int) -> Hashable:
        return self.learns(epoch), self.positives.mining(epoch)

    def learns(self, epoch: int) -> bool:
        return epoch > self.options.fill_epochs
