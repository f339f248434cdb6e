"""Pipelines: which data, recipes, streams and protocols make one benchmark or table, and the run of all their stages.

Folders are named by what is in them and not by who asked: pipelines that need the same pretraining share it.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import os
import re
import shlex
import tempfile
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import dropwhile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import yaml
from pydantic import BeforeValidator, Field, field_validator, model_validator

from skelpipe.errors import BadInput
from skelpipe.history import DONE, PROVENANCE
from skelpipe.outputs import discard, read_digest
from skelpipe.resources import find, names
from skelpipe.settings import Settings, check, hint, load_yaml, override
from skelpipe.sums import check_files
from skelpipe.systems import SYSTEMS, missing

if TYPE_CHECKING:
    from skelpipe.recipe import Recipe

# What a stage writes for the same inputs and flags changed: raise its number, and pipelines run it again. (Snakemake
# cannot see changed package code.)
VERSIONS = {
    "synth": 1, "ingest": 1, "prepare": 1, "join": 1, "pretrain": 1, "evaluate": 1, "fuse": 1, "report": 2,
}  # fmt: skip

WHERE_TO_ASK = {
    "ntu": "its owners give it on their request form (ROSE Lab, Nanyang Technological University)",
    "pku": "its owners give it by mail (STRUCT group, Peking University)",
}
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")
MOST_POINTS = 10_000  # of a sweep
# What a plan holds: stages by the folder that they make, and `measures`: what the accuracies in a folder are of.
KINDS = (
    "synth", "store_parts", "stores", "clips_parts", "clips", "runs", "evaluations", "fusions", "measures", "reports",
)  # fmt: skip
LONGEST_NAME = 100  # of a folder; file systems take 255 bytes

Stream = Literal["joint", "motion", "bone"]
STREAMS: tuple[Stream, ...] = ("joint", "motion", "bone")
WEIGHTS: Mapping[Stream, float] = {"joint": 0.6, "motion": 0.4, "bone": 0.6}
USUAL_PROTOCOLS: tuple[str, ...] = ("linear", "knn")
OTHERS = "others"  # stands for the recipes that a mapping of recipes does not name


def _for_others(value: Any) -> Any:
    return {OTHERS: value} if isinstance(value, list | tuple) else value


Streams = Annotated[dict[str, Annotated[tuple[Stream, ...], Field(min_length=1)]], BeforeValidator(_for_others)]
Protocols = Annotated[dict[str, Annotated[tuple[str, ...], Field(min_length=1)]], BeforeValidator(_for_others)]


class Synth(Settings):
    """How much synthetic raw data a pipeline writes for itself; the keys are the options of `skelpipe synth`."""

    actions: int | None = None
    subjects: int | None = None
    setups: int | None = None
    replications: int | None = None
    frames: tuple[int, int] | None = None
    seed: int = 0


class Pipeline(Settings):
    """The content of a pipeline YAML.

    Attributes:
        title: a line for people; heads the report.
        splits: keys of `datasets.SPLITS` to evaluate on.
        dataset: the store that serves all splits (an NTU-120 store serves xsub60 too); by default each split's own.
        pretrain_on: the split to pretrain on, for transfer; by default the one that is evaluated on.
        frames, bodies, centre, turn: the options of `skelpipe prepare`.
        recipes: names of shipped recipes, or paths of others in the folder of the pipeline file. Systems of the paper
            that have no recipe yet may be named too, and are left out.
        streams: every recipe is pretrained on each of them. A mapping of recipes gives some their own, and its key
            `others` the rest theirs.
        seeds: and with each of these.
        epochs: replaces the recipes' own number.
        set: recipe name -> KEY=VALUE changes of that recipe.
        sweep: points, each of them {KEY: VALUE} changes of every recipe, or {RECIPE: {KEY: VALUE}} of one;
            {KEY: [VALUE, ...]} stands for all pairings.
        at_epochs: evaluate the weights that a run kept of these epochs, instead of its last.
        precision, half_storage: the options of `skelpipe pretrain`.
        protocols, probe, k, best_on_test: the options of `skelpipe evaluate`. Supervised recipes are evaluated by the
            protocol `supervised` alone; a mapping of recipes gives some their own protocols, as with streams.
        options: PROTOCOL.KEY=VALUE, its --set.
        fusion: stream -> its weight in the fused scores.
        figures: what `skelpipe report` draws; by default all that it can.
        paper: the table or figure of the CrosNNCLR paper that it makes; the report shows it first, in its own shape.
        pipelines: names of shipped pipelines that are run together, with the keys that are given here in place of
            theirs; then `splits` and `recipes` may be left out.
        threads: CPU threads of one pretraining or evaluation.
        slots: how many of these may run at once, if the user passes no --resources; one stands for one GPU.
        shards: in how many parts each store and clips folder is made and then joined; each is a job of its own.
        synth: writes synthetic raw data first; None reads real recordings.
    """

    title: str
    splits: tuple[str, ...] = Field((), min_length=1)
    dataset: str | None = None
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
    precision: Literal["fp32", "bf16"] = "fp32"
    half_storage: bool = False
    protocols: Protocols = Field(default_factory=lambda: {OTHERS: USUAL_PROTOCOLS})
    probe: Literal["reference", "paper", "lbfgs", "grid"] = "reference"
    k: int = Field(1, ge=1)
    best_on_test: bool = False
    options: tuple[str, ...] = ()
    fusion: dict[Stream, float] = Field(default_factory=lambda: dict(WEIGHTS))
    figures: tuple[Literal["sweeps", "curves", "confusion", "tsne"], ...] = ()
    paper: str | None = None
    pipelines: tuple[str, ...] = ()
    threads: int = Field(8, ge=1)
    slots: int = Field(1, ge=1)
    shards: int = Field(1, ge=1, le=1000)
    synth: Synth | None = None

    @field_validator("dataset")
    @classmethod
    def _known_dataset(cls, value: str | None) -> str | None:
        from skelpipe.datasets import DATASETS

        return value if value is None else _known(value, DATASETS)

    @field_validator("splits", "pretrain_on")
    @classmethod
    def _known_splits(cls, value: Any) -> Any:
        from skelpipe.datasets import SPLITS

        for split in (value,) if isinstance(value, str) else value or ():
            _known(split, SPLITS)
        return value

    @field_validator("paper")
    @classmethod
    def _known_exhibit(cls, value: str | None) -> str | None:
        from skelpipe.paper import exhibits

        return value if value is None else _known(value, exhibits())

    @field_validator("pipelines")
    @classmethod
    def _known_pipelines(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_known(name, names("pipelines")) for name in value)

    @field_validator("splits", "recipes", "streams", "seeds", "at_epochs", "protocols", "figures", "pipelines")
    @classmethod
    def _no_twins(cls, value: Any) -> Any:
        for items in value.values() if isinstance(value, dict) else [value]:
            stems = [Path(item).stem if isinstance(item, str) else item for item in items]
            if len(set(stems)) < len(stems):
                raise ValueError("names something twice")
        return value

    @field_validator("seeds")
    @classmethod
    def _no_negative_seed(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if min(value) < 0:
            raise ValueError("a seed is at least 0")
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
        return {key: tuple(stream for stream in STREAMS if stream in own) for key, own in value.items()}

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
        from skelpipe.datasets import fitting_splits

        if self.dataset is not None:
            fitting = fitting_splits(self.dataset)
            for split in self.splits:
                if split not in fitting:
                    known = ", ".join(fitting)
                    raise ValueError(f"splits: {split} cannot be made from {self.dataset}, which has {known}")
        return self

    @model_validator(mode="after")
    def _weights_for_all(self) -> Pipeline:
        for streams in self.streams.values():
            weights = [self.fusion.get(stream) for stream in streams]
            if len(streams) > 1 and (None in weights or min(w or 0 for w in weights) < 0 or not any(weights)):
                raise ValueError("fusion: every stream needs a weight, at least 0 and not all 0")
        return self

    @model_validator(mode="after")
    def _says_what_to_make(self) -> Pipeline:
        for key in ("splits", "recipes"):
            if not getattr(self, key) and not self.pipelines:
                raise ValueError(f"{key}: is missing")
        return self

    def streams_of(self, recipe: str) -> tuple[Stream, ...]:
        """The streams of a recipe, by its file's name."""
        return self.streams.get(recipe, self.streams.get(OTHERS, STREAMS))

    def protocols_of(self, recipe: str) -> tuple[str, ...]:
        """The protocols of a recipe, by its file's name."""
        return self.protocols.get(recipe, self.protocols.get(OTHERS, USUAL_PROTOCOLS))

    @property
    def all_protocols(self) -> list[str]:
        """The protocols of all recipes."""
        return list(dict.fromkeys(protocol for own in self.protocols.values() for protocol in own))

    def serving(self, split: str) -> str:
        """The data set whose store serves a split."""
        from skelpipe.datasets import find_split

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


