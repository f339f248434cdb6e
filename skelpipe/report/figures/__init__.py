"""The kinds of figures of the page. To add one: a file here with its `Kind`, and a line in FIGURES."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from skelpipe.report.collect import Found
from skelpipe.report.experiments import Catalogue
from skelpipe.report.figures.base import Kind, Material
from skelpipe.report.figures.confusion import CONFUSION
from skelpipe.report.figures.curves import CURVES
from skelpipe.report.figures.early import EARLY
from skelpipe.report.figures.labels import LABELS
from skelpipe.report.figures.sweeps import SWEEPS
from skelpipe.report.figures.tsne import TSNE

# In the order of the page.
FIGURES: dict[str, Kind] = {
    "labels": LABELS,
    "early": EARLY,
    "sweeps": SWEEPS,
    "curves": CURVES,
    "confusion": CONFUSION,
    "tsne": TSNE,
}


def draw(
    found: Found, sweeps: Sequence[Mapping[str, Any]], classes: Sequence[int | str] | None, wanted: Sequence[str]
) -> list[dict[str, Any]]:
    """Every figure of the kinds wanted: section, file, caption (also its alternative text), the PNG and the chart.

    What cannot be drawn is noted in `found.skipped`.
    """
    material = Material(found, Catalogue(found.results), sweeps, classes)
    drawn = [(name, *made) for name, kind in FIGURES.items() if name in wanted for made in kind.pictures(material)]
    return [
        {"section": name, "caption": caption, "png": png, "chart": chart, "file": f"figures/{name}_{number:02d}.png"}
        for number, (name, caption, png, chart) in enumerate(drawn, start=1)
    ]


def sections(pictures: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The sections of the page that have pictures: {name, title, link, paired, pictures}."""
    told = [
        {"name": name, **kind._asdict(), "pictures": [p for p in pictures if p["section"] == name]}
        for name, kind in FIGURES.items()
    ]
    return [section for section in told if section["pictures"]]
