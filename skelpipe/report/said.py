"""What the figures of a report say, in three sentences: two systems side by side, class by class, and how sure that is.

They are made from the scores of the same test clips, and hold whichever way these come out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from skelpipe.evaluation.fuse import GROUPED_BY, ONLY
from skelpipe.evaluation.intervals import LEVEL, too_few, top1_interval
from skelpipe.paper.systems import SYSTEMS, system_of
from skelpipe.plots.style import class_names
from skelpipe.report.collect import Result, Run
from skelpipe.report.experiments import Catalogue, main_results
from skelpipe.report.figures.stored import read_hits
from skelpipe.report.labels import protocol_title, recipe_name
from skelpipe.report.learnt import has_collapsed, never_began, similarity

PAIR = ("skeletonclr", "crosnnclr")  # the paper's host and its plug-in, which are compared if both are there
MOST_NAMED = 3  # classes of equal figures
FEW_CLIPS, FEW_OF_CLASS = 1000, 30  # fewer test clips in all, or of a class, are called few
STREAMS = {"3s": "three streams fused"}


@dataclass(frozen=True)
class Hits:
    """What one system has recognised of n test clips, over all of its seeds.

    Attributes:
        right: (n,) how often each clip was recognised, from 0 to 1.
        labels: (n,) classes from 0.
        group: (n,) the person or video of each clip, or None.
        chance: what guessing finds.
        remark: what its name is to be read with, such as that its embeddings have collapsed.
        alike: how similar the embeddings of different clips are, as logged last; of several runs where it is highest.
    """

    name: str
    result: Result
    names: npt.NDArray[Any]
    right: npt.NDArray[np.float64]
    labels: npt.NDArray[np.int64]
    group: npt.NDArray[Any] | None
    chance: float
    seeds: int
    remark: str = ""
    alike: float | None = None

    def among(self, names: npt.NDArray[Any]) -> Hits:
        """The same of these clips alone, in this order; all of them are among its own."""
        order = np.argsort(self.names)
        rows = order[np.searchsorted(self.names, names, sorter=order)]
        group = None if self.group is None else self.group[rows]
        return replace(self, names=names, right=self.right[rows], labels=self.labels[rows], group=group)


def sentences(results: Sequence[Result], runs: Sequence[Run] = ()) -> list[str]:
    """Three sentences about two systems that were measured on the same clips; none where there are no two.

    These are SkeletonCLR and CrosNNCLR, or else the first two in the paper's order, by the fused stream, or else the
    first there is, with the first protocol that both have, on the first split where there are two.

    Args:
        results: all of the report.
        runs: whose logs tell whether embeddings have collapsed.
    """
    trained = [result for result in results if result.epochs]
    if not trained:
        return []
    chosen = main_results(trained, Catalogue(trained))
    for split in dict.fromkeys(group[0].split for group in chosen):
        groups = [group for group in chosen if group[0].split == split]
        systems: dict[str, list[Result]] = {}  # of a sweep, which the page tells apart, the first
        for group in groups:
            systems.setdefault(system_of(group[0].recipe), group)
        # Else as they stand, in the paper's order.
        pair = sorted(systems, key=lambda system: (system not in PAIR, system not in SYSTEMS))[:2]
        if len(pair) > 1:
            first, second = (systems[system] for system in sorted(pair, key=[*systems].index))
            protocol = next((name for name in first[0].protocols if name in second[0].protocols), None)
            if protocol is None:
                continue
            one, other = _hits(first, protocol, runs), _hits(second, protocol, runs)
            if one is not None and other is not None:
                return _compare(one, other, protocol)
    return []


def _hits(group: Sequence[Result], protocol: str, runs: Sequence[Run]) -> Hits | None:
    """What the evaluations of one system, of several seeds, have recognised; None without scores of the protocol."""
    found: dict[str, list[float]] = {}
    of: dict[str, tuple[int, Any]] = {}
    grouped = True
    for result in group:
        stored = read_hits(result, protocol)
        if stored is None:
            continue
        grouped = grouped and stored.group is not None
        members = stored.names if stored.group is None else stored.group
        for name, value, label, member in zip(stored.names, stored.hits, stored.labels, members, strict=True):
            found.setdefault(str(name), []).append(float(value))
            of[str(name)] = int(label), member
    if not found:
        return None
    metrics = group[0].metrics
    system = SYSTEMS.get(system_of(group[0].recipe))
    return Hits(
        recipe_name(group[0].recipe) if system is None else system.title,
        group[0],
        np.array([*found]),
        np.array([np.mean(values) for values in found.values()]),
        np.array([label for label, _ in of.values()]),
        np.array([member for _, member in of.values()]) if grouped else None,
        1 / max(1, int(metrics.get("classes_present", metrics["classes"]))),
        len({result.seed for result in group}),
        "its embeddings have collapsed" if has_collapsed(group, runs) else never_began(group[0]),
        similarity(group, runs),
    )


def _compare(one: Hits, other: Hits, protocol: str) -> list[str]:
    """The three sentences about two systems, if they were measured on the same clips."""
    common = np.intersect1d(one.names, other.names)
    if not len(common):
        return []
    one, other = one.among(common), other.among(common)
    return [_in_all(one, other, protocol), _by_class(one, other), _how_sure(one, other)]


def _in_all(one: Hits, other: Hits, protocol: str) -> str:
    a, b = float(one.right.mean()), float(other.right.mean())
    low, high, groups, by = difference(one, other)
    name, _, weights = one.result.stream.partition(" ")
    stream = " ".join(filter(None, (STREAMS.get(name, f"stream {name}"), weights)))
    how = f"{stream}, {protocol_title(protocol, one.result.protocols[protocol])}"
    told = (
        f"Of {len(one.names):,} test clips {other.name} recognises {_percent(b)} and {one.name} {_percent(a)} ({how}), "
        f"where guessing finds {_percent(one.chance)}"
    )
    gap = _points(b - a)
    if low is None or high is None:
        equal = "they are equal here" if a == b else f"whether the difference of {gap} points is chance is open"
        return f"{told}: {equal} ({too_few(groups, by)})."
    interval = f"{100 * LEVEL:g}\N{NO-BREAK SPACE}% interval {_points(low)} to {_points(high)}"
    over = f"{interval} over {groups:,} {by}{'s' if groups > 1 else ''}"
    if a == b:
        return f"{told}: they are equal here ({over})."
    if low <= 0 <= high:
        return f"{told}; the difference of {gap} points may well be chance ({over})."
    better = other.name if b > a else one.name
    return (
        f"{told}; the difference of {gap} points is more than the choice of test clips explains ({over}), "
        f"in favour of {better}."
    )


def difference(one: Hits, other: Hits) -> tuple[float | None, float | None, int, str]:
    """The bootstrap interval of what the second recognises more, as fractions, by persons or videos drawn whole.

    Returns:
        Its ends, None of fewer than FEWEST groups, how many groups were drawn from, and what they are called.
    """
    by = str(one.result.metrics.get(GROUPED_BY) or "group")
    found = top1_interval(other.right - one.right, one.group, by)
    return found["low"], found["high"], found["groups"], found["by"]


def _by_class(one: Hits, other: Hits) -> str:
    metrics = one.result.metrics
    titles = class_names(metrics, int(metrics["classes"]), metrics.get(ONLY))
    present = np.unique(one.labels)
    own = {c: (float(one.right[one.labels == c].mean()), float(other.right[one.labels == c].mean())) for c in present}
    name = {c: f"“{titles[c] if c < len(titles) else f'class {c + 1}'}”" for c in present}
    if len(present) == 1:
        return f"All of them are of one class, {name[present[0]]}."
    total = {c: round(sum(own[c]), 9) for c in present}
    more = {c: round(own[c][1] - own[c][0], 9) for c in present}

    def of(values: dict[int, float], extreme: float, figures: Callable[[int], str]) -> tuple[str, bool]:
        """The classes that share a value, with their figures, and whether they are several."""
        alike = [c for c in present if values[c] == extreme]
        if len(alike) > MOST_NAMED:
            return f"{len(alike)} classes alike, such as {name[alike[0]]} {figures(alike[0])}", True
        *others, last = (f"{name[c]} {figures(c)}" for c in alike)
        return (f"{', '.join(others)} and {last}" if others else last), bool(others)

    def both(c: int, between: str) -> str:
        return f"({100 * own[c][1]:.1f} {between} {_percent(own[c][0])})"

    high, low = max(total.values()), min(total.values())
    if high == low:
        told = f"All {len(present)} classes are recognised equally well"
    else:
        first = lambda c: f"({other.name} {_percent(own[c][1])}, {one.name} {_percent(own[c][0])})"  # noqa: E731
        best, several = of(total, high, first)
        worst = of(total, low, lambda c: both(c, "and"))[0]
        told = f"Over both, {best} {'are' if several else 'is'} recognised best, and {worst} worst"
    up, down = max(more.values()), min(more.values())
    gains = f"gains most on {of(more, up, lambda c: both(c, 'instead of'))[0]}" if up > 0 else "gains on no class"
    losses = f"loses most on {of(more, down, lambda c: both(c, 'instead of'))[0]}" if down < 0 else "loses on none"
    if not up > 0 and not down < 0:
        return f"{told}, and the two differ on no class."
    return f"{told}; {other.name} {gains} and {losses}."


def _how_sure(one: Hits, other: Hits) -> str:
    fewest = int(np.unique(one.labels, return_counts=True)[1].min())
    seeds = min(one.seeds, other.seeds)
    few = len(one.names) < FEW_CLIPS or fewest < FEW_OF_CLASS
    clips = f"at least {fewest} of a class, of which one is worth {100 / fewest:.1f} points"
    told = (
        f"These are few clips, {clips}, so that single classes may differ by chance"
        if few
        else f"There are {len(one.names):,} clips, {clips}"
    )
    trainings = (
        "and each system was trained once, so that another seed may turn them round"
        if seeds == 1
        else f"and each figure is the mean of {seeds} trainings"
    )
    more = [f"of {each.name}, {each.remark}" for each in (other, one) if each.remark]
    known = [f"{each.alike:.2f} for {each.name}" for each in (other, one) if each.alike is not None]
    if known:
        figures = " and ".join(known)
        more.append(f"at the end of training different clips had a similarity of {figures}, where 1 is collapse")
    if one.result.synthetic:
        more.append("the recordings are synthetic, and tell nothing of the paper's figures")
    return "; ".join([f"{told}, {trainings}", *more]) + "."


def _percent(share: float) -> str:
    return f"{100 * share:.1f}\N{NO-BREAK SPACE}%"


def _points(share: float) -> str:
    return f"{100 * share:+.1f}".replace("-", "−")