@dataclass(frozen=True)
class Experiment:
    """A recipe with its changes.

    Attributes:
        stem: the name of the recipe's file.
        name: of its folder: the recipe's name and all that differs from the recipe as it stands in its file.
        called: how it is named to `skelpipe pretrain`.
        recipe: with the changes.
        content: a digest of what it says; comments and layout left out.
        changes: what differs, by dotted key.
        flags: the changes, for `skelpipe pretrain`.
    """

    stem: str
    name: str
    called: str
    recipe: Recipe
    content: str
    changes: Mapping[str, Any]
    flags: tuple[str, ...]


def load_pipeline(name_or_path: str | os.PathLike[str], overrides: Iterable[str] = ()) -> tuple[Pipeline, Path]:
    """Read a shipped pipeline by its name, or any other by its path.

    Args:
        overrides: KEY=VALUE changes, the value in YAML (`seeds=[0,1,2]`).

    Raises:
        BadInput: no such pipeline, or all its wrong keys and values at once.
    """
    path = find("pipelines", name_or_path)
    if not NAME.fullmatch(path.stem):
        raise BadInput(path, "its name also names folders", "use letters, digits, '_', '-', '+' and '.' only")
    stated = load_yaml(path)
    _check_places(stated.get("recipes"), path)
    return check(Pipeline, override(stated, overrides), path), path


