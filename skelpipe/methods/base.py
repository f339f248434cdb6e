"""What a method is: networks, and named losses that are weighted, summed and logged."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field
from torch import Tensor, nn

from skelpipe.errors import BadInput
from skelpipe.settings import Settings

if TYPE_CHECKING:
    from skelpipe.clips.batches import Batch
    from skelpipe.clips.views import View


class MethodOptions(Settings):
    """What a recipe may say about every method.

    Attributes:
        weights: of the losses in their sum, by name; those that are not named have weight 1.
    """

    LATER: ClassVar[tuple[str, ...]] = ("weights",)

    weights: dict[str, float] = Field(default_factory=dict)


class Method(nn.Module, ABC):
    """One pretraining's networks and losses.

    Attributes:
        VIEWS: the views that a recipe must describe.
        LOSSES: the names of its losses.
        LOGGED: those that the log names beside their sum; by default all, where there are several.
        NEEDS: what the encoder must have beside `forward`: "sequence", or "feature_map" and "pool".
        SUPERVISED: whether it learns from labels; its projector is then a classifier.
        STREAMS: the streams that are trained together; none if a run is of one stream.
        RENDERED: the stream that all of STREAMS see, where these are networks of other names and no streams of a clip.
        PROJECTS: whether its networks have the recipe's projector; else their embedding is the feature.
        PARTNER: whether it trains a second encoder, which the recipe's `partner` describes.
        ALIKE: whether its losses never look at the epoch.
        observed: further scalars for the log, which `losses` leaves here, without gradient.

    Example:
        >>> class Alike(sk.Method):
        ...     VIEWS, LOSSES = ("one", "other"), ("alike",)
        ...
        ...     def __init__(self, build, size, options, positives, init):
        ...         super().__init__(options)
        ...         self.network = build()  # the recipe's encoder and projector
        ...
        ...     @property
        ...     def evaluated(self):
        ...         return self.network
        ...
        ...     def losses(self, batch, epoch):
        ...         one, other = (self.network(batch.views[name]) for name in self.VIEWS)
        ...         return {"alike": (one - other).square().mean()}
        >>> _ = sk.register("method", "alike", Alike)
        >>> sk.load_recipe({"method": "alike", "views": {"one": "normal", "other": "normal"}}).method.name
        'alike'
    """

    Options: ClassVar[type[MethodOptions]]
    VIEWS: ClassVar[tuple[str, ...]]
    LOSSES: ClassVar[tuple[str, ...]]
    LOGGED: ClassVar[tuple[str, ...] | None] = None
    NEEDS: ClassVar[tuple[str, ...]] = ()
    SUPERVISED: ClassVar[bool] = False
    STREAMS: ClassVar[tuple[str, ...]] = ()
    RENDERED: ClassVar[str | None] = None
    PROJECTS: ClassVar[bool] = True
    PARTNER: ClassVar[bool] = False
    ALIKE: ClassVar[bool] = False

    def __init__(self, options: MethodOptions) -> None:
        super().__init__()
        self.options = options
        self.observed: dict[str, Tensor] = {}

    @classmethod
    def streams_of(cls, options: Any) -> tuple[str, ...]:
        """Those of STREAMS that a recipe's `method` trains; by default all."""
        return cls.STREAMS

    @classmethod
    def check(cls, recipe: Any, views: Mapping[str, View]) -> None:
        """Raise ValueError, naming the key, where a recipe does not fit, or its views do not bring what is needed."""

    @property
    @abstractmethod
    def evaluated(self) -> nn.Module:
        """The network whose encoder is kept after pretraining; with STREAMS, one for each by its name."""

    @abstractmethod
    def losses(self, batch: Batch, epoch: int) -> dict[str, Tensor]:
        """The losses of one step by name, scalars, before the backward pass; `epoch` counts from 1."""

    @property
    def weights(self) -> Mapping[str, float]:
        """Of the losses that have another weight than 1."""
        return self.options.weights

    def forward(self, batch: Batch, epoch: int) -> tuple[Tensor, dict[str, Tensor]]:
        """One step's loss, before the backward pass: the weighted sum of all; and scalars for the log."""
        self.observed = {}
        losses = self.losses(batch, epoch)
        check_losses(self, losses)
        named = self.LOGGED if self.LOGGED is not None else tuple(losses) if len(losses) > 1 else ()
        return weighted_sum(losses, self.weights), self.observed | {name: losses[name].detach() for name in named}

    def learns(self, epoch: int) -> bool:
        """Whether the optimiser takes steps in this epoch."""
        return True

    def phase(self, epoch: int) -> Hashable:
        """What of an epoch `losses` hang on: in epochs of one phase they do the same, and one graph serves them all.

        None, if that is not told: then one serves until `losses` look at the epoch, and it is another; and no step is
        recorded, which would look no more.
        """
        return "all" if self.ALIKE else None

    def parameter_groups(self, options: Any) -> list[dict[str, Any]]:
        """What the optimiser trains, in groups as torch has them, whose keys go before the recipe's `options`."""
        return [{"params": [p for p in self.parameters() if p.requires_grad]}]

    def after_step(self, epoch: int) -> None:
        """What follows the optimiser's step."""


def check_losses(method: Method, losses: Any) -> None:
    """Raise BadInput unless a step's losses are scalars, by names that the method has said."""
    where = f"{type(method).__name__}.losses"
    if not isinstance(losses, dict) or not losses:
        raise BadInput(where, f"gives {type(losses).__name__}", 'let it give a dict, {"name": scalar}')
    for name, loss in losses.items():
        if name not in method.LOSSES:
            told = ", ".join(method.LOSSES)
            raise BadInput(where, f"gives {name!r}, and LOSSES are {told}", "let both have the same names")
        if not isinstance(loss, Tensor) or loss.dim():
            what = f"has shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else f"is of type {type(loss).__name__}"
            raise BadInput(where, f"gives {name!r}, which {what}", "let it be a scalar tensor, such as a mean")


def weighted_sum(losses: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """Σ w · loss, in the order of the losses; a weight that is not given is 1."""
    parts = [loss if weights.get(name, 1) == 1 else weights[name] * loss for name, loss in losses.items()]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total
