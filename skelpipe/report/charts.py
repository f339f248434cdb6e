"""Line charts that the page draws itself, so that values can be read off and lines be hidden: their values, thinned."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from skelpipe.plots.curves import PANELS
from skelpipe.training.log_names import LOG_NAMES

MOST_POINTS = 120  # of a line; of more every second is kept, or every third ..., and the last
SHARES = ("train_top1", "held_out_top1", "neighbour_label")
# What a log has beside what the pictures show.
MORE = (("held_out_top1", "held-out clips recognised"), ("held_out_loss", "loss on held-out clips"))
UNSHOWN = {*LOG_NAMES, *(key for key, _ in PANELS)}


def training_chart(logs: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """What training logged against the epoch.

    Args:
        logs: label -> the lines of `log.jsonl`.

    Returns:
        As `chart`.
    """
    several = sorted({key for log in logs.values() for line in log for key in line if key not in UNSHOWN})
    # A method's own losses where there are several; of one it is the loss itself.
    parts = [key for key in several if not key.startswith(("spread", "held_out_"))]
    own = [(key, key.replace("_", " ")) for key in parts] if len(parts) > 1 else []
    panels = []
    for key, title in (*PANELS, *MORE, *own):
        lines: list[dict[str, Any]] = []
        for label, log in logs.items():
            spots = [(float(line.get("epoch", n)), _number(line.get(key))) for n, line in enumerate(log, start=1)]
            percent = 100.0 if key in SHARES else 1.0
            points = [(x, percent * y, None) for x, y in spots if y is not None]
            if points:
                lines.append({"label": label, "points": points})
        values = [y for line in lines for _, y, _ in line["points"]]
        wide = key in ("spread", "lr") and bool(values) and 0 < min(values) < max(values) / 30
        unit = " (%)" if key in SHARES else ""
        panels.append({"title": title + unit, "x": "epoch", "log_x": False, "log_y": wide, "lines": lines})
    return chart(list(logs), panels)


def accuracy_chart(panels: Iterable[Mapping[str, Any]], name: str, doubling: bool = False) -> dict[str, Any]:
    """Accuracies against a setting; the arguments are those of `plots.sweeps.sweep_figure`."""
    made: list[dict[str, Any]] = [
        {
            "title": f"{panel['title']} (%)",
            "x": name,
            "log_x": doubling and all(p["x"] > 0 for line in panel["lines"] for p in line["points"]),
            "log_y": False,
            "lines": [
                {
                    "label": line["label"],
                    "points": [
                        (float(p["x"]), 100 * p["mean"], 100 * p["std"] if p["std"] else None) for p in line["points"]
                    ],
                }
                for line in panel["lines"]
            ],
        }
        for panel in panels
    ]
    return chart(list(dict.fromkeys(line["label"] for panel in made for line in panel["lines"])), made)


def chart(labels: Sequence[str], panels: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """A chart of those panels that have lines: {labels, panels}; a panel is as `plots.svg.line_panel` takes it."""
    made = []
    for panel in panels:
        lines = [
            {"order": labels.index(line["label"]), "points": _thin(line["points"])}
            for line in panel["lines"]
            if line["points"]
        ]
        made += [{**panel, "lines": lines}] if lines else []
    return {"labels": list(labels), "panels": made}


def _thin(points: Sequence[tuple[float, float, float | None]]) -> list[tuple[float, float, float | None]]:
    step = -(-len(points) // MOST_POINTS)
    kept = [*points[:-1:step], points[-1]]
    return [(x, float(f"{y:.5g}"), None if std is None else float(f"{std:.3g}")) for x, y, std in kept]


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