def _check_places(recipes: Any, path: Path) -> None:
    """Raise BadInput if a pipeline file names a recipe outside its own folder; on the command line one may.

    It may come from somebody else, who is not to choose which files are read here.
    """
    for entry in recipes if isinstance(recipes, list) else ():
        if not isinstance(entry, str) or not _is_path(entry):
            continue
        if not (path.parent / entry).resolve().is_relative_to(path.parent.resolve()):
            what = f"recipes: {entry} lies outside the folder of the pipeline"
            raise BadInput(path, what, "put it there, or name it by --set recipes=[...]")


def _is_path(entry: str) -> bool:
    return entry.endswith(".yaml") or "/" in entry


def plan(
    pipeline: Pipeline, path: Path, data: Path, raw: Path | None = None, lacking: list[BadInput] | None = None
) -> dict[str, Any]:
    """What the Snakefile needs to know: each kind of stage -> the folder that it makes -> from what, by which flags.

    Folders are relative to `data`; flags are shell text. They depend on what is made alone and not on the pipeline, so
    that one pipeline finds done what another one did.

    Args:
        lacking: takes what is said of recordings that are not there, so that a plan can be shown without them.

    Raises:
        BadInput: a recipe or protocol is wrong, or there are neither recordings nor a store made from them.
    """
    config: dict[str, Any] = {
        "pipeline": path.stem, "versions": VERSIONS, "threads": pipeline.threads, "slots": pipeline.slots,
        "missing": [entry for entry in pipeline.recipes if entry in missing()], **{kind: {} for kind in KINDS},
    }  # fmt: skip
    if pipeline.pipelines:
        _plan_together(config, pipeline, data, raw, lacking)
    else:
        _plan_stages(config, pipeline, path, data, raw, lacking)
    shown = ["--paper", pipeline.paper] if pipeline.paper else []
    config["reports"][f"reports/{path.stem}"] = {
        "parts": [*config["evaluations"], *config["fusions"]],
        "flags": _shell(
            ["--title", pipeline.title, *shown, *(w for name in pipeline.figures for w in ("--figure", name))]
        ),
    }
    return config


def _plan_together(
    config: dict[str, Any], pipeline: Pipeline, data: Path, raw: Path | None, lacking: list[BadInput] | None
) -> None:
    """Plan all stages of the pipelines that are run together, but for their reports."""
    given = pipeline.model_dump(exclude_unset=True, exclude={"title", "paper", "pipelines", "figures"})
    parts = {}
    for name in pipeline.pipelines:
        file = find("pipelines", name)
        parts[file] = check(Pipeline, {**load_yaml(file), **given}, file)
    _check_raw(raw, {d: None for part in parts.values() if not part.synth for d in part.datasets}, config, data)
    for file, part in parts.items():
        own = plan(part, file, data, raw, lacking)
        for kind in set(KINDS) - {"reports"}:
            config[kind] |= own[kind]
        config["missing"] = list(dict.fromkeys([*config["missing"], *own["missing"]]))


def _plan_stages(
    config: dict[str, Any],
    pipeline: Pipeline,
    path: Path,
    data: Path,
    raw: Path | None,
    lacking: list[BadInput] | None,
) -> None:
    """Plan all stages of one pipeline, but for its report."""
    _check_protocols(pipeline, path)
    experiments = _experiments(pipeline, path)
    clips = _plan_clips(config, pipeline, path.stem, data, raw, lacking)
    for (home, splits), experiment, seed in itertools.product(pipeline.homes.items(), experiments, pipeline.seeds):
        top = f"runs/{Path(clips[pipeline.serving(home)]).stem}/{home}/{experiment.name}"
        runs = _plan_runs(config, pipeline, experiment, home, clips[pipeline.serving(home)], top, seed)
        for split, epoch in itertools.product(splits, pipeline.at_epochs or (experiment.recipe.epochs,)):
            name, flags = _evaluation(pipeline, experiment, home, split, epoch)
            parts, facts = {}, _measure(pipeline, experiment, split, epoch, seed)
            for stream, run in runs.items():
                parts[stream] = f"{top}/{stream}-s{seed}/{name}"
                own = ["--stream", stream] if experiment.recipe.streams else []
                config["evaluations"][parts[stream]] = {
                    "run": run,
                    "clips": clips[pipeline.serving(split)],
                    "flags": _shell([*flags, *own, "--seed", seed]),
                }
                config["measures"][parts[stream]] = {**facts, "stream": stream}
            if len(parts) > 1:
                fused, stream, weights = _fusion(pipeline, pipeline.streams_of(experiment.stem), name)
                folder = f"{top}/fused-s{seed}/{fused}"
                config["fusions"][folder] = {"parts": list(parts.values()), "flags": weights}
                config["measures"][folder] = {**facts, "stream": stream}
    for folder in config["runs"]:
        _check_owner(data / folder, config["runs"][folder])


