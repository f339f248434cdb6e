"""Published figures, kept as data in `paper_tables.yaml`; what is absent there is not known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

RECIPES = {
    "skeletonclr": "SkeletonCLR",
    "crosnnclr": "CrosNNCLR",
    "aimclr": "AimCLR",
    "crosnnclr_star": "CrosNNCLR*",
    "crossclr": "CrosSCLR",
    "stgcn_supervised": "ST-GCN (supervised)",
}
STREAMS = ("joint", "motion", "bone", "3s")


class Figure(NamedTuple):
    """One published accuracy: `value` in percent, `source` in words, `epochs` if the length is not the usual one."""

    value: float
    source: str
    epochs: int | None = None


@cache
def _data() -> Mapping[str, Any]:
    import yaml

    data: Mapping[str, Any] = yaml.safe_load(files("skelpipe.report").joinpath("paper_tables.yaml").read_text("utf-8"))
    return data


def tables() -> list[dict[str, Any]]:
    """All tables: id, title, protocol, source {paper, table, known}, rows [{method, recipe, stream, values}]."""
    return list(_data()["tables"])


def benchmarks() -> Mapping[str, Mapping[str, Any]]:
    """Split -> {title, clips: {train, test}, nominal: {train, test}}, the counts where they are known."""
    return dict(_data()["benchmarks"])


def source_text(table: Mapping[str, Any]) -> str:
    """One line that says where a table's figures come from and how they are known."""
    source = table["source"]
    return f"{source['paper']}: {source['table']} [{source['known']}]"


def figures(
    recipe: str | None,
    stream: str,
    split: str,
    *,
    protocol: str = "linear",
    epochs: int | None = None,
    pretrained_on: str | None = None,
) -> list[Figure]:
    """What was published for a recipe, stream and split, the most authoritative figure first.

    Args:
        recipe: as `models/` names it.
        stream: joint, motion, bone or 3s.
        split: as `datasets.SPLITS` names it.
        protocol: "linear", "supervised" or another that a table is of.
        epochs: also take figures that were published for this length of pretraining; they come first.
        pretrained_on: the split that the encoder was pretrained on, where it is another one; only figures for the same
            pair of splits are then taken.

    Returns:
        (percent, source) pairs; empty when nothing is known.
    """
    found = [
        Figure(float(row["values"][split]), source_text(table), row.get("epochs"))
        for table, row in _rows()
        if recipe is not None
        and (table["protocol"], row["recipe"], row["stream"]) == (protocol, recipe, stream)
        and split in row["values"]
        and row.get("epochs") in (None, epochs)
        and row.get("pretrained_on") == pretrained_on
    ]
    return sorted(found, key=lambda figure: figure.epochs is None)


def published(recipe: str, split: str) -> list[tuple[str, str, Figure]]:
    """All that was published for a recipe and a split of its own pretraining: (protocol, stream, figure).

    Of several figures for the same protocol, stream and length there is only the most authoritative.
    """
    found: dict[tuple[str, str, int | None], Figure] = {}
    for table, row in _rows():
        if row["recipe"] == recipe and split in row["values"] and not row.get("pretrained_on"):
            key = (table["protocol"], row["stream"], row.get("epochs"))
            found.setdefault(key, Figure(float(row["values"][split]), source_text(table), row.get("epochs")))
    return [(protocol, stream, figure) for (protocol, stream, _), figure in found.items()]


def rows_for(split: str) -> list[tuple[dict[str, Any], float, str]]:
    """Every published row that has a figure for the split: (row, percent, source), in the order of the tables."""
    return [(row, float(row["values"][split]), source_text(t)) for t, row in _rows() if split in row["values"]]


def comparable(split: str, train_clips: int | None, test_clips: int | None) -> bool | None:
    """Whether an evaluation used exactly the benchmark's clips; None if the benchmark's counts are not known.

    Published figures say nothing about a run on fewer, synthetic or other clips, whatever its split is called.
    """
    counts = [c for c in (benchmarks().get(split, {}).get(k) for k in ("clips", "nominal")) if c]
    if not counts:
        return None
    return any((c["train"], c["test"]) == (train_clips, test_clips) for c in counts)


def _rows() -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for table in tables():
        for row in table["rows"]:
            yield table, row
