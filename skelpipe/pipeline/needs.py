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

if TYPE_CHECKING:
    from skelpipe.pipeline.experiments import Experiment
    from skelpipe.pipeline.spec import Pipeline
    from skelpipe.training.recipe import ClipsNeeded, Recipe

FACTOR = 2.0  # what is asked for over what was measured: memory, and time of computing
SLOWER = 10.0  # the same for time where files are read: those of a cluster may lie on a disk that everybody uses
START = 15  # minutes to start on such a disk
STEP = 500  # MB: memory is asked for in whole ones
GPU = 16  # threads that a GPU is counted for: an assumption, as nothing was measured on one
LONGEST = 300  # frames that a clip of its own length is taken to have: the longest of NTU RGB+D
FRAME = 3 * 25 * 2 * 4 / 1e6  # MB: coordinates, joints, bodies, float32; a clip of 50 frames has 30 KB
MINUTE = 60_000  # ms

# tests/bench/growth.py up to 114,480 recordings (docs: Benchmarks): CPU ms a recording, and for prepare MB at any size.
INGEST_MS = 1.6
PREPARE_MB, PREPARE_MS = 370, 0.32
# The watch of growth.py over single commands, 1,200 and 3,600 synthetic recordings of NTU RGB+D 120, CPUs alone, one
# thread (ingest: 8 processes). Steps are those of ST-GCN as released on 50 frames: SkeletonCLR at batches of 16, 64 and
# 128 takes 875, 1,504 and 2,295 MB, AimCLR, with a third view, 3,578 MB at 128; 64 clips take 3.3 s.
INGEST_MB = 770
JOIN_MB, SYNTH_MB, SYNTH_MS = 150, 100, 3.2
TRAIN_MB, TRAIN_VIEW_MB, TRAIN_MS = 670, 6.5, 52
FRAMES, VIEWS = 50, 2  # of these steps
EVALUATE_MB, EVALUATE_MS = 1020, 12.4  # of 1,200 clips
EVALUATED = 2.3  # times what further clips take in memory: 951 MB at 1,200 clips, 1,119 MB at 3,600
REPORT_MB, REPORT_MINUTES = 520, 1.5  # of two evaluations
WRAP_MB = 330  # two processes of Snakemake wrap a job in SLURM; each was ended there at 162 MB


class Size(NamedTuple):
    """How many clips there are, and of how many frames."""

    clips: int
    frames: int

    @property
    def mb(self) -> float:
        """What all of them take in memory, MB."""
        return self.clips * self.frames * FRAME


def size_of(dataset: str, pipeline: Pipeline, needed: ClipsNeeded | None) -> Size:
    """The size of clips: all that were published of a data set, or as many as are written first."""
    from skelpipe.training.clips_needed import find

    frames = pipeline.frames if needed is None else needed.frames or find(needed).frames
    return Size(_count(dataset, pipeline), frames if isinstance(frames, int) else LONGEST)


def plan_needs(
    config: dict[str, Any], pipeline: Pipeline, sizes: Mapping[str, Size], trained: Mapping[str, Experiment]
) -> None:
    """Add to a plan what its stages need, but for the report.

    Args:
        sizes: clips folder -> its size.
        trained: the folder of a run or an evaluation -> what is trained or evaluated.
    """
    needs: dict[str, dict[str, int]] = {}
    for kind in ("synth", "stores", "store_parts"):
        for folder, stage in config[kind].items():
            clips = _count(stage["dataset"], pipeline)
            needs[folder] = _of_data("synth" if kind == "synth" else _rule(stage, "ingest"), clips, pipeline)
    for whole, stage in config["clips"].items():
        needs[whole] = _of_data(_rule(stage, "prepare"), sizes[whole].clips, pipeline)
        needs |= {part: _of_data("prepare", sizes[whole].clips, pipeline) for part in stage.get("parts", ())}
    for folder, stage in config["runs"].items():
        needs[folder] = _of_run(sizes[stage["clips"]], trained[folder].recipe, pipeline)
    for folder, stage in config["evaluations"].items():
        needs[folder] = _of_evaluation(sizes[stage["clips"]], trained[folder], pipeline)
    needs |= {folder: _needs("fuse", JOIN_MB, 0, pipeline) for folder in config["fusions"]}
    config["needs"] |= needs


