"""Published figures of all sources: those of the CrosNNCLR paper, and those in `elsewhere` of `tables.yaml`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from skelpipe.paper.tables import Grid, grids, method_title, read_data

STREAMS = ("joint", "motion", "bone", "3s")


class Figure(NamedTuple):
    """One published accuracy: `value` in percent, `source` in words, `epochs` if the length is not the usual one."""

    value: float
    source: str
    epochs: int | None = None


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


def _entries() -> list[_Entry]:
    """The paper's own figures once each, then the others.

    Table 7 repeats the usual figures at the length that they are of.
    """
    found: dict[tuple[Any, ...], _Entry] = {}
    for table in read_data()["tables"]:
        for entry in _printed(*grids(table)):
            key = (entry.recipe, entry.stream, entry.split, entry.protocol, entry.how, entry.value)
            if (None, *key) not in found:
                found.setdefault((entry.epochs, *key), entry)
    return [*found.values(), *_elsewhere()]


def _printed(grid: Grid) -> Iterator[_Entry]:
    source = f"{read_data()['paper']}: {grid.number}"
    for row in grid.rows:
        for column, cell in zip(grid.columns, row.cells, strict=True):
            if cell.value is None:
                continue
            what = {"table8": row.labels[0], "table9": f"embedding {column.title}", "table10": f"queue {column.title}"}
            how = what.get(grid.table, "") if cell.changes else ""
            how += ", top-5" if cell.measure == "top5" else ""
            yield _Entry(
                method_title({"recipe": cell.recipe, "stream": cell.stream}), cell.recipe, cell.stream, cell.split,
                cell.protocol, cell.value, source, cell.epochs, None, how, cell.right is not None,
            )  # fmt: skip


def _elsewhere() -> Iterator[_Entry]:
    for table in read_data()["elsewhere"]:
        source = f"{table['source']['paper']}: {table['source']['table']} [{table['source']['known']}]"
        for row in table["rows"]:
            for split, value in row["values"].items():
                yield _Entry(
                    row["method"], row["recipe"], row["stream"], split, table["protocol"], float(value), source,
                    row.get("epochs"), row.get("pretrained_on"),
                )  # fmt: skip
