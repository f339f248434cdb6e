"""A table or figure of the CrosNNCLR paper in the paper's own rows and columns: its accuracies and ours.

Ours come from evaluations that are there, or are planned; what is not there says why.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from skelpipe import paper
from skelpipe.errors import BadInput
from skelpipe.evaluation.fuse import STREAM_ORDER
from skelpipe.outputs.ancestry import DONE
from skelpipe.outputs.checksums import check_files
from skelpipe.paper import Cell, Grid
from skelpipe.paper.systems import SYSTEMS, missing
from skelpipe.report.collect import MEASURED_ON, OWN_CLIPS, Result
from skelpipe.report.experiments import flatten, shipped_recipe
from skelpipe.report.labels import reading_of, setting_label

# Which one stands in the paper's tables, if there are several.
PROBES = ("paper", "stated", "reference", "grid", "lbfgs")
MOST_SETTINGS = 6  # named in a note; one more is named too, rather than counted
NO_RECIPE = "no recipe yet"


@dataclass(frozen=True)
class Measured:
    """What one evaluation or fusion has measured, or is planned to.

    Attributes:
        settings: of the recipe as it was used, by dotted key.
        protocols: name -> what `metrics.json` says of it; of what is only planned, how it will be run.
        done: whether it is there.
        comparable: whether it used the benchmark's clips, as far as that is known.
        path: its folder, if it is there.
    """

    recipe: str
    stream: str
    split: str
    epochs: int
    seed: int
    settings: Mapping[str, Any] = field(hash=False)
    protocols: Mapping[str, Mapping[str, Any]] = field(hash=False)
    done: bool = True
    comparable: bool = True
    finished: str = ""
    path: Path | None = None


def measured(results: Sequence[Result]) -> list[Measured]:
    """What a report has found, but for untrained encoders and those that were pretrained on another split."""
    return [
        Measured(
            r.recipe, r.stream, r.split, r.epochs, r.seed, dict(flatten(r.settings)), r.protocols, True,
            paper.comparable(r.split, r.metrics.get("train_clips"), r.metrics.get("test_clips")) is not False,
            str(r.provenance.get("finished", "")), r.path,
        )
        for r in results
        if r.epochs and not r.origin
    ]  # fmt: skip


def planned(measures: Mapping[str, Mapping[str, Any]], data: Path) -> list[Measured]:
    """What the stages of a pipeline measure, and with which accuracies where they are done.

    Args:
        measures: folder, relative to `data` -> what its accuracies are of, as `pipeline.plan` says it.
    """
    found = []
    for folder, facts in measures.items():
        if facts["pretrained_on"] != facts["split"] or not facts["epochs"]:
            continue
        told = _metrics(data / folder)
        of = {name: {**how, **(told or {}).get("protocols", {}).get(name, {})}
              for name, how in facts["protocols"].items()}  # fmt: skip
        settings = {**shipped_recipe(facts["recipe"])[0], **dict(flatten(facts["changes"]))}
        clips = [(told or {}).get(f"{part}_clips") for part in ("train", "test")]
        same = paper.comparable(facts["split"], *clips) is not False
        recipe, stream, split, epochs, seed = (facts[k] for k in ("recipe", "stream", "split", "epochs", "seed"))
        done = told is not None
        found.append(Measured(recipe, stream, split, epochs, seed, settings, of, done, same, path=data / folder))
    return found


def _metrics(folder: Path) -> dict[str, Any] | None:
    """What is in a folder that is done; nothing of one that is damaged, which is yet to be made again."""
    try:
        check_files(folder, "metrics.json")
        told = json.loads((folder / "metrics.json").read_text("utf-8")) if (folder / DONE).is_file() else None
    except (BadInput, OSError, ValueError):
        return None
    return told if isinstance(told, dict) and isinstance(told.get("protocols"), dict) else None


# The paper's shape ---------------------------------------------------------------------------------------------------


def shape(exhibit: str, ours: Sequence[Measured]) -> dict[str, Any]:
    """A table or figure of the paper, filled with what was measured here; plain values for `report.json`.

    Args:
        exhibit: one of `paper.exhibits()`.

    Returns:
        {exhibit, number, title, grids, notes, remarks, missing}. A grid has {table, title, head, columns, rows}, a
        column {group, title, notes}, a row {section, labels, recipe, missing, notes, cells}; a cell is {paper, right,
        ours, difference, state, notes}: the paper's percent as printed, the true one of a misprint, ours as {mean, std,
        n, epochs} in fractions, and the difference in points. `notes` of a cell, row or column are places in those of
        the whole, from 0; `remarks` are on the whole; `missing` are the titles of systems that have no recipe.
    """
    notes = _Notes()
    for text in paper.notes(exhibit):
        notes.whole.append(text)
    stated = paper.grids(exhibit)
    for grid in stated:
        notes.whole += [f"{grid.number}: {text}" if len(stated) > 1 else text for text in grid.notes]
    grids = [_grid(grid, ours, notes) for grid in stated]
    without = dict.fromkeys(row["recipe"] for grid in grids for row in grid["rows"] if row["missing"])
    return {
        "exhibit": exhibit,
        "number": paper.number(exhibit),
        "title": f"{paper.number(exhibit)}: {paper.title(exhibit)}",
        "grids": grids,
        "notes": notes.marked,
        "remarks": list(dict.fromkeys(notes.whole)),
        "missing": [SYSTEMS[name].title for name in without],
    }


class _Notes:
    """The notes of an exhibit: those with a mark, each once, and those on the whole of it."""

    def __init__(self) -> None:
        self.marked: list[str] = []
        self.whole: list[str] = []

    def marks(self, texts: Sequence[str]) -> list[int]:
        """The places of texts among the marked notes."""
        for text in texts:
            if text not in self.marked:
                self.marked.append(text)
        return sorted(self.marked.index(text) for text in texts)


def _grid(grid: Grid, ours: Sequence[Measured], notes: _Notes) -> dict[str, Any]:
    columns = [{"group": c.group, "title": c.title, "notes": notes.marks(c.notes)} for c in grid.columns]
    matches, rows = match(grid, ours), []
    for row in grid.rows:
        recipes = {cell.recipe for cell in row.cells}
        found = [matches.get(cell, []) for cell in row.cells]
        own = {
            "section": row.section,
            "labels": list(row.labels),
            "recipe": row.cells[0].recipe if len(recipes) == 1 else "",
            "missing": not any(found) and recipes <= set(missing()),
            "notes": notes.marks([*row.notes, *_readings(recipes)]),
        }
        rows.append(own | {"cells": [_cell(cell, found, notes) for cell, found in zip(row.cells, found, strict=True)]})
    title = f"{grid.number}: {grid.title}"
    return {"table": grid.table, "title": title, "head": list(grid.head), "columns": columns, "rows": rows}


def _readings(recipes: Iterable[str]) -> list[str]:
    """A note on each system whose recipe is a reading."""
    named = [(SYSTEMS[name].title, reading) for name in sorted(recipes) if (reading := reading_of(name))]
    return [f"Ours of {title} is {reading}, one reading of a source that leaves much open." for title, reading in named]


def _cell(cell: Cell, found: Sequence[Measured], notes: _Notes) -> dict[str, Any]:
    values = [value for m in found if (value := _value(cell, m)) is not None]
    same = all(m.comparable for m in found if m.done)
    told: dict[str, Any] = {"paper": cell.value, "right": cell.right, "ours": None, "difference": None, "notes": []}
    if found:
        told["state"] = "done" if all(m.done for m in found) else "to do"
    else:
        told["state"] = NO_RECIPE if cell.recipe in missing() else ""
    if not values:
        return told
    mean = statistics.fmean(values)
    told["ours"] = {
        "mean": mean,
        "std": statistics.stdev(values) if len(values) > 1 else None,
        "n": len(values),
        "epochs": found[0].epochs,
    }
    if same and cell.true is not None:
        told["difference"] = 100 * mean - cell.true
    told["notes"] = notes.marks([*_apart(cell, found[0], same), *_warned(cell, found)])
    return told


def _apart(cell: Cell, ours: Measured, same: bool) -> list[str]:
    """What sets our figure apart from the paper's."""
    texts = []
    own, epochs = shipped_recipe(cell.recipe)
    if cell.epochs is None and epochs is not None and ours.epochs != epochs:
        texts.append(f"Ours after {ours.epochs} epoch{'' if ours.epochs == 1 else 's'}; the recipe has {epochs}.")
    if other := _differing(ours, own, cell.changes):
        most = len(other) if len(other) <= MOST_SETTINGS + 1 else MOST_SETTINGS
        more = f" and {len(other) - most} more" if len(other) > most else ""
        texts.append(f"Ours with other settings: {setting_label(dict(list(other.items())[:most]))}{more}.")
    probe = ours.protocols[cell.protocol].get("probe", "paper")
    if cell.protocol == "linear" and probe != _probe_of(own):
        texts.append(f"Ours by the probe {probe!r}; the paper's is {_probe_of(own)!r}.")
    if not same:
        texts.append("Ours on other clips than the benchmark's, so no difference is given.")
    return texts


