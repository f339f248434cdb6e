"""How much memory and time each stage asks a batch system for.

The figures below were measured; beside each stands where. What is asked for is more by a factor, and with every attempt
once more: a job that took too much goes out again with twice, then three times as much, and a pretraining goes on from
its checkpoint.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from skelpipe.pipeline.stages import protocols_of
from skelpipe.recordings import NATIVE

if TYPE_CHECKING:
    from skelpipe.pipeline.experiments import Experiment
    from skelpipe.pipeline.spec import Pipeline, Synth
    from skelpipe.training.recipe import ClipsNeeded, Recipe

FACTOR = 2.0  # what is asked for over what was measured: memory, and time of computing
SLOWER = 10.0  # the same for time where files are read: those of a cluster may lie on a disk that everybody uses
START = 15  # minutes to start on such a disk
STEP = 500  # MB: memory is asked for in whole ones
GPU = 16  # threads that a GPU is counted for: an assumption, as nothing was measured on one
NATIVE_FRAMES = 300  # of a clip that keeps its own length: the longest of NTU RGB+D
FRAME = 3 * 25 * 2 * 4 / 1e6  # MB: coordinates, joints, bodies, float32; a clip of 50 frames has 30 KB
MINUTE = 60_000  # ms

# tests/bench/growth.py up to 114,480 recordings (README, How fast): MB at any size, and CPU ms a recording.
INGEST_MB, INGEST_MS = 490.0, 1.6
PREPARE_MB, PREPARE_MS = 370.0, 0.32
# On one thread, ST-GCN as released, two views of 50 frames, batches of 128.
BATCH, BASE, VIEWS = 128, 50, 2
TRAIN_MB, TRAIN_MS = 2000.0, 52.0
EVALUATE_MB, EVALUATE_MS = 1000.0, 20.0
EVALUATED = 1.0
SMALL_MB = 500.0
REPORT_MB, REPORT_MINUTES = 1000.0, 3.0


class Size(NamedTuple):
    """How many clips there are, and what all of them take in memory, MB."""

    clips: int
    mb: float


def size_of(dataset: str, pipeline: Pipeline, needed: ClipsNeeded | None) -> Size:
    """The size of clips: all that were published of a data set, or as many as are written first."""
    from skelpipe.training.clips_needed import find

    frames = pipeline.frames if needed is None else needed.frames or find(needed).frames
    clips = _count(dataset, pipeline.synth)
    return Size(clips, clips * FRAME * (NATIVE_FRAMES if frames == NATIVE else int(frames or pipeline.frames)))


def plan_needs(
    config: dict[str, Any], pipeline: Pipeline, sizes: Mapping[str, Size], trained: Mapping[str, Experiment]
) -> None:
    """Add to a plan what its stages need, but for the report.

    Args:
        sizes: clips folder -> its size.
        trained: the folder of a run or an evaluation -> what is trained or evaluated.
    """
    needs = {}
    for kind in ("synth", "stores", "store_parts"):
        for folder, stage in config[kind].items():
            minutes = SLOWER * INGEST_MS * _count(stage["dataset"], pipeline.synth) / MINUTE
            needs[folder] = _needs("synth" if kind == "synth" else _rule(stage, "ingest"), INGEST_MB, minutes, pipeline)
    for whole, stage in config["clips"].items():
        minutes = SLOWER * PREPARE_MS * sizes[whole].clips / MINUTE
        needs[whole] = _needs(_rule(stage, "prepare"), PREPARE_MB, minutes, pipeline)
        needs |= {part: _needs("prepare", PREPARE_MB, minutes, pipeline) for part in stage.get("parts", ())}
    for folder, stage in config["runs"].items():
        size, recipe = sizes[stage["clips"]], trained[folder].recipe
        mb = TRAIN_MB * recipe.batch_size / BATCH + size.mb * (0.5 if pipeline.half_storage else 1.0)
        needs[folder] = _needs("pretrain", mb, _steps(recipe, size, recipe.epochs) / _threads(pipeline), pipeline)
    for folder, stage in config["evaluations"].items():
        size, experiment = sizes[stage["clips"]], trained[folder]
        epochs = sum(_epochs(protocol, pipeline) for protocol in protocols_of(pipeline, experiment))
        minutes = EVALUATE_MS * size.clips / MINUTE + _steps(experiment.recipe, size, epochs)
        needs[folder] = _needs("evaluate", TRAIN_MB + EVALUATED * size.mb, minutes / _threads(pipeline), pipeline)
    needs |= {folder: _needs("fuse", SMALL_MB, 0, pipeline) for folder in config["fusions"]}
    config["needs"] |= needs


def report_needs(evaluations: int, pipeline: Pipeline) -> dict[str, int]:
    """What a report of so many evaluations needs."""
    return _needs("report", REPORT_MB, SLOWER * REPORT_MINUTES * evaluations, pipeline)


def _needs(rule: str, mb: float, minutes: float, pipeline: Pipeline) -> dict[str, int]:
    """What a job asks for at its first attempt: MB and minutes, unless the pipeline states them."""
    reckoned = {"mem_mb": math.ceil(FACTOR * mb / STEP) * STEP, "runtime": math.ceil(START + FACTOR * minutes)}
    stated = getattr(pipeline.resources, rule).model_dump(exclude_none=True)
    return {**reckoned, **stated}


def _rule(stage: Mapping[str, Any], otherwise: str) -> str:
    return "join" if "parts" in stage else otherwise


def _count(dataset: str, synth: Synth | None) -> int:
    from skelpipe.recordings.datasets import DATASETS

    if synth is None:
        return DATASETS[dataset].clips
    from skelpipe.recordings.synthetic.plan import FRAMES, checked, plan_files

    frames = synth.frames or FRAMES
    asked = synth.model_dump(exclude={"frames", "seed"} if dataset.startswith("ntu") else {"frames", "seed", "setups"})
    return plan_files(dataset, checked(dataset, asked, frames, synth.seed), frames, synth.seed).clips


def _threads(pipeline: Pipeline) -> int:
    return GPU if pipeline.gpus else pipeline.threads


def _steps(recipe: Recipe, size: Size, epochs: float) -> float:
    """Minutes of training on one thread."""
    clips = epochs * size.clips if recipe.iterations is None else recipe.iterations * recipe.batch_size
    return TRAIN_MS * clips * (size.mb / size.clips / (FRAME * BASE)) * len(recipe.views) / VIEWS / MINUTE


def _epochs(protocol: str, pipeline: Pipeline) -> float:
    """How many epochs a protocol trains the whole encoder for; 0 if it only reads features."""
    from skelpipe.evaluate.protocols import read_options

    own = read_options(pipeline.options, pipeline.all_protocols).get(protocol)
    return getattr(own, "epochs", 0) * getattr(own, "draws", 1) * sum(getattr(own, "fractions", (1.0,)))
