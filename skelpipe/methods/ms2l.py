"""MS2L: one encoder that tells how a clip goes on, in which order its parts were, and that all of it is one clip.

Source: Lin et al., MS²L: Multi-Task Self-Supervised Learning for Skeleton Based Action Recognition (ACM MM 2020), by
its public code.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from skelpipe import ranks
from skelpipe.methods.base import Method, MethodOptions
from skelpipe.methods.network import Init, Network, initialise
from skelpipe.methods.positives import Positives

if TYPE_CHECKING:
    from skelpipe.clips.batches import Batch
    from skelpipe.clips.views import View


class MS2LOptions(MethodOptions):
    """What a recipe may say about MS2L.

    Attributes:
        temperature: τ of the contrast.
        itself: an embedding's similarity with itself is no negative ("left_out"), or counts as one of -1
            ("minus_one"), as in the public code.
        motion_over: the squares are averaged over each clip's own frames ("own"); over all frames that the view has,
            those behind the clip's own being right ("all"); or over all, nought being told behind the clip's own
            whatever stands there, as in the public code ("stored"). The last two differ where the view repeats a
            clip behind its end, and then by a constant, so that their gradients are the same.
        segments: into how many parts the jumbled view cuts a clip.
        hidden: units of the heads that tell the order, and that contrast.
        size: D, of the contrast's embeddings.
        motion_layers: of the head that tells how a clip goes on.
    """

    name: Literal["ms2l"] = "ms2l"
    temperature: float = Field(0.9, gt=0)
    itself: Literal["left_out", "minus_one"] = "left_out"
    motion_over: Literal["own", "all", "stored"] = "own"
    segments: int = Field(3, ge=2, le=6)
    hidden: PositiveInt = 2048
    size: PositiveInt = 1024
    motion_layers: PositiveInt = 2


class MotionHead(nn.Module):
    """A GRU over the features of frames, and a linear layer: (B, T, H) -> the numbers of the frames (B, T, inputs)."""

    def __init__(self, features: int, layers: int, inputs: int) -> None:
        super().__init__()
        self.gru = nn.GRU(features, features, layers, batch_first=True)
        self.tell = nn.Linear(features, inputs)

    def forward(self, y: Tensor) -> Tensor:
        told: Tensor = self.tell(self.gru(y)[0])
        return told


class Head(nn.Sequential):
    """Linear, BN, ReLU, Linear: features (B, H) -> (B, size)."""

    def __init__(self, features: int, hidden: int, size: int) -> None:
        super().__init__(
            nn.Linear(features, hidden), nn.BatchNorm1d(hidden), nn.ReLU(inplace=True), nn.Linear(hidden, size)
        )

    def start(self) -> None:
        """Draw the weights by Glorot's normal rule; biases 0."""
        for layer in self:
            if isinstance(layer, nn.Linear):
                nn.init.xavier_normal_(layer.weight)
                nn.init.zeros_(layer.bias)