def _warned(cell: Cell, found: Sequence[Measured]) -> list[str]:
    """What the evaluations warn of, such as a collapse, in a few words."""
    warnings = (str(text) for m in found if m.done for text in m.protocols[cell.protocol].get("warnings") or ())
    texts = []
    for text in warnings:
        first, *rest = text.partition(";")[0].split(": ")
        texts.append(f"{first}: {rest[0]}" if first in STREAM_ORDER and rest else first)
    return [f"Ours with a warning: {text}." for text in dict.fromkeys(texts)]


def _value(cell: Cell, ours: Measured) -> float | None:
    value = ours.protocols[cell.protocol].get(cell.measure) if ours.done else None
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


# Which of ours stands in which cell ----------------------------------------------------------------------------------


def match(grid: Grid, ours: Sequence[Measured]) -> dict[Cell, list[Measured]]:
    """For each cell what was or will be measured for it: one each seed, all of the same settings.

    What differs from the paper by as little as possible counts: clips like those that were trained on, its probe, the
    recipe's length, the recipe's settings.
    """
    swept = sorted({key for cell in grid.cells for key in cell.changes})
    return {cell: found for cell in grid.cells if (found := _found(cell, ours, swept))}


def standing(ours: Sequence[Measured]) -> set[Path]:
    """The folders of what stands in a cell of one of the paper's tables."""
    grids = (grid for exhibit in paper.exhibits() for grid in paper.grids(exhibit))
    return {m.path for grid in grids for found in match(grid, ours).values() for m in found if m.path}


