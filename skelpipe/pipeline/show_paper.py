"""A table or figure of the paper on the terminal: its rows and columns, our accuracies and what is planned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from skelpipe.errors import printable
from skelpipe.pipeline.show import new_console, show_missing
from skelpipe.report.labels import figure_text
from skelpipe.report.paper_shape import NO_RECIPE, mark, planned, shape
from skelpipe.report.texts import cell_text

READING = "Ours, and in brackets the paper's, in percent."


def show_paper(
    exhibit: str, measures: Mapping[str, Mapping[str, Any]], data: Path, told_missing: Sequence[str] = ()
) -> None:
    """Print a table or figure of the paper with what a pipeline has measured, and what it has yet to do.

    Args:
        measures: as in a pipeline's plan.
        data: the data folder.
        told_missing: systems that are said to have no recipe already.
    """
    told, console = shape(exhibit, planned(measures, data)), new_console()
    console.print(Text(f"\n{told['title']}", style="bold"), Text(READING), sep="\n")
    cells = [cell for grid in told["grids"] for row in grid["rows"] for cell in row["cells"]]
    if not any(cell["state"] in ("done", "to do") for cell in cells):
        text = (
            f"Nothing that this pipeline measures stands in {told['number']}: it has other recipes, splits or streams."
        )
        console.print(Text(text, style="yellow"))
    for grid in told["grids"]:
        if len(told["grids"]) > 1:
            console.print(Text(f"\n{grid['title']}"))
        console.print(_table(grid))
    for place, text in enumerate(told["notes"]):
        console.print(Text(f"{mark([place])}  {printable(text)}", style="dim"))
    for text in told["remarks"]:
        console.print(Text(text, style="dim"))
    without = dict.fromkeys(row["recipe"] for grid in told["grids"] for row in grid["rows"] if row["missing"])
    show_missing([name for name in without if name not in told_missing])


def _table(grid: Mapping[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in grid["head"]:
        table.add_column(Text(heading), header_style="dim", overflow="fold")
    for column in grid["columns"]:
        above = f"{column['group']}\n" if any(c["group"] for c in grid["columns"]) else ""
        table.add_column(Text(f"{above}{_marked(column['title'], column)}"), header_style="dim", justify="right")
    section = ""
    for row in grid["rows"]:
        if row["section"] != section:
            section = row["section"]
            table.add_row(Text(section, style="dim"))
        first, *rest = row["labels"]
        labels = [Text(_marked(first, row)), *map(Text, rest)]
        table.add_row(*labels, *(_text(cell) for cell in row["cells"]))
    return table


def _text(cell: Mapping[str, Any]) -> Text:
    """ "73.0 (73.2)", "to do (73.2)", "no recipe yet (50.0)"."""
    state = {"done": "", "": "—"}.get(cell["state"], cell["state"])
    ours = cell_text(cell["ours"]) if cell["ours"] else state or "—"
    theirs = "—" if cell["paper"] is None else figure_text(cell["paper"])
    style = "" if cell["ours"] else "dim" if cell["state"] in ("", NO_RECIPE) else "yellow"
    return Text(_marked(ours, cell), style=style) + Text(f" ({theirs})", style="dim")


def _marked(text: str, noted: Mapping[str, Any]) -> str:
    return f"{text} {mark(noted['notes'])}".rstrip()
