"""Measures a run's encoder by one or several protocols."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from skelpipe.errors import BadInput
from skelpipe.evaluate.classes import among, numbers, read_classes, without_clips
from skelpipe.evaluate.embed import Features, Run, choose_split, embed, load_run, read_stated
from skelpipe.evaluate.fuse import ONLY
from skelpipe.evaluate.protocol import Outcome, Probe, Progress, Setup
from skelpipe.evaluate.protocols import CHECKS, PROTOCOLS, read_options
from skelpipe.evaluate.scores import (
    confusion,
    over_draws,
    per_class,
    tied,
    topk_accuracy,
    write_confusion_csv,
    write_npz,
    write_scores,
)
from skelpipe.outputs.files import write_json
from skelpipe.outputs.folders import new_folder
from skelpipe.parallel import tell_threads
from skelpipe.plots.confusion import confusion_figure
from skelpipe.plots.style import save_figure
from skelpipe.recordings.datasets import find_split, pretrained_on, split_masks
from skelpipe.recordings.store import Clips
from skelpipe.settings import Settings
from skelpipe.training.log import COLLAPSE_REMEDY
from skelpipe.training.recipe import Evaluation

log = logging.getLogger(__name__)
USUAL = ("linear", "knn")


def evaluate(
    run: str | Path,
    clips: str | Path,
    out: str | Path,
    *,
    protocols: Sequence[str] | None = None,
    probe: Probe | None = None,
    k: int = 1,
    best_on_test: bool = False,
    split: str | None = None,
    stream: str | None = None,
    epoch: int | None = None,
    classes: str | None = None,
    options: Sequence[str] = (),
    device: str = "auto",
    seed: int = 0,
    threads: int | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Measure a run's encoder by one or several protocols and write an evaluation folder.

    Features are computed once and serve every protocol. The folder holds `metrics.json`, `scores.npz` (keyed by clip
    name), `features.npz` of the frozen encoder, and for each protocol a confusion matrix as CSV and PNG.

    Args:
        protocols: None takes those of the run's recipe, or else linear and knn.
        probe: None takes that of the run's recipe, or else the reference's.
        split: another split than the run was trained on, or one of other clips.
        stream: which encoder of a run of several streams.
        epoch: one whose weights the run has kept; by default the last.
        classes: only these, as `classes.read_classes` reads them: only their clips are trained on and tested, and a
            classifier has outputs for them alone.
        options: `protocol.option=value` changes of the options of finetune, semi and transfer.
        threads: CPU threads; None takes all cores.
        progress: called with (what, done, total).

    Returns:
        What `metrics.json` holds.

    Raises:
        BadInput: an input does not fit, or `out` exists and `force` is not set.
    """
    protocols, probe, chosen = choose(read_stated(run), protocols, probe, options)
    tell_settings(protocols, chosen, threads, probe, k, seed)
    settings = {
        "protocols": list(protocols), "probe": probe, "k": k, "best_on_test": best_on_test, "seed": seed,
        "split": split, "stream": stream, "epoch": epoch, "classes": classes, "options": dumped(chosen),
    }  # fmt: skip
    inputs, facts = {"run": run, "clips": clips}, dict[str, Any]()
    with new_folder(out, "evaluation", force=force, inputs=inputs, settings=settings, more=facts) as folder:
        source = Clips(clips)
        loaded = load_run(run, source, device, stream=stream, epoch=epoch)
        facts["device"], split = str(loaded.device), choose_split(loaded, source, split)
        for name in filter(CHECKS.__contains__, protocols):
            CHECKS[name](loaded, source, split)
        about = find_split(split).datasets[0]  # the store may be of a larger data set, with more classes
        only = None if classes is None else read_classes(classes, about)
        features = embed(loaded, source, split, _part(progress, "embed"), only)
        doubts = [] if only is None else without_clips(only, features)
        check(features, split)
        width, features = (about.classes, features) if only is None else (len(only), among(features, only))
        setup = Setup(width, loaded.device, seed, probe, k, best_on_test, loaded, source, chosen, None, threads, only)
        metrics = describe_run(loaded, source, features, split, width, only)
        doubts += cautions(loaded, source, split, only)
        write_outcomes(folder, metrics, features, setup, protocols, progress, doubts)
    return metrics


def choose(
    stated: Evaluation, protocols: Sequence[str] | None, probe: Probe | None, options: Sequence[str]
) -> tuple[Sequence[str], Probe, dict[str, Settings]]:
    """The protocols, their probe and their options: as asked, or else as the recipe states them, or as usual."""
    protocols = protocols or stated.protocols or USUAL
    chosen = read_options([*stated.words(protocols), *options], protocols)
    return protocols, probe or stated.probe or "reference", chosen


def dumped(chosen: Mapping[str, Settings]) -> dict[str, Any]:
    return {name: each.model_dump(mode="json") for name, each in chosen.items()}


def tell_settings(
    protocols: Sequence[str], chosen: Mapping[str, Settings], threads: int | None, probe: str, k: int, seed: int
) -> None:
    """Set the number of threads, and log what is about to be measured."""
    if threads:
        torch.set_num_threads(threads)
    log.info("protocols %s; probe %s, k %d, seed %d", ", ".join(protocols), probe, k, seed)
    for name, own in dumped(chosen).items():
        log.info("%s: %s", name, own)
    tell_threads(log, threads)
    log.info("threads of torch: %d", torch.get_num_threads())


