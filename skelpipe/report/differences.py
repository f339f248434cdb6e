"""Class by class, by how much one run recognises more clips than another, and how sure that is.

With two repetitions (seeds, folds) or more of both, the interval of a class is Welch's over the repetitions. Else it is
the percentile bootstrap of `evaluation.intervals` over the persons or videos of the test clips, the same drawn for both
runs, of several repetitions on one side their mean; it tells of the choice of persons and not of that of seeds.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from skelpipe.evaluation.fuse import GROUPED_BY, ONLY
from skelpipe.evaluation.intervals import FEWEST, LEVEL, RESAMPLES, SEED, drawn_whole, ends
from skelpipe.paper.systems import system_of
from skelpipe.plots.style import class_names
from skelpipe.report.collect import Found, Result, data_title
from skelpipe.report.experiments import Catalogue, Experiment, in_order, main_results
from skelpipe.report.figures.stored import read_hits
from skelpipe.report.labels import protocol_title, split_key, stream_key
from skelpipe.report.said import PAIR
from skelpipe.report.sure import welch_interval

MOST = 10  # runs that are compared on a split, two by two
SEEDS, GROUPS, FEW, NONE = "seeds", "groups", "few", "none"
Hits = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Side:
    """What stands on one side of a comparison: the repetitions of one experiment in one stream."""

    label: str
    experiment: Experiment
    stream: str
    results: tuple[Result, ...]

    def per_class(self, protocol: str) -> list[list[float | None]]:
        """The accuracy of each class, of each repetition."""
        found = [r.protocols[protocol]["per_class"] for r in self.results]
        return [row for row in found if len(row) == len(found[0])]


def find_differences(found: Found, catalogue: Catalogue) -> list[dict[str, Any]]:
    """The comparisons of every split that has two runs or more.

    Returns:
        Of each split {split, title, protocol, runs, classes, accuracies, pairs, chosen, left_out}: a run {label, n}; of
        each run its accuracies by class; a pair "i-j" {by, groups, difference, low, high}, of j less i, by class;
        fractions, None where unknown. `chosen` is the pair shown first, the first two of the paper's order.
    """
    told = []
    for split in sorted({r.split for r in found.results}, key=split_key):
        sides, protocol, left_out = sides_of([r for r in found.results if r.split == split], catalogue)
        if len(sides) > 1:
            told.append(_compared(split, sides, protocol, left_out, catalogue))
    return told


def sides_of(results: Sequence[Result], catalogue: Catalogue) -> tuple[list[Side], str, int]:
    """The runs of one split that can be compared, by which protocol, and how many were left out.

    Where they are many, only the fused or first stream of each recipe; the newest evaluation of a repetition counts.
    """
    trained = [r for r in results if r.epochs]
    protocol = next((n for r in trained for n, p in r.protocols.items() if _classes(p)), "")
    able = [r for r in trained if _classes(r.protocols.get(protocol, {}))]
    newest: dict[tuple[Experiment, str], dict[Any, Result]] = {}
    for r in sorted(able, key=lambda r: str(r.provenance.get("finished", ""))):
        newest.setdefault((catalogue[r], r.stream), {})[r.repetition] = r
    first = {r.path for group in main_results(able, catalogue) for r in group} if able else set()
    keys = [
        (e, s) for e in in_order(e for e, _ in newest) for s in sorted({s for x, s in newest if x == e}, key=stream_key)
    ]
    main = [key for key in keys if any(r.path in first for r in newest[key].values())]
    kept = keys if len(keys) <= MOST else main[:MOST]
    # The ones that stand for their recipes come first: the pair that is shown is of them.
    kept = [key for key in main if key in kept] + [key for key in kept if key not in main]
    sides = [Side(f"{e.label}, {s}", e, s, tuple(newest[e, s][k] for k in sorted(newest[e, s]))) for e, s in kept]
    return sides, protocol, len(keys) - len(kept)


def chosen_pair(sides: Sequence[Side]) -> tuple[int, int]:
    """The pair shown first: SkeletonCLR and CrosNNCLR, else the first two recipes of the paper's order; of one stream.

    The second is what gains where a difference is positive. Of two runs of one recipe the first two.
    """
    systems = [system_of(side.experiment.recipe) for side in sides]
    first = systems.index(PAIR[0]) if PAIR[0] in systems else 0
    others = [n for n, system in enumerate(systems) if n != first and system != systems[first]]
    others = [n for n in others if systems[n] == PAIR[1]] or others
    alike = [n for n in others if sides[n].stream == sides[first].stream]
    second = next(iter([*alike, *others, 1]))
    return (first, second) if PAIR[0] in systems or first < second else (second, first)


def _classes(protocol: Mapping[str, Any]) -> bool:
    each = protocol.get("per_class")
    return isinstance(each, list) and any(isinstance(v, int | float) for v in each)


def _compared(split: str, sides: Sequence[Side], protocol: str, left_out: int, catalogue: Catalogue) -> dict[str, Any]:
    first = sides[0].results[0]
    means = [_means(side.per_class(protocol)) for side in sides]
    classes = max(map(len, means))
    present = [c for c in range(classes) if any(c < len(m) and m[c] is not None for m in means)]
    names = class_names(first.metrics, classes, first.metrics.get(ONLY))
    # Drawn by persons is only where a side has a single repetition.
    single = any(len(side.results) == 1 for side in sides)
    hits = [_Hits.of_all(side.results, protocol) if single else None for side in sides]
    pairs = {}
    for i, j in itertools.combinations(range(len(sides)), 2):
        pair = _pair(sides[i], sides[j], protocol, hits[i], hits[j], classes)
        pairs[f"{i}-{j}"] = {**pair, **{k: [pair[k][c] for c in present] for k in ("difference", "low", "high")}}
    i, j = chosen_pair(sides)
    return {
        "split": split,
        "title": data_title(split, [r for side in sides for r in side.results]),
        "protocol": protocol_title(protocol, first.protocols[protocol]),
        "runs": [{"label": side.label, "n": len(side.results)} for side in sides],
        "classes": [names[c] if c < len(names) else f"class {c + 1}" for c in present],
        "accuracies": [[m[c] if c < len(m) else None for c in present] for m in means],
        "pairs": pairs,
        "chosen": [i, j],
        "left_out": left_out,
        "level": LEVEL,
    }


def _means(rows: Sequence[Sequence[float | None]]) -> list[float | None]:
    """Over the repetitions, of each class; None where one of them does not know it."""
    return [
        statistics.fmean(v for v in each if v is not None) if all(isinstance(v, int | float) for v in each) else None
        for each in zip(*rows, strict=True)
    ]


def _pair(
    one: Side, two: Side, protocol: str, hits_one: _Hits | None, hits_two: _Hits | None, classes: int
) -> dict[str, Any]:
    rows = [side.per_class(protocol) for side in (one, two)]
    known = [[[row[c] for row in own if c < len(row) and row[c] is not None] for c in range(classes)] for own in rows]
    difference = [statistics.fmean(b) - statistics.fmean(a) if a and b else None for a, b in zip(*known, strict=True)]
    low: list[float | None] = [None] * classes
    high: list[float | None] = [None] * classes
    by, groups = NONE, ""
    if min(map(len, rows)) > 1:
        by = SEEDS
        for c, (a, b) in enumerate(zip(*known, strict=True)):
            if welch := welch_interval(a, b):
                low[c], high[c] = welch
    elif hits_one is not None and hits_two is not None and (found := hits_one.against(hits_two, classes)):
        groups, low, high = found
        by = GROUPS if any(end is not None for end in low) else FEW
    return {"by": by, "groups": groups, "difference": difference, "low": low, "high": high}


@dataclass(frozen=True)
class _Hits:
    """Which test clips were recognised, in order of their names; of several repetitions in how many, as a share."""

    names: npt.NDArray[Any]
    labels: npt.NDArray[np.int64]
    hits: Hits
    group: npt.NDArray[Any] | None
    by: str

    @classmethod
    def of_all(cls, results: Sequence[Result], protocol: str) -> _Hits | None:
        """The mean over the repetitions; None where one has no scores, or scores of other clips."""
        each = [found for r in results if (found := cls.of(r, protocol))]
        if len(each) < len(results) or any(not _same(each[0], other) for other in each):
            return None
        return replace(each[0], hits=np.mean([one.hits for one in each], axis=0))

    @classmethod
    def of(cls, result: Result, protocol: str) -> _Hits | None:
        """None where the scores are not there; that is told where they are drawn."""
        stored = read_hits(result, protocol)
        if stored is None:
            return None
        order = np.argsort(stored.names, kind="stable")
        by = str(result.metrics.get(GROUPED_BY) or "group")
        group = None if stored.group is None else stored.group[order]
        return cls(stored.names[order], stored.labels[order], stored.hits[order], group, by)

    def against(self, other: _Hits, classes: int) -> tuple[str, list[float | None], list[float | None]] | None:
        """What was drawn, and of each class the ends of the interval of other's less ours; None of other clips.

        Of fewer than FEWEST groups the ends are None."""
        if not _same(self, other):
            return None
        own, by = drawn_whole(self.group, len(self.names), self.by)
        count = int(own.max()) + 1
        drawn = f"{count} {by}s"
        if count < FEWEST:
            return drawn, [None] * classes, [None] * classes
        clips, gained = np.zeros((2, count, classes))
        inside = self.labels < classes
        at = own[inside], self.labels[inside]
        np.add.at(clips, at, 1.0)
        np.add.at(gained, at, (other.hits - self.hits)[inside])
        low, high = _resampled(clips, gained)
        return drawn, low, high


def _same(one: _Hits, other: _Hits) -> bool:
    return np.array_equal(one.names, other.names) and np.array_equal(one.labels, other.labels)


def _resampled(clips: Hits, gained: Hits) -> tuple[list[float | None], list[float | None]]:
    """The percentile interval of gained / clips of each class, groups (rows) drawn with replacement."""
    count, generator = len(clips), np.random.default_rng(SEED)
    share, means = np.full(count, 1 / count), []
    step = max(1, (1 << 22) // count)
    for start in range(0, RESAMPLES, step):
        drawn = generator.multinomial(count, share, size=min(step, RESAMPLES - start)).astype(np.float64)
        of = drawn @ clips
        means.append(np.divide(drawn @ gained, of, out=np.full(of.shape, np.nan), where=of > 0))
    every = np.concatenate(means)
    met = [column[~np.isnan(column)] for column in every.T]
    found = [ends(column) if len(column) else (None, None) for column in met]
    return [low for low, _ in found], [high for _, high in found]
