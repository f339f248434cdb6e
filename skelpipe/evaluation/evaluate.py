"""Measures a run's encoder by one or several protocols.

An evaluation's folder holds `metrics.json`, `scores.npz` (by clip name), `features.npz` of the frozen encoder, for each
protocol a confusion matrix as CSV and PNG, and of one that trains or has a classifier the model (`training.model`), by
which `skelpipe predict` tells the classes of other recordings.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from skelpipe.errors import BadInput
from skelpipe.evaluation.calibrate import confidence_told
from skelpipe.evaluation.classes import among, numbers, read_classes, without_clips
from skelpipe.evaluation.features import Features, Run, choose_split, embed, load_run, read_stated
from skelpipe.evaluation.fit import cautions
from skelpipe.evaluation.fuse import GROUPED_BY, ONLY
from skelpipe.evaluation.models import keep_model
from skelpipe.evaluation.protocol import Outcome, Probe, Progress, Setup
from skelpipe.evaluation.protocols import CHECKS, OF_CLASSIFIERS, PROTOCOLS, read_options
from skelpipe.evaluation.scores import accuracies, confusion, write_confusion_csv, write_npz, write_scores
from skelpipe.outputs.files import write_json
from skelpipe.outputs.folders import new_folder
from skelpipe.parallel import forked, tell_threads
from skelpipe.plots.confusion import confusion_figure
from skelpipe.plots.style import save_figure
from skelpipe.recordings.datasets import Split, dataset_attributes
from skelpipe.recordings.datasets.own import UNLABELLED
from skelpipe.recordings.divisions import divide
from skelpipe.recordings.store import Clips
from skelpipe.settings import Settings
from skelpipe.training.preparation import PREPARED, preparation_of
from skelpipe.training.recipe import Evaluation
from skelpipe.training.step import Graphs, graphs_for

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
    other_clips: bool = False,
    force: bool = False,
    compiled: str | Graphs = "auto",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Measure a run's encoder by protocols, which share its features, and write an evaluation folder; returns metrics.

    Args:
        protocols: None takes those of the run's recipe, or else linear and knn.
        probe: None takes that of the run's recipe, or else the reference's.
        split: another split than the run was trained on, or one of other clips.
        stream: which encoder of a run of several streams.
        epoch: one whose weights the run has kept; by default the last.
        classes: limits clips and classifiers to these; see `classes.read_classes`.
        options: `protocol.option=value` changes of the options of those protocols that have some.
        threads: CPU threads; None takes all cores.
        other_clips: let clips pass that were prepared otherwise than the run's; every figure then has a warning.
        compiled: of protocols that train the encoder; as of `pretrain`.
        progress: called with (what, done, total).

    Raises:
        BadInput: an input does not fit, or `out` exists and `force` is not set.
    """
    protocols, probe, chosen = choose(read_stated(run), protocols, probe, options)
    tell_settings(protocols, chosen, threads, probe, k, seed)
    settings = {
        "protocols": list(protocols), "probe": probe, "k": k, "best_on_test": best_on_test, "seed": seed,
        "split": split, "stream": stream, "epoch": epoch, "classes": classes, "options": dumped(chosen),
        "other_clips": other_clips,
    }  # fmt: skip
    inputs, facts = {"run": run, "clips": clips}, dict[str, Any]()
    with new_folder(out, "evaluation", force=force, inputs=inputs, settings=settings, more=facts) as folder:
        source = Clips(clips)
        loaded = load_run(run, source, device, stream=stream, epoch=epoch, other_clips=other_clips)
        facts["device"], rule = str(loaded.device), choose_split(loaded, source, split)
        check_protocols(protocols, loaded, source, rule)
        features, only, doubts = measured_features(loaded, source, rule, classes, protocols, progress)
        width = rule.classes if only is None else len(only)  # the store may have more classes
        graphs, place = graphs_for(compiled, loaded.device), loaded.device
        setup = Setup(width, place, seed, probe, k, best_on_test, loaded, source, chosen, None, threads, only, graphs)
        metrics = describe_run(loaded, source, features, rule, width, only)
        write_outcomes(folder, metrics, features, setup, rule, protocols, progress, doubts)
    return metrics


def choose(
    stated: Evaluation, protocols: Sequence[str] | None, probe: Probe | None, options: Sequence[str]
) -> tuple[Sequence[str], Probe, dict[str, Settings]]:
    """The protocols, their probe and their options: as asked, or else as the recipe states them, or as usual."""
    protocols = protocols or stated.protocols or USUAL
    chosen = read_options([*stated.words(protocols), *options], protocols)
    probe = probe or stated.probe or "reference"
    for change in options:  # a recipe's own may stand beside another probe that is asked for
        if change.startswith("linear.") and not change.startswith("linear.balance") and probe != "stated":
            raise BadInput(f"--set {change}", f"changes nothing of the probe {probe}", "add --probe stated")
    return protocols, probe, chosen


def check_protocols(protocols: Sequence[str], run: Run, clips: Clips, split: Split) -> None:
    """Raise BadInput if a protocol does not suit the run and the clips."""
    for name in filter(CHECKS.__contains__, protocols):
        CHECKS[name](run, clips, split)