def list_raw(folder: Path) -> str | None:
    """A digest over the names and sizes of all files below `folder`; None if there are none.

    Times are left out, so that copying recordings to another disk does not read them in again, and contents too: it is
    up to 114,480 files, and no stage changes them.
    """
    files = []
    for where, folders, found in os.walk(folder, followlinks=True):
        folders[:] = [f for f in folders if not f.startswith(".")]
        paths = (Path(where, n) for n in found if not n.startswith("."))
        files += [f"{p.relative_to(folder).as_posix()}\0{p.stat().st_size}\n" for p in paths if p.exists()]
    return hashlib.sha256("".join(sorted(files)).encode()).hexdigest() if files else None


def run(
    name_or_path: str | os.PathLike[str],
    *,
    data: str | os.PathLike[str] = "data",
    raw: str | os.PathLike[str] | None = None,
    overrides: Iterable[str] = (),
    dry_run: bool = False,
    snakemake_args: Sequence[str] = (),
    verbose: bool = False,
    command: Sequence[str] | None = None,
) -> int:
    """Show what is done and what is to do, then do it and show the accuracies.

    Args:
        name_or_path: a pipeline.
        data: the folder of raw/, stores/, runs/, reports/ and logs/.
        raw: where the recordings are, if not in `data`/raw/<dataset>; for pipelines of one data set.
        overrides: KEY=VALUE changes of the pipeline.
        dry_run: only show the plan.
        snakemake_args: go to Snakemake as they are.
        verbose: show all that Snakemake says.
        command: how a stage is started; by default this Python's `-m skelpipe`.

    Returns:
        The exit status: 0, 1 if a stage failed, 130 if interrupted.

    Raises:
        BadInput: the pipeline, one of its recipes, the data folder or an argument to Snakemake cannot be used.
    """
    from skelpipe import dag

    pipeline, path = load_pipeline(name_or_path, overrides)
    data = Path(os.path.abspath(data))
    dry_run = dry_run or not {"-n", "--dry-run", "--dryrun"}.isdisjoint(snakemake_args)
    lacking: list[BadInput] = []
    config = plan(pipeline, path, data, None if raw is None else Path(raw), lacking if dry_run else None)
    if command:
        config["command"] = list(command)
    if dry_run and not data.is_dir():
        # Everything is still to do there as here, and a plan leaves no folder behind.
        with tempfile.TemporaryDirectory() as empty:
            stages = dag.survey(Path(empty), config, snakemake_args, verbose)
            dag.show_plan(pipeline.title, stages, data, verbose, lacking)
        _show_paper(pipeline, config, data)
        return 0
    with dag.locked(data) as held:
        stages = dag.survey(data, config, snakemake_args, verbose)
        dag.show_plan(pipeline.title, stages, data, verbose, lacking)
        if dry_run:
            _show_paper(pipeline, config, data)
            return 0
        status = dag.execute(data, config, stages, snakemake_args, verbose, held)
        _remove_parts(config, data)
    report = data / next(iter(config["reports"]))
    if status == 0 and (report / DONE).is_file():
        dag.show_results(results(config, data), report)
        _show_paper(pipeline, config, data)
    return status


def _show_paper(pipeline: Pipeline, config: Mapping[str, Any], data: Path) -> None:
    """Print the table or figure of the paper, in its own shape, that the pipeline makes."""
    if pipeline.paper:
        from skelpipe import dag
        from skelpipe.report.paper_terminal import show

        show(pipeline.paper, config["measures"], data, dag.new_console())


def results(config: Mapping[str, Any], data: Path) -> list[dict[str, Any]]:
    """What `metrics.json` says of the evaluations and fusions of a plan that are there.

    Returns:
        A row for each experiment, stream, number of epochs and split, with the `metrics` of all seeds.
    """
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    for folder in [*config["evaluations"], *config["fusions"]]:
        if not (data / folder / DONE).is_file():
            continue
        check_files(data / folder, "metrics.json", "delete its folder, and run this pipeline again")
        metrics = json.loads((data / folder / "metrics.json").read_text("utf-8"))
        key = {"experiment": folder.split("/")[3], **{k: metrics[k] for k in ("stream", "epochs", "split")}}
        rows.setdefault(tuple(key.values()), {**key, "metrics": []})["metrics"].append(metrics)
    experiments = list(dict.fromkeys(row["experiment"] for row in rows.values()))
    streams = [*STREAMS, *(row["stream"] for row in rows.values())]
    return sorted(
        rows.values(), key=lambda r: (experiments.index(r["experiment"]), r["epochs"], streams.index(r["stream"]))
    )


