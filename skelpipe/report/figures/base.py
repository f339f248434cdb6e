"""What a kind of figure is, and what it is drawn from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any, NamedTuple

from skelpipe.report.collect import Found
from skelpipe.report.experiments import Catalogue


class Drawn(NamedTuple):
    """One figure: a caption, which is the alternative text too, the PNG, and the same as values for a page's own chart.

    `chart` is as `charts.chart` gives it; None where the picture is all.
    """

    caption: str
    png: bytes
    chart: dict[str, Any] | None = None


@dataclass(frozen=True)
class Material:
    """What there is to draw: what was found, which experiment each result is of, the sweeps, and the classes asked for.

    What cannot be drawn is noted in `found.skipped`.
    """

    found: Found
    catalogue: Catalogue
    sweeps: Sequence[Mapping[str, Any]]
    classes: Sequence[int | str] | None


class Kind(NamedTuple):
    """A kind of figure: the title of its section, the link to it, its pictures, and whether two stand side by side."""

    title: str
    link: str
    pictures: Callable[[Material], Iterator[Drawn]]  # a generator: what is not wanted is not drawn
    paired: bool = False


def points_of(values: Mapping[float, Sequence[float]]) -> list[dict[str, float | None]]:
    """A line's points {x, mean, std}, in order, of all values at each x; those without any are left out."""
    return [
        {"x": x, "mean": fmean(each), "std": stdev(each) if len(each) > 1 else None}
        for x, each in sorted(values.items())
        if each
    ]
