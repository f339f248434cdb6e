"""Every accuracy of a report as a table for other programs, a row for each protocol of each folder."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from skelpipe.report.sure import interval_of, why_none

OF_FOLDER = (
    "path", "kind", "recipe", "method", "dataset", "split", "stream", "seed", "epochs", "train_clips", "test_clips",
    "synthetic",
)  # fmt: skip
OF_PROTOCOL = ("top1", "std", "top5", "balanced", "macro_f1", "map", "labelled")
OF_INTERVAL = ("level", "low", "high", "by", "groups")


def results_csv(page: Mapping[str, Any]) -> str:
    """The evaluations of a report as CSV: fractions in full, empty where there is none, a header in the first row.

    `std` is that over draws of training clips; `interval_…` is the bootstrap interval of `top1`.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*OF_FOLDER, "variant", "protocol", *OF_PROTOCOL, *(f"interval_{key}" for key in OF_INTERVAL)])
    for evaluation in page["evaluations"]:
        own = [evaluation[key] for key in (*OF_FOLDER, "variant")]
        for protocol in evaluation["protocols"]:
            interval = protocol["interval"] or {}
            figures = [*(protocol[key] for key in OF_PROTOCOL), *(interval.get(key) for key in OF_INTERVAL)]
            writer.writerow([_safe(value) for value in (*own, protocol["name"], *figures)])
    return text.getvalue()


def _safe(value: Any) -> Any:
    """Text that no spreadsheet takes for a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


OF_ROW = ("recipe", "label", "variant", "origin", "epochs")
OF_CELL = ("mean", "std", "n", "seeds", "interval_low", "interval_high", "interval_method")
OF_PUBLISHED = ("published", "published_source", "difference_points")


def table_csv(page: Mapping[str, Any]) -> str:
    """The tables of a report as CSV, a row for each cell: mean, deviation, number, seeds and 95 % interval of the mean.

    Fractions; what was published is in percent and the difference in points, as on the page.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["table", *OF_ROW, "stream", "split", "protocol", *OF_CELL, *OF_PUBLISHED])
    for table in page["tables"]:
        for group in table["groups"]:
            for entry in group["streams"]:
                for split in table["splits"]:
                    for column in split["columns"]:
                        if cell := entry["cells"][split["split"]].get(column["key"]):
                            beside = entry["published"][split["split"]].get(column["protocol"])
                            own = (table["title"], *(group[key] for key in OF_ROW), entry["stream"], split["split"])
                            row = [*own, column["key"], *_figures(cell), *_beside(beside, page["sources"])]
                            writer.writerow([_safe(value) for value in row])
    return text.getvalue()


def _figures(cell: Mapping[str, Any]) -> list[Any]:
    interval = interval_of(cell) or {"method": why_none(cell)}
    seeds = " ".join(map(str, cell["seeds"]))
    return [cell["mean"], cell["std"], cell["n"], seeds, *(interval.get(key) for key in ("low", "high", "method"))]


def _beside(figure: Mapping[str, Any] | None, sources: Sequence[str]) -> list[Any]:
    if figure is None:
        return [None] * len(OF_PUBLISHED)
    return [figure["value"], sources[figure["source"] - 1], figure["difference"]]