class MS2L(Method):
    """The views `whole`, `masked` (its tail is hidden) and `jumbled` (its parts are in another order) of a clip."""

    Options: ClassVar[type[MS2LOptions]] = MS2LOptions
    VIEWS: ClassVar[tuple[str, ...]] = ("whole", "masked", "jumbled")
    LOSSES: ClassVar[tuple[str, ...]] = ("motion", "jigsaw", "contrast")
    NEEDS: ClassVar[tuple[str, ...]] = ("sequence", "pool_sequence")
    PROJECTS: ClassVar[bool] = False
    ALIKE: ClassVar[bool] = True
    options: MS2LOptions

    def __init__(
        self, build: Callable[[], Network], size: int, options: MS2LOptions, positives: Positives, init: Init
    ) -> None:
        super().__init__(options)
        self.network = build()
        encoder: Any = self.network.encoder
        self.motion = MotionHead(encoder.features, options.motion_layers, encoder.inputs)
        self.jigsaw = Head(encoder.features, options.hidden, math.factorial(options.segments))
        self.contrast = Head(encoder.features, options.hidden, options.size)
        initialise(self, init)

    @classmethod
    def check(cls, recipe: Any, views: Mapping[str, View]) -> None:
        for name, step, brings in (("masked", "tail_mask", "clip"), ("jumbled", "jigsaw", "order")):
            if brings not in views[name].targets:
                raise ValueError(f"views.{name}: nothing in it brings the target {brings!r}; {step} does")
        cut = {step.options["segments"] for step in views["jumbled"].steps if step.name == "jigsaw"}
        if cut != {recipe.method.segments}:
            raise ValueError(
                f"method.segments: {recipe.method.segments}, but jigsaw cuts into {', '.join(map(str, cut))}"
            )
        if len({view.frames(0) for view in views.values()}) > 1:
            raise ValueError("views: ms2l needs equally many frames of all three")

    @property
    def evaluated(self) -> Network:
        return self.network

    def losses(self, batch: Batch, epoch: int) -> dict[str, Tensor]:
        """The log has the share of the batch whose order was told.

        - motion: mean square of what the head tells of the masked view's frames less what they were.
        - jigsaw: cross-entropy of the jumbled view's order.
        - contrast: mean of `nt` between each view's embeddings and their mean over the three.

        Args:
            batch: views "whole", "masked" with the target `clip`, and "jumbled" with the target `order`.
            epoch: from 1.
        """
        # No layer of an encoder of sequences looks at other clips, so that the three go through it as one batch.
        lengths = own_of(batch, self.VIEWS)
        y = self.network.sequence(torch.cat([batch.views[name] for name in self.VIEWS]), lengths)
        whole, masked, jumbled = self.network.pooled(y, lengths).chunk(3)
        told, order = self.motion(y.chunk(3)[1]), batch.targets["jumbled"]["order"]
        motion = motion_loss(told, batch.targets["masked"]["clip"], batch.lengths.get("masked"), self.options)
        scores = self.jigsaw(jumbled)
        self.observed = {"jigsaw_top1": (scores.detach().argmax(1) == order).float().mean()}
        embedded = [ranks.gather_with_gradient(self.contrast(h)) for h in (whole, masked, jumbled)]
        mean = torch.stack(embedded).mean(0)
        pulls = torch.stack([nt(z, mean, self.options.temperature, self.options.itself) for z in embedded])
        return {"motion": motion, "jigsaw": nn.functional.cross_entropy(scores, order), "contrast": pulls.mean()}


def own_of(batch: Batch, views: tuple[str, ...]) -> Tensor | None:
    """How many frames of each clip are its own, of several views behind each other: (views · B,); None: all are."""
    if not any(name in batch.lengths for name in views):
        return None
    whole = [batch.views[name].new_full((len(batch.labels),), batch.views[name].shape[2]) for name in views]
    return torch.cat([batch.lengths.get(name, full.long()) for name, full in zip(views, whole, strict=True)])


def motion_loss(told: Tensor, clip: Tensor, lengths: Tensor | None, options: MS2LOptions) -> Tensor:
    """L_motion: the mean square of told less clip, over the frames that `motion_over` says.

    Args:
        told: (B, T, C · V · M).
        clip: (B, C, T, V, M).
        lengths: (B,) how many frames of each clip are its own; None: all are.
    """
    wanted = clip.transpose(1, 2).flatten(2)
    if lengths is None:
        return nn.functional.mse_loss(told, wanted)
    own = (torch.arange(told.shape[1], device=told.device) < lengths[:, None]).unsqueeze(2)
    away = (told * own - wanted) if options.motion_over == "stored" else (told - wanted) * own
    if options.motion_over != "own":
        return away.square().mean()
    return (away.square().mean(2).sum(1) / lengths.clamp(min=1)).mean()


def nt(x: Tensor, y: Tensor, temperature: float, itself: str) -> Tensor:
    """The contrast of the pairs (x_i, y_i) with all others, (B, D) each: the mean over i and both places of

    -log e^(s(x_i, y_i)/τ) / Σ_k (e^(s(x_i, y_k)/τ) + e^(s(x_i, x_k)/τ)), s being the cosine. s(x_i, x_i) is not in
    the sum, or is in it as -1 by `itself: minus_one`.
    """
    x, y = nn.functional.normalize(x, dim=1), nn.functional.normalize(y, dim=1)
    across, place = x @ y.t(), torch.arange(len(x), device=x.device)
    same = torch.eye(len(x), dtype=torch.bool, device=x.device)
    pulls = []
    for one, similarity in ((x, across), (y, across.t())):
        own = (one @ one.t()).masked_fill(same, -1.0 if itself == "minus_one" else -math.inf)
        pulls.append(nn.functional.cross_entropy(torch.cat([similarity, own], dim=1) / temperature, place))
    return (pulls[0] + pulls[1]) / 2
