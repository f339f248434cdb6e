"""Training with labels, as the baseline beside the methods without: an encoder and one linear layer.

Source: Yan et al., Spatial Temporal Graph Convolutional Networks for Skeleton-Based Action Recognition (AAAI 2018).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from skelpipe.methods.moco import Init, Network, initialise
from skelpipe.methods.positives import Positives
from skelpipe.settings import Settings


class SupervisedOptions(Settings):
    """Cross-entropy, nothing to choose."""

    name: Literal["supervised"] = "supervised"


class Supervised(nn.Module):
    """An encoder whose projector is the classifier: its outputs are one score per class."""

    Options: ClassVar[type[Settings]] = SupervisedOptions
    VIEWS: ClassVar[tuple[str, ...]] = ("clip",)
    SUPERVISED: ClassVar[bool] = True
    STREAMS: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self, build: Callable[[], Network], size: int, options: SupervisedOptions, positives: Positives, init: Init
    ) -> None:
        super().__init__()
        self.network = build()
        initialise(self.network, init)

    @property
    def evaluated(self) -> Network:
        return self.network

    def forward(self, views: Mapping[str, Tensor], labels: Tensor, epoch: int) -> tuple[Tensor, dict[str, Tensor]]:
        """One step's cross-entropy, before the backward pass, and the share of the batch that was recognised."""
        scores = self.network.scores(views["clip"])
        loss = nn.functional.cross_entropy(scores, labels)
        with torch.no_grad():
            return loss, {"train_top1": (scores.argmax(1) == labels).float().mean()}
