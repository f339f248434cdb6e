"""Pipelines: which data, recipes, streams and protocols make one benchmark, and the run of all their stages."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from skelpipe.errors import BadInput
from skelpipe.outputs import DONE, read_digest
from skelpipe.resources import find
from skelpipe.settings import Settings, check, hint, load_yaml, override

# What a stage writes for the same inputs and flags changed: raise its number, and pipelines run it again. (Snakemake
# cannot see changed package code.)
VERSIONS = {
    "synth": 1, "ingest": 1, "prepare": 1, "pretrain": 1, "evaluate": 1, "fuse": 1, "report": 1,
}  # fmt: skip

WHERE_TO_ASK = {
    "ntu": "its owners give it on their request form (ROSE Lab, Nanyang Technological University)",
    "pku": "its owners give it by mail (STRUCT group, Peking University)",
}
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")


Stream = Literal["joint", "motion", "bone"]


def _usual_weights() -> dict[Stream, float]:
    return {"joint": 0.6, "motion": 0.4, "bone": 0.6}


class Synth(Settings):
    """How much synthetic raw data a pipeline writes for itself; the keys are the options of `skelpipe synth`."""

    actions: int | None = None
    subjects: int | None = None
    setups: int | None = None
    replications: int | None = None
    frames: tuple[int, int] | None = None
    seed: int = 0


class Pipeline(Settings):
    """One benchmark: the content of a pipeline YAML.

    Attributes:
        title: a line for people.
        dataset: key of `datasets.DATASETS`, the store that is read (one NTU-120 store serves xsub60 too).
        split: key of `datasets.SPLITS`.
        frames, bodies, centre, turn: the options of `skelpipe prepare`.
        recipes: names of shipped recipes, or paths relative to the pipeline file.
        streams, seeds: every recipe is pretrained on each stream with each seed.
        epochs: replaces the recipes' own number.
        set: recipe name -> KEY=VALUE changes of that recipe.
        precision, half_storage: the options of `skelpipe pretrain`.
        protocols, probe, k, best_on_test: the options of `skelpipe evaluate`.
        fusion: stream -> its weight in the fused scores.
        threads: CPU threads of one pretraining or evaluation.
        slots: how many of these may run at once, if the user passes no --resources; one stands for one GPU.
        synth: writes synthetic raw data first; None reads real recordings.
    """

    title: str
    dataset: str
    split: str
    frames: int = Field(50, ge=2)
    bodies: Literal["first", "energy", "denoise"] = "first"
    centre: bool = True
    turn: bool = True
    recipes: tuple[str, ...] = Field(min_length=1)
    streams: tuple[Stream, ...] = Field(("joint", "motion", "bone"), min_length=1)
    seeds: tuple[int, ...] = Field((0,), min_length=1)
    epochs: int | None = Field(None, ge=0)
    set: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    precision: Literal["fp32", "bf16"] = "fp32"
    half_storage: bool = False
    protocols: tuple[str, ...] = Field(("linear", "knn"), min_length=1)
    probe: Literal["reference", "paper", "lbfgs"] = "reference"
    k: int = Field(1, ge=1)
    best_on_test: bool = False
    fusion: dict[Stream, float] = Field(default_factory=_usual_weights)
    threads: int = Field(8, ge=1)
    slots: int = Field(1, ge=1)
    synth: Synth | None = None

    @field_validator("dataset")
    @classmethod
    def _known_dataset(cls, value: str) -> str:
        from skelpipe.datasets import DATASETS

        return _known(value, DATASETS)

    @field_validator("split")
    @classmethod
    def _known_split(cls, value: str) -> str:
        from skelpipe.datasets import SPLITS

        return _known(value, SPLITS)

    @field_validator("recipes", "streams", "seeds", "protocols")
    @classmethod
    def _no_twins(cls, value: tuple[Any, ...]) -> tuple[Any, ...]:
        stems = [Path(item).stem if isinstance(item, str) else item for item in value]
        if len(set(stems)) < len(stems):
            raise ValueError("names something twice")
        return value

    @field_validator("seeds")
    @classmethod
    def _no_negative_seed(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if min(value) < 0:
            raise ValueError("a seed is at least 0")
        return value

    @model_validator(mode="after")
    def _split_fits(self) -> Pipeline:
        from skelpipe.datasets import fitting_splits

        if self.split not in (fitting := fitting_splits(self.dataset)):
            raise ValueError(f"split: {self.split} cannot be made from {self.dataset}, which has {', '.join(fitting)}")
        return self

    @model_validator(mode="after")
    def _weights_for_all(self) -> Pipeline:
        weights = [self.fusion.get(stream) for stream in self.streams]
        if len(self.streams) > 1 and (None in weights or min(w or 0 for w in weights) < 0 or not any(weights)):
            raise ValueError("fusion: every stream needs a weight, at least 0 and not all 0")
        return self


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
    return check(Pipeline, override(load_yaml(path), overrides), path), path


def plan(pipeline: Pipeline, path: Path, data: Path, raw: Path | None = None) -> dict[str, Any]:
    """What the Snakefile needs to know: paths relative to `data`, and the flags of every stage as shell text.

    Raises:
        BadInput: a recipe or protocol is wrong, or there are neither recordings nor a store made from them.
    """
    _check_protocols(pipeline, path)
    name = path.stem
    source = name if pipeline.synth else pipeline.dataset
    store, clips = f"stores/{source}.zarr", f"stores/{source}-{_clips_name(pipeline)}.zarr"
    flags = _flags(pipeline)
    listing = None
    if pipeline.synth:
        raw_text = f"raw/{name}"
    else:
        folder = Path(os.path.abspath(raw)) if raw else data / "raw" / pipeline.dataset
        raw_text = str(folder) if raw else f"raw/{pipeline.dataset}"
        listing = list_raw(folder)
        if listing is None:
            _need_store(pipeline, folder, data / store)
            del flags["ingest"]
    return {
        "pipeline": name,
        "dataset": pipeline.dataset,
        "split": pipeline.split,
        "raw": raw_text,
        "listing": listing,
        "store": store,
        "clips": clips,
        "recipes": _recipes(pipeline, path),
        "streams": list(pipeline.streams),
        "seeds": list(pipeline.seeds),
        "flags": flags,
        "threads": pipeline.threads,
        "slots": pipeline.slots,
        "versions": VERSIONS,
    }


def list_raw(folder: Path) -> str | None:
    """A digest over the names and sizes of all files below `folder`; None if there are none.

    Times are left out, so that copying recordings to another disk does not read them in again, and contents too: it is
    up to 114,480 files, and no stage changes them.
    """
    files = []
    for where, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [f for f in folders if not f.startswith(".")]
        paths = (Path(where, n) for n in names if not n.startswith("."))
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
        data: the folder of raw/, stores/, runs/ and logs/.
        raw: where the recordings are, if not in `data`/raw/<dataset>.
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
    config = plan(pipeline, path, data, None if raw is None else Path(raw))
    if command:
        config["command"] = list(command)
    dry_run = dry_run or not {"-n", "--dry-run", "--dryrun"}.isdisjoint(snakemake_args)
    if dry_run and not data.is_dir():
        # Everything is still to do there as here, and a plan leaves no folder behind.
        with tempfile.TemporaryDirectory() as empty:
            dag.show_plan(pipeline.title, dag.survey(Path(empty), config, snakemake_args, verbose), data)
        return 0
    with dag.locked(data):
        stages = dag.survey(data, config, snakemake_args, verbose)
        dag.show_plan(pipeline.title, stages, data)
        if dry_run:
            return 0
        status = dag.execute(data, config, stages, snakemake_args, verbose)
    report = data / "runs" / config["pipeline"] / "report"
    if status == 0 and (report / DONE).is_file():
        dag.show_results(results(config, data), report)
    return status


def results(config: dict[str, Any], data: Path) -> list[dict[str, Any]]:
    """What `metrics.json` says of every evaluation and fusion of a plan that is there, in the plan's order."""
    found = []
    for recipe in config["recipes"]:
        for part in [*(f"{stream}-s{{}}/eval" for stream in config["streams"]), "fused-s{}"]:
            folders = [data / "runs" / config["pipeline"] / recipe / part.format(seed) for seed in config["seeds"]]
            metrics = [json.loads((f / "metrics.json").read_text("utf-8")) for f in folders if (f / DONE).is_file()]
            if metrics:
                found.append({"recipe": recipe, "stream": metrics[0]["stream"], "metrics": metrics})
    return found


