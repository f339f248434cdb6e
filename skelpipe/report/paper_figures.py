"""Figures 1, 4, 5 and 6 of the CrosNNCLR paper as it lays them out: what was measured here for each of their parts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from skelpipe import paper
from skelpipe.evaluation.scores import confusion
from skelpipe.plots.confusion import confusion_shares
from skelpipe.plots.paper import (
    MARKED,
    Compared,
    Trained,
    chart_figure,
    confusions_figure,
    maps_figure,
    training_figure,
)
from skelpipe.plots.style import class_names, png_bytes
from skelpipe.plots.tsne import tsne_map
from skelpipe.report.collect import Found, Result, Run
from skelpipe.report.experiments import flatten, shipped_recipe
from skelpipe.report.figures.chosen import CLIPS_PER_CLASS, some_of_each, ten_classes
from skelpipe.report.figures.stored import features_of, scores_of
from skelpipe.report.labels import recipe_name, split_title
from skelpipe.report.paper_shape import match, measured

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Picture = dict[str, Any]
FEWEST = 4  # clips of a map
# Figure 5: what stands in its rows, each on both benchmarks.
ROWS_OF_MAPS = (("skeletonclr", "aimclr"), ("crosnnclr", "crosnnclr_star"))


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
    figure, text = made
    caption = f"{told['title']}{text}"
    file = f"figures/paper_{exhibit}.png"
    return [{"section": "paper", "caption": caption, "png": png_bytes(figure), "chart": None, "file": file}]


def _accuracies(drawn: Drawn) -> tuple[Figure, str]:
    """A row for each of the compared tables, in it a panel for each column."""
    rows = []
    for grid in drawn.told["grids"]:
        title = grid["title"].partition(": ")[2].removeprefix("Comparison on ")
        rows.append(
            [
                (
                    f"{title}, {column['title']}",
                    [
                        Compared(row["labels"][0], row["recipe"], row["cells"][place]["paper"], _percent(row, place))
                        for row in grid["rows"]
                    ],
                )
                for place, column in enumerate(grid["columns"])
            ]
        )
    figure = chart_figure(rows, {recipe: recipe_name(recipe) for recipe in MARKED})
    return figure, ", in percent: published (hollow) and ours (filled)."


def _percent(row: Mapping[str, Any], place: int) -> float | None:
    ours = row["cells"][place]["ours"]
    return None if ours is None else 100 * float(ours["mean"])


def _curves(drawn: Drawn) -> tuple[Figure, str]:
    """The loss of the run that stands for each method, and the accuracies at the epochs of Table 7."""
    (grid,) = drawn.told["grids"]
    (stated,) = paper.grids(drawn.exhibit)
    methods, without = [], []
    for row, own in zip(stated.rows, grid["rows"], strict=True):
        recipe = row.cells[0].recipe
        run = _run(drawn.found.runs, row.cells[0])
        without += [] if run else [recipe_name(recipe)]
        loss = [(e["epoch"], _real(e["loss"])) for e in (run.log if run else ()) if "loss" in e and "epoch" in e]
        theirs = [(cell.epochs or 0, cell.value) for cell in row.cells if cell.value is not None]
        ours = [(cell.epochs or 0, _percent(own, place)) for place, cell in enumerate(row.cells)]
        points = [(epochs, value) for epochs, value in ours if value is not None]
        methods.append(Trained(recipe_name(recipe), recipe, loss, theirs, points))
    lacking = f" No training log of {' and '.join(without)} is here." if without else ""
    return training_figure(methods), f", joint stream.{lacking}"


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
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else math.nan


def _maps(drawn: Drawn) -> tuple[Figure, str] | None:
    """Two rows of maps; the classes of the first one are those of all."""
    results = _results(drawn)
    splits = list(dict.fromkeys(split for _, split in results))
    ten: dict[int, str] = {}
    rows = []
    for recipes in ROWS_OF_MAPS:
        row = []
        for recipe, split in ((recipe, split) for recipe in recipes for split in splits):
            made = _map(results[recipe, split], ten, drawn)
            row.append((f"{recipe_name(recipe)}, {split_title(split)}", made))
        rows.append(row)
    if not ten:
        return None
    text = (
        f": encoder features of test clips of {len(ten)} classes, at most {CLIPS_PER_CLASS} a class, scaled to unit"
        " length; joint stream."
    )
    return maps_figure(rows, ten), text


def _map(result: Result | None, ten: dict[int, str], drawn: Drawn) -> tuple[Any, Any] | None:
    """The places and labels of a map; fills in the classes if they are not chosen yet."""
    stored = None if result is None else features_of(result, drawn.found)
    if result is None or stored is None:
        return None
    names, labels, features = stored
    titles = class_names(result.metrics, max(int(result.metrics["classes"]), int(labels.max(initial=0)) + 1))
    chosen = list(ten) or ten_classes(labels, titles, drawn.classes)
    rows = some_of_each(names, labels, chosen)
    if len(rows) < FEWEST:
        return None
    ten |= {c: titles[c] for c in chosen}
    return tsne_map(features[rows])[0], labels[rows]


def _confusions(drawn: Drawn) -> tuple[Figure, str] | None:
    """A row for each benchmark, in it the methods side by side; the classes of the first matrix are those of all."""
    results = _results(drawn)
    ten: dict[int, str] = {}
    rows = []
    for split in dict.fromkeys(split for _, split in results):
        row = []
        for recipe in dict.fromkeys(recipe for recipe, _ in results):
            made = _matrix(results[recipe, split], ten, drawn)
            row.append((f"{recipe_name(recipe)}, {split_title(split)}", made))
        rows.append(row)
    if not ten:
        return None
    text = ": percent of each label's test clips, joint stream, linear evaluation."
    return confusions_figure(rows, [*ten.values()]), text


def _matrix(result: Result | None, ten: dict[int, str], drawn: Drawn) -> Any:
    """The shares of a matrix; fills in the classes if they are not chosen yet."""
    stored = None if result is None else scores_of(result, drawn.found)
    if result is None or stored is None or "linear" not in stored[1]:
        return None
    labels, scores = stored[0], stored[1]["linear"]
    titles = class_names(result.metrics, scores.shape[-1])
    chosen = list(ten) or ten_classes(labels, titles, drawn.classes)
    ten |= {c: titles[c] for c in chosen}
    return confusion_shares(confusion(scores, labels, len(titles)), chosen) if chosen else None


def _results(drawn: Drawn) -> dict[tuple[str, str], Result | None]:
    """For each method and benchmark of the figure the result that stands for it; of several seeds the first."""
    (grid,) = paper.grids(drawn.exhibit)
    matches = match(grid, measured(drawn.found.results))
    by_path = {result.path: result for result in drawn.found.results}
    return {
        (cell.recipe, cell.split): by_path[found[0].path] if (found := matches.get(cell)) and found[0].path else None
        for cell in grid.cells
    }


DRAWINGS: Mapping[str, Callable[[Drawn], tuple[Figure, str] | None]] = {
    "fig1": _accuracies,
    "fig4": _curves,
    "fig5": _maps,
    "fig6": _confusions,
}
