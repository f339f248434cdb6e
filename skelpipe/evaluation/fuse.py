"""Late fusion: the weighted sum of the streams' class scores, joined by clip name."""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from skelpipe.errors import BadInput
from skelpipe.evaluation.fit import PASSES
from skelpipe.evaluation.intervals import CLIP
from skelpipe.evaluation.scores import (
    Scores,
    Stored,
    accuracies,
    confusion,
    read_scores,
    write_confusion_csv,
    write_scores,
)
from skelpipe.outputs.checksums import check_files
from skelpipe.outputs.digests import require
from skelpipe.outputs.files import write_json
from skelpipe.outputs.folders import new_folder
from skelpipe.recordings.datasets.own import TABLE
from skelpipe.training.preparation import PREPARED, compare

# The weights that AimCLR's ensembles use on raw logits for NTU-60 and PKU-MMD I.
log = logging.getLogger(__name__)

# Of the streams of a clip those of AimCLR's public code; of the colourings of its points, none being known, 1 each.
STREAM_WEIGHTS = {"joint": 0.6, "bone": 0.6, "motion": 0.4, "temporal": 1.0, "spatial": 1.0, "person": 1.0}
TRIPLES = (("joint", "motion", "bone"), ("temporal", "spatial", "person"))  # a fusion of all of one is called 3s
STREAM_ORDER = tuple(stream for triple in TRIPLES for stream in triple)
# How a protocol was run, as its entry in metrics.json says: what all parts share is kept, and what differs is told.
HOW = ("probe", "k", "settings")
CLIPS_APART = "clips_apart"  # of metrics.json: in what the clips of the parts differ
LABELLED = ("shots", "labelled")  # how many training clips carried labels
# What decides which clips carried labels in each draw of a protocol that has draws; it must be the same in all parts.
DRAWN_BY = ("fraction", "labelled", "seed")
GROUPED_BY = "grouped_by"  # what the groups of the test clips are: subject, video
ONLY = "only_classes"  # the numbers, from 1, of the classes that an evaluation is limited to


@dataclass(frozen=True)
class Part:
    """One evaluation folder that goes into a fusion: its metrics, and its scores by clip name."""

    path: Path
    metrics: dict[str, Any]
    stored: Stored

    @property
    def stream(self) -> str:
        return str(self.metrics["stream"])

    @property
    def names(self) -> npt.NDArray[Any]:
        return self.stored.names

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        return self.stored.labels

    @property
    def scores(self) -> dict[str, Scores]:
        return self.stored.scores


def fuse(
    parts: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    weights: Sequence[float] | None = None,
    other_clips: bool = False,
    force: bool = False,
) -> dict[str, Any]:
    """Write a fusion folder: for every protocol that all parts hold, the weighted sum of their scores, in float64.

    A protocol with several draws is summed draw by draw.

    Args:
        parts: evaluation folders, one per stream.
        out: the folder to write.
        weights: one per part, at least 0; by default 0.6 joint, 0.6 bone, 0.4 motion; 1 each of colourings.
        other_clips: add parts of clips that were prepared in different ways; every figure then has a warning.
        force: replace an older fusion at `out`.

    Returns:
        What is written as `metrics.json`; accuracies are fractions.

    Raises:
        BadInput: the parts do not belong together (recipe, split, data set, seed, clips, their preparation, labels,
            draws), or the weights are not usable.
    """
    loaded = [_load(Path(path)) for path in parts]
    if len(loaded) < 2:
        raise BadInput("fuse", f"got {len(loaded)} evaluation folder(s)", "name at least two, one per stream")
    used = stream_weights([part.stream for part in loaded], weights, "fuse", "folder")
    _check_same_experiment(loaded)
    doubts = _clips_apart(loaded, other_clips)
    rows = [_rows_in_order_of(loaded[0], part) for part in loaded]
    protocols = [p for p in loaded[0].scores if all(p in part.scores for part in loaded)]
    if not protocols:
        raise BadInput(loaded[0].path, "has no protocol in common with the other parts", "evaluate all with the same")
    why = "the usual ones of the streams" if weights is None else "as asked"
    for part, weight in zip(loaded, used, strict=True):
        told = (part.path, part.stream, part.metrics["epochs"], part.metrics["seed"], weight, why)
        log.info("%s: stream %s, epoch %s, seed %s, weight %g (%s)", *told)
    alone = sorted({p for part in loaded for p in part.scores} - set(protocols))
    left = f"; left out, as not all parts have them: {', '.join(alone)}" if alone else ""
    log.info("protocols %s%s", ", ".join(protocols), left)
    fused = {p: _sum(loaded, rows, used, p) for p in protocols}
    group = next(
        (part.stored.group[r] for part, r in zip(loaded, rows, strict=True) if part.stored.group is not None), None
    )
    metrics = _metrics(loaded, used, fused, doubts, group)
    settings = {"weights": used, "other_clips": other_clips}
    inputs = {f"part {i} ({part.stream})": part.path for i, part in enumerate(loaded)}
    with new_folder(out, "fusion", force=force, inputs=inputs, settings=settings) as folder:
        write_scores(folder / "scores.npz", loaded[0].names, loaded[0].labels, fused, group)
        _write(folder, loaded[0], metrics, fused)
    return metrics