def _known(value: str, known: Iterable[str]) -> str:
    if value not in known:
        raise ValueError(f"unknown name{hint(value, known)}, known are {', '.join(known)}")
    return value


def _check_protocols(pipeline: Pipeline, path: Path) -> None:
    # Found now and not after days of pretraining.
    from skelpipe.evaluate import PROTOCOLS

    for protocol in pipeline.protocols:
        if protocol not in PROTOCOLS:
            what = f"protocols: unknown protocol {protocol!r}{hint(protocol, PROTOCOLS)}"
            raise BadInput(path, what, f"known are {', '.join(PROTOCOLS)}")


def _clips_name(pipeline: Pipeline) -> str:
    """The part of a clips folder's name that tells its options, so that pipelines with the same ones share it."""
    policy: list[str] = [] if pipeline.bodies == "first" else [pipeline.bodies]
    policy += [] if pipeline.centre else ["uncentred"]
    policy += [] if pipeline.turn else ["unturned"]
    return "-".join([str(pipeline.frames), *policy])


def _flags(pipeline: Pipeline) -> dict[str, str]:
    prepare: list[Any] = ["--frames", pipeline.frames, "--bodies", pipeline.bodies]
    prepare += [] if pipeline.centre else ["--no-centre"]
    prepare += [] if pipeline.turn else ["--no-turn"]
    evaluate: list[Any] = [flag for protocol in pipeline.protocols for flag in ("--protocol", protocol)]
    evaluate += ["--probe", pipeline.probe, "--k", pipeline.k, *(["--best-on-test"] if pipeline.best_on_test else [])]
    weights = ",".join(f"{pipeline.fusion[stream]:g}" for stream in pipeline.streams if stream in pipeline.fusion)
    flags: dict[str, list[Any]] = {
        "ingest": [],
        "prepare": prepare,
        "evaluate": evaluate,
        "fuse": ["--weights", weights],
    }
    if pipeline.synth:
        amounts = pipeline.synth.model_dump(exclude_none=True)
        frames = amounts.pop("frames", ())
        flags["synth"] = [part for key, value in amounts.items() for part in (f"--{key}", value)]
        flags["synth"] += ["--frames", *frames] if frames else []
    return {stage: _shell(words) for stage, words in flags.items()}


