"""The CrosNNCLR paper's tables and figures, and published figures from elsewhere: data in `paper_tables.yaml`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from skelpipe.training.systems import SYSTEMS

STREAMS = ("joint", "motion", "bone", "3s")


class Figure(NamedTuple):
    """One published accuracy: `value` in percent, `source` in words, `epochs` if the length is not the usual one."""

    value: float
    source: str
    epochs: int | None = None


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


@dataclass(frozen=True)
class _Entry:
    """A published figure of any source. `how` says what sets it apart from the method's usual figure."""

    method: str
    recipe: str | None
    stream: str
    split: str
    protocol: str
    value: float
    source: str
    epochs: int | None = None
    pretrained_on: str | None = None
    how: str = ""
    misprint: bool = False


@cache
def _data() -> Mapping[str, Any]:
    import yaml

    data: Mapping[str, Any] = yaml.safe_load(files("skelpipe.report").joinpath("paper_tables.yaml").read_text("utf-8"))
    return data


def exhibits() -> list[str]:
    """The paper's tables and figures that can be shown: table1 to table10, fig1, fig4, fig5, fig6."""
    return [*_data()["tables"], *_data()["figures"]]


def number(exhibit: str) -> str:
    """ "Table 5" for table5, "Figure 1" for fig1."""
    kind = "Table" if exhibit.startswith("table") else "Figure"
    return f"{kind} {exhibit.removeprefix('table').removeprefix('fig')}"


def title(exhibit: str) -> str:
    """What a table or figure of the paper shows, in words."""
    data = _data()
    return str((data["tables"] | data["figures"])[exhibit]["title"])


def notes(exhibit: str) -> list[str]:
    """Notes on a figure; those on a table are its grid's."""
    return list(_data()["figures"].get(exhibit, {}).get("notes", []))


def grids(exhibit: str) -> list[Grid]:
    """A table of the paper in its own shape, or for a figure what it shows, as parts of the tables.

    Args:
        exhibit: one of `exhibits()`.
    """
    if exhibit in _data()["tables"]:
        return [_grid(exhibit)]
    figure = _data()["figures"][exhibit]
    return [_part(_grid(table), figure.get("where", {})) for table in figure["of"]]


def benchmarks() -> Mapping[str, Mapping[str, Any]]:
    """Split -> {title, clips: {train, test}, nominal: {train, test}}, the counts where they are known."""
    return dict(_data()["benchmarks"])


def protocols() -> list[str]:
    """The protocols that there are published figures of."""
    return list(dict.fromkeys(entry.protocol for entry in _entries()))


def figures(
    recipe: str | None,
    stream: str,
    split: str,
    *,
    protocol: str = "linear",
    epochs: int | None = None,
    pretrained_on: str | None = None,
) -> list[Figure]:
    """What was published for a recipe, stream and split, the most authoritative figure first, misprints last.

    Args:
        recipe: as `models/` names it.
        stream: joint, motion, bone or 3s.
        split: as `datasets.SPLITS` names it.
        protocol: "linear", "supervised" or another that a table is of.
        epochs: also take figures that were published for this length of pretraining; they come first.
        pretrained_on: the split that the encoder was pretrained on, where it is another one; only figures for the same
            pair of splits are then taken.

    Returns:
        (percent, source) pairs; empty when there are none.
    """
    found = [
        entry
        for entry in _entries()
        if recipe is not None
        and (entry.protocol, entry.recipe, entry.stream, entry.split) == (protocol, recipe, stream, split)
        and entry.epochs in (None, epochs)
        and entry.pretrained_on == pretrained_on
        and not entry.how
    ]
    found.sort(key=lambda entry: (entry.misprint, entry.epochs is None))
    return [Figure(entry.value, entry.source, entry.epochs) for entry in found]


def published(recipe: str, split: str) -> list[tuple[str, str, Figure]]:
    """All that was published for a recipe and a split of its own pretraining: (protocol, stream, figure).

    Of several figures for the same protocol, stream and length there is only the most authoritative.
    """
    found: dict[tuple[str, str, int | None], Figure] = {}
    for entry in sorted(_entries(), key=lambda entry: entry.misprint):
        if entry.recipe == recipe and entry.split == split and not entry.pretrained_on and not entry.how:
            key = (entry.protocol, entry.stream, entry.epochs)
            found.setdefault(key, Figure(entry.value, entry.source, entry.epochs))
    return [(protocol, stream, figure) for (protocol, stream, _), figure in found.items()]


def rows_for(split: str) -> list[tuple[dict[str, Any], float, str]]:
    """Every published figure of a split: ({method, recipe, stream, epochs, protocol}, percent, source), in order.

    The method says what sets a figure apart from its usual one.
    """
    return [
        (
            {
                "method": ", ".join(filter(None, [entry.method, entry.how])),
                **{key: getattr(entry, key) for key in ("recipe", "stream", "epochs", "protocol")},
            },
            entry.value,
            entry.source,
        )
        for entry in _entries()
        if entry.split == split
    ]


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
    stated = _data()["tables"][table]
    columns = [{"title": _title(column), **column} for column in stated["columns"]]
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
        return _title(said)
    if kind == "published":
        return f"{_title(said)} ({SYSTEMS[said['recipe']].venue})"
    return "joint+motion+bone" if (kind, said[kind]) == ("stream", "3s") else str(said[kind])


def _title(said: Mapping[str, Any]) -> str:
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


# All figures, whatever their source ----------------------------------------------------------------------------------


def _entries() -> list[_Entry]:
    """The paper's own figures once each, then the others.

    Table 7 repeats the usual figures at the length that they are of.
    """
    found: dict[tuple[Any, ...], _Entry] = {}
    for table in _data()["tables"]:
        for entry in _printed(_grid(table)):
            key = (entry.recipe, entry.stream, entry.split, entry.protocol, entry.how, entry.value)
            if (None, *key) not in found:
                found.setdefault((entry.epochs, *key), entry)
    return [*found.values(), *_elsewhere()]


def _printed(grid: Grid) -> Iterator[_Entry]:
    source = f"{_data()['paper']}: {grid.number}"
    for row in grid.rows:
        for column, cell in zip(grid.columns, row.cells, strict=True):
            if cell.value is None:
                continue
            what = {"table8": row.labels[0], "table9": f"embedding {column.title}", "table10": f"queue {column.title}"}
            how = what.get(grid.table, "") if cell.changes else ""
            how += ", top-5" if cell.measure == "top5" else ""
            yield _Entry(
                _title({"recipe": cell.recipe, "stream": cell.stream}), cell.recipe, cell.stream, cell.split,
                cell.protocol, cell.value, source, cell.epochs, None, how, cell.right is not None,
            )  # fmt: skip


def _elsewhere() -> Iterator[_Entry]:
    for table in _data()["elsewhere"]:
        source = f"{table['source']['paper']}: {table['source']['table']} [{table['source']['known']}]"
        for row in table["rows"]:
            for split, value in row["values"].items():
                yield _Entry(
                    row["method"], row["recipe"], row["stream"], split, table["protocol"], float(value), source,
                    row.get("epochs"), row.get("pretrained_on"),
                )  # fmt: skip