def _load(path: Path) -> Part:
    remedy = "name the folders that 'skelpipe evaluate' wrote"
    require(path, "evaluation", remedy)
    check_files(path, lambda name: name in ("metrics.json", "scores.npz"), "run 'skelpipe evaluate' again")
    try:
        metrics = json.loads((path / "metrics.json").read_text("utf-8"))
        missing = {"recipe", "stream", "split", "dataset", "seed", "epochs", "classes", "protocols"} - set(metrics)
    except (OSError, ValueError, TypeError) as error:
        raise BadInput(path / "metrics.json", f"cannot be read ({error})", remedy) from None
    if missing:
        raise BadInput(path / "metrics.json", f"lacks {', '.join(sorted(missing))}", "run 'skelpipe evaluate' again")
    return Part(path, metrics, read_scores(path / "scores.npz"))


def stream_weights(streams: Sequence[str], weights: Sequence[float] | None, command: str, what: str) -> list[float]:
    """One weight for each of the streams that are added: as given, else `STREAM_WEIGHTS`.

    Args:
        command, what: who adds them, and what they are of, for messages.

    Raises:
        BadInput: they are not one each, below 0 or all 0, or a stream has no usual one.
    """
    if weights is None:
        unknown = sorted({*streams} - set(STREAM_WEIGHTS))
        if unknown:
            told = f"no default weight for the stream {unknown[0]!r}"
            raise BadInput(command, told, f"give --weights, one per {what}")
        return [STREAM_WEIGHTS[stream] for stream in streams]
    if len(weights) != len(streams):
        raise BadInput("--weights", f"has {len(weights)} values for {len(streams)} {what}s", f"give one per {what}")
    values = [float(w) for w in weights]
    if not all(math.isfinite(w) and w >= 0 for w in values) or not any(values):
        raise BadInput("--weights", f"{values} cannot be used", "give numbers from 0 up, not all 0")
    return values


def _check_same_experiment(parts: list[Part]) -> None:
    """Refuse parts of different experiments: the sum would be filed under a name that is not its own."""
    first = parts[0]
    for part in parts[1:]:
        for key in ("dataset", "split", "recipe", "seed", ONLY, "classes", "pretrained_on"):
            a, b = first.metrics.get(key), part.metrics.get(key)
            if a != b:
                a, b = (value or "all" if key == ONLY else value for value in (a, b))
                told = "the classes" if key == ONLY else key
                raise BadInput(
                    part.path,
                    f"has {told} {b}, but {first.path} has {a}",
                    f"fuse parts of the same {key.removeprefix('only_')}",
                )
        if (first.metrics["epochs"] == 0) != (part.metrics["epochs"] == 0):
            raise BadInput(part.path, f"and {first.path}: one encoder is untrained", "fuse trained parts only")
    seen: dict[str, Path] = {}
    for part in parts:
        if part.stream in seen:
            what = f"holds the stream {part.stream!r}, and so does {seen[part.stream]}"
            raise BadInput(part.path, what, "name one folder per stream")
        seen[part.stream] = part.path


