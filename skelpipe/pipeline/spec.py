"""The content of a pipeline file: which data, recipes, streams and protocols make one benchmark or table."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Mapping
from itertools import filterfalse
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PrivateAttr, ValidationInfo, field_validator, model_validator

from skelpipe.errors import BadInput, hint
from skelpipe.evaluation.fuse import STREAM_ORDER, STREAM_WEIGHTS
from skelpipe.resources import names
from skelpipe.settings import Settings

if TYPE_CHECKING:
    from skelpipe.recordings.datasets.own import Own
else:
    Own = Any  # which no check looks at

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")
MOST_POINTS = 10_000  # of a sweep

Stream = Literal["joint", "motion", "bone", "temporal", "spatial", "person"]
STREAMS: tuple[Stream, ...] = ("joint", "motion", "bone")
# In their order. The colourings are streams of recipes that train networks of these names together, and of no other.
WEIGHTS: Mapping[Any, float] = {stream: STREAM_WEIGHTS[stream] for stream in STREAM_ORDER}
USUAL_PROTOCOLS: tuple[str, ...] = ("linear", "knn")
OTHERS = "others"  # stands for the recipes that a mapping of recipes does not name


def _for_others(value: Any) -> Any:
    if not isinstance(value, list | tuple | dict):
        raise ValueError(f"should be a list, such as [{value}], or a mapping of recipes to lists")
    return value if isinstance(value, dict) else {OTHERS: value}


Streams = Annotated[dict[str, Annotated[tuple[Stream, ...], Field(min_length=1)]], BeforeValidator(_for_others)]
Protocols = Annotated[dict[str, Annotated[tuple[str, ...], Field(min_length=1)]], BeforeValidator(_for_others)]


Probe = Literal["reference", "paper", "lbfgs", "grid", "stated"]
USUAL_PROBE: Mapping[str, Probe] = {OTHERS: "reference"}
Probes = Annotated[
    dict[str, Probe], BeforeValidator(lambda value: value if isinstance(value, dict) else {OTHERS: value})
]


class Synth(Settings):
    """How much synthetic raw data a pipeline writes for itself; the keys are the options of `skelpipe synth`."""

    actions: int | None = None
    subjects: int | None = None
    setups: int | None = None
    replications: int | None = None
    frames: tuple[int, int] | None = None
    seed: int = 0


class Needs(Settings):
    """What the jobs of a kind of stage ask a batch system for, in place of what is reckoned: MB and minutes."""

    mem_mb: int | None = Field(None, ge=1)
    runtime: int | None = Field(None, ge=1)


class Resources(Settings):
    """The needs of each kind of stage."""

    synth: Needs = Needs()
    ingest: Needs = Needs()
    prepare: Needs = Needs()
    join: Needs = Needs()
    pretrain: Needs = Needs()
    evaluate: Needs = Needs()
    fuse: Needs = Needs()
    report: Needs = Needs()


class Pipeline(Settings):
    """The content of a pipeline YAML.

    Attributes:
        title: a line for people; heads the report.
        splits: keys of `datasets.SPLITS` to evaluate on, or rules as `datasets.stated` describes them, or
            COLUMN:leave-one-out or COLUMN:5-fold, which stand for several.
        dataset: the store that serves all splits (an NTU-120 store serves xsub60 too); by default each split's own. Or
            the path of a YAML that describes one (`recordings.poses.described`), whose splits these then are.
        pretrain_on: the split to pretrain on, for transfer; by default the one that is evaluated on.
        frames, bodies, centre, turn: the options of `skelpipe prepare`.
        recipes: names of shipped recipes, or paths of others in the folder of the pipeline file. Systems of the paper
            that have no recipe yet may be named too, and are left out.
        streams: every recipe is pretrained on each of them. A mapping of recipes gives some their own, and its key
            `others` the rest theirs. A recipe that trains networks of its own names together is evaluated by all of
            these, unless such a mapping names some.
        seeds: and with each of these.
        epochs: replaces the recipes' own number.
        set: recipe name -> KEY=VALUE changes of that recipe.
        sweep: points, each of them {KEY: VALUE} changes of every recipe, or {RECIPE: {KEY: VALUE}} of one;
            {KEY: [VALUE, ...]} stands for all pairings.
        at_epochs: evaluate the weights that a run kept of these epochs, instead of its last.
        loggers: each pretraining logs there, too (`--logger`); no reason to run it again.
        precision, half_storage: the options of `skelpipe pretrain`.
        protocols, probe, k, best_on_test: the options of `skelpipe evaluate`. A mapping of recipes gives some their own
            protocols or probe, as with streams. Supervised recipes are evaluated by the protocol `supervised` alone,
            unless it names them.
        options: PROTOCOL.KEY=VALUE, its --set.
        classes: limits evaluations to these, its --classes.
        fusion: stream -> its weight in the fused scores.
        figures: what `skelpipe report` draws; by default all that it can.
        paper: the table or figure of the CrosNNCLR paper that it makes; the report shows it first, in its own shape.
        sentences: the report says first, in three sentences, what two of the systems have come to, where
            two can be compared.
        pipelines: names of shipped pipelines that are run together, with the keys that are given here in place of
            theirs; then `splits` and `recipes` may be left out.
        threads: CPU threads of one pretraining or evaluation.
        slots: how many of these may run at once on one machine, if the user passes no --resources; one stands for one
            GPU.
        gpus: 1 if each of these asks a batch system for a GPU, 0 if it runs on CPUs.
        resources: what else the jobs of each kind of stage ask for.
        shards: in how many parts each store and clips folder is made and then joined; each is a job of its own.
        synth: writes synthetic raw data first; None reads real recordings.
    """

    title: str
    dataset: str | None = None  # before the splits, whose checks ask for it
    splits: tuple[str, ...] = Field((), min_length=1)
    pretrain_on: str | None = None
    frames: int = Field(50, ge=2)
    bodies: Literal["first", "energy", "denoise"] = "first"
    centre: bool = True
    turn: bool = True
    recipes: tuple[str, ...] = Field((), min_length=1)
    streams: Streams = Field(default_factory=lambda: {OTHERS: STREAMS})
    seeds: tuple[int, ...] = Field((0,), min_length=1)
    epochs: int | None = Field(None, ge=0)
    set: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    sweep: tuple[dict[str, Any], ...] = Field(({},), min_length=1)
    at_epochs: tuple[int, ...] = ()
    loggers: tuple[str, ...] = ()
    precision: Literal["fp32", "bf16"] = "fp32"
    half_storage: bool = False
    protocols: Protocols = Field(default_factory=lambda: {OTHERS: USUAL_PROTOCOLS})
    probe: Probes = Field(default_factory=lambda: dict(USUAL_PROBE))
    k: int = Field(1, ge=1)
    best_on_test: bool = False
    options: tuple[str, ...] = ()
    classes: str | None = None
    fusion: dict[Stream, float] = Field(default_factory=lambda: dict(WEIGHTS))
    figures: tuple[str, ...] = ()
    paper: str | None = None
    sentences: bool = True
    pipelines: tuple[str, ...] = ()
    threads: int = Field(8, ge=1)
    slots: int = Field(1, ge=1)
    gpus: int = Field(1, ge=0, le=1)
    resources: Resources = Resources()
    shards: int = Field(1, ge=1, le=1000)
    synth: Synth | None = None
    _own: Own | None = PrivateAttr(None)
    _training: Mapping[str, int] = PrivateAttr(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _whose_splits(cls, data: Any) -> Any:
        """A stated split is called by its whole name, which says whose it is: that of `dataset`, if given."""
        from skelpipe.recordings.datasets import find_split

        if isinstance(data, dict) and is_described(data.get("dataset")):
            return data  # they are settled with its recordings

        def named(split: Any) -> Any:
            try:
                return find_split(split, data.get("dataset")).name
            except (BadInput, TypeError):  # told by the checks of the keys
                return split

        if not isinstance(data, dict):
            return data
        given = {**data}
        if isinstance(given.get("splits"), list | tuple):
            given["splits"] = [*map(named, given["splits"])]
        if isinstance(given.get("pretrain_on"), str):
            given["pretrain_on"] = named(given["pretrain_on"])
        return given

    @field_validator("dataset")
    @classmethod
    def _known_dataset(cls, value: str | None) -> str | None:
        from skelpipe.recordings.datasets import DATASETS

        return value if value is None or is_described(value) else known_name(value, DATASETS)

    @field_validator("splits", "pretrain_on")
    @classmethod
    def _known_splits(cls, value: Any, info: ValidationInfo) -> Any:
        from skelpipe.recordings.datasets import SPLITS, find_split
        from skelpipe.recordings.datasets.stated import is_family, is_stated

        if is_described(info.data.get("dataset")):
            return value
        splits = (value,) if isinstance(value, str) else value or ()
        if cut_off := [split for split in splits if split[:1].isdecimal()]:
            raise ValueError(f"{cut_off[0]} is what a comma has cut off; put a split that has commas in quotes")
        for split in splits:
            if not is_stated(split):
                known_name(split, SPLITS)
                continue
            if is_family(split):
                continue
            try:
                find_split(split)
            except BadInput as error:
                raise ValueError(str(error)) from None
        return value

    @field_validator("paper")
    @classmethod
    def _known_exhibit(cls, value: str | None) -> str | None:
        from skelpipe.paper import exhibits

        return value if value is None else known_name(value, exhibits())

    @field_validator("figures")
    @classmethod
    def _known_figures(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        from skelpipe.report.figures import FIGURES

        return tuple(known_name(name, FIGURES) for name in value)

    @field_validator("loggers")
    @classmethod
    def _known_loggers(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        from skelpipe.training.loggers import LOGGERS

        return tuple(known_name(name, LOGGERS) for name in value)

    @field_validator("pipelines")
    @classmethod
    def _known_pipelines(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(known_name(name, names("pipelines")) for name in value)

    @field_validator("splits", "recipes", "streams", "seeds", "at_epochs", "protocols", "figures", "pipelines")
    @classmethod
    def _no_twins(cls, value: Any) -> Any:
        for items in value.values() if isinstance(value, dict) else [value]:
            stems = [Path(item).stem if isinstance(item, str) and item.endswith(".yaml") else item for item in items]
            if len(set(stems)) < len(stems):
                raise ValueError("names something twice")
        return value

    @field_validator("seeds")
    @classmethod
    def _no_negative_seed(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if min(value) < 0 or max(value) >= 2**63:
            raise ValueError("a seed is at least 0, and below 2**63")
        return value

    @field_validator("title")
    @classmethod
    def _one_line(cls, value: str) -> str:
        if not value.isprintable():
            raise ValueError("a title is one line")
        return value

    @field_validator("streams")
    @classmethod
    def _in_order(cls, value: dict[str, tuple[Stream, ...]]) -> dict[str, tuple[Stream, ...]]:
        # The same fusion has the same name.
        return {key: tuple(stream for stream in WEIGHTS if stream in own) for key, own in value.items()}

    @field_validator("sweep", mode="before")
    @classmethod
    def _all_points(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        if not all(isinstance(values, list) and values for values in value.values()):
            raise ValueError("every key needs a list of values, such as {method.queue_size: [1024, 2048]}")
        if math.prod(map(len, value.values())) > MOST_POINTS:
            raise ValueError(f"these are more than {MOST_POINTS:,} pairings")
        return tuple(dict(zip(value, point, strict=True)) for point in itertools.product(*value.values()))

    @model_validator(mode="after")
    def _one_number_of_epochs(self) -> Pipeline:
        points = [*self.sweep, *(own for point in self.sweep for own in point.values() if isinstance(own, dict))]
        if self.epochs is not None and any("epochs" in point for point in points):
            raise ValueError("sweep: epochs is swept and also fixed by the key epochs; leave one of them out")
        return self

    @model_validator(mode="after")
    def _splits_fit(self) -> Pipeline:
        from skelpipe.recordings.datasets import fitting_splits, serves
        from skelpipe.recordings.datasets.stated import is_family

        if self.dataset is not None and not is_described(self.dataset):
            for split in filterfalse(is_family, self.splits):
                if not serves(split, self.dataset):
                    known = ", ".join(fitting_splits(self.dataset))
                    raise ValueError(f"splits: {split} cannot be made from {self.dataset}, which has {known}")
        return self

    @model_validator(mode="after")
    def _weights_for_all(self) -> Pipeline:
        for streams in self.streams.values():
            lacking = any(stream in STREAMS and stream not in self.fusion for stream in streams)
            weights = [self.weight(stream) for stream in streams]
            if len(streams) > 1 and (lacking or min(weights) < 0 or not any(weights)):
                raise ValueError("fusion: every stream needs a weight, at least 0 and not all 0")
        return self

    @model_validator(mode="after")
    def _says_what_to_make(self) -> Pipeline:
        for key in ("splits", "recipes"):
            if not getattr(self, key) and not self.pipelines:
                raise ValueError(f"{key}: is missing")
        return self

    @property
    def own(self) -> Own | None:
        """The data set that a YAML describes, once `own.settle` has read it."""
        return self._own

    @property
    def training(self) -> Mapping[str, int]:
        """How many clips train by each split, of a data set that a YAML describes."""
        return self._training

    def settled(self, own: Own | None, splits: tuple[str, ...], training: Mapping[str, int]) -> Pipeline:
        """The same pipeline of these splits, and of a data set that a YAML describes."""
        made = self.model_copy(update={"splits": splits})
        made._own, made._training = own, training
        return made

    def streams_of(self, recipe: str) -> tuple[Stream, ...]:
        """The streams of a recipe, by its file's name."""
        return self.streams.get(recipe, self.streams.get(OTHERS, STREAMS))

    def weight(self, stream: str) -> float:
        """Of a stream in fused scores; a recipe's own that nothing is said of count alike."""
        weights: Mapping[Any, float] = {**WEIGHTS, **self.fusion}
        return weights.get(stream, 1.0)

    def protocols_of(self, recipe: str) -> tuple[str, ...]:
        """The protocols of a recipe, by its file's name."""
        return self.protocols.get(recipe, self.protocols.get(OTHERS, USUAL_PROTOCOLS))

    def probe_of(self, recipe: str) -> Probe:
        """The probe of a recipe, by its file's name."""
        return self.probe.get(recipe, self.probe.get(OTHERS, USUAL_PROBE[OTHERS]))

    @property
    def all_protocols(self) -> list[str]:
        """The protocols of all recipes."""
        return list(dict.fromkeys(protocol for own in self.protocols.values() for protocol in own))

    def serving(self, split: str) -> str:
        """The data set whose store serves a split."""
        from skelpipe.recordings.datasets import find_split

        if self._own is not None:
            return self._own.name
        known = [dataset.name for dataset in find_split(split).datasets]
        return self.dataset if self.dataset in known else known[0]

    @property
    def homes(self) -> dict[str, tuple[str, ...]]:
        """The splits that are pretrained on, and for each those that its encoders are evaluated on."""
        return {self.pretrain_on: self.splits} if self.pretrain_on else {split: (split,) for split in self.splits}

    @property
    def datasets(self) -> list[str]:
        """The data sets that are needed."""
        return list(dict.fromkeys(self.serving(split) for split in (*self.homes, *self.splits)))


def is_described(dataset: object) -> bool:
    """Whether a data set is named by the path of a YAML that describes it."""
    return isinstance(dataset, str) and dataset.lower().endswith((".yaml", ".yml"))


def known_name(value: str, known: Iterable[str]) -> str:
    if value not in known:
        raise ValueError(f"unknown name{hint(value, known)}, known are {', '.join(known)}")
    return value