def _found(cell: Cell, ours: Sequence[Measured], swept: Sequence[str]) -> list[Measured]:
    own, epochs = shipped_recipe(cell.recipe)
    groups: dict[tuple[Any, ...], list[Measured]] = {}
    for m in ours:
        if not _fits(cell, m, own, swept):
            continue
        other = _differing(m, own, cell.changes)
        probe = m.protocols[cell.protocol].get("probe")
        rank = -1 if probe == _probe_of(own) else PROBES.index(probe) if probe in PROBES else 0
        far = cell.epochs is None and epochs is not None and m.epochs != epochs
        apart = m.settings.get(MEASURED_ON, OWN_CLIPS) != OWN_CLIPS
        key = (apart, rank, far, len(other), -m.epochs, json.dumps(other, sort_keys=True, default=str))
        groups.setdefault(key, []).append(m)
    if not groups:
        return []
    newest = {m.seed: m for m in sorted(groups[min(groups)], key=lambda m: m.finished)}
    return [newest[seed] for seed in sorted(newest)]


def _probe_of(own: Mapping[str, Any]) -> str:
    """The probe that a shipped recipe's figure in the paper is of.

    The paper measured its own systems by its own; those of others it quotes, as their authors measured them.
    """
    return "stated" if own.get("evaluate.probe") == "stated" else "paper"


def _fits(cell: Cell, ours: Measured, own: Mapping[str, Any], swept: Sequence[str]) -> bool:
    if (ours.recipe, ours.stream, ours.split) != (cell.recipe, cell.stream, cell.split):
        return False
    if cell.protocol not in ours.protocols or ours.protocols[cell.protocol].get("k", 1) != 1:
        return False
    if cell.epochs not in (None, ours.epochs):
        return False
    wanted = {key: cell.changes.get(key, own.get(key)) for key in swept if key in own}
    return all(_same(ours.settings.get(key), value) for key, value in wanted.items())


def _differing(ours: Measured, own: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that are neither the shipped recipe's nor among the changes."""
    return {
        key: ours.settings[key]
        for key, value in own.items()
        if key in ours.settings and key not in changes and not _same(ours.settings[key], value)
    }


def _same(one: Any, other: Any) -> bool:
    return json.dumps(one, sort_keys=True, default=str) == json.dumps(other, sort_keys=True, default=str)


# In words ------------------------------------------------------------------------------------------------------------


def mark(places: Sequence[int]) -> str:
    """The marks of notes: a, b, c, …"""
    return ",".join(_letter(place) for place in places)


def _letter(place: int) -> str:
    return chr(ord("a") + place) if place < 26 else _letter(place // 26 - 1) + _letter(place % 26)


def groups_of(columns: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, int]]:
    """What stands above the columns, and over how many of them."""
    start = 0
    for place in range(1, len(columns) + 1):
        if place == len(columns) or columns[place]["group"] != columns[start]["group"]:
            yield columns[start]["group"], place - start
            start = place