def _shell(words: Iterable[object]) -> str:
    return shlex.join(str(word) for word in words)


def _recipes(pipeline: Pipeline, path: Path) -> dict[str, dict[str, str]]:
    """Recipe name -> how it is called, a digest of what it says (comments and layout left out), and its flags."""
    from skelpipe.recipe import load_recipe

    found = {}
    for entry in pipeline.recipes:
        is_path = entry.endswith(".yaml") or "/" in entry
        file = find("models", path.parent / entry if is_path else entry)
        changes = list(pipeline.set.get(file.stem, ()))
        recipe = load_recipe(file, changes, pipeline.epochs)  # a mistake is found now and not hours later
        flags: list[Any] = ["--split", pipeline.split, "--precision", pipeline.precision]
        flags += ["--half-storage"] if pipeline.half_storage else []
        flags += [] if pipeline.epochs is None else ["--epochs", pipeline.epochs]
        flags += [part for change in changes for part in ("--set", change)]
        content = recipe.model_dump_json(exclude_unset=True, exclude={"name", "title", "source"})
        found[file.stem] = {
            "path": os.path.abspath(file) if is_path else entry,
            "content": hashlib.sha256(content.encode()).hexdigest(),
            "flags": _shell(flags),
        }
        if not NAME.fullmatch(file.stem):
            raise BadInput(file, "its name also names folders", "use letters, digits, '_', '-', '+' and '.' only")
    unknown = sorted(pipeline.set.keys() - found)
    if unknown:
        what = f"set.{unknown[0]}: is not one of its recipes{hint(unknown[0], found)}"
        raise BadInput(path, what, f"they are {', '.join(found)}")
    return found


def _need_store(pipeline: Pipeline, folder: Path, store: Path) -> None:
    if read_digest(store) is None:
        owners = WHERE_TO_ASK[pipeline.dataset.rstrip("0123456789")]
        what = f"holds no recordings of {pipeline.dataset}"
        raise BadInput(folder, what, f"put its files or .zip archives there, or name their folder by --raw; {owners}")