def measured_features(
    run: Run, clips: Clips, split: Split, classes: str | None, protocols: Sequence[str], progress: Progress | None
) -> tuple[Features, tuple[int, ...] | None, list[str]]:
    """The features of the clips to measure on, the labels of the classes that these are limited to, and doubts.

    Raises:
        BadInput: there are no test clips, or none of the training clips that a protocol needs, or the features are not
            finite.
    """
    needed = ("test",) if set(protocols) <= set(OF_CLASSIFIERS) else ("training", "test")
    divide(split, clips, needed)
    only = None if classes is None else read_classes(classes, split.datasets[0])
    features = embed(run, clips, split, _part(progress, "embed"), only)
    doubts = [] if only is None else without_clips(only, features)
    for part, mask in (("training", features.train), ("test", ~features.train)):
        if part in needed and not mask.any():
            raise _none_of(part, split, only)
    if "training" in needed and len(set(features.label[features.train].tolist())) < 2:
        what = "has training clips of one class only, between which and others nothing can be told"
        raise BadInput(f"split {split.name}", what, "choose another split")
    if not np.isfinite(features.feature).all():
        raise BadInput("features", "are not all finite", "the run has diverged: train it again with a lower rate")
    return (features if only is None else among(features, only)), only, doubts


def _none_of(part: str, split: Split, only: Sequence[int] | None) -> BadInput:
    if only is not None:
        what = f"has no {part} clips of these classes here"
        return BadInput(f"split {split.name}", what, "name others by --classes, or leave it out")
    what = f"has no {part} clips here whose class is known"
    return BadInput(f"split {split.name}", what, "label some: 'skelpipe ingest' takes a table by --labels")


def dumped(chosen: Mapping[str, Settings]) -> dict[str, Any]:
    return {name: told for name, each in chosen.items() if (told := each.model_dump(mode="json"))}


def tell_settings(
    protocols: Sequence[str], chosen: Mapping[str, Settings], threads: int | None, probe: str, k: int, seed: int
) -> None:
    """Set the number of threads, and log what is about to be measured."""
    if threads and not forked():
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
    split: Split,
    protocols: Sequence[str],
    progress: Progress | None,
    doubts: Sequence[str],
) -> None:
    """Run each protocol, and write its scores and confusion matrices, the features and `metrics`."""
    names = split.datasets[0].class_names
    if setup.only is not None:
        names = tuple(names[label] if names else str(label) for label in setup.only)
    assert setup.run is not None
    assert setup.clips is not None
    doubts = [*doubts, *cautions(setup.run, setup.clips, features.row[~features.train])]
    all_scores = {}
    for name in dict.fromkeys(protocols):
        found = PROTOCOLS[name](features, replace(setup, progress=_part(progress, name)))
        for entry, outcome in found.items() if isinstance(found, dict) else [(name, found)]:
            outcome.warnings.extend(doubts)
            metrics["protocols"][entry] = judge(entry, outcome, features, setup.classes, metrics[GROUPED_BY])
            all_scores[entry] = outcome.scores
            log.debug("%s: top-1 %.4f", entry, metrics["protocols"][entry]["top1"])
            write_confusion(folder, entry, outcome, features, names, metrics)
            if outcome.kept is not None:
                keep_model(folder, entry, outcome.kept, setup, split)
    test = ~features.train
    write_scores(folder / "scores.npz", features.name[test], features.label[test], all_scores, features.group[test])
    label = features.label if setup.only is None else np.asarray(setup.only)[features.label]
    arrays = {"name": features.name, "label": label, "train": features.train, "feature": features.feature}
    write_npz(folder / "features.npz", arrays)
    write_json(folder / "metrics.json", metrics)


def describe_run(
    run: Run, clips: Clips, features: Features, split: Split, classes: int, only: Sequence[int] | None
) -> dict[str, Any]:
    """The head of `metrics.json`."""
    unlabelled = int((clips.labels == UNLABELLED).sum())
    return {
        **{key: run.settings[key] for key in ("recipe", "method", "positives", "seed")},
        "stream": run.stream,
        "epochs": run.epoch,
        **dataset_attributes(clips.about),
        "split": split.name,
        "pretrained_on": {key: run.settings[key] for key in ("dataset", "split")},
        PREPARED: preparation_of(clips),
        "divided": division_digest(features),
        "train_clips": int(features.train.sum()),
        "test_clips": int((~features.train).sum()),
        "clips_in_neither_part": len(clips) - len(features.name) - unlabelled,
        **({"unlabelled_clips": unlabelled} if unlabelled else {}),
        "classes": classes,
        **({} if only is None else {ONLY: numbers(only)}),
        "classes_present": len(set(features.label[~features.train].tolist())),
        GROUPED_BY: clips.about.group,
        "run": run.settings,
        "protocols": {},
    }


def division_digest(features: Features) -> str:
    """A digest of which clips are for training and which for testing, whatever their order."""
    parts = ("\n".join(sorted(features.name[part].tolist())) for part in (features.train, ~features.train))
    return hashlib.sha256("\n\n".join(parts).encode()).hexdigest()[:16]


def judge(name: str, outcome: Outcome, features: Features, classes: int, by: str) -> dict[str, Any]:
    """An outcome's entry in `metrics.json`; `by` is what the groups of the features are called.

    Raises:
        BadInput: the scores are not all finite, because a training has diverged.
    """
    if not np.isfinite(outcome.scores).all():
        raise BadInput(f"--protocol {name}", "gave scores that are not finite", "use a lower rate, or another probe")
    test = ~features.train
    found = accuracies(outcome.scores, features.label[test], classes, features.group[test], by)
    per_class = found.pop("per_class")
    return {
        **found,
        **outcome.figures,
        **confidence_told(outcome, features),
        "per_class": per_class,
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