def write_outcomes(
    folder: Path,
    metrics: dict[str, Any],
    features: Features,
    setup: Setup,
    protocols: Sequence[str],
    progress: Progress | None,
    doubts: Sequence[str],
) -> None:
    """Run each protocol, and write its scores and confusion matrices, the features and `metrics`."""
    names = find_split(metrics["split"]).datasets[0].class_names
    if setup.only is not None:
        names = tuple(names[label] if names else str(label) for label in setup.only)
    all_scores = {}
    for name in dict.fromkeys(protocols):
        found = PROTOCOLS[name](features, replace(setup, progress=_part(progress, name)))
        for entry, outcome in found.items() if isinstance(found, dict) else [(name, found)]:
            outcome.warnings.extend(doubts)
            metrics["protocols"][entry] = judge(entry, outcome, features, setup.classes)
            all_scores[entry] = outcome.scores
            log.debug("%s: top-1 %.4f", entry, metrics["protocols"][entry]["top1"])
            write_confusion(folder, entry, outcome, features, names, metrics)
    test = ~features.train
    write_scores(folder / "scores.npz", features.name[test], features.label[test], all_scores)
    label = features.label if setup.only is None else np.asarray(setup.only)[features.label]
    arrays = {"name": features.name, "label": label, "train": features.train, "feature": features.feature}
    write_npz(folder / "features.npz", arrays)
    write_json(folder / "metrics.json", metrics)


def cautions(run: Run, clips: Clips, split: str, only: Sequence[int] | None = None) -> list[str]:
    """What makes any figure of this run on these clips doubtful."""
    found = [COLLAPSE_REMEDY] if run.collapsed else []
    _, test = split_masks(split, clips.dataset, clips.columns, clips.attributes.get("split_files"))
    if only is not None:
        test = test & np.isin(clips.labels, only)
    if split != run.settings["split"]:
        seen = test & pretrained_on(run.settings["split"], clips.dataset, clips.columns)
        if seen.any():
            part = f"training part of {run.settings['split']}"
            found.append(f"{seen.sum():,} of the {test.sum():,} test clips were pretrained on (the {part})")
    return found


def check(features: Features, split: str) -> None:
    """Raise BadInput unless both parts of the split hold clips and the features are finite."""
    for part, count in (("training", features.train.sum()), ("test", (~features.train).sum())):
        if count == 0:
            raise BadInput(
                f"--split {split}", f"has no {part} clips here", "ingest the recordings of the other part too"
            )
    if not np.isfinite(features.feature).all():
        raise BadInput("features", "are not all finite", "the run has diverged: train it again with a lower rate")


def describe_run(
    run: Run, clips: Clips, features: Features, split: str, classes: int, only: Sequence[int] | None
) -> dict[str, Any]:
    """The head of `metrics.json`."""
    return {
        **{key: run.settings[key] for key in ("recipe", "method", "positives", "seed")},
        "stream": run.stream,
        "epochs": run.epoch,
        "dataset": clips.dataset,
        "split": split,
        "pretrained_on": {key: run.settings[key] for key in ("dataset", "split")},
        "train_clips": int(features.train.sum()),
        "test_clips": int((~features.train).sum()),
        "classes": classes,
        **({} if only is None else {ONLY: numbers(only)}),
        "classes_present": len(set(features.label[~features.train].tolist())),
        "run": run.settings,
        "protocols": {},
    }


def judge(name: str, outcome: Outcome, features: Features, classes: int) -> dict[str, Any]:
    """Accuracies of an outcome, as fractions; of several draws their mean, each of them, and their deviation.

    Raises:
        BadInput: the scores are not all finite, because a training has diverged.
    """
    if not np.isfinite(outcome.scores).all():
        raise BadInput(f"--protocol {name}", "gave scores that are not finite", "use a lower rate, or another probe")
    label = features.label[~features.train]
    return {
        "top1": topk_accuracy(outcome.scores, label, 1),
        "top5": topk_accuracy(outcome.scores, label, 5),
        "tied": tied(outcome.scores),
        **over_draws(outcome.scores, label),
        **outcome.figures,
        "per_class": per_class(outcome.scores, label, classes),
        "warnings": outcome.warnings,
    }


def write_confusion(
    folder: Path, protocol: str, outcome: Outcome, features: Features, names: Sequence[str], metrics: dict[str, Any]
) -> None:
    """Write one protocol's confusion matrix as CSV and picture."""
    classes = metrics["classes"]
    names = names or [str(i) for i in range(classes)]
    matrix = confusion(outcome.scores, features.label[~features.train], classes)
    write_confusion_csv(folder / f"confusion_{protocol}.csv", matrix, names)
    title = f"{metrics['recipe']}, {metrics['stream']}, {metrics['split']}: {protocol}"
    save_figure(confusion_figure(matrix, names, title), folder / f"confusion_{protocol}.png")


def _part(progress: Progress | None, what: str) -> Any:
    return None if progress is None else lambda done, total: progress(what, done, total)
