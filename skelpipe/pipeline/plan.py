"""Pipelines: which data, recipes, streams and protocols make one benchmark or table, and the run of all their stages.

Folders are named by what is in them and not by who asked: pipelines that need the same pretraining share it.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skelpipe.errors import BadInput, hint
from skelpipe.outputs.ancestry import PROVENANCE
from skelpipe.outputs.digests import read_digest
from skelpipe.paper.systems import missing
from skelpipe.pipeline.experiments import check_owner, list_experiments, shortened
from skelpipe.pipeline.needs import plan_needs, report_needs, size_of
from skelpipe.pipeline.own import check_batch, described, listing_of, raw_of, settle
from skelpipe.pipeline.spec import Pipeline, Synth, is_described
from skelpipe.pipeline.stages import changed_options, measure_of, name_evaluation, name_fusion, plan_runs, shell_words
from skelpipe.recordings.datasets.rules import folder_word
from skelpipe.resources import find
from skelpipe.settings import check, load_yaml

if TYPE_CHECKING:
    from skelpipe.pipeline.experiments import Experiment
    from skelpipe.training.recipe import ClipsNeeded


# What a stage writes for the same inputs and flags changed: raise its number, and pipelines run it again. (Snakemake
# cannot see changed package code.)
VERSIONS = {
    "synth": 1, "ingest": 2, "prepare": 3, "join": 2, "pretrain": 2, "evaluate": 4, "fuse": 3, "report": 6,
}  # fmt: skip

# What a plan holds: stages by the folder that they make; `measures`: what the accuracies in a folder are of; `needs`:
# what the stage that makes it asks a batch system for.
KINDS = (
    "synth", "store_parts", "stores", "clips_parts", "clips", "runs", "evaluations", "fusions", "measures", "reports",
    "needs",
)  # fmt: skip
WHERE_TO_ASK = {
    "ntu": "its owners give it on their request form (ROSE Lab, Nanyang Technological University)",
    "pku": "its owners give it by mail (STRUCT group, Peking University)",
    "nw-ucla": "it is all_sqe.zip, to which CTR-GCN's README links (recorded by Wang, Nie, Xia, Wu and Zhu, CVPR 2014)",
}


def plan(
    pipeline: Pipeline,
    path: Path,
    data: Path,
    raw: Path | None = None,
    lacking: list[BadInput] | None = None,
    above: tuple[Path, ...] = (),
) -> dict[str, Any]:
    """What the Snakefile needs to know: each kind of stage -> the folder that it makes -> from what, by which flags.

    Folders are relative to `data`; flags are shell text. They depend on what is made alone and not on the pipeline, so
    that one pipeline finds done what another one did.

    Args:
        lacking: takes what is said of recordings that are not there, so that a plan can be shown without them.
        above: the files of the pipelines that it is run together for.

    Raises:
        BadInput: a recipe or protocol is wrong, or there are neither recordings nor a store made from them.
    """
    config: dict[str, Any] = {
        "pipeline": path.stem, "versions": VERSIONS, "threads": pipeline.threads, "slots": pipeline.slots,
        "gpus": pipeline.gpus, "loggers": [*pipeline.loggers],
        "missing": [entry for entry in pipeline.recipes if entry in missing()],
        **{kind: {} for kind in KINDS},
    }  # fmt: skip
    if not pipeline.pipelines:
        pipeline = settle(pipeline, path, data, raw)
    if pipeline.pipelines:
        _plan_together(config, pipeline, data, raw, lacking, (*above, path.resolve()))
    else:
        _plan_stages(config, pipeline, path, data, raw, lacking)
    shown = [
        *(["--paper", pipeline.paper] if pipeline.paper else []),
        *([] if pipeline.sentences else ["--no-sentences"]),
    ]
    config["reports"][f"reports/{path.stem}"] = {
        "parts": [*config["evaluations"], *config["fusions"]],
        "flags": shell_words(
            ["--title", pipeline.title, *shown, *(w for name in pipeline.figures for w in ("--figure", name))]
        ),
    }
    config["needs"][f"reports/{path.stem}"] = report_needs(len(config["evaluations"]), pipeline)
    return config


def _plan_together(
    config: dict[str, Any],
    pipeline: Pipeline,
    data: Path,
    raw: Path | None,
    lacking: list[BadInput] | None,
    above: tuple[Path, ...],
) -> None:
    """Plan all stages of the pipelines that are run together, but for their reports."""
    given = pipeline.model_dump(exclude_unset=True, exclude={"title", "paper", "pipelines", "figures"})
    parts = {}
    for name in pipeline.pipelines:
        file = find("pipelines", name)
        if file.resolve() in above:
            raise BadInput(above[0], f"pipelines: {name} would be run together with itself", "leave it out")
        parts[file] = check(Pipeline, {**load_yaml(file), **given}, file)
    # A data set that a YAML describes names its own recordings.
    published = [part for part in parts.values() if not part.synth and not is_described(part.dataset)]
    _check_raw(raw, {d: None for part in published for d in part.datasets}, config, data)
    for file, part in parts.items():
        own = plan(part, file, data, raw, lacking, above)
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
    from skelpipe.training.clips_needed import stated

    _check_protocols(pipeline, path)
    _check_synth(pipeline, path)
    experiments = list_experiments(pipeline, path)
    needs = {experiment.name: stated(experiment.recipe) for experiment in experiments}
    clips_of = _plan_clips(config, pipeline, list(needs.values()), data, raw, lacking)
    trained: dict[str, Experiment] = {}
    for (home, splits), experiment, seed in itertools.product(pipeline.homes.items(), experiments, pipeline.seeds):
        check_batch(pipeline, path, home, experiment.stem, experiment.recipe.batch_size)
        kind = _clips_name(pipeline, needs[experiment.name])
        clips = {dataset: clips_of[dataset, kind] for dataset in pipeline.datasets}
        top = f"runs/{Path(clips[pipeline.serving(home)]).stem}/{shortened(folder_word(home))}/{experiment.name}"
        runs = plan_runs(config, pipeline, experiment, home, clips[pipeline.serving(home)], top, seed)
        trained |= dict.fromkeys(runs.values(), experiment)
        for split, epoch in itertools.product(splits, pipeline.at_epochs or (experiment.recipe.epochs,)):
            name, flags = name_evaluation(pipeline, experiment, home, split, epoch)
            parts, facts = {}, measure_of(pipeline, experiment, split, epoch, seed)
            for stream, run in runs.items():
                parts[stream] = f"{top}/{stream}-s{seed}/{name}"
                own = ["--stream", stream] if experiment.recipe.streams else []
                config["evaluations"][parts[stream]] = {
                    "run": run,
                    "clips": clips[pipeline.serving(split)],
                    "flags": shell_words([*flags, *own, "--seed", seed]),
                }
                config["measures"][parts[stream]] = {**facts, "stream": stream}
                trained[parts[stream]] = experiment
            if len(parts) > 1:
                fused, stream, weights = name_fusion(pipeline, list(runs), name)
                folder = f"{top}/fused-s{seed}/{fused}"
                config["fusions"][folder] = {"parts": list(parts.values()), "flags": weights}
                config["measures"][folder] = {**facts, "stream": stream}
    for folder in config["runs"]:
        check_owner(data / folder, config["runs"][folder])
    sizes = {
        clips_of[dataset, _clips_name(pipeline, needed)]: size_of(dataset, pipeline, needed)
        for dataset, needed in itertools.product(pipeline.datasets, needs.values())
    }
    plan_needs(config, pipeline, sizes, trained)


def list_raw(folder: Path) -> str | None:
    """A digest over the names and sizes of all files below `folder`, or of that file; None if there are none.

    Times are left out, so that copying recordings to another disk does not read them in again, and contents too: it is
    up to 114,480 files, and no stage changes them.
    """
    files = [f"{folder.name}\0{folder.stat().st_size}\n"] if folder.is_file() else []
    for where, folders, found in os.walk(folder, followlinks=True):
        folders[:] = [f for f in folders if not f.startswith(".")]
        paths = (Path(where, n) for n in found if not n.startswith("."))
        files += [f"{p.relative_to(folder).as_posix()}\0{p.stat().st_size}\n" for p in paths if p.exists()]
    told = "".join(sorted(files)).encode("utf-8", "surrogateescape")  # a name may be no text in any encoding
    return hashlib.sha256(told).hexdigest() if files else None


def _check_protocols(pipeline: Pipeline, path: Path) -> None:
    # Found now and not after days of pretraining.
    from skelpipe.evaluation.protocols import PROTOCOLS

    for protocol in pipeline.all_protocols:
        if protocol not in PROTOCOLS:
            what = f"protocols: unknown protocol {protocol!r}{hint(protocol, PROTOCOLS)}"
            raise BadInput(path, what, f"known are {', '.join(PROTOCOLS)}")
    try:
        changed_options(pipeline)
    except BadInput as error:
        words = ["options:", *error.where.split()[1:], error.what]  # without its --set
        raise BadInput(path, " ".join(words), error.remedy) from None
    if "transfer" in pipeline.all_protocols:
        for home, splits in pipeline.homes.items():
            if pipeline.serving(home) in map(pipeline.serving, splits):
                what = f"protocols: transfer is between data sets, and {home} is of {pipeline.serving(home)} as well"
                raise BadInput(path, what, "name a split of another data set by pretrain_on, or use finetune")


def _check_synth(pipeline: Pipeline, path: Path) -> None:
    from skelpipe.recordings.synthetic.plan import FRAMES, checked

    if (synth := pipeline.synth) is None:
        return
    if pipeline.own is not None:
        raise BadInput(path, "synth: is of published data sets", "leave it out")
    for dataset in pipeline.datasets:
        asked: dict[str, int | None] = {k: v for k, v in _amounts(synth, dataset).items() if k != "seed"}
        try:
            checked(dataset, asked, synth.frames or FRAMES, synth.seed)
        except BadInput as error:
            option, _, value = error.where.removeprefix("--").partition(" ")
            raise BadInput(path, f"synth.{option}: {value} {error.what}", error.remedy) from None


# Data ---------------------------------------------------------------------------------------------------------------
def _plan_clips(
    config: dict[str, Any],
    pipeline: Pipeline,
    needs: Sequence[ClipsNeeded | None],
    data: Path,
    raw: Path | None,
    lacking: list[BadInput] | None,
) -> dict[tuple[str, str], str]:
    """Plan the way from recordings to clips of every data set; returns (data set, kind of clips) -> clips folder.

    Each kind of clips that recipes need is made once.
    """
    found, name = {}, config["pipeline"]
    _check_raw(raw, () if pipeline.synth else pipeline.datasets, config, data)
    for dataset in pipeline.datasets:
        # Synthetic recordings are the pipeline's own, and named after it.
        alone = name if len(pipeline.datasets) == 1 else f"{name}-{dataset}"
        source = alone if pipeline.synth else dataset
        store = f"stores/{source}.zarr"
        if pipeline.synth:
            recordings, listing = f"raw/{source}", None
            config["synth"][recordings] = {"dataset": dataset, "flags": _synth_flags(pipeline.synth, dataset)}
        else:
            folder, told = raw_of(pipeline, dataset, data, raw), described(pipeline)
            recordings, listing = str(folder) if raw or told else f"raw/{dataset}", list_raw(folder)
            listing = listing if told is None else listing_of(told, listing)
            if listing is None and read_digest(data / store) is None:
                problem = _no_recordings(dataset, folder)
                if lacking is None:
                    raise problem
                lacking += [problem] if str(problem) not in map(str, lacking) else []
                listing = "none"
        if pipeline.synth or listing:
            word = dataset if pipeline.own is None else str(pipeline.dataset)
            config["stores"][store] = {"dataset": word, "raw": recordings, "listing": listing}
        for needed in needs:
            kind = _clips_name(pipeline, needed)
            found[dataset, kind] = f"stores/{source}-{kind}.zarr"
            config["clips"][found[dataset, kind]] = {"store": store, "flags": _prepare_flags(pipeline, needed)}
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
    return wanted if read_digest(folder) is None else max(1, len(part_digests(folder)))


def part_digests(folder: Path) -> list[str]:
    """The digests of the parts that a folder was joined from."""
    try:
        inputs: dict[str, Any] = json.loads((folder / PROVENANCE).read_text("utf-8"))["inputs"]
        return [str(part["digest"]) for role, part in inputs.items() if role.startswith("part ")]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []


def _clips_name(pipeline: Pipeline, needed: ClipsNeeded | None) -> str:
    """The part of a clips folder's name that tells its options, so that pipelines with the same ones share it."""
    if needed is not None:
        from skelpipe.training.clips_needed import folder_words

        return shortened("-".join(folder_words(needed)))
    policy: list[str] = [] if pipeline.bodies == "first" else [pipeline.bodies]
    policy += [] if pipeline.centre else ["uncentred"]
    policy += [] if pipeline.turn else ["unturned"]
    return "-".join([str(pipeline.frames), *policy])