def _clips_apart(parts: list[Part], other_clips: bool) -> list[str]:
    """What sets the clips of the parts apart, which are of the same names.

    Raises:
        BadInput: they were prepared in different ways, and that is not to pass.
    """
    first, *others = parts
    found = []
    for part in others:
        one, other = (each.metrics.get(PREPARED) for each in (first, part))
        if one is None and other is None:  # of a version that did not say it
            continue
        apart = compare(one or {}, other or {})
        if apart.differing and not other_clips:
            what = f"is of clips prepared otherwise than those of {first.path}: {'; '.join(apart.differing)}"
            raise BadInput(part.path, what, f"evaluate all parts on clips of one preparation, {PASSES}")
        if apart.differing:
            found.append(
                f"{part.stream} is of clips prepared otherwise than {first.stream}'s: {'; '.join(apart.differing)}"
            )
        if apart.untold:
            told = f"not all say {', '.join(apart.untold)}" if one and other else "not all say how"
            found.append(
                f"whether the clips of {first.stream} and {part.stream} were prepared alike cannot be told: {told}"
            )
    if len({part.metrics["divided"] for part in parts if "divided" in part.metrics}) > 1:
        found.append("the streams were evaluated with different training clips")
    return found


def _rows_in_order_of(first: Part, part: Part) -> npt.NDArray[np.intp]:
    """Where the clips of `first` stand in `part`; both must hold the same clips with the same labels."""
    for a, b in ((first, part), (part, first)):
        lost = np.setdiff1d(a.names, b.names)
        if len(lost):
            what = f"lacks the clip {lost[0]} ({len(lost)} in all) that {a.path} holds"
            raise BadInput(b.path, what, "evaluate all parts on the same clips and split")
    order = np.argsort(part.names, kind="stable")
    rows: npt.NDArray[np.intp] = order[np.searchsorted(part.names[order], first.names)]
    differs = np.flatnonzero(part.labels[rows] != first.labels)
    if len(differs):
        n = differs[0]
        what = f"labels the clip {first.names[n]} {part.labels[rows[n]]}, {first.path} labels it {first.labels[n]}"
        raise BadInput(part.path, what, "evaluate all parts on the same clips")
    return rows


def _sum(
    parts: list[Part], rows: list[npt.NDArray[np.intp]], weights: list[float], protocol: str
) -> npt.NDArray[np.float64]:
    _check_same_draws(parts, protocol)
    shapes = {part.scores[protocol].shape for part in parts}
    if len(shapes) > 1:
        raise BadInput(parts[-1].path, f"its {protocol} scores differ in shape: {sorted(shapes)}", "evaluate again")
    total = np.zeros(shapes.pop(), np.float64)
    # In the streams' order, so that the order in which folders are named changes no last digit.
    ordered = sorted(zip(parts, rows, weights, strict=True), key=lambda each: _stream_key(each[0].stream))
    for part, index, weight in ordered:
        if not np.isfinite(part.scores[protocol]).all():
            raise BadInput(part.path, f"its {protocol} scores hold values that are not finite", "evaluate it again")
        total += weight * part.scores[protocol][..., index, :]
    return total


def _check_same_draws(parts: list[Part], protocol: str) -> None:
    """Refuse to add scores learnt from different labelled clips: together they would have seen more than is told."""
    first, *others = ({**_drawn(part, protocol), "path": part.path} for part in parts)
    for other in others:
        for key in ("draws", *DRAWN_BY):
            if first[key] != other[key]:
                what = f"its {protocol} has {key} {other[key]}, and that of {first['path']} has {first[key]}"
                raise BadInput(other["path"], what, "evaluate all parts with the same --seed and --set")


def _drawn(part: Part, protocol: str) -> dict[str, Any]:
    """How many draws there are and what decided them; None each for a protocol without draws."""
    scores, entry = part.scores[protocol], part.metrics["protocols"].get(protocol, {})
    drawn = scores.ndim == 3
    return {"draws": len(scores) if drawn else None, **{key: entry.get(key) if drawn else None for key in DRAWN_BY}}


def _stream_key(stream: str) -> tuple[int, str]:
    return (STREAM_ORDER.index(stream) if stream in STREAM_ORDER else len(STREAM_ORDER), stream)


def _stream_name(parts: list[Part]) -> str:
    streams = sorted((p.stream for p in parts), key=_stream_key)
    return "3s" if tuple(streams) in TRIPLES else "+".join(streams)