def _known(value: str, known: Iterable[str]) -> str:
    if value not in known:
        raise ValueError(f"unknown name{hint(value, known)}, known are {', '.join(known)}")
    return value


def _check_protocols(pipeline: Pipeline, path: Path) -> None:
    # Found now and not after days of pretraining.
    from skelpipe.evaluate import PROTOCOLS

    for protocol in pipeline.all_protocols:
        if protocol not in PROTOCOLS:
            what = f"protocols: unknown protocol {protocol!r}{hint(protocol, PROTOCOLS)}"
            raise BadInput(path, what, f"known are {', '.join(PROTOCOLS)}")
    try:
        _options(pipeline)
    except BadInput as error:
        words = ["options:", *error.where.split()[1:], error.what]  # without its --set
        raise BadInput(path, " ".join(words), error.remedy) from None
    if "transfer" in pipeline.all_protocols:
        for home, splits in pipeline.homes.items():
            if pipeline.serving(home) in map(pipeline.serving, splits):
                what = f"protocols: transfer is between data sets, and {home} is of {pipeline.serving(home)} as well"
                raise BadInput(path, what, "name a split of another data set by pretrain_on, or use finetune")


# Data ---------------------------------------------------------------------------------------------------------------


def _plan_clips(
    config: dict[str, Any],
    pipeline: Pipeline,
    name: str,
    data: Path,
    raw: Path | None,
    lacking: list[BadInput] | None,
) -> dict[str, str]:
    """Plan the way from recordings to clips of every data set; returns data set -> clips folder."""
    found = {}
    _check_raw(raw, () if pipeline.synth else pipeline.datasets, config, data)
    for dataset in pipeline.datasets:
        # Synthetic recordings are the pipeline's own, and named after it.
        alone = name if len(pipeline.datasets) == 1 else f"{name}-{dataset}"
        source = alone if pipeline.synth else dataset
        store, found[dataset] = f"stores/{source}.zarr", f"stores/{source}-{_clips_name(pipeline)}.zarr"
        if pipeline.synth:
            recordings, listing = f"raw/{source}", None
            config["synth"][recordings] = {"dataset": dataset, "flags": _synth_flags(pipeline.synth, dataset)}
        else:
            folder = Path(os.path.abspath(raw)) if raw else data / "raw" / dataset
            recordings, listing = str(folder) if raw else f"raw/{dataset}", list_raw(folder)
            if listing is None and read_digest(data / store) is None:
                problem = _no_recordings(dataset, folder)
                if lacking is None:
                    raise problem
                lacking += [problem] if str(problem) not in map(str, lacking) else []
                listing = "none"
        if pipeline.synth or listing:
            config["stores"][store] = {"dataset": dataset, "raw": recordings, "listing": listing}
        config["clips"][found[dataset]] = {"store": store, "flags": _prepare_flags(pipeline)}
    for kind, kind_of_parts in (("stores", "store_parts"), ("clips", "clips_parts")):
        for folder, stage in config[kind].items():
            shards = _shards(data / folder, pipeline.shards)
            if shards > 1:
                parts = {f"{folder}.{n}of{shards}": {**stage, "part": f"{n}/{shards}"} for n in range(1, shards + 1)}
                config[kind_of_parts] |= parts
                stage["parts"] = list(parts)
    return found


def _check_raw(raw: Path | None, datasets: Collection[str], config: Mapping[str, Any], data: Path) -> None:
    if raw and len(datasets) > 1:
        what = f"is one folder, and {config['pipeline']} reads {', '.join(datasets)}"
        raise BadInput(f"--raw {raw}", what, f"put each under {data}/raw/<data set>")


def _shards(folder: Path, wanted: int) -> int:
    """In how many parts a folder is to be made. One that is there stays as it is: its bytes would be the same."""
    return wanted if read_digest(folder) is None else max(1, len(_part_digests(folder)))


def _part_digests(folder: Path) -> list[str]:
    """The digests of the parts that a folder was joined from."""
    try:
        inputs: dict[str, Any] = json.loads((folder / PROVENANCE).read_text("utf-8"))["inputs"]
        return [str(part["digest"]) for role, part in inputs.items() if role.startswith("part ")]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []


