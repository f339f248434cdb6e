"""Recipes: what to learn and how, as checked objects. A recipe is one YAML file in `models/`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml
from pydantic import Field, NonNegativeInt, PositiveInt, model_validator
from torch import nn

from skelpipe import settings
from skelpipe.clips.views import View, build_view
from skelpipe.encoders import ENCODERS
from skelpipe.errors import BadInput
from skelpipe.layouts.base import Layout
from skelpipe.methods import METHODS, POSITIVES
from skelpipe.methods.moco import Init, Network, projector
from skelpipe.resources import find
from skelpipe.settings import Settings

if TYPE_CHECKING:
    from skelpipe.encoders.stgcn import STGCNOptions as EncoderOptions
    from skelpipe.methods.skeletonclr import SkeletonCLROptions as MethodOptions

    PositivesOptions = Settings
else:
    EncoderOptions = settings.one_of(ENCODERS)
    MethodOptions = settings.one_of(METHODS)
    PositivesOptions = settings.one_of(POSITIVES)


class Projector(Settings):
    """The head between feature and embedding; `hidden` defaults to the encoder's feature size."""

    hidden: PositiveInt | None = None
    size: PositiveInt = 128


class Optimizer(Settings):
    """SGD with momentum; the rate is multiplied by `gamma` after each epoch listed in `steps`."""

    lr: float = Field(0.1, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(1e-4, ge=0)
    nesterov: bool = False
    steps: tuple[NonNegativeInt, ...] = (250,)
    gamma: float = Field(0.1, gt=0)

    def rate(self, epoch: int) -> float:
        """The learning rate of an epoch, counted from 1: a step at 250 acts from epoch 251 on."""
        return self.lr * self.gamma ** sum(epoch > step for step in self.steps)


class Recipe(Settings):
    """One pretraining, without the data.

    Attributes:
        name: file name of the recipe; stands in reports.
        bodies: how many of a clip's bodies the encoder sees.
        batch_size: clips per step, over all ranks.
        batch_norm: where several ranks train, whether each normalises by its own share of the batch or all by the whole
            batch; "synced" gives what one process would.
        views: for each view that the method names, its augmentations in order.
        keep_every: keep the weights of every so many epochs as well (0: only the last).
    """

    name: str = "unnamed"
    title: str = ""
    source: str = ""
    encoder: EncoderOptions = Field(default_factory=lambda: _default(ENCODERS, "stgcn"))
    projector: Projector = Projector()
    init: Init = "torch"
    method: MethodOptions
    positives: PositivesOptions = Field(default_factory=lambda: _default(POSITIVES, "own_key"))
    views: dict[str, str | list[str | dict[str, dict[str, Any]]]]
    bodies: Literal[1, 2] = 2
    batch_size: PositiveInt = 128
    batch_norm: Literal["per_rank", "synced"] = "per_rank"
    epochs: NonNegativeInt = 800
    optimizer: Optimizer = Optimizer()
    keep_every: NonNegativeInt = 0

    @model_validator(mode="after")
    def _views_fit(self) -> Recipe:
        method = METHODS[self.method.name]
        wanted = method.VIEWS
        if set(self.views) != set(wanted):
            raise ValueError(f"views: {self.method.name} needs exactly {', '.join(wanted)}")
        for name, steps in self.views.items():
            try:
                build_view(steps)
            except BadInput as error:
                raise ValueError(f"views.{name}: {error}") from None
        positives = self.positives.name  # type: ignore[attr-defined]
        if getattr(POSITIVES[positives], "NEEDS_PARTNERS", False) and not method.STREAMS:
            raise ValueError(f"positives: {positives} works between streams, and {self.method.name} trains one")
        return self

    @property
    def streams(self) -> tuple[str, ...]:
        """The streams that are trained together; none if a run is of one stream."""
        streams: tuple[str, ...] = METHODS[self.method.name].STREAMS
        return streams

    @property
    def supervised(self) -> bool:
        """Whether it learns from labels, so that its projector is a classifier."""
        return bool(METHODS[self.method.name].SUPERVISED)

    def view(self, name: str) -> View:
        """The augmentations of one view, ready to render."""
        return build_view(self.views[name])

    def build_network(self, layout: Layout, classes: int) -> Network:
        """A fresh encoder with its projector, or with a classifier if the method is supervised."""
        encoder = ENCODERS[self.encoder.name](layout, self.encoder)
        if self.supervised:
            return Network(encoder, nn.Linear(encoder.features, classes))
        hidden = self.projector.hidden or encoder.features
        return Network(encoder, projector(encoder.features, hidden, self.projector.size))

    def build_method(self, layout: Layout, classes: int) -> nn.Module:
        """A fresh method, its networks initialised; `classes` only matters to one that learns from labels."""
        positives = POSITIVES[self.positives.name](self.positives)  # type: ignore[attr-defined]
        build = partial(self.build_network, layout, classes)
        method: nn.Module = METHODS[self.method.name](build, self.projector.size, self.method, positives, self.init)
        return method

    def dump(self) -> str:
        """The recipe as YAML with every default written out."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def load_recipe(name_or_path: str | Path, overrides: Sequence[str] = (), epochs: int | None = None) -> Recipe:
    """Read a recipe by name (one of those shipped) or path.

    Args:
        overrides: `key.to.it=value`, as given with --set.
        epochs: replaces the recipe's own.

    Raises:
        BadInput: no such recipe, or it does not check; names all that is wrong.
    """
    path = find("models", str(name_or_path))
    stated = {"name": path.stem, **settings.load_yaml(path)}
    return settings.check(Recipe, stated, path, [*overrides, *([] if epochs is None else [f"epochs={epochs}"])])


def _default(registry: Any, name: str) -> Any:
    return registry[name].Options()
