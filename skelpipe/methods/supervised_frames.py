"""Training with labels where every frame is classified, and a clip's scores are the average of its frames'.

Source: Zhang et al., View Adaptive Neural Networks for High Performance Skeleton-based Human Action Recognition (TPAMI
2019), with the behaviour of its public code (va-rnn.py, on Keras) beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from skelpipe.methods.base import MethodOptions
from skelpipe.methods.network import Init, Network
from skelpipe.methods.positives import Positives
from skelpipe.methods.supervised import Supervised

Padding = Literal["leave_out", "repeat_last"]


class SupervisedFramesOptions(MethodOptions):
    """What a recipe may say about the method.

    Attributes:
        padding: the frames behind a clip's own are left out of the average; or, as in VA-RNN's public code, its last
            frame stands in their place in the sum, which is still divided by the number of the clip's own.
    """

    name: Literal["supervised_frames"] = "supervised_frames"
    padding: Padding = "leave_out"


class FrameScores(Network):
    """A network whose classifier is asked of every frame; its feature is that of the encoder all the same."""

    SCORES_CLIPS = True

    def __init__(self, network: Network, padding: Padding) -> None:
        super().__init__(network.encoder, network.projector)
        self.padding: Padding = padding

    def start(self) -> None:
        """The classifier starts as Keras would have it: weights by Glorot's uniform rule, biases 0."""
        assert isinstance(self.projector, nn.Linear)
        nn.init.xavier_uniform_(self.projector.weight)
        nn.init.zeros_(self.projector.bias)

    def scores(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The scores of clips (B, C, T, V, M), of which the first `lengths` (B,) frames count: (B, classes).

        The classifier is linear, so it is asked once, of the frames' weighted sum; only its bias sees the weights' sum.
        """
        encoder: Any = self.encoder
        classifier: Any = self.projector
        with self.precision(x):
            h = encoder.sequence(x, lengths)
        h = h.to(x.dtype)
        weights = frame_weights(h, lengths, self.padding)
        scores: Tensor = (weights.unsqueeze(1) @ h).squeeze(1) @ classifier.weight.t()
        scores = scores + weights.sum(1, keepdim=True) * classifier.bias
        return scores


class SupervisedFrames(Supervised):
    """Cross-entropy of the average scores of a clip's frames; needs an encoder with as many outputs as frames."""

    Options = SupervisedFramesOptions
    NEEDS: ClassVar[tuple[str, ...]] = ("sequence",)

    def __init__(
        self,
        build: Callable[[], Network],
        size: int,
        options: SupervisedFramesOptions,
        positives: Positives,
        init: Init,
    ) -> None:
        super().__init__(lambda: FrameScores(build(), options.padding), size, options, positives, init)


def frame_weights(h: Tensor, lengths: Tensor | None, padding: Padding) -> Tensor:
    """What each frame of h (B, T, H) counts in a clip's score: (B, T).

    1/F for each of its F own frames, the first `lengths` (B,), and 0 behind them; with `repeat_last` the last of them
    counts (T - F + 1)/F. A clip without a frame has its first.
    """
    if lengths is None:
        return h.new_full(h.shape[:2], 1 / h.shape[1])
    own, t = lengths.clamp(min=1)[:, None], torch.arange(h.shape[1], device=h.device)
    weights = (t < own).to(h.dtype)
    if padding == "repeat_last":
        weights = weights + (t == own - 1) * (h.shape[1] - own)
    return weights / own
