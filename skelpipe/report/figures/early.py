"""Accuracy over the share of a clip that was seen, of evaluations by the protocol `early`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from skelpipe.plots.style import png_bytes
from skelpipe.plots.sweeps import sweep_figure
from skelpipe.report.charts import accuracy_chart
from skelpipe.report.collect import Result
from skelpipe.report.experiments import Experiment, in_order
from skelpipe.report.figures.base import Drawn, Kind, Material, points_of
from skelpipe.report.labels import split_key, split_title, stream_key

LINES_PER_FIGURE = 8
PROTOCOL = "early"
Curve = dict[float, float]  # observed share -> top-1


def _pictures(material: Material) -> Iterator[Drawn]:
    for split in sorted({r.split for r in material.found.results}, key=split_key):
        lines = list(_lines([r for r in material.found.results if r.split == split], material))
        for start in range(0, len(lines), LINES_PER_FIGURE):
            some = lines[start : start + LINES_PER_FIGURE]
            spread = any(p["std"] for line in some for p in line["points"])
            bars = "; bars: one standard deviation over seeds" if spread else ""
            text = f"{split_title(split)}: accuracy in percent against the share of a test clip that was seen{bars}"
            panel = {"title": "the run's own classifier", "lines": some}
            axis = "observed share of a clip (%)"
            yield Drawn(text, png_bytes(sweep_figure([panel], axis)), accuracy_chart([panel], axis))


def _lines(results: list[Result], material: Material) -> Iterator[dict[str, Any]]:
    """For each experiment and stream a line, its points the means over its folds and seeds."""
    # The newest evaluation of each fold and seed counts, as in the tables.
    newest: dict[tuple[Experiment, str], dict[Any, Curve]] = {}
    for r in sorted(results, key=lambda r: str(r.provenance.get("finished", ""))):
        if curve := _curve(r.protocols.get(PROTOCOL, {})):
            newest.setdefault((material.catalogue[r], r.stream), {})[r.repetition] = curve
    for experiment in in_order(experiment for experiment, _ in newest):
        for stream in sorted((s for e, s in newest if e == experiment), key=stream_key):
            curves = [*newest[experiment, stream].values()]
            shares = {x for curve in curves for x in curve}
            at = {100 * x: [curve[x] for curve in curves if x in curve] for x in shares}
            yield {"label": f"{experiment.label}, {stream}", "points": points_of(at)}


def _curve(protocol: Mapping[str, Any]) -> Curve:
    """What a folder says of it; nothing where that is no curve."""
    told = [protocol.get(key) for key in ("observed", "top1_observed")]
    observed, top1 = (each if isinstance(each, list) else [] for each in told)
    numbers = all(isinstance(value, int | float) for value in (*observed, *top1))
    return dict(zip(observed, top1, strict=True)) if numbers and len(observed) == len(top1) else {}


EARLY = Kind("Accuracy over the observed share", "Observed share", _pictures)