def _prepare_flags(pipeline: Pipeline, needed: ClipsNeeded | None) -> str:
    if needed is not None:
        from skelpipe.training.clips_needed import prepare_words

        return shell_words(prepare_words(needed))
    flags: list[Any] = ["--frames", pipeline.frames, "--bodies", pipeline.bodies]
    flags += [] if pipeline.centre else ["--no-centre"]
    return shell_words([*flags, *([] if pipeline.turn else ["--no-turn"])])


def _amounts(synth: Synth, dataset: str) -> dict[str, int]:
    left_out = {"frames"} if dataset.startswith("ntu") else {"frames", "setups"}  # which PKU-MMD does not have
    return synth.model_dump(exclude_none=True, exclude=left_out)


def _synth_flags(synth: Synth, dataset: str) -> str:
    flags = [part for key, value in _amounts(synth, dataset).items() for part in (f"--{key}", value)]
    return shell_words([*flags, *(["--frames", *synth.frames] if synth.frames else [])])


def _no_recordings(dataset: str, folder: Path) -> BadInput:
    owners = WHERE_TO_ASK.get(dataset.rstrip("0123456789"), "any format of 'skelpipe ingest poses' will do")
    what = f"holds no recordings of {dataset}"
    return BadInput(folder, what, f"put its files or .zip archives there, or name their folder by --raw; {owners}")
