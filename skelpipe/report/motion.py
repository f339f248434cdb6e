"""Which clips the page plays, and what was made of them: those recognised best and worst, and where two runs differ.

How well a clip is recognised is the score of its own class less the highest of another, in the scores kept with an
evaluation. The clips themselves are found through its provenance, and are only read if they are still the same.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from skelpipe.errors import BadInput
from skelpipe.evaluation.fuse import ONLY
from skelpipe.outputs.digests import read_digest
from skelpipe.paper.systems import SYSTEMS, system_of
from skelpipe.plots.compact import bones_of, compact
from skelpipe.plots.motion import load_motion
from skelpipe.plots.style import class_names
from skelpipe.report.collect import Found, Result, data_title
from skelpipe.report.differences import Side, chosen_pair, sides_of
from skelpipe.report.experiments import Catalogue
from skelpipe.report.figures.stored import read_named
from skelpipe.report.labels import protocol_title, split_key

EACH = 4  # clips of a kind, of as many classes
MOST_SPLITS = 2


@dataclass(frozen=True)
class Judged:
    """What one run makes of the test clips, in order of their names; of several draws of training clips the first.

    Attributes:
        margin: the score of a clip's class less the highest of another.
        taken: the class that it was taken for.
        classes: how many there are scores of.
    """

    label: str
    names: npt.NDArray[Any]
    labels: npt.NDArray[np.int64]
    margin: npt.NDArray[np.float64]
    taken: npt.NDArray[np.int64]
    classes: int

    @property
    def right(self) -> npt.NDArray[np.bool_]:
        found: npt.NDArray[np.bool_] = self.taken == self.labels
        return found

    def share(self, label: int) -> float:
        """Of the clips of a class those that were recognised."""
        return float(self.right[self.labels == label].mean())


def find_motion(found: Found, catalogue: Catalogue) -> dict[str, Any]:
    """The clips to play, of the runs that the differences are shown of first, or the only one.

    Returns:
        {layouts, splits, gone}: of a layout its bones; of a split {split, title, protocol, runs, groups}, a group
        {title, clips}, a clip {name, class, layout, verdicts, motion}, a verdict {run, right, taken, share, n}. What
        cannot be read is noted in `found.skipped`; `gone` are results whose clips are no longer where they were.
    """
    told: dict[str, Any] = {"layouts": {}, "splits": [], "gone": []}
    for split in sorted({r.split for r in found.results}, key=split_key)[:MOST_SPLITS]:
        sides, protocol, _ = sides_of([r for r in found.results if r.split == split], catalogue)
        if sides:
            pair = chosen_pair(sides) if len(sides) > 1 else (0,)
            if one := _of_split(split, [sides[n] for n in pair], protocol, found, told):
                told["splits"].append(one)
    return told


def _of_split(
    split: str, sides: Sequence[Side], protocol: str, found: Found, told: dict[str, Any]
) -> dict[str, Any] | None:
    first = sides[-1].results[0]
    names = _names(sides)
    judged = [each for n, side in zip(names, sides, strict=True) if (each := judge(n, side.results[0], protocol))]
    if len(judged) > 1 and not np.array_equal(judged[0].names, judged[1].names):
        judged = judged[-1:]
    if not judged:
        return None
    clips = find_clips(first)
    if clips is None:
        told["gone"] += [first.shown] if first.provenance.get("inputs") else []
        return None
    titles = class_names(first.metrics, judged[0].classes, first.metrics.get(ONLY))
    groups = []
    for title, rows in chosen_rows(judged):
        played = [clip for row in rows if (clip := _clip(clips, row, judged, titles, found, told["layouts"]))]
        groups += [{"title": title, "clips": played}] if played else []
    if not groups:
        return None
    return {
        "split": split,
        "title": data_title(split, [first]),
        "protocol": protocol_title(protocol, first.protocols[protocol]),
        "runs": [f"{side.label}, seed {side.results[0].seed}" for side in sides],
        "groups": groups,
    }


def _names(sides: Sequence[Side]) -> list[str]:
    """The methods' names where these tell the runs apart, else all that does."""
    systems = [system_of(side.experiment.recipe) for side in sides]
    short = [SYSTEMS[s].title if s in SYSTEMS else s for s in systems]
    return short if len({*short}) == len(short) else [side.label for side in sides]


