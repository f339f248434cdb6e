"""The tables and figures of the CrosNNCLR paper in their own rows and columns; the data are in `tables.yaml`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from skelpipe.paper.systems import SYSTEMS


@dataclass(frozen=True)
class Cell:
    """One cell of a table of the paper: what it is of, and what stands there.

    Attributes:
        epochs: of pretraining, if the table tells several lengths apart; None is the recipe's own.
        changes: dotted key -> value, where the table changes the recipe.
        measure: "top1" or "top5".
        value: percent as printed; None where the paper leaves it blank.
        right: the true value of a misprint.
    """

    recipe: str
    stream: str
    split: str
    protocol: str
    epochs: int | None
    changes: Mapping[str, Any] = field(hash=False)
    measure: str
    value: float | None
    right: float | None = None

    @property
    def true(self) -> float | None:
        """What the paper means."""
        return self.value if self.right is None else self.right


class Column(NamedTuple):
    """A column: what stands above several of them together ("" if nothing does), its own title, and its notes."""

    group: str
    title: str
    notes: tuple[str, ...]


class Row(NamedTuple):
    """A row: the part of the table that it belongs to (or ""), a label for each heading, its notes and its cells."""

    section: str
    labels: tuple[str, ...]
    notes: tuple[str, ...]
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Grid:
    """A table of the paper in its own shape, or what a figure shows of it.

    Attributes:
        table: "table1" to "table10".
        head: the headings above the rows' labels.
        notes: on the whole of it.
    """

    table: str
    title: str
    head: tuple[str, ...]
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...]

    @property
    def cells(self) -> list[Cell]:
        return [cell for row in self.rows for cell in row.cells]

    @property
    def number(self) -> str:
        return number(self.table)


@cache
def read_data() -> Mapping[str, Any]:
    """What `tables.yaml` says."""
    import yaml

    data: Mapping[str, Any] = yaml.safe_load(files("skelpipe.paper").joinpath("tables.yaml").read_text("utf-8"))
    return data


def exhibits() -> list[str]:
    """The paper's tables and figures that can be shown: table1 to table10, fig1, fig4, fig5, fig6."""
    return [*read_data()["tables"], *read_data()["figures"]]


def number(exhibit: str) -> str:
    """ "Table 5" for table5, "Figure 1" for fig1."""
    kind = "Table" if exhibit.startswith("table") else "Figure"
    return f"{kind} {exhibit.removeprefix('table').removeprefix('fig')}"


def title(exhibit: str) -> str:
    """What a table or figure of the paper shows, in words."""
    data = read_data()
    return str((data["tables"] | data["figures"])[exhibit]["title"])


def notes(exhibit: str) -> list[str]:
    """Notes on a figure; those on a table are its grid's."""
    return list(read_data()["figures"].get(exhibit, {}).get("notes", []))


def grids(exhibit: str) -> list[Grid]:
    """A table of the paper in its own shape, or for a figure what it shows, as parts of the tables.

    Args:
        exhibit: one of `exhibits()`.
    """
    if exhibit in read_data()["tables"]:
        return [_grid(exhibit)]
    figure = read_data()["figures"][exhibit]
    return [_part(_grid(table), figure.get("where", {})) for table in figure["of"]]


def benchmarks() -> Mapping[str, Mapping[str, Any]]:
    """Split -> {title, clips: {train, test}, nominal: {train, test}}, the counts where they are known."""
    return dict(read_data()["benchmarks"])


def comparable(split: str, train_clips: int | None, test_clips: int | None) -> bool | None:
    """Whether an evaluation used exactly the benchmark's clips; None if the benchmark's counts are not known.

    Published figures say nothing about a run on fewer, synthetic or other clips, whatever its split is called.
    """
    counts = [c for c in (benchmarks().get(split, {}).get(k) for k in ("clips", "nominal")) if c]
    if not counts:
        return None
    return any((c["train"], c["test"]) == (train_clips, test_clips) for c in counts)


# The paper's tables --------------------------------------------------------------------------------------------------


@cache
def _grid(table: str) -> Grid:
    stated = read_data()["tables"][table]
    columns = [{"title": method_title(column), **column} for column in stated["columns"]]
    return Grid(
        table,
        stated["title"],
        tuple(stated["head"]),
        tuple(Column(c.get("group", ""), c["title"], _notes(c)) for c in columns),
        tuple(_row(stated, columns, row) for row in stated["rows"]),
        tuple(stated.get("notes", ())),
    )


def _row(stated: Mapping[str, Any], columns: Sequence[Mapping[str, Any]], row: Mapping[str, Any]) -> Row:
    cells = tuple(
        _cell({**stated, **column, **row}, value, right)
        for column, value, right in zip(columns, row["values"], row.get("right", [None] * len(columns)), strict=True)
    )
    said = {**stated, **row}
    return Row(
        row.get("section", ""), tuple(_label(kind, said) for kind in stated["head"].values()), _notes(row), cells
    )


def _cell(said: Mapping[str, Any], value: float | None, right: float | None) -> Cell:
    return Cell(
        recipe=said["recipe"],
        stream=said["stream"],
        split=said["split"],
        protocol=said.get("protocol", "linear"),
        epochs=said.get("epochs"),
        changes=said.get("set", {}),
        measure=said.get("measure", "top1"),
        value=value,
        right=right,
    )


def _label(kind: str, said: Mapping[str, Any]) -> str:
    """What stands below a heading: the method, with its venue if it is "published", or a key of the row."""
    if kind == "method":
        return method_title(said)
    if kind == "published":
        return f"{method_title(said)} ({SYSTEMS[said['recipe']].venue})"
    return "joint+motion+bone" if (kind, said[kind]) == ("stream", "3s") else str(said[kind])


def method_title(said: Mapping[str, Any]) -> str:
    """A method as the paper prints it: 3s-AimCLR where three streams are fused."""
    if "recipe" not in said:
        return ""
    return ("3s-" if said.get("stream") == "3s" else "") + SYSTEMS[said["recipe"]].title


def _notes(said: Mapping[str, Any]) -> tuple[str, ...]:
    return (said["note"],) if "note" in said else ()


def _part(grid: Grid, where: Mapping[str, Sequence[str]]) -> Grid:
    """The rows whose cells agree with `where`: attribute of a cell -> its possible values.

    Notes on the whole table are none on a part of it.
    """
    rows = [row for row in grid.rows if all(getattr(row.cells[0], key) in where[key] for key in where)]
    return Grid(grid.table, grid.title, grid.head, grid.columns, tuple(rows), () if where else grid.notes)
