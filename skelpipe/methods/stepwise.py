"""Training with labels where every frame of a clip is classified, as part-aware and spatio-temporal LSTMs are trained.

Sources: Liu et al., Spatio-Temporal LSTM with Trust Gates for 3D Human Action Recognition (ECCV 2016), by its public
code kinect59/Spatio-Temporal-LSTM; Shahroudy et al., NTU RGB+D (CVPR 2016), which says less and is read the same way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from skelpipe.methods.base import Method, MethodOptions
from skelpipe.methods.network import Init, Network, initialise
from skelpipe.methods.positives import Positives

if TYPE_CHECKING:
    from skelpipe.clips.batches import Batch


class StepwiseOptions(MethodOptions):
    """How the steps of a clip, which are its own frames, are trained and put together.

    Attributes:
        loss: the label is asked of "every" step, and the steps' losses are summed; or of the "last" alone.
        combine: a class's score is the sum of its log-probabilities over the steps, or the sum of step t's times t, so
            that late steps say more ("weighted"). It changes no training.
        bound: the classifier's weights are drawn within ± this; None draws them as the recipe's `init` says.
    """

    name: Literal["stepwise"] = "stepwise"
    loss: Literal["every", "last"] = "every"
    combine: Literal["sum", "weighted"] = "sum"
    bound: float | None = Field(None, gt=0)


class StepwiseNetwork(Network):
    """An encoder that gives a feature for every frame, and one linear classifier of them."""

    SCORES_CLIPS: ClassVar[bool] = True

    def __init__(self, encoder: nn.Module, projector: nn.Module, options: StepwiseOptions) -> None:
        super().__init__(encoder, projector)
        self.options = options

    @torch.no_grad()
    def start(self) -> None:
        """Draw the classifier's weights as the options say."""
        if self.options.bound is not None:
            for weight in self.projector.parameters():
                weight.uniform_(-self.options.bound, self.options.bound)

    def steps(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The log-probabilities of every frame, 0 behind a clip's own: (B, C, T, V, M) -> (B, T, classes)."""
        found: Tensor = self.projector(self.sequence(x, lengths)).log_softmax(2)
        if lengths is None:
            return found
        own = torch.arange(found.shape[1], device=found.device) < lengths[:, None]
        return found * own[:, :, None]

    def scores(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The classes' scores by all steps: (B, C, T, V, M) -> (B, classes)."""
        return self.combined(self.steps(x, lengths))

    def combined(self, steps: Tensor) -> Tensor:
        """Σ_t log p_t, or Σ_t t · log p_t with t from 1: (B, T, classes) -> (B, classes)."""
        if self.options.combine == "weighted":
            steps = steps * torch.arange(1, steps.shape[1] + 1, device=steps.device)[:, None]
        return steps.sum(1)


class Stepwise(Method):
    """A classifier of every step: the loss of a clip is the sum over its steps."""

    Options = StepwiseOptions
    VIEWS = ("clip",)
    LOSSES = ("nll",)
    NEEDS = ("sequence",)
    SUPERVISED = True
    ALIKE = True

    def __init__(
        self, build: Callable[[], Network], size: int, options: StepwiseOptions, positives: Positives, init: Init
    ) -> None:
        super().__init__(options)
        made = build()
        self.loss = options.loss
        self.network = StepwiseNetwork(made.encoder, made.projector, options)
        initialise(self.network, init)

    @property
    def evaluated(self) -> Network:
        return self.network

    def losses(self, batch: Batch, epoch: int) -> dict[str, Tensor]:
        """`nll`, weighted as the batch says; the log has the share of the batch that was recognised."""
        lengths = batch.lengths.get("clip")
        steps = self.network.steps(batch.views["clip"], lengths)
        with torch.no_grad():
            self.observed = {"train_top1": (self.network.combined(steps).argmax(1) == batch.labels).float().mean()}
        return {"nll": nll(steps, batch.labels, lengths, batch.weights, self.loss == "last")}


def nll(
    steps: Tensor, labels: Tensor, lengths: Tensor | None = None, weights: Tensor | None = None, last: bool = False
) -> Tensor:
    """The mean over clips of weight · Σ_t -log p_t(label).

    Args:
        steps: (B, T, classes) log-probabilities, 0 behind a clip's own frames.
        labels: (B,).
        lengths: (B,) how many frames are a clip's own; None: all.
        weights: (B,) of the clips; None: 1.
        last: whether only the last of a clip's own frames counts.
    """
    found = -steps.gather(2, labels[:, None, None].expand(-1, steps.shape[1], 1)).squeeze(2)
    if last:
        place = torch.full_like(labels, steps.shape[1]) if lengths is None else lengths
        found = found.gather(1, place.clamp(min=1)[:, None] - 1)
    clips = found.sum(1)
    return clips.mean() if weights is None else (weights * clips).mean()
