"""Training curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from skelpipe.plots.confusion import short
from skelpipe.plots.style import DASHES, PALETTE, STYLE, new_figure

# Training curves
PANELS = (
    ("loss", "loss"),
    ("spread", "spread of the embeddings"),
    ("positive", "similarity to the positive"),
    ("negative", "similarity to the queue"),
    ("neighbour_label", "neighbour has the clip's label"),
    ("train_top1", "training clips recognised"),
    ("lr", "learning rate"),
)


def curves_figure(logs: Mapping[str, Sequence[Mapping[str, Any]]]) -> Figure:
    """Draw what training logged against the epoch, one line per run.

    Args:
        logs: label -> the lines of `log.jsonl`. Quantities that no run logged are left out; a value that is null or not
            finite leaves a gap.
    """
    panels = [p for p in PANELS if any(_number(line.get(p[0])) is not None for log in logs.values() for line in log)]
    columns = min(3, max(1, len(panels)))
    rows = max(1, -(-len(panels) // columns))
    with rc_context(STYLE):
        figure = new_figure(3.3 * columns, 2.2 * rows + 0.35 + 0.2 * -(-len(logs) // 3))
        handles: dict[str, Any] = {}
        for place, (key, title) in enumerate(panels, start=1):
            axes = figure.add_subplot(rows, columns, place)
            axes.set_title(title)
            axes.grid(axis="y", color="#e4e4e4", linewidth=0.7)
            axes.set_axisbelow(True)
            for order, (label, log) in enumerate(logs.items()):
                handles[label] = _curve(axes, key, log, order)
            values = [v for log in logs.values() for line in log if (v := _number(line.get(key))) is not None]
            if key in ("spread", "lr") and 0 < min(values) < max(values) / 30:
                axes.set_yscale("log")
            if place > len(panels) - columns:
                axes.set_xlabel("epoch")
        if handles:
            titles = [short(label, 60) for label in handles]
            figure.legend(handles.values(), titles, loc="outside lower center", ncols=min(3, len(handles)), fontsize=8)
        return figure


def _curve(axes: Any, key: str, log: Sequence[Mapping[str, Any]], order: int) -> Any:
    points = [(line.get("epoch", i + 1), _number(line.get(key))) for i, line in enumerate(log)]
    x = [epoch for epoch, _ in points]
    y = [np.nan if value is None else value for _, value in points]
    (line,) = axes.plot(
        x, y, color=PALETTE[order % len(PALETTE)], linestyle=DASHES[(order // len(PALETTE)) % len(DASHES)],
        linewidth=1.3, marker="o" if len(points) == 1 else None, markersize=4,
    )  # fmt: skip
    return line


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and np.isfinite(value) else None
