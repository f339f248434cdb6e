"""Figures 1, 4, 5 and 6 of the CrosNNCLR paper as it lays them out, drawn from what was measured here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from skelpipe import paper
from skelpipe.plots import (
    BLUE,
    GREEN,
    GREY,
    STYLE,
    VERMILION,
    class_names,
    confusion_shares,
    draw_confusion,
    draw_map,
    new_figure,
    png_bytes,
    tsne_map,
)
from skelpipe.report.collect import Found, Result, Run
from skelpipe.report.experiments import flatten, shipped_recipe
from skelpipe.report.figures import CLIPS_PER_CLASS, features_of, scores_of, some_of_each, ten_classes
from skelpipe.report.labels import recipe_name, split_title
from skelpipe.report.paper_shape import match, measured
from skelpipe.scores import confusion

Picture = dict[str, Any]
# The paper's own two systems, as it marks them: a green cross and a red disc.
MARKED = {"crosnnclr": (GREEN, "X"), "crosnnclr_star": (VERMILION, "o")}
OTHER = (GREY, "s")
LINES = {"skeletonclr": (BLUE, "--"), "crosnnclr": (GREEN, "-")}
LIGHT = "#e4e4e4"


@dataclass(frozen=True)
class Drawn:
    """What a figure of the paper is drawn from.

    Attributes:
        told: the figure in the paper's shape (`paper_shape.shape`).
        classes: to draw in place of the ten with the most test clips.
    """

    exhibit: str
    told: Mapping[str, Any]
    found: Found
    classes: Sequence[int | str] | None


def paper_picture(
    exhibit: str, told: Mapping[str, Any], found: Found, classes: Sequence[int | str] | None
) -> list[Picture]:
    """A figure of the paper as a picture for the page; none for a table, or where there is nothing to draw."""
    if exhibit not in DRAWINGS:
        return []
    made = DRAWINGS[exhibit](Drawn(exhibit, told, found, classes))
    if made is None:
        return []
    figure, caption = made
    file = f"figures/paper_{exhibit}.png"
    return [{"section": "paper", "caption": caption, "png": png_bytes(figure), "file": file}]


# Figure 1 ------------------------------------------------------------------------------------------------------------


def _accuracies(drawn: Drawn) -> tuple[Figure, str] | None:
    """A panel for each column of the compared tables, in it the published and our accuracy of each system."""
    grids = drawn.told["grids"]
    with rc_context(STYLE):
        figure = new_figure(9.6, 0.9 + 0.26 * sum(len(grid["rows"]) + 2.6 for grid in grids))
        heights = [len(grid["rows"]) + 2.0 for grid in grids]
        panels = figure.subplots(len(grids), 2, gridspec_kw={"height_ratios": heights}, squeeze=False, sharey="row")
        for grid, pair in zip(grids, panels, strict=True):
            for place, axes in enumerate(pair):
                _panel(axes, grid, place)
        handles = [
            *(_key(recipe_name(recipe), colour, marker) for recipe, (colour, marker) in MARKED.items()),
            _key("other systems", *OTHER), _key("ours", "#333333", "D"), _key("published", "#333333", "D", "white"),
        ]  # fmt: skip
        figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), fontsize=8)
    text = f"{drawn.told['title']}, in percent: published (hollow) and ours (filled)."
    return figure, text


def _key(label: str, colour: str, marker: str, face: str | None = None) -> Line2D:
    return Line2D([], [], color=colour, marker=marker, markerfacecolor=face or colour, linestyle="", label=label)


def _panel(axes: Any, grid: Mapping[str, Any], place: int) -> None:
    labels = [row["labels"][0] for row in grid["rows"]]
    for height, row in enumerate(grid["rows"]):
        colour, marker = MARKED.get(row["recipe"], OTHER)
        cell = row["cells"][place]
        theirs = cell["paper"]
        ours = None if cell["ours"] is None else 100 * cell["ours"]["mean"]
        if theirs is not None and ours is not None:
            axes.plot([theirs, ours], [height, height], color=LIGHT, linewidth=2, zorder=1)
        if theirs is not None:
            axes.plot(theirs, height, marker, markersize=7, markeredgecolor=colour, markerfacecolor="white", zorder=2)
        if ours is not None:
            axes.plot(ours, height, marker, markersize=7, color=colour, markeredgewidth=0.8, zorder=3)
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.grid(axis="both", color=LIGHT, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    axes.set_title(
        f"{grid['title'].partition(': ')[2].removeprefix('Comparison on ')}, {grid['columns'][place]['title']}"
    )


# Figure 4 ------------------------------------------------------------------------------------------------------------


def _curves(drawn: Drawn) -> tuple[Figure, str] | None:
    """The training loss on the left, the linear accuracy on the right; the published accuracies are thin and hollow."""
    (grid,) = drawn.told["grids"]
    (stated,) = paper.grids(drawn.exhibit)
    runs = [(row.cells[0].recipe, _run(drawn.found.runs, row.cells[0])) for row in stated.rows]
    with rc_context(STYLE):
        figure = new_figure(9.6, 3.6)
        left, right = figure.subplots(1, 2)
        for recipe, run in runs:
            colour, dash = LINES[recipe]
            points = [] if run is None else [(e["epoch"], e["loss"]) for e in run.log if "loss" in e and "epoch" in e]
            left.plot([x for x, _ in points], [_real(y) for _, y in points], dash, color=colour, linewidth=1.3)
        left.set(title="training", xlabel="epoch", ylabel="loss")
        for row, own in zip(stated.rows, grid["rows"], strict=True):
            _accuracy_lines(right, row, own)
        right.set(title="linear evaluation, test clips", xlabel="epoch of pretraining", ylabel="accuracy (%)")
        right.set_xticks([cell.epochs for cell in stated.rows[0].cells])
        for axes in (left, right):
            axes.grid(axis="y", color=LIGHT, linewidth=0.7)
            axes.set_axisbelow(True)
        figure.legend(handles=[*_line_keys(stated)], loc="outside lower center", ncols=2 * len(stated.rows), fontsize=8)
    without = [recipe_name(recipe) for recipe, run in runs if run is None]
    lacking = f" No training log of {' and '.join(without)} is here." if without else ""
    return figure, f"{drawn.told['title']}, joint stream.{lacking}"


def _accuracy_lines(axes: Any, row: paper.Row, own: Mapping[str, Any]) -> None:
    colour, dash = LINES[row.cells[0].recipe]
    marker = MARKED.get(row.cells[0].recipe, OTHER)[1]
    epochs = [cell.epochs for cell in row.cells]
    theirs = [np.nan if cell.value is None else cell.value for cell in row.cells]
    axes.plot(epochs, theirs, dash, color=colour, linewidth=0.8, alpha=0.7, marker=marker, markerfacecolor="white")
    points = [(e, 100 * cell["ours"]["mean"]) for e, cell in zip(epochs, own["cells"], strict=True) if cell["ours"]]
    axes.plot([x for x, _ in points], [y for _, y in points], dash, color=colour, linewidth=1.6, marker=marker)


def _line_keys(stated: paper.Grid) -> Iterator[Line2D]:
    for row in stated.rows:
        recipe = row.cells[0].recipe
        (colour, dash), marker = LINES[recipe], MARKED.get(recipe, OTHER)[1]
        yield Line2D([], [], color=colour, linestyle=dash, marker=marker, label=f"{recipe_name(recipe)}, ours")
        yield Line2D(
            [], [], color=colour, linestyle=dash, linewidth=0.8, marker=marker, markerfacecolor="white",
            label=f"{recipe_name(recipe)}, published",
        )  # fmt: skip


def _run(runs: Sequence[Run], cell: paper.Cell) -> Run | None:
    """The run that a curve is drawn of: the recipe as it ships if it is there, the longest, the first seed."""
    own, _ = shipped_recipe(cell.recipe)
    ranked = []
    for place, run in enumerate(runs):
        s = run.settings
        if (s.get("recipe"), s.get("split"), s.get("stream")) == (cell.recipe, cell.split, cell.stream) and run.log:
            used = dict(flatten(s.get("recipe_settings") or {}))
            other = sum(used.get(key, value) != value for key, value in own.items())
            ranked.append(((other, -len(run.log), int(s.get("seed") or 0), place), run))
    return min(ranked, key=lambda each: each[0])[1] if ranked else None


def _real(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and np.isfinite(value) else np.nan


# Figures 5 and 6 -----------------------------------------------------------------------------------------------------


def _maps(drawn: Drawn) -> tuple[Figure, str] | None:
    """Two rows of maps: SkeletonCLR and AimCLR above, CrosNNCLR and CrosNNCLR* below, each on both benchmarks."""
    results = _results(drawn)
    order = (("skeletonclr", "aimclr"), ("crosnnclr", "crosnnclr_star"))
    splits = list(dict.fromkeys(split for _, split in results))
    ten: dict[int, str] = {}
    with rc_context(STYLE):
        figure = new_figure(12.0, 6.4)
        panels = figure.subplots(2, 4)
        for recipes, row in zip(order, panels, strict=True):
            pairs = [(recipe, split) for recipe in recipes for split in splits]
            for (recipe, split), axes in zip(pairs, row, strict=True):
                axes.set_title(f"{recipe_name(recipe)}, {split_title(split)}")
                ten = _map(axes, results[recipe, split], ten, drawn) or ten
        if not ten:
            return None
        handles, labels = next(axes.get_legend_handles_labels() for axes in panels.flat if axes.collections)
        figure.legend(handles, labels, loc="outside lower center", ncols=5, fontsize=8, markerscale=1.3)
    text = (
        f"{drawn.told['title']}: encoder features of test clips of {len(ten)} classes, at most {CLIPS_PER_CLASS} a"
        " class, scaled to unit length; joint stream."
    )
    return figure, text


def _map(axes: Any, result: Result | None, ten: Mapping[int, str], drawn: Drawn) -> dict[int, str]:
    """Draw one map; the classes of the first one are those of all."""
    stored = None if result is None else features_of(result, drawn.found)
    if result is None or stored is None:
        _nothing(axes)
        return {}
    names, labels, features = stored
    titles = class_names(result.metrics["dataset"], max(int(result.metrics["classes"]), int(labels.max(initial=0)) + 1))
    ten = dict(ten) or {c: titles[c] for c in ten_classes(labels, titles, drawn.classes)}
    rows = some_of_each(names, labels, list(ten))
    if len(rows) < 4:
        _nothing(axes, "too few clips")
        return {}
    place, _ = tsne_map(features[rows])
    draw_map(axes, place, labels[rows], ten)
    return dict(ten)


def _confusions(drawn: Drawn) -> tuple[Figure, str] | None:
    """A row for each benchmark, in it SkeletonCLR beside CrosNNCLR."""
    results = _results(drawn)
    splits = list(dict.fromkeys(split for _, split in results))
    recipes = list(dict.fromkeys(recipe for recipe, _ in results))
    ten: list[int] = []
    with rc_context(STYLE):
        figure = new_figure(12.6, 5.6 * len(splits))
        panels = figure.subplots(len(splits), len(recipes), squeeze=False)
        for split, row in zip(splits, panels, strict=True):
            for recipe, axes in zip(recipes, row, strict=True):
                axes.set_title(f"{recipe_name(recipe)}, {split_title(split)}")
                ten = _matrix(axes, results[recipe, split], ten, drawn) or ten
        if not ten:
            return None
    return figure, f"{drawn.told['title']}: percent of each label's test clips, joint stream, linear evaluation."


def _matrix(axes: Any, result: Result | None, ten: Sequence[int], drawn: Drawn) -> list[int]:
    """Draw one matrix; the classes of the first one are those of all."""
    scores = None if result is None else scores_of(result, drawn.found)
    if result is None or scores is None or "linear" not in scores[1]:
        _nothing(axes)
        return []
    labels, by_protocol = scores
    linear = by_protocol["linear"]
    titles = class_names(result.metrics["dataset"], linear.shape[-1])
    ten = list(ten) or ten_classes(labels, titles, drawn.classes)
    share: npt.NDArray[np.float64] = confusion_shares(confusion(linear, labels, len(titles)), ten)
    draw_confusion(axes, share, [titles[c] for c in ten])
    axes.set(xlabel="predicted", ylabel="label")
    return ten


def _results(drawn: Drawn) -> dict[tuple[str, str], Result | None]:
    """For each method and benchmark of the figure the result that stands for it; of several seeds the first."""
    (grid,) = paper.grids(drawn.exhibit)
    matches = match(grid, measured(drawn.found.results))
    by_path = {result.path: result for result in drawn.found.results}
    return {
        (cell.recipe, cell.split): by_path[found[0].path] if (found := matches.get(cell)) and found[0].path else None
        for cell in grid.cells
    }


def _nothing(axes: Any, text: str = "not measured here") -> None:
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    axes.text(0.5, 0.5, text, ha="center", va="center", color=GREY, transform=axes.transAxes)


DRAWINGS: Mapping[str, Callable[[Drawn], tuple[Figure, str] | None]] = {
    "fig1": _accuracies,
    "fig4": _curves,
    "fig5": _maps,
    "fig6": _confusions,
}
