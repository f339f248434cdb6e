"""Training with labels, as the baseline beside the methods without: an encoder and one linear layer.

Source: Yan et al., Spatial Temporal Graph Convolutional Networks for Skeleton-Based Action Recognition (AAAI 2018).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from torch import Tensor, nn

from skelpipe.methods.base import Method, MethodOptions
from skelpipe.methods.network import Init, Network, initialise
from skelpipe.methods.positives import Positives

if TYPE_CHECKING:
    from skelpipe.clips.batches import Batch


class SupervisedOptions(MethodOptions):
    """Cross-entropy, nothing to choose."""

    name: Literal["supervised"] = "supervised"


class Supervised(Method):
    """An encoder whose projector is the classifier: its outputs are one score per class."""

    Options: ClassVar[type[MethodOptions]] = SupervisedOptions
    VIEWS = ("clip",)
    LOSSES = ("cross_entropy",)
    SUPERVISED = True
    ALIKE = True

    def __init__(
        self, build: Callable[[], Network], size: int, options: MethodOptions, positives: Positives, init: Init
    ) -> None:
        super().__init__(options)
        self.network = build()
        initialise(self.network, init)

    @property
    def evaluated(self) -> Network:
        return self.network

    def losses(self, batch: Batch, epoch: int) -> dict[str, Tensor]:
        """`cross_entropy`, weighted as the batch says; the log has the share of the batch that was recognised."""
        scores = self.network.scores(batch.views["clip"], batch.lengths.get("clip"))
        with torch.no_grad():
            self.observed = {"train_top1": (scores.argmax(1) == batch.labels).float().mean()}
        return {"cross_entropy": cross_entropy(scores, batch.labels, batch.weights)}


def cross_entropy(scores: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """The mean of weight · -log softmax at the label.

    Unlike torch's own weights, which are of classes and divide by their sum in the batch: so the mean over batches, and
    over the ranks' parts of one, is that over all clips.

    Args:
        scores: (B, classes).
        labels: (B,).
        weights: (B,) of the clips; None: 1.
    """
    if weights is None:
        return nn.functional.cross_entropy(scores, labels)
    return (weights * nn.functional.cross_entropy(scores, labels, reduction="none")).mean()
