"""Figures laid out as in the CrosNNCLR paper: the chart of all systems, two curves, grids of maps and of matrices."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from skelpipe.plots.confusion import draw_confusion
from skelpipe.plots.style import BLUE, GREEN, GREY, STYLE, VERMILION, new_figure
from skelpipe.plots.tsne import draw_map

# The paper's own two systems, as it marks them: a green cross and a red disc.
MARKED = {"crosnnclr": (GREEN, "X"), "crosnnclr_star": (VERMILION, "o")}
OTHER = (GREY, "s")
LINES = {"skeletonclr": (BLUE, "--"), "crosnnclr": (GREEN, "-")}
LIGHT = "#e4e4e4"
ABSENT = "not measured here"


@dataclass(frozen=True)
class Compared:
    """One system in a chart: its label, its recipe's name, and its published and our accuracy in percent, if any."""

    label: str
    recipe: str
    published: float | None
    ours: float | None


@dataclass(frozen=True)
class Trained:
    """One method in the figure of curves.

    Attributes:
        loss: epochs and losses.
        published: epochs and accuracies in percent.
        ours: the same of ours.
    """

    title: str
    recipe: str
    loss: Sequence[tuple[float, float]]
    published: Sequence[tuple[float, float]]
    ours: Sequence[tuple[float, float]]


def chart_figure(rows: Sequence[Sequence[tuple[str, Sequence[Compared]]]], marked: Mapping[str, str]) -> Figure:
    """Draw accuracies of many systems: published ones hollow, ours filled, the two marked ones as the paper does.

    Args:
        rows: of panels, each a title and its systems; the panels of a row name the same systems.
        marked: recipe -> name in the legend, of those in `MARKED`.
    """
    heights = [len(row[0][1]) + 2.0 for row in rows]
    with rc_context(STYLE):
        figure = new_figure(9.6, 0.9 + 0.26 * (sum(heights) + 0.6 * len(rows)))
        columns = max(map(len, rows))
        panels = figure.subplots(
            len(rows), columns, gridspec_kw={"height_ratios": heights}, squeeze=False, sharey="row"
        )
        for row, several in zip(rows, panels, strict=True):
            for (title, systems), axes in zip(row, several, strict=True):
                _chart(axes, systems)
                axes.set_title(title)
        handles = [
            *(_key(marked[recipe], colour, marker) for recipe, (colour, marker) in MARKED.items()),
            _key("other systems", *OTHER), _key("ours", "#333333", "D"), _key("published", "#333333", "D", "white"),
        ]  # fmt: skip
        figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), fontsize=8)
        return figure


def _key(label: str, colour: str, marker: str, face: str | None = None) -> Line2D:
    return Line2D([], [], color=colour, marker=marker, markerfacecolor=face or colour, linestyle="", label=label)


def _chart(axes: Any, systems: Sequence[Compared]) -> None:
    for height, system in enumerate(systems):
        colour, marker = MARKED.get(system.recipe, OTHER)
        theirs, ours = system.published, system.ours
        if theirs is not None and ours is not None:
            axes.plot([theirs, ours], [height, height], color=LIGHT, linewidth=2, zorder=1)
        if theirs is not None:
            axes.plot(theirs, height, marker, markersize=7, markeredgecolor=colour, markerfacecolor="white", zorder=2)
        if ours is not None:
            axes.plot(ours, height, marker, markersize=7, color=colour, markeredgewidth=0.8, zorder=3)
    axes.set_yticks(range(len(systems)), [system.label for system in systems])
    axes.set_ylim(len(systems) - 0.4, -0.6)
    axes.grid(axis="both", color=LIGHT, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)


def training_figure(methods: Sequence[Trained]) -> Figure:
    """Draw the loss of each method on the left, its accuracies on the right: published ones thin and hollow."""
    with rc_context(STYLE):
        figure = new_figure(9.6, 3.6)
        left, right = figure.subplots(1, 2)
        handles: list[Any] = []
        for method in methods:
            colour, dash = LINES[method.recipe]
            marker = MARKED.get(method.recipe, OTHER)[1]
            left.plot(*_line(method.loss), dash, color=colour, linewidth=1.3)
            handles += right.plot(
                *_line(method.published), dash, color=colour, linewidth=0.8, alpha=0.7, marker=marker,
                markerfacecolor="white", label=f"{method.title}, published",
            )  # fmt: skip
            handles += right.plot(
                *_line(method.ours), dash, color=colour, linewidth=1.6, marker=marker, label=f"{method.title}, ours"
            )
        left.set(title="training", xlabel="epoch", ylabel="loss")
        right.set(title="linear evaluation, test clips", xlabel="epoch of pretraining", ylabel="accuracy (%)")
        right.set_xticks(sorted({epoch for method in methods for epoch, _ in method.published}))
        for axes in (left, right):
            axes.grid(axis="y", color=LIGHT, linewidth=0.7)
            axes.set_axisbelow(True)
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=8)
        return figure


def _line(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]


def maps_figure(
    rows: Sequence[Sequence[tuple[str, tuple[npt.NDArray[Any], npt.NDArray[Any]] | None]]], names: Mapping[int, str]
) -> Figure:
    """Draw a grid of t-SNE maps with one legend.

    Args:
        rows: of panels, each a title and the places (n, 2) and labels (n,) of its clips, or None.
        names: class -> name.
    """
    with rc_context(STYLE):
        figure = new_figure(12.0, 0.4 + 3.0 * len(rows))
        drawn = _draw_panels(figure, rows, lambda axes, map_: draw_map(axes, map_[0], map_[1], names))
        if drawn:
            legend = drawn[0].get_legend_handles_labels()
            figure.legend(*legend, loc="outside lower center", ncols=5, fontsize=8, markerscale=1.3)
        return figure


def confusions_figure(
    rows: Sequence[Sequence[tuple[str, npt.NDArray[np.float64] | None]]], names: Sequence[str]
) -> Figure:
    """Draw a grid of confusion matrices of the same classes.

    Args:
        rows: of panels, each a title and the shares (classes, classes + 1) of `confusion_shares`, or None.
        names: one per class.
    """
    with rc_context(STYLE):
        figure = new_figure(12.6, 5.6 * len(rows))
        for axes in _draw_panels(figure, rows, lambda axes, share: draw_confusion(axes, share, names)):
            axes.set(xlabel="predicted", ylabel="label")
        return figure


def _draw_panels(
    figure: Figure, rows: Sequence[Sequence[tuple[str, Any]]], draw: Callable[[Any, Any], object]
) -> list[Any]:
    """Draw a grid of titled panels, those that have something to show; returns the axes of these."""
    panels = figure.subplots(len(rows), max(map(len, rows)), squeeze=False)
    drawn = []
    for row, several in zip(rows, panels, strict=True):
        for (title, shown), axes in zip(row, several, strict=True):
            axes.set_title(title)
            if shown is None:
                _leave_empty(axes)
            else:
                draw(axes, shown)
                drawn.append(axes)
    return drawn


def _leave_empty(axes: Any) -> None:
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    axes.text(0.5, 0.5, ABSENT, ha="center", va="center", color=GREY, transform=axes.transAxes)
