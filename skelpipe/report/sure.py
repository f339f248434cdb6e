"""How sure a mean over repetitions, or a difference of two, is: intervals by Student's t.

Sources: Student, The Probable Error of a Mean, Biometrika 1908; of two means with their own deviations Welch, The
Generalization of "Student's" Problem when Several Different Population Variances are Involved, Biometrika 1947.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from skelpipe.evaluation.intervals import LEVEL, too_few

GRID = 20_001


@cache
def t_quantile(freedom: float, level: float = LEVEL) -> float:
    """The t that a variable of Student's distribution with so many degrees of freedom is within with that probability.

    With x = sqrt(freedom) tan(a) its density becomes cos(a)^(freedom - 1), whose integral from 0 is looked up.
    """
    angle = np.linspace(0, np.pi / 2, GRID)
    density = np.cos(angle).clip(0) ** (freedom - 1)
    mass = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
    return float(np.sqrt(freedom) * np.tan(np.interp(level * mass[-1], mass, angle)))


def mean_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """The 95 % interval of the mean of some repetitions, mean ± t s / sqrt(n); None of fewer than two."""
    if len(values) < 2:
        return None
    half = t_quantile(float(len(values) - 1)) * statistics.stdev(values) / len(values) ** 0.5
    mean = statistics.fmean(values)
    return mean - half, mean + half


def welch_interval(first: Sequence[float], second: Sequence[float]) -> tuple[float, float] | None:
    """The 95 % interval of mean(second) - mean(first); None where one has fewer than two, or nothing varies."""
    if len(first) < 2 or len(second) < 2:
        return None
    one, two = (statistics.variance(values) / len(values) for values in (first, second))
    if one + two == 0:
        return None
    freedom = (one + two) ** 2 / (one**2 / (len(first) - 1) + two**2 / (len(second) - 1))
    half = t_quantile(round(freedom, 3)) * (one + two) ** 0.5
    difference = statistics.fmean(second) - statistics.fmean(first)
    return difference - half, difference + half


def interval_of(cell: Mapping[str, Any]) -> dict[str, Any] | None:
    """The 95 % interval of what stands in a cell: {low, high, method}; None where there is no telling.

    Over seeds (or folds, or draws) it is Student's; of a single evaluation that of the evaluation, by bootstrap.
    """
    if ends := mean_interval(cell["values"]):
        return {"low": ends[0], "high": ends[1], "method": f"Student's t over {len(cell['values'])} repetitions"}
    if not (of := cell.get("interval")) or of["low"] is None:
        return None
    groups = f" over {of['groups']} {of['by']}s" if of.get("groups") else ""
    return {"low": of["low"], "high": of["high"], "method": f"bootstrap{groups}"}


def why_none(cell: Mapping[str, Any]) -> str | None:
    """Why a cell has no interval, where an evaluation says it: "too few subjects for an interval: 2"."""
    of = cell.get("interval")
    return too_few(of["groups"], of["by"]) if of and of["low"] is None else None
