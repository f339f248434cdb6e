"""Accuracies along the values of a setting."""

from __future__ import annotations

from collections.abc import Iterator

from skelpipe.plots.style import png_bytes
from skelpipe.plots.sweeps import sweep_figure
from skelpipe.report.charts import accuracy_chart
from skelpipe.report.figures.base import Drawn, Kind, Material


def _pictures(material: Material) -> Iterator[Drawn]:
    for sweep in material.sweeps:
        n = max(p["n"] for panel in sweep["panels"] for line in panel["lines"] for p in line["points"])
        bars = "; bars: one standard deviation" if n > 1 else ""
        text = f"{sweep['title']}: accuracy in percent against {sweep['name']}{bars}"
        figure = sweep_figure(sweep["panels"], sweep["name"], doubling=sweep["doubling"])
        yield Drawn(text, png_bytes(figure), accuracy_chart(sweep["panels"], sweep["name"], sweep["doubling"]))


SWEEPS = Kind("Sweeps", "Sweeps", _pictures)