def judge(label: str, result: Result, protocol: str) -> Judged | None:
    """What a result makes of its test clips; None where its scores are not there."""
    stored = read_named(result, protocol)
    if stored is None:
        return None
    names, labels, scores = stored
    order = np.argsort(names, kind="stable")
    names, labels, scores = names[order], labels[order], scores[order].astype(np.float64)
    rows = np.arange(len(labels))
    own = scores[rows, labels]
    others = scores.copy()
    others[rows, labels] = -np.inf
    return Judged(label, names, labels, own - others.max(axis=1), scores.argmax(axis=1), scores.shape[1])


def chosen_rows(judged: Sequence[Judged]) -> Iterator[tuple[str, list[int]]]:
    """The groups of clips by their rows, of each class one: best, worst, and what only one of two runs recognises."""
    last = judged[-1]
    name = last.label
    best, worst = np.argsort(-last.margin, kind="stable"), np.argsort(last.margin, kind="stable")
    yield f"Recognised best by {name}", _of_classes(best[last.right[best]], last.labels)
    yield f"Recognised worst by {name}", _of_classes(worst[~last.right[worst]], last.labels)
    if len(judged) == 2:
        for one, two in ((judged[1], judged[0]), (judged[0], judged[1])):
            only = np.flatnonzero(one.right & ~two.right)
            gain = np.array([one.share(label) - two.share(label) for label in one.labels[only]])
            # The classes that differ most first, and of a class the clip that is the surest.
            order = only[np.lexsort((-one.margin[only], -gain))] if len(only) else only
            yield f"Recognised by {one.label}, not by {two.label}", _of_classes(order, one.labels)


def _of_classes(rows: npt.NDArray[np.int64], labels: npt.NDArray[np.int64]) -> list[int]:
    met: dict[int, int] = {}
    for row in rows:
        met.setdefault(int(labels[row]), int(row))
        if len(met) == EACH:
            break
    return [*met.values()]


def _clip(
    path: Path, row: int, judged: Sequence[Judged], titles: Sequence[str], found: Found, layouts: dict[str, Any]
) -> dict[str, Any] | None:
    name, label = str(judged[0].names[row]), int(judged[0].labels[row])
    try:
        motion = load_motion(path, name)
        packed = compact(motion)
    except (BadInput, ValueError) as problem:
        found.skipped.append((os.fspath(path), f"the motion of {name} is not shown ({problem})"))
        return None
    layouts.setdefault(motion.layout.name, bones_of(motion.layout))
    verdicts = [
        {
            "run": each.label,
            "right": bool(each.right[row]),
            "taken": titles[each.taken[row]],
            "share": each.share(label),
            "n": int((each.labels == label).sum()),
        }
        for each in judged
    ]
    return {
        "name": name,
        "class": titles[label],
        "layout": motion.layout.name,
        "verdicts": verdicts,
        "motion": packed,
    }


# ---------------------------------------------------------------------------------------------------------------------
# Where the clips are


def find_clips(result: Result) -> Path | None:
    """The clips that an evaluation, or the first part of a fusion, is of; None if they are gone or others now."""
    history = result.provenance.get("history")
    for source, made in _clips_of(result.provenance, history if isinstance(history, dict) else {}):
        wanted = source.get("digest")
        for path in places(source, made, result.path):
            if wanted and read_digest(path) == wanted:
                return path
    return None


def _clips_of(
    made: Mapping[str, Any], history: Mapping[str, Any]
) -> Iterator[tuple[Mapping[str, Any], dict[str, Any]]]:
    """The inputs called clips, of an output or else of what it is made of, and how each was made."""
    inputs = made.get("inputs")
    for role, source in inputs.items() if isinstance(inputs, dict) else ():
        if not isinstance(source, dict):
            continue
        if role == "clips":
            yield source, {**history.get(source.get("digest") or "", {}), "from": made.get("folder")}
        elif isinstance(older := history.get(source.get("digest") or ""), dict):
            yield from _clips_of(older, history)


def places(source: Mapping[str, Any], made: Mapping[str, Any], result: Path) -> Iterator[Path]:
    """Where they may lie: as they were given, where they were made, and as far from the result if all was moved."""
    given = Path(str(source.get("path", "")))
    yield Path(str(made.get("from") or "")) / given
    yield Path(str(made.get("output", "")))
    if not given.is_absolute():
        for above in Path(os.path.abspath(result)).parents:
            yield above / given
