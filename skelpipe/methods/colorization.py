"""Skeleton Cloud Colorization: auto-encoders of a clip's points, which repaint them by their place in time or body.

Source: Yang et al., Skeleton Cloud Colorization for Unsupervised 3D Action Representation Learning (ICCV 2021), of
which no code is public: encoder and decoder are DGCNN and FoldingNet's. One auto-encoder for each colouring; they share
nothing but their clips, and their scores are fused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import torch
from pydantic import Field, field_validator
from torch import Tensor, nn

from skelpipe import ranks
from skelpipe.methods.base import Method, MethodOptions
from skelpipe.methods.chamfer import chamfer
from skelpipe.methods.folding import Folding
from skelpipe.methods.network import Init, Network, initialise
from skelpipe.methods.positives import Positives

if TYPE_CHECKING:
    from skelpipe.clips.batches import Batch
    from skelpipe.clips.views import View

Colour = Literal["temporal", "spatial", "person"]
COLOURS: tuple[Colour, ...] = ("temporal", "spatial", "person")


class ColorizationOptions(MethodOptions):
    """What a recipe may say about the auto-encoders.

    Attributes:
        colours: the colourings, each with a network of its own; by the person needs clips of two bodies.
        side: of the decoder's grid, which has side² points.
        chamfer: "max_of_means", as FoldingNet's Eq. 1: of the two means over a clip's points of the distance to the
            nearest point of the other cloud the larger, and the mean over clips; "sum_of_squares", as Tao's public
            code: the sum of the squared distances over both clouds and the batch.
    """

    name: Literal["colorization"] = "colorization"
    colours: tuple[Colour, ...] = Field(COLOURS, min_length=1)
    side: int = Field(45, ge=2)
    chamfer: Literal["max_of_means", "sum_of_squares"] = "max_of_means"

    @field_validator("colours")
    @classmethod
    def _in_order(cls, value: tuple[Colour, ...]) -> tuple[Colour, ...]:
        if len(set(value)) < len(value):
            raise ValueError("names something twice")
        return tuple(colour for colour in COLOURS if colour in value)


class Colorization(Method):
    """For every colouring a network and a decoder; the target is a clip's points with their colours behind them."""

    Options = ColorizationOptions
    VIEWS = ("clip",)
    STREAMS = COLOURS
    RENDERED = "joint"
    LOSSES = COLOURS
    NEEDS = ("points",)
    PROJECTS = False
    ALIKE = True
    options: ColorizationOptions

    def __init__(
        self, build: Callable[[], Network], size: int, options: ColorizationOptions, positives: Positives, init: Init
    ) -> None:
        super().__init__(options)
        self.networks, self.decoders = nn.ModuleDict(), nn.ModuleDict()
        for colour in options.colours:
            encoder: Any = (network := build()).encoder
            self.networks[colour] = network
            self.decoders[colour] = Folding(encoder.features, encoder.coordinates + 3, options.side)
        initialise(self, init)

    @classmethod
    def streams_of(cls, options: Any) -> tuple[str, ...]:
        return tuple(options.colours)

    @classmethod
    def check(cls, recipe: Any, views: Mapping[str, View]) -> None:
        for colour in recipe.method.colours:
            if f"{colour}_colours" not in views["clip"].targets:
                raise ValueError(f"views.clip: has no step that brings the colours; add {{colours: {{by: {colour}}}}}")
        if "person" in recipe.method.colours and recipe.bodies == 1:
            raise ValueError(
                "method.colours: of one body all points have one colour; leave out person, or set bodies: 2"
            )

    @property
    def evaluated(self) -> nn.ModuleDict:
        return self.networks

    def losses(self, batch: Batch, epoch: int) -> dict[str, Tensor]:
        """The Chamfer distance of every colouring, under its name.

        Args:
            batch: view "clip" with the targets "temporal_colours", …, each (B, 3, T, V, M).
            epoch: from 1.
        """
        x = batch.views["clip"]
        found: dict[str, Tensor] = {}
        for colour in self.options.colours:
            network: Any = self.networks[colour]
            colours = batch.targets["clip"][f"{colour}_colours"].flatten(2).transpose(1, 2)
            target = torch.cat([network.encoder.points(x), colours], dim=2)
            found[colour] = self.distance(self.decoders[colour](network.features(x).float()), target)
        return found

    def distance(self, points: Tensor, target: Tensor) -> Tensor:
        """Of clouds (B, N', 6) from theirs (B, N, 6), by the option: a scalar."""
        forth, back = chamfer(target, points)
        if self.options.chamfer == "sum_of_squares":
            # Gradients are averaged over ranks, and this is a sum over all of the batch.
            return (forth.square().sum() + back.square().sum()) * ranks.count()
        return torch.maximum(forth.mean(1), back.mean(1)).mean()