def _remove_parts(config: Mapping[str, Any], data: Path) -> None:
    """Remove the parts that are in their whole."""
    for whole, stage in (config["stores"] | config["clips"]).items():
        joined = _part_digests(data / whole) if "parts" in stage else []
        for part in map(data.joinpath, stage.get("parts", ())):
            if read_digest(part) in joined:
                discard(part)


def _clips_name(pipeline: Pipeline) -> str:
    """The part of a clips folder's name that tells its options, so that pipelines with the same ones share it."""
    policy: list[str] = [] if pipeline.bodies == "first" else [pipeline.bodies]
    policy += [] if pipeline.centre else ["uncentred"]
    policy += [] if pipeline.turn else ["unturned"]
    return "-".join([str(pipeline.frames), *policy])


def _prepare_flags(pipeline: Pipeline) -> str:
    flags: list[Any] = ["--frames", pipeline.frames, "--bodies", pipeline.bodies]
    flags += [] if pipeline.centre else ["--no-centre"]
    return _shell([*flags, *([] if pipeline.turn else ["--no-turn"])])


def _synth_flags(synth: Synth, dataset: str) -> str:
    left_out = {"frames"} if dataset.startswith("ntu") else {"frames", "setups"}  # which PKU-MMD does not have
    amounts = synth.model_dump(exclude_none=True, exclude=left_out)
    flags = [part for key, value in amounts.items() for part in (f"--{key}", value)]
    return _shell([*flags, *(["--frames", *synth.frames] if synth.frames else [])])


def _no_recordings(dataset: str, folder: Path) -> BadInput:
    owners = WHERE_TO_ASK[dataset.rstrip("0123456789")]
    what = f"holds no recordings of {dataset}"
    return BadInput(folder, what, f"put its files or .zip archives there, or name their folder by --raw; {owners}")


# Recipes ------------------------------------------------------------------------------------------------------------


def _experiments(pipeline: Pipeline, path: Path) -> list[Experiment]:
    """Every recipe at every point of the sweep; what comes out the same is there once."""
    found, known, lacking = {}, [], missing()
    _check_names(pipeline, path)
    for entry in pipeline.recipes:
        if entry in lacking:
            continue
        is_path = _is_path(entry)
        file = find("models", path.parent / entry if is_path else entry)
        if not NAME.fullmatch(file.stem):
            raise BadInput(file, "its name also names folders", "use letters, digits, '_', '-', '+' and '.' only")
        known.append(file.stem)
        for point in pipeline.sweep:
            swept = {key: value for key, value in point.items() if not _of_one(key, value)} | point.get(file.stem, {})
            changes = [*pipeline.set.get(file.stem, ()), *(f"{key}={_text(value)}" for key, value in swept.items())]
            experiment = _experiment(pipeline, file, os.path.abspath(file) if is_path else entry, changes)
            _check_recipe(pipeline, path, experiment)
            found[experiment.name] = experiment
    if not found:
        what = f"recipes: {', '.join(SYSTEMS[entry].title for entry in pipeline.recipes)} cannot be trained here yet"
        raise BadInput(path, what, f"name a recipe that ships: {', '.join(names('models'))}")
    unknown = sorted(pipeline.set.keys() - set(known) - set(pipeline.recipes))
    if unknown:
        what = f"set.{unknown[0]}: is not one of its recipes{hint(unknown[0], known)}"
        raise BadInput(path, what, f"they are {', '.join(known)}")
    return list(found.values())


def _of_one(key: str, value: Any) -> bool:
    """Whether an entry of a point of a sweep holds the changes of one recipe."""
    return isinstance(value, dict) and (key in names("models") or key in SYSTEMS)


def _check_names(pipeline: Pipeline, path: Path) -> None:
    """Raise BadInput if a mapping of recipes names what is none. It may name more of them than the pipeline has."""
    own = [Path(entry).stem for entry in pipeline.recipes]
    known = [*own, OTHERS, *names("models"), *SYSTEMS]
    for key in ("streams", "protocols"):
        for name in getattr(pipeline, key):
            if name not in known:
                what = f"{key}.{name}: is not one of its recipes{hint(name, known)}"
                raise BadInput(path, what, f"they are {', '.join(own)}, and '{OTHERS}' for all that are not named")


def _experiment(pipeline: Pipeline, file: Path, called: str, changes: Sequence[str]) -> Experiment:
    from skelpipe.recipe import load_recipe

    recipe = load_recipe(file, changes, pipeline.epochs)  # a mistake is found now and not hours later
    # Not what was asked for but what it changes: a setting at its default makes no other experiment.
    differing = _differences(load_recipe(file), recipe, load_yaml(file))
    epochs = differing.get("epochs")
    told = [f"{key}={_text(value)}" for key, value in sorted(differing.items()) if key != "epochs"]
    flags = [] if epochs is None else ["--epochs", str(epochs)]
    flags += [part for change in told for part in ("--set", change)]
    if pipeline.precision != "fp32":
        differing["precision"] = pipeline.precision
        flags += ["--precision", pipeline.precision]
    if pipeline.half_storage:
        differing["half_storage"] = True
        flags += ["--half-storage"]
    name = _folder_name(file.stem, differing)
    content = _content(load_recipe(file, told, epochs))
    return Experiment(file.stem, name, called, recipe, content, differing, tuple(flags))


