"""Soft RNN: a label that says how far a part of a clip already shows its action, learnt together with the classifier.

A reading of Hu et al., Early Action Prediction by Soft Regression (TPAMI 2019, and ECCV 2016 before it), which have no
public code: soft labels of each class inside a recurrent network, learnt by regression.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from skelpipe.methods.base import Method, MethodOptions
from skelpipe.methods.network import Init, Network, initialise
from skelpipe.methods.positives import Positives

if TYPE_CHECKING:
    from skelpipe.clips.batches import Batch

SMOOTHNESS = 0.1  # ξ1


class SoftRNNOptions(MethodOptions):
    """What a recipe may say about soft regression; ξ1, which holds soft labels together, is `weights.smoothness`.

    Attributes:
        segments: N, equal parts of a clip; the part of n segments are the first n.
        labels: soft labels are learnt; or rise by the same for every segment, as learnt ones do at first ("ramp"); or
            are 1 from the first segment on ("hard").
        from_zero: whether the rise of the first segment, from 0, counts in `smoothness` like those of the others. A
            large ξ1 makes soft labels hard where it does not, and a ramp where it does.
    """

    name: Literal["soft_rnn"] = "soft_rnn"
    segments: int = Field(10, ge=2)
    labels: Literal["learnt", "ramp", "hard"] = "learnt"
    from_zero: bool = False


class SoftLabels(nn.Module):
    """α (N, classes), how far the first n segments show each class: rising in n, and 1 for the whole clip.

    α_{n,c} = Σ_{m≤n} softmax(a_c)_m of what is learnt, a (N, classes), which is 0 at the start: α_{n,c} = n / N.
    """

    def __init__(self, segments: int, classes: int, labels: str) -> None:
        super().__init__()
        self.segments, self.classes, self.labels = segments, classes, labels
        if labels == "learnt":
            self.rise = nn.Parameter(torch.zeros(segments, classes))

    def forward(self, device: torch.device) -> Tensor:
        """α on a device."""
        if self.labels == "learnt":
            return self.rise.softmax(0).cumsum(0)
        shape = (self.segments, self.classes)
        if self.labels == "hard":
            return torch.ones(shape, device=device)
        share = torch.arange(1, self.segments + 1, device=device) / self.segments
        return share[:, None].expand(shape)


class SegmentEnds(Network):
    """An encoder that gives a feature for every frame, and linear outputs z of those at the ends of segments.

    A clip's scores are the outputs at its own end.
    """

    SCORES_CLIPS: ClassVar[bool] = True

    def ends(self, x: Tensor, count: int, lengths: Tensor | None = None) -> Tensor:
        """z at every segment's end: (B, C, T, V, M) -> (B, count, classes)."""
        frames = self.sequence(x, lengths)
        own = torch.full((x.shape[0],), frames.shape[1], device=x.device) if lengths is None else lengths
        last = segment_ends(own, count) - 1
        z: Tensor = self.projector(frames.gather(1, last[:, :, None].expand(-1, -1, frames.shape[2])))
        return z

    def scores(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        return self.ends(x, 1, lengths)[:, 0]


class SoftRNN(Method):
    """A recurrent encoder whose linear outputs at every segment's end regress to soft labels."""

    Options = SoftRNNOptions
    options: SoftRNNOptions
    VIEWS = ("clip",)
    LOSSES = ("regression", "smoothness")
    NEEDS = ("sequence",)
    SUPERVISED = True
    ALIKE = True

    def __init__(
        self, build: Callable[[], Network], size: int, options: SoftRNNOptions, positives: Positives, init: Init
    ) -> None:
        super().__init__(options)
        made = build()
        self.network = SegmentEnds(made.encoder, made.projector)
        initialise(self.network, init)
        classes: int = self.network.projector.out_features  # type: ignore[assignment]
        self.soft = SoftLabels(options.segments, classes, options.labels)

    @property
    def evaluated(self) -> Network:
        return self.network

    @property
    def weights(self) -> Mapping[str, float]:
        return {"smoothness": SMOOTHNESS} | self.options.weights

    def losses(self, batch: Batch, epoch: int) -> dict[str, Tensor]:
        """`regression`, weighted as the batch says, and of soft labels that are learnt `smoothness`.

        The log has the share of the batch that was recognised, and the classes' mean soft label after the first
        segment, half of them, and the last but one: near 0 there, the outputs before the end have collapsed.
        """
        count, alpha = self.options.segments, self.soft(batch.labels.device)
        z = self.network.ends(batch.views["clip"], count, batch.lengths.get("clip"))
        with torch.no_grad():
            self.observed = {"train_top1": (z[:, -1].argmax(1) == batch.labels).float().mean()}
            self.observed |= {f"alpha_{n}": alpha[n - 1].mean() for n in sorted({1, count // 2, count - 1})}
        found = {"regression": soft_regression(z, alpha, batch.labels, batch.weights)}
        if self.soft.labels == "learnt":
            found["smoothness"] = smoothness(alpha, self.options.from_zero)
        return found


def segment_ends(lengths: Tensor, count: int) -> Tensor:
    """How many frames the first 1, ..., `count` of a clip's equal segments have, rounded up: (B,) -> (B, count)."""
    share = torch.arange(1, count + 1, device=lengths.device)
    return -(-lengths.clamp(min=1)[:, None] * share // count)


def soft_regression(z: Tensor, alpha: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """The mean over clips b, of label y_b, and parts n of weight_b · ‖z_{b,n} - α_{n,y_b} e_{y_b}‖².

    Source: the first term of the objective of Hu et al. (ECCV 2016, from memory), with all parts alike (s_n = 1).

    Args:
        z: (B, N, classes).
        alpha: (N, classes).
        labels: (B,).
        weights: (B,) of the clips; None: 1.
    """
    target = nn.functional.one_hot(labels, z.shape[2]).to(z.dtype)[:, None] * alpha
    apart = (z - target).square().sum(2)
    return apart.mean() if weights is None else (weights[:, None] * apart).mean()


def smoothness(alpha: Tensor, from_zero: bool = False) -> Tensor:
    """Σ_c Σ_{n<N} (α_{n+1,c} - α_{n,c})²: its second term, ‖∇α‖², of α (N, classes).

    Args:
        from_zero: count n = 0 too, where α is 0.
    """
    rises = alpha.diff(dim=0).square().sum()
    return rises + alpha[0].square().sum() if from_zero else rises
