"""An encoder with what stands behind it, and how their weights are drawn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from skelpipe.errors import BadInput

Init = Literal["torch", "reference", "xavier"]


class Network(nn.Module):
    """An encoder and its projector: clip -> embedding z, always in float32.

    One whose scores are not the projector's of a clip's feature, such as one that classifies every frame, has a
    `scores` of its own, and says so by SCORES_CLIPS.

    Attributes:
        bfloat16_encoder: whether the encoder computes in bfloat16.
        normalise: whether embeddings are unit vectors.
        uses_lengths: whether the encoder looks at how many frames of a clip are its own.
    """

    SCORES_CLIPS: ClassVar[bool] = False

    def __init__(self, encoder: nn.Module, projector: nn.Module) -> None:
        super().__init__()
        self.encoder, self.projector = encoder, projector
        self.bfloat16_encoder, self.normalise = False, True
        self.uses_lengths = bool(getattr(encoder, "USES_LENGTHS", False))

    def start(self) -> None:
        """Let an encoder that has `start_head` draw the projector's last layer."""
        draw = getattr(self.encoder, "start_head", None)
        last = [layer for layer in self.projector.modules() if isinstance(layer, nn.Linear)][-1:]
        if draw is not None and last:
            draw(*last)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Embeddings of clips (B, C, T, V, M), of which the first `lengths` (B,) frames count: (B, D)."""
        return self.embed(self.features(x, lengths))

    def features(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The encoder's features h: (B, C, T, V, M) -> (B, H); an encoder that knows no lengths is not told them."""
        # Half precision is confined to the encoder: embeddings of an early network differ by less than bfloat16
        # resolves, so they, the similarities and the loss stay in float32, whatever a method does with them.
        with self.precision(x):
            h: Tensor = self.encoder(x, lengths) if self.uses_lengths else self.encoder(x)
        return h

    def segments(self, x: Tensor, count: int, lengths: Tensor | None = None) -> Tensor:
        """The features of `count` equal segments in time, one behind the other: (B, C, T, V, M) -> (B, count · H).

        The segments are parts of the encoder's last feature map, each pooled by itself; their order, which an average
        over all frames loses, is in the feature. One segment is the clip.

        Raises:
            BadInput: the feature map has fewer frames than that.
        """
        if count == 1:
            return self.features(x, lengths)
        encoder: Any = self.encoder
        with self.precision(x):
            found: Tensor = encoder.feature_map(x)
            if found.shape[2] < count:
                what = f"is more than the {found.shape[2]} frames of the encoder's last layer"
                raise BadInput(f"evaluate.segments: {count}", what, "use fewer segments or longer clips")
            return torch.cat([encoder.pool(part, x.shape[0]) for part in equal_parts(found, count)], dim=1)

    def sequence(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The features of every frame, of an encoder that gives them: (B, C, T, V, M) -> (B, T', H') float32."""
        with self.precision(x):
            h: Tensor = self.encoder.sequence(x, lengths)  # type: ignore[operator]
        return h.float()

    def pooled(self, sequence: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The features of clips of what `sequence` gave for them: (B, T', H') -> (B, H)."""
        h: Tensor = self.encoder.pool_sequence(sequence, lengths)  # type: ignore[operator]
        return h

    def precision(self, x: Tensor) -> torch.autocast:
        """The context in which the encoder computes."""
        return torch.autocast(x.device.type, torch.bfloat16, enabled=self.bfloat16_encoder)

    def scores(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """What the projector says before normalisation: a classifier's scores, (B, C, T, V, M) -> (B, D)."""
        z: Tensor = self.projector(self.features(x, lengths).float())
        return z

    def embed(self, h: Tensor) -> Tensor:
        """Features (B, H) -> embeddings (B, D)."""
        z: Tensor = self.projector(h.float())
        return nn.functional.normalize(z, dim=1) if self.normalise else z


def equal_parts(found: Tensor, count: int) -> list[Tensor]:
    """A feature map in parts along its frames, the longer ones first: (B, F, T', V) -> `count` of (B, F, T'', V).

    They are those of torch's `tensor_split`, whose graph would hold for one number of frames alone.
    """
    frames, first, parts = found.shape[2], 0, []
    for number in range(count):
        size = (frames + count - 1 - number) // count
        parts.append(found.narrow(2, first, size))
        first = first + size
    return parts


class Builder:
    """Makes fresh networks for a method: a call gives one, and `partner` that of a recipe's second encoder.

    Attributes:
        frame: (C, V, M), the numbers of one frame of the clips that the networks see, for methods that tell frames.
    """

    def __init__(
        self,
        network: Callable[[], Network],
        partner: Callable[[], Network] | None = None,
        frame: tuple[int, int, int] = (3, 25, 2),
    ) -> None:
        self._network, self._partner, self.frame = network, partner, frame

    def __call__(self) -> Network:
        return self._network()

    def partner(self) -> Network:
        """A network of the recipe's `partner`, with a projector of its own."""
        assert self._partner is not None, "the method has PARTNER"
        return self._partner()


def projector(features: int, hidden: int, size: int) -> nn.Sequential:
    """Linear, ReLU, Linear: feature h (features) -> embedding before normalisation (size)."""
    return nn.Sequential(nn.Linear(features, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, size))


def initialise(network: nn.Module, init: Init) -> None:
    """Draw the weights anew.

    - torch: torch's defaults.
    - reference: N(0, 0.02²) with BN weights N(1, 0.02²), as the public code of SkeletonCLR and AimCLR has it; what is
      neither a convolution, linear nor BN keeps its own.
    - xavier: torch's defaults, and every weight of two axes by Glorot's uniform rule, as ISC's public code has it.

    A module that has `start` then draws what its options or its authors want drawn otherwise, but for "reference".
    """
    for module in network.modules():
        if init != "reference":
            reset = getattr(module, "reset_parameters", None)
            if callable(reset):
                reset()
        elif isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.normal_(module.weight, 0.0, 0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
            nn.init.zeros_(module.bias)
    if init == "xavier":
        for weight in network.parameters():
            if weight.dim() == 2:
                nn.init.xavier_uniform_(weight)
    if init != "reference":
        for module in reversed([*network.modules()]):  # what holds others comes after them
            if callable(start := getattr(module, "start", None)):
                start()
