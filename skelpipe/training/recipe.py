"""Recipes: what to learn and how, as checked objects. A recipe is one YAML file in `models/`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
import yaml
from pydantic import AfterValidator, Field, NonNegativeInt, PositiveInt, ValidationError, model_validator
from torch import nn

from skelpipe import settings
from skelpipe.clips.balance import Balance
from skelpipe.clips.views import View, build_view
from skelpipe.encoders import ENCODERS
from skelpipe.encoders.base import build_encoder
from skelpipe.errors import BadInput
from skelpipe.layouts.base import Layout
from skelpipe.methods import METHODS, POSITIVES
from skelpipe.methods.base import Method
from skelpipe.methods.network import Builder, Init, Network, projector
from skelpipe.paper.systems import find_recipe
from skelpipe.settings import Settings
from skelpipe.training.log_names import LOG_NAMES
from skelpipe.training.optim import (
    OPTIMIZERS,
    SCHEDULES,
    Clipping,
    Plateau,
    Schedule,
    Steps,
    build_optimizer,
)

if TYPE_CHECKING:
    from skelpipe.encoders.stgcn import STGCNOptions as EncoderOptions
    from skelpipe.methods.skeletonclr import SkeletonCLROptions as MethodOptions

    OptimizerOptions = Any
    PositivesOptions = Settings
    ScheduleOptions = Schedule
else:
    EncoderOptions = settings.one_of(ENCODERS, unnamed="stgcn")
    MethodOptions = settings.one_of(METHODS)
    PositivesOptions = settings.one_of(POSITIVES)
    OptimizerOptions = settings.one_of(OPTIMIZERS, unnamed="sgd")
    ScheduleOptions = settings.one_of(SCHEDULES)


class Projector(Settings):
    """The head between feature and embedding: Linear, ReLU, Linear; or none, and the feature is the embedding.

    Attributes:
        kind: whether there is one.
        hidden: by default the encoder's feature size.
        size: D, of the embedding; without a head it is the encoder's feature size.
    """

    LATER = ("kind",)

    kind: Literal["mlp", "none"] = "mlp"
    hidden: PositiveInt | None = None
    size: PositiveInt = 128


Augmentations = str | list[str | dict[str, dict[str, Any] | list[Any]]]  # of a view, or the name of a list of them


def _fit(value: Augmentations) -> Augmentations:
    try:
        build_view(value)
    except BadInput as error:
        raise ValueError(str(error)) from None
    return value


FittingView = Annotated[Augmentations, AfterValidator(_fit)]  # of other options than a recipe's, which names the view


class ClipsNeeded(Settings):
    """The preparation that a recipe's clips need, in the options of `skelpipe prepare`.

    Attributes:
        preset: a named list of preparation steps.
        frames: T, or "native" for clips that keep their own lengths; None takes T as the clips have it.
        longest: a limit to the frames of a clip.
        steps: preparation step -> what stands in place of the preset's.
    """

    preset: str = "aimclr"
    frames: PositiveInt | Literal["native"] | None = None
    longest: PositiveInt | None = None
    steps: dict[str, str] = Field(default_factory=dict)


class Evaluation(Settings):
    """How the recipe's authors measure what it has learnt.

    Attributes:
        protocols: names of protocols; none leaves the choice to `skelpipe evaluate`.
        view: the augmentations of what is embedded; by default none, the clips as they are.
        segments: of how many parts in time, pooled each by itself, a frozen feature consists.
        probe: the linear protocol's classifier.
        options: protocol -> its options.
    """

    LATER = ("segments",)

    protocols: tuple[str, ...] = ()
    view: Augmentations = Field(default_factory=list)
    segments: PositiveInt = 1
    probe: Literal["reference", "paper", "lbfgs", "grid", "stated"] | None = None
    options: dict[str, dict[str, Any]] = Field(default_factory=dict)

    def words(self, protocols: Sequence[str]) -> list[str]:
        """The options of some protocols as `protocol.option=value`, the value in YAML."""
        stated = {
            f"{name}.{key}": v for name, own in self.options.items() for key, v in own.items() if name in protocols
        }
        return [f"{key}={json.dumps(value)}" for key, value in stated.items()]  # JSON is YAML too


class Recipe(Settings):
    """One pretraining, without the data.

    Attributes:
        name: file name of the recipe; stands in reports.
        title: what people call it; stands in reports.
        source: whose it is, and where it leaves that.
        reading: what to call it where its source leaves much open, so that it is one reading of it; stands in reports.
        encoder: what makes features of clips.
        partner: the second encoder, of a method that trains two.
        projector: the head between feature and embedding.
        init: how weights are drawn: as torch does, as the public code of SkeletonCLR and AimCLR does, or as ISC's.
        method: what is learnt.
        positives: what a query is pulled to, where the method contrasts.
        optimizer: what takes the steps.
        bodies: how many of a clip's bodies the encoder sees.
        batch_size: clips per step, over all ranks.
        batch_norm: where several ranks train, whether each normalises by its own share of the batch or all by the whole
            batch; "synced" gives what one process would.
        views: for each view that the method names, its augmentations in order.
        sampling: "shuffled" gives every clip once an epoch; "fixed" does so in the same batches every epoch;
            "with_replacement" draws each clip of a batch from all.
        balance: of a method that learns from labels: "sampling" draws each class equally often; "weights" weighs the
            loss by inverse class frequency, with the mean weight 1 over the training clips.
        epochs, iterations: the run's length, in either; an epoch has as many steps as there are full batches of clips.
        schedule: what the rate does; stands in place of the optimiser's `steps` and `gamma`.
        clip_gradients: how gradients are kept small.
        keep_every: keep the weights of every so many epochs as well (0: only the last).
        clips: the preparation that it needs.
        evaluate: its authors' probe, and the view that is embedded.

    Example:
        >>> recipe = sk.load_recipe("aimclr")
        >>> recipe.method.name, recipe.encoder.name, [*recipe.views]
        ('aimclr', 'stgcn', ['extreme', 'query', 'key'])
    """

    LATER = (
        "reading", "partner", "sampling", "balance", "iterations", "schedule", "clip_gradients", "clips", "evaluate",
    )  # fmt: skip

    name: str = "unnamed"
    title: str = ""
    source: str = ""
    reading: str = ""
    encoder: EncoderOptions = Field(default_factory=lambda: _default(ENCODERS, "stgcn"))
    partner: EncoderOptions | None = None
    projector: Projector = Projector()
    init: Init = "torch"
    method: MethodOptions
    positives: PositivesOptions = Field(default_factory=lambda: _default(POSITIVES, "own_key"))
    views: dict[str, Augmentations]
    bodies: Literal[1, 2] = 2
    batch_size: PositiveInt = 128
    batch_norm: Literal["per_rank", "synced"] = "per_rank"
    sampling: Literal["shuffled", "fixed", "with_replacement"] = "shuffled"
    balance: Balance = "none"
    epochs: NonNegativeInt = 800
    iterations: PositiveInt | None = None
    optimizer: OptimizerOptions = Field(default_factory=lambda: _default(OPTIMIZERS, "sgd"))
    schedule: ScheduleOptions | None = None
    clip_gradients: Clipping | None = None
    keep_every: NonNegativeInt = 0
    clips: ClipsNeeded = ClipsNeeded()
    evaluate: Evaluation = Evaluation()

    @model_validator(mode="after")
    def _views_fit(self) -> Recipe:
        method = METHODS[self.method.name]
        wanted = method.VIEWS
        if set(self.views) != set(wanted):
            raise ValueError(f"views: {self.method.name} needs exactly {', '.join(wanted)}")
        built: dict[str, View] = {}
        for name, steps in {
            **{f"views.{name}": s for name, s in self.views.items()},
            "evaluate.view": self.evaluate.view,
        }.items():
            try:
                built[name] = build_view(steps)
            except BadInput as error:
                raise ValueError(f"{name}: {error}") from None
        if lacking := [name for name in method.NEEDS if not ENCODERS[self.encoder.name].gives(name, self.encoder)]:
            what = f"{self.method.name} needs one that has {' and '.join(lacking)}, as {self.encoder.name} has not"
            raise ValueError(f"encoder: {what}")
        if self.evaluate.segments > 1 and self.supervised:
            raise ValueError(f"evaluate.segments: {self.method.name} has a classifier of whole clips; leave it at 1")
        if self.evaluate.segments > 1 and not ENCODERS[self.evaluated.name].gives("feature_map", self.evaluated):
            raise ValueError(f"evaluate.segments: {self.evaluated.name} has no feature map to cut in time")
        if taken := [name for name in method.LOSSES if name in LOG_NAMES]:
            raise ValueError(f"method: {self.method.name} has a loss {taken[0]!r}, a name that the log has for itself")
        if unknown := [name for name in self.method.weights if name not in method.LOSSES]:
            raise ValueError(
                f"method.weights: {unknown[0]!r} is none of its losses, which are {', '.join(method.LOSSES)}"
            )
        positives = self.positives.name  # type: ignore[attr-defined]
        if getattr(POSITIVES[positives], "NEEDS_PARTNERS", False) and not method.STREAMS:
            raise ValueError(f"positives: {positives} works between streams, and {self.method.name} trains one")
        method.check(self, {name: built[f"views.{name}"] for name in wanted})
        return self

    @model_validator(mode="after")
    def _partner_fits(self) -> Recipe:
        if (self.partner is not None) != METHODS[self.method.name].PARTNER:
            wants = "trains one encoder; leave it out" if self.partner else "trains two encoders; describe the second"
            raise ValueError(f"partner: {self.method.name} {wants}")
        return self

    @model_validator(mode="after")
    def _balance_fits(self) -> Recipe:
        if self.balance != "none" and not self.supervised:
            raise ValueError(f"balance: {self.method.name} learns without labels, and knows no classes to balance")
        if self.balance == "sampling" and self.sampling != "shuffled":
            raise ValueError("balance: it says how clips are drawn, and so does sampling; leave one of them out")
        return self

    @model_validator(mode="after")
    def _one_length(self) -> Recipe:
        if self.iterations is not None and "epochs" in self.model_fields_set:
            raise ValueError("iterations: stands in place of epochs; leave one of them out")
        return self

    @model_validator(mode="after")
    def _trains(self) -> Recipe:
        filled = getattr(self.method, "fill_epochs", 0)
        if self.iterations is None and 0 < self.epochs <= filled:
            raise ValueError(f"epochs: the first {filled} only fill the queue (method.fill_epochs); train longer, or 0")
        return self

    @property
    def moot(self) -> tuple[str, ...]:
        epochs = () if self.iterations is None else ("epochs",)
        return epochs if self.schedule is None else (*epochs, "optimizer.steps", "optimizer.gamma")

    @property
    def streams(self) -> tuple[str, ...]:
        """The streams that are trained together; none if a run is of one stream."""
        streams: tuple[str, ...] = METHODS[self.method.name].streams_of(self.method)
        return streams

    @property
    def evaluated(self) -> EncoderOptions:
        """Which encoder is kept and measured: of a method that trains two, the one that it names."""
        return self.partner if self.partner and getattr(self.method, "evaluated", "") == "partner" else self.encoder

    @property
    def own_streams(self) -> bool:
        """Whether these are networks with names of their own, which all see the same stream of a clip."""
        return METHODS[self.method.name].RENDERED is not None

    def rendered(self, stream: str) -> str:
        """The stream of a clip that the network of `stream` sees."""
        seen: str | None = METHODS[self.method.name].RENDERED
        return stream if seen is None else seen

    def trained(self, stream: str) -> str | tuple[str, ...]:
        """The streams of a clip that a run of `stream` sees: several, if it trains several together."""
        return self.streams if self.streams and not self.own_streams else self.rendered(stream)

    @property
    def supervised(self) -> bool:
        """Whether it learns from labels, so that its projector is a classifier."""
        return bool(METHODS[self.method.name].SUPERVISED)

    @property
    def rates(self) -> Schedule:
        """What the rate does: the schedule, or what SGD's own options say, or nothing."""
        if self.schedule is not None:
            return self.schedule
        if self.optimizer.name == "sgd":
            falls: Schedule = self.optimizer.falls
            return falls
        return Steps()

    @property
    def plateau(self) -> Plateau | None:
        """The schedule, if it is one that holds clips out."""
        return self.schedule if isinstance(self.schedule, Plateau) else None

    def view(self, name: str) -> View:
        """The augmentations of one view, ready to render."""
        return build_view(self.views[name])

    def build_network(self, layout: Layout, classes: int, options: Any = None) -> Network:
        """A fresh encoder with its projector, or with a classifier if the method is supervised.

        Args:
            options: of the encoder; by default the recipe's first.
        """
        options = options or self.encoder
        encoder = build_encoder(ENCODERS[options.name], layout, options, self.bodies)
        if self.supervised:
            return Network(encoder, nn.Linear(encoder.features, classes))
        if not METHODS[self.method.name].PROJECTS or self.projector.kind == "none":
            return Network(encoder, nn.Identity())
        hidden = self.projector.hidden or encoder.features
        return Network(encoder, projector(encoder.features, hidden, self.projector.size))

    def build_method(self, layout: Layout, classes: int) -> Method:
        """A fresh method, its networks initialised; `classes` only matters to one that learns from labels."""
        positives = POSITIVES[self.positives.name](self.positives)  # type: ignore[attr-defined]
        own, other = (partial(self.build_network, layout, classes, each) for each in (self.encoder, self.partner))
        frame = layout.channels, len(layout.joints), self.bodies
        build = Builder(own, other if self.partner is not None else None, frame)
        size = self.projector.size if self.projector.kind == "mlp" else own().encoder.features
        method: Method = METHODS[self.method.name](build, size, self.method, positives, self.init)
        return method

    def build_optimizer(self, method: nn.Module) -> torch.optim.Optimizer:
        """The optimiser over all that a method trains, with what clips its gradients."""
        return build_optimizer(self.optimizer, method, self.clip_gradients)

    def _repr_html_(self) -> str:
        return as_page(self)

    def dump(self) -> str:
        """The recipe as YAML with every default written out."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def as_page(recipe: Recipe) -> str:
    """What it says beyond defaults, as YAML in HTML, for a notebook."""
    said = recipe.model_dump(mode="json", include=recipe.model_fields_set, warnings=False)
    text = yaml.safe_dump(said, sort_keys=False, allow_unicode=True)
    return f"<pre>{escape(text)}</pre>"


def load_recipe(
    name_or_path: str | Path,
    overrides: Sequence[str] = (),
    epochs: int | None = None,
    iterations: int | None = None,
) -> Recipe:
    """Read a recipe by name (one of those shipped) or path.

    Args:
        overrides: `key.to.it=value`, as given with --set.
        epochs: replaces the recipe's own length.
        iterations: the same, in steps.

    Raises:
        BadInput: no such recipe, or it does not check; names all that is wrong. Or its length is given in both.
    """
    path = find_recipe(name_or_path)
    data = {"name": path.stem, **settings.load_yaml(path)}
    changed = {change.partition("=")[0].strip(): change for change in overrides}
    for length, instead, given in (("epochs", "iterations", epochs), ("iterations", "epochs", iterations)):
        if given is not None and instead in changed:
            what = f"is given beside {given} {length}"
            raise BadInput(f"--set {changed[instead]}", what, "leave one of them out")
        if given is not None or length in changed:
            data.pop(instead, None)
    told = [f"{key}={value}" for key, value in (("epochs", epochs), ("iterations", iterations)) if value is not None]
    return settings.check(Recipe, data, path, [*overrides, *told])


def _default(registry: Any, name: str) -> Any:
    return registry[name].Options()


def in_full(dump: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe's dump with all that it leaves out, so that two can be compared; as it is where it is no recipe now."""
    try:
        recipe = Recipe.model_validate(dump)
    except ValidationError:
        return dict(dump)
    data = settings.whole(recipe)
    # Named even where there is none: what only one of two mentions would tell nothing of them.
    return {
        **data,
        "schedule": data["schedule"] or {"name": "optimizer.steps"},
        "clip_gradients": data["clip_gradients"] or {"by": "nothing"},
    }