def _metrics(
    parts: list[Part],
    weights: list[float],
    fused: dict[str, npt.NDArray[np.float64]],
    doubts: list[str],
    group: npt.NDArray[Any] | None,
) -> dict[str, Any]:
    first = parts[0]
    kept = (
        "recipe",
        "method",
        "positives",
        "split",
        "dataset",
        TABLE,
        "seed",
        "train_clips",
        "classes",
        "classes_present",
        GROUPED_BY,
        ONLY,
        "pretrained_on",
    )
    run = first.metrics.get("run") or {}
    shared = {k: v for k, v in run.items() if all((p.metrics.get("run") or {}).get(k) == v for p in parts)}
    prepared = [p.metrics.get(PREPARED) or {} for p in parts]
    alike = {k: v for k, v in prepared[0].items() if all(k in each and each[k] == v for each in prepared)}
    left_out = sorted({p for part in parts for p in part.scores} - set(fused))
    by = next((str(p.metrics[GROUPED_BY]) for p in parts if GROUPED_BY in p.metrics), CLIP)
    return {
        **{key: first.metrics[key] for key in kept if key in first.metrics},
        "stream": _stream_name(parts),
        "epochs": min(p.metrics["epochs"] for p in parts),
        "test_clips": len(first.names),
        "run": shared,
        **({PREPARED: alike} if alike else {}),
        **({CLIPS_APART: doubts} if doubts else {}),
        "parts": [
            {"path": os.fspath(p.path), "stream": p.stream, "weight": w} for p, w in zip(parts, weights, strict=True)
        ],
        "protocols": {
            protocol: {
                **accuracies(scores, first.labels, int(first.metrics["classes"]), group, by),
                "warnings": [*_warnings(parts, protocol), *doubts],
                **_settings(parts, protocol),
            }
            for protocol, scores in fused.items()
        },
        **({"left_out": left_out} if left_out else {}),
    }


def _settings(parts: list[Part], protocol: str) -> dict[str, Any]:
    """What all parts say alike about how the protocol was run."""
    first, *others = (part.metrics["protocols"].get(protocol, {}) for part in parts)
    keys = [*HOW, *LABELLED, *(DRAWN_BY if parts[0].scores[protocol].ndim == 3 else ())]
    return {key: first[key] for key in keys if key in first and all(e.get(key) == first[key] for e in others)}


def _warnings(parts: list[Part], protocol: str) -> list[str]:
    own = [part.metrics["protocols"].get(protocol, {}) for part in parts]
    found = [f"{part.stream}: {w}" for part, p in zip(parts, own, strict=True) for w in p.get("warnings", [])]
    epochs = {part.stream: part.metrics["epochs"] for part in parts}
    if len(set(epochs.values())) > 1:
        found.append(
            "the streams were pretrained for " + ", ".join(f"{e} ({s})" for s, e in epochs.items()) + " epochs"
        )
    for key, values in _how(own).items():
        if len({json.dumps(value) for value in values}) > 1:
            said = ", ".join(f"{value} ({part.stream})" for part, value in zip(parts, values, strict=True))
            found.append(f"the streams were evaluated with different settings of {key}: {said}")
    return found


def _how(entries: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """Everything that HOW names, key -> its value in each part; `settings` is taken apart."""
    flat = [{**(entry.get("settings") or {}), **{k: entry.get(k) for k in HOW if k != "settings"}} for entry in entries]
    return {key: [entry.get(key) for entry in flat] for key in dict.fromkeys(key for entry in flat for key in entry)}


def _write(folder: Path, first: Part, metrics: dict[str, Any], fused: dict[str, npt.NDArray[np.float64]]) -> None:
    from skelpipe.plots.confusion import confusion_figure
    from skelpipe.plots.style import class_names, save_figure

    write_json(folder / "metrics.json", metrics)
    names = class_names(metrics, metrics["classes"], metrics.get(ONLY))
    for protocol, scores in fused.items():
        matrix = confusion(scores, first.labels, metrics["classes"])
        write_confusion_csv(folder / f"confusion_{protocol}.csv", matrix, names)
        title = f"{metrics['recipe']}, {metrics['stream']}, {metrics['split']}, {protocol}"
        save_figure(confusion_figure(matrix, names, title), folder / f"confusion_{protocol}.png")
