"""What is missing beside a table: results of ours for published figures, and published figures for our results."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from skelpipe import paper
from skelpipe.evaluation.fuse import TRIPLES
from skelpipe.paper.systems import SYSTEMS
from skelpipe.report.collect import Result
from skelpipe.report.experiments import Catalogue
from skelpipe.report.labels import family, figure_text, recipe_key, recipe_name, split_title, stream_key
from skelpipe.report.sweeps import FEWEST


def measured_without_figure(
    groups: Sequence[Mapping[str, Any]], splits: Sequence[str], stands: Callable[[int, str, str], bool]
) -> list[str]:
    """Rows of ours that stand in no published table, those of a recipe, split and stream in one line.

    Args:
        stands: whether the group at that place, in that stream and split, stands in a table of the CrosNNCLR paper,
            which also has figures of changed settings.
    """
    lines: dict[str, list[str]] = {}
    for place, group in enumerate(groups):
        if group["untrained"]:
            continue
        if not any(split in paper.benchmarks() for split in splits):
            continue
        if group["recipe"] not in SYSTEMS:
            lines[f"{group['recipe']}: in no published table"] = []
            continue
        for split in filter(paper.benchmarks().__contains__, splits):
            bare = [e["stream"] for e in group["streams"]
                    if e["cells"][split] and group["kind"] not in e["published"][split]
                    and not stands(place, e["stream"], split)]  # fmt: skip
            if bare:
                name = recipe_name(group["recipe"])
                line = f"{name}: {', '.join(bare)} on {split_title(split)}"
                lines.setdefault(line, []).append(group["label"].removeprefix(f"{name}, "))
    return [f"{line} ({'; '.join(of)})" if of else line for line, of in lines.items()]


def published_without_result(
    tables: Sequence[dict[str, Any]], results: Sequence[Result], catalogue: Catalogue
) -> list[str]:
    """What each recipe of the report still lacks: into the table of its split, or returned if there is no such table.

    These are the streams that were not measured, and the published figures that no result of ours stands beside; those
    of a length of pretraining only where several lengths were measured.
    """
    trained = [r for r in results if not catalogue[r].untrained]
    own = [r for r in trained if not r.origin]
    elsewhere: list[str] = []
    for recipe in sorted({r.recipe for r in trained}, key=recipe_key):
        mine = [r for r in own if r.recipe == recipe]
        for split in dict.fromkeys([*paper.benchmarks(), *(r.split for r in own)]):
            table = next((t for t in tables if split in _splits(t)), None)
            table = table or next((t for t in tables if family(split) == family(_splits(t)[0])), None)
            beside = table is not None and split in _splits(table) and any(r.split in _splits(table) for r in mine)
            series = len({r.epochs for r in mine if r.split == split}) >= FEWEST
            due = [each for each in _due(recipe, split, tables) if series or not each[2].epochs]
            have = {str(r.metrics["stream"]) for r in mine if r.split == split}  # whatever the weights of a fusion
            supervised = any(catalogue[r].supervised for r in mine)
            lines = elsewhere if table is None else table["missing"]["results"]
            name, where = recipe_name(recipe), split_title(split)
            if have and (lacking := _lacking(have, due, supervised)):
                lines.append(f"{name}: no {', '.join(lacking)} on {where}")
            elif not have and due:
                figures = ", ".join(f"{stream}{_length(f)} {figure_text(f.value)}" for _, stream, f in due)
                lines.append(f"{name}: nothing on {where} (published: {figures})")
            elif not have and beside:
                lines.append(f"{name}: nothing on {where}")
    return elsewhere


def missing_of_exhibit(told: Mapping[str, Any]) -> list[str]:
    """What is not measured of a table or figure of the paper, row by row, but for systems that have no recipe here.

    Args:
        told: as `paper_shape.shape` gives it.
    """
    lines = []
    for grid in told["grids"]:
        before = f"{paper.number(grid['table'])}, " if len(told["grids"]) > 1 else ""
        for row in grid["rows"]:
            bare = [
                f"{' '.join(filter(None, (column['group'], column['title'])))} (published {figure_text(cell['paper'])})"
                for column, cell in zip(grid["columns"], row["cells"], strict=True)
                if cell["ours"] is None and cell["paper"] is not None and not row["missing"]
            ]
            lines += [f"{before}{', '.join(row['labels'])}: {', '.join(bare)}"] if bare else []
    return lines


def _splits(table: Mapping[str, Any]) -> list[str]:
    return [each["split"] for each in table["splits"]]


def _due(recipe: str, split: str, tables: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, paper.Figure]]:
    """What was published for a recipe and split and has no result of ours: (protocol, stream, figure)."""
    met = {
        (kind, entry["stream"], figure["epochs"])
        for table in tables
        for group in table["groups"]
        if group["recipe"] == recipe and not group["origin"]
        for entry in group["streams"]
        for kind, figure in entry["published"].get(split, {}).items()
        if figure["measured"]
    }
    due = [each for each in paper.published(recipe, split) if (each[0], each[1], each[2].epochs) not in met]
    return sorted(due, key=lambda each: stream_key(each[1]))


def _lacking(have: set[str], due: Sequence[tuple[str, str, paper.Figure]], supervised: bool) -> list[str]:
    """The streams that are not there, and of the others those of whose figures the counterpart is not there."""
    lines = []
    own = next((triple for triple in TRIPLES if have & set(triple)), TRIPLES[0])  # of a recipe that has its own
    for stream in (*own, "3s"):
        figures = [(kind, figure) for kind, name, figure in due if name == stream]
        if stream not in have:
            told = "; ".join(f"published {figure_text(f.value)}{_length(f)}" for _, f in figures)
            if told or not supervised:
                lines.append(f"{stream} ({told})" if told else stream)
            continue
        for kind, figure in figures:
            how = _length(figure) or f" of the usual settings by {kind}"
            lines.append(f"{stream}{how} (published {figure_text(figure.value)})")
    return lines


def _length(figure: paper.Figure) -> str:
    return f" after {figure.epochs} epochs" if figure.epochs else ""
