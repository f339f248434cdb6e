"""Every accuracy of a report as a table for other programs, a row for each protocol of each folder."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any

OF_FOLDER = (
    "path", "kind", "recipe", "method", "dataset", "split", "stream", "seed", "epochs", "train_clips", "test_clips",
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