def report_needs(evaluations: int, pipeline: Pipeline) -> dict[str, int]:
    """What a report of so many evaluations needs."""
    return _needs("report", REPORT_MB, SLOWER * REPORT_MINUTES * evaluations, pipeline)


def _needs(rule: str, mb: float, minutes: float, pipeline: Pipeline) -> dict[str, int]:
    """What a job asks for at its first attempt, unless the pipeline states it.

    Args:
        mb, minutes: as measured.
    """
    reckoned = {
        "mem_mb": math.ceil((FACTOR * mb + WRAP_MB) / STEP) * STEP,
        "runtime": math.ceil(START + FACTOR * minutes),
    }
    stated: dict[str, int] = getattr(pipeline.resources, rule).model_dump(exclude_none=True)
    return reckoned | stated


def _of_data(rule: str, clips: int, pipeline: Pipeline) -> dict[str, int]:
    mb, milliseconds = {
        "synth": (SYNTH_MB, SYNTH_MS),
        "ingest": (INGEST_MB, INGEST_MS),
        "prepare": (PREPARE_MB, PREPARE_MS),
        "join": (JOIN_MB, INGEST_MS),
    }[rule]
    return _needs(rule, mb, SLOWER * milliseconds * clips / MINUTE, pipeline)


def _of_run(size: Size, recipe: Recipe, pipeline: Pipeline) -> dict[str, int]:
    mb = TRAIN_MB + _batch_mb(size, recipe.batch_size, len(recipe.views))
    mb += size.mb * (0.5 if pipeline.half_storage else 1.0)
    seen = recipe.epochs * size.clips if recipe.iterations is None else recipe.iterations * recipe.batch_size
    return _needs("pretrain", mb, _minutes(size, seen, len(recipe.views)) / _threads(pipeline), pipeline)


def _of_evaluation(size: Size, experiment: Experiment, pipeline: Pipeline) -> dict[str, int]:
    from skelpipe.evaluation.finetune import Training
    from skelpipe.evaluation.protocols import read_options

    run = protocols_of(pipeline, experiment)
    options = read_options(pipeline.options, [*pipeline.all_protocols, *run])
    own = [options[name] for name in run if name in options]
    mb, minutes = float(EVALUATE_MB), EVALUATE_MS * size.clips / MINUTE
    for training in own:
        if isinstance(training, Training):
            mb = max(mb, TRAIN_MB + _batch_mb(size, training.batch_size, VIEWS))
            rounds = getattr(training, "draws", 1) * sum(getattr(training, "fractions", (1.0,)))
            minutes += _minutes(size, rounds * training.epochs * size.clips, VIEWS) / _threads(pipeline)
    return _needs("evaluate", mb + EVALUATED * size.mb, minutes, pipeline)


def _batch_mb(size: Size, batch: int, views: int) -> float:
    return TRAIN_VIEW_MB * batch * views * size.frames / FRAMES


def _minutes(size: Size, clips: float, views: int) -> float:
    """Minutes of training on so many clips, on one thread."""
    return TRAIN_MS * clips * size.frames / FRAMES * views / VIEWS / MINUTE


def _rule(stage: Mapping[str, Any], otherwise: str) -> str:
    return "join" if "parts" in stage else otherwise


def _threads(pipeline: Pipeline) -> int:
    return GPU if pipeline.gpus else pipeline.threads


def _count(dataset: str, pipeline: Pipeline) -> int:
    from skelpipe.recordings.datasets import DATASETS

    if pipeline.own is not None:
        return pipeline.own.clips
    if (synth := pipeline.synth) is None:
        return DATASETS[dataset].clips
    from skelpipe.recordings.synthetic.plan import FRAMES as USUAL
    from skelpipe.recordings.synthetic.plan import checked, plan_files

    left_out = {"frames", "seed"} | (set() if dataset.startswith("ntu") else {"setups"})
    frames = synth.frames or USUAL
    asked = checked(dataset, synth.model_dump(exclude=left_out), frames, synth.seed)
    return plan_files(dataset, asked, frames, synth.seed).clips
