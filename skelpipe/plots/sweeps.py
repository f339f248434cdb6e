"""Accuracies over a swept setting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

from skelpipe.plots.confusion import short
from skelpipe.plots.style import DASHES, MARKERS, PALETTE, STYLE, new_figure

LETTERS = 12  # of a legend on an inch, beside its colour keys


def sweep_figure(panels: Sequence[Mapping[str, Any]], name: str, *, doubling: bool = False) -> Figure:
    """Draw accuracies against a setting that was varied, a panel for each way of measuring.

    Args:
        panels: each {title, lines}, a line {label, points}, a point {x, mean, std}: fractions, `std` None without one.
        name: of the setting.
        doubling: space the values as powers of two.
    """
    labels = list(dict.fromkeys(line["label"] for panel in panels for line in panel["lines"]))
    with rc_context(STYLE):
        columns = 1 if len(labels) > 4 or max(map(len, labels), default=0) > 40 else 2
        width = max(5.0, 3.6 * len(panels))
        titles = {label: fill(short(label, 160), int(LETTERS * width / columns)) for label in labels}
        lines = sum(title.count("\n") + 1 for title in titles.values())
        figure = new_figure(width, 2.8 + 0.2 * -(-lines // columns))
        handles: dict[str, Any] = {}
        for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
            values = sorted({p["x"] for line in panel["lines"] for p in line["points"]})
            axes.set(title=short(panel["title"], 40), xlabel=short(name, 40), ylabel="accuracy (%)")
            axes.grid(axis="y", color="#e4e4e4", linewidth=0.7)
            axes.set_axisbelow(True)
            if doubling:
                axes.set_xscale("log", base=2)
            axes.set_xticks(values, [f"{value:g}" for value in values], minor=False)
            axes.minorticks_off()
            if len(values) > 6 or sum(len(f"{value:g}") for value in values) > 24:
                axes.tick_params(axis="x", rotation=45)
            for line in panel["lines"]:
                order = labels.index(line["label"])
                handles[line["label"]] = _sweep_line(axes, line["points"], order)
        names = [titles[label] for label in handles]
        figure.legend(handles.values(), names, loc="outside lower center", ncols=columns, fontsize=8)
        return figure


def _sweep_line(axes: Any, points: Sequence[Mapping[str, Any]], order: int) -> Any:
    return axes.errorbar(
        [p["x"] for p in points],
        [100 * p["mean"] for p in points],
        [100 * (p["std"] or 0) for p in points] if any(p["std"] for p in points) else None,
        color=PALETTE[order % len(PALETTE)],
        linestyle=DASHES[(order // len(PALETTE)) % len(DASHES)],
        marker=MARKERS[order % len(MARKERS)],
        linewidth=1.3,
        markersize=4.5,
        capsize=2.5,
        elinewidth=0.9,
    )