def _differences(before: Recipe, after: Recipe, stated: Mapping[str, Any]) -> dict[str, Any]:
    """The settings, by dotted key, that make one recipe of another whose file states `stated`."""
    changes: dict[str, Any] = {}
    old, new = before.model_dump(mode="json"), after.model_dump(mode="json")
    for key, value in new.items():
        # What has a name has the options of that name: they can be set one by one only where the name stands already.
        alike = (
            isinstance(value, dict) and value.keys() == old[key].keys() and value.get("name") == old[key].get("name")
        )
        if alike and (key in stated or "name" not in value):
            changes |= {f"{key}.{inner}": v for inner, v in value.items() if v != old[key][inner]}
        elif value != old[key]:
            changes[key] = value
    return changes


def _content(recipe: Recipe) -> str:
    return _digest(recipe.model_dump_json(exclude_unset=True, exclude={"name", "title", "source"}))


def _check_recipe(pipeline: Pipeline, path: Path, experiment: Experiment) -> None:
    """Raise BadInput if a recipe cannot give what the pipeline wants of it."""
    recipe, streams = experiment.recipe, pipeline.streams_of(experiment.stem)
    if "supervised" in pipeline.protocols_of(experiment.stem) and not recipe.supervised:
        what = f"protocols: supervised measures a classifier, and {recipe.name} trains none"
        raise BadInput(path, what, "leave it out: recipes that learn from labels are evaluated by it anyway")
    if recipe.supervised and pipeline.pretrain_on:
        what = f"pretrain_on: {recipe.name} learns the classes of {pipeline.pretrain_on} and no others"
        raise BadInput(path, what, "leave it out of the recipes")
    lacking = [stream for stream in streams if recipe.streams and stream not in recipe.streams]
    if lacking:
        what = f"streams: {recipe.name} has no {lacking[0]}"
        raise BadInput(path, what, f"it trains {', '.join(recipe.streams)} together")
    for epoch in pipeline.at_epochs:
        kept = bool(recipe.keep_every) and epoch > 0 and epoch % recipe.keep_every == 0
        if epoch > recipe.epochs or not (kept or epoch == recipe.epochs):
            what = f"at_epochs: of {epoch} epochs {recipe.name} will keep no weights"
            said = f"it trains {recipe.epochs} epochs and has keep_every: {recipe.keep_every}"
            raise BadInput(path, what, f"{said}; change these by 'epochs' and 'set', or at_epochs")


def _check_owner(run: Path, planned: Mapping[str, str]) -> None:
    """Raise BadInput if a run was made from another file of the same name that says something else.

    The same file may say something new, and then its run is made anew; another file's run is not to be lost.
    """
    try:
        command = shlex.split(json.loads((run / PROVENANCE).read_text("utf-8"))["command"])
        own = list(dropwhile(lambda word: word.startswith("-"), command[1:]))  # without -v
        before = own[1] if command[:1] == ["skelpipe"] and own[:1] == ["pretrain"] else planned["recipe"]
    except (OSError, ValueError, KeyError, IndexError):
        return
    if before != planned["recipe"] and _retold(before, planned["flags"]) not in (None, planned["content"]):
        what = f"was trained from {before}, which is another recipe than {planned['recipe']}"
        raise BadInput(run, what, "rename one of them, since folders are named after recipes; or use another --data")


def _retold(called: str, flags: str) -> str | None:
    """The content of a recipe under the flags of `skelpipe pretrain`, or None if it is no longer there."""
    from skelpipe.recipe import load_recipe

    words = shlex.split(flags)
    given = [(word, words[i + 1]) for i, word in enumerate(words) if word in ("--set", "--epochs")]
    epochs = next((int(value) for word, value in given if word == "--epochs"), None)
    try:
        return _content(load_recipe(called, [value for word, value in given if word == "--set"], epochs))
    except BadInput:
        return None


def _folder_name(stem: str, differing: Mapping[str, Any]) -> str:
    """A name for a recipe's folder: different changes give different names."""
    return _shortened("+".join([stem, *(f"{key}={_word(value)}" for key, value in sorted(differing.items()))]))


def _shortened(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 9]}-{_digest(name)[:8]}"


def _word(value: Any) -> str:
    """A setting's value in letters that folder names may have; a short digest follows where something was lost."""
    items = value if isinstance(value, list) else [value]
    text = ",".join(map(_text, items))
    plain = re.sub(r"[^A-Za-z0-9_.,-]", "", text)
    if plain == text and not any("," in _text(item) for item in items):
        return text
    return f"{plain[:30]}-{_digest(_text(value))[:8]}"


# Stages of a recipe -------------------------------------------------------------------------------------------------


def _plan_runs(
    config: dict[str, Any], pipeline: Pipeline, experiment: Experiment, home: str, clips: str, top: str, seed: int
) -> dict[str, str]:
    """Plan the pretraining of an experiment; returns stream -> the run that has its encoder."""
    runs: dict[str, str] = {}
    for stream in pipeline.streams_of(experiment.stem):
        trained = "3s" if experiment.recipe.streams else stream
        runs[stream] = f"{top}/{trained}-s{seed}/run"
        config["runs"][runs[stream]] = {
            "recipe": experiment.called,
            "content": experiment.content,
            "clips": clips,
            "flags": _shell(["--split", home, "--stream", trained, "--seed", seed, *experiment.flags]),
        }
    return runs


def _protocols(pipeline: Pipeline, experiment: Experiment) -> list[str]:
    from skelpipe.evaluate import PROTOCOLS

    if experiment.recipe.supervised:
        return ["supervised"]
    return [p for p in PROTOCOLS if p in pipeline.protocols_of(experiment.stem)]


def _measure(pipeline: Pipeline, experiment: Experiment, split: str, epoch: int, seed: int) -> dict[str, Any]:
    """What an accuracy is of, but for the stream."""
    how: dict[str, dict[str, Any]] = {"linear": {"probe": pipeline.probe}, "knn": {"k": pipeline.k}}
    return {
        "recipe": experiment.recipe.name,
        "split": split,
        "pretrained_on": pipeline.pretrain_on or split,
        "epochs": epoch,
        "seed": seed,
        "changes": dict(experiment.changes),
        "protocols": {protocol: how.get(protocol, {}) for protocol in _protocols(pipeline, experiment)},
    }


def _evaluation(pipeline: Pipeline, experiment: Experiment, home: str, split: str, epoch: int) -> tuple[str, list[Any]]:
    """The folder name of an evaluation, and its flags: what is at its default stands in neither."""
    from skelpipe.datasets import find_split

    recipe, protocols = experiment.recipe, _protocols(pipeline, experiment)
    parts: list[tuple[str, list[Any]]] = [("+".join(protocols), [w for p in protocols for w in ("--protocol", p)])]
    if not recipe.supervised:
        parts += [(pipeline.probe, ["--probe", pipeline.probe])] if pipeline.probe != "reference" else []
        parts += [(f"k{pipeline.k}", ["--k", pipeline.k])] if pipeline.k != 1 else []
        parts += [("best", ["--best-on-test"])] if pipeline.best_on_test else []
    for key, value in sorted(_options(pipeline).items()):
        if key.partition(".")[0] in protocols:
            parts.append((f"{key}={_word(value)}", ["--set", f"{key}={_text(value)}"]))
    if split != home:
        dataset = pipeline.serving(split)
        where = split if dataset == find_split(split).datasets[0].name else f"{split}-{dataset}"
        parts.append((where, ["--split", split]))
    if epoch != recipe.epochs:
        parts.append((f"e{epoch:04d}", ["--epoch", epoch]))
    return _shortened("-".join(name for name, _ in parts)), [flag for _, flags in parts for flag in flags]


def _options(pipeline: Pipeline) -> dict[str, Any]:
    """The options of protocols that are not at their defaults, by their dotted key."""
    from skelpipe.evaluate import read_options

    changed: dict[str, Any] = {}
    for protocol, own in read_options(pipeline.options, pipeline.all_protocols).items():
        usual = type(own)().model_dump(mode="json")
        values = own.model_dump(mode="json")
        changed |= {f"{protocol}.{key}": value for key, value in values.items() if value != usual[key]}
    return changed


def _fusion(pipeline: Pipeline, streams: Sequence[Stream], evaluation: str) -> tuple[str, str, str]:
    """The folder name of a fusion of evaluations of that name, its stream's name, and its flags."""
    usual = all(pipeline.fusion[stream] == WEIGHTS[stream] for stream in streams)
    parts = [stream if usual else f"{stream}{pipeline.fusion[stream]:g}" for stream in streams]
    whole = usual and len(streams) == len(STREAMS)
    told = "+".join(parts)
    weights = _shell(["--weights", ",".join(f"{pipeline.fusion[stream]:g}" for stream in streams)])
    return (evaluation, "3s", weights) if whole else (f"{evaluation}-{told}", told, weights)


def _shell(words: Iterable[object]) -> str:
    return shlex.join(str(word) for word in words)


def _text(value: Any) -> str:
    """A value in YAML, on one line."""
    text: str = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=math.inf)
    return text.removesuffix("\n").removesuffix("\n...")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
