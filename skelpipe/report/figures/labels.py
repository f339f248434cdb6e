"""Accuracy against the number of labelled training clips: few-shot probes of frozen features, and semi."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from skelpipe.plots.style import png_bytes
from skelpipe.plots.sweeps import sweep_figure
from skelpipe.report.charts import accuracy_chart
from skelpipe.report.collect import Result
from skelpipe.report.experiments import Experiment, accuracies, in_order
from skelpipe.report.figures.base import Drawn, Kind, Material, points_of
from skelpipe.report.labels import FEWSHOT, SEMI, split_key, split_title, stream_key

LINES_PER_FIGURE = 8
LINEAR, NEAREST, FURTHER = "frozen features, linear classifier", "frozen features, 1-NN", "finetuned (semi)"
Points = dict[float, list[float]]  # labelled clips -> the accuracies of all draws and seeds


def _pictures(material: Material) -> Iterator[Drawn]:
    for split in sorted({r.split for r in material.found.results}, key=split_key):
        lines = list(_lines([r for r in material.found.results if r.split == split], material))
        for start in range(0, len(lines), LINES_PER_FIGURE):
            some = lines[start : start + LINES_PER_FIGURE]
            panels: list[dict[str, Any]] = [
                {
                    "title": title,
                    "lines": [{"label": label, "points": own[title]} for label, own in some if title in own],
                }
                for title in (LINEAR, NEAREST, FURTHER)
            ]
            panels = [panel for panel in panels if panel["lines"]]
            spread = any(p["std"] for panel in panels for line in panel["lines"] for p in line["points"])
            bars = "; bars: one standard deviation over draws and seeds" if spread else ""
            text = f"{split_title(split)}: accuracy in percent against the number of labelled training clips{bars}"
            figure = sweep_figure(panels, "labelled training clips", doubling=True)
            yield Drawn(text, png_bytes(figure), accuracy_chart(panels, "labelled training clips", True))


def _lines(results: list[Result], material: Material) -> Iterator[tuple[str, dict[str, list[dict[str, float | None]]]]]:
    """For each experiment and stream a label, and by panel the points of two numbers of clips or more."""
    # Of a protocol the newest evaluation of each fold and seed counts, as in the tables.
    newest: dict[tuple[Experiment, str], dict[Any, dict[str, Any]]] = {}
    for r in sorted(results, key=lambda r: str(r.provenance.get("finished", ""))):
        for name, protocol in r.protocols.items():
            if FEWSHOT.fullmatch(name) or SEMI.fullmatch(name):
                newest.setdefault((material.catalogue[r], r.stream), {})[name, r.repetition] = protocol
    for experiment in in_order(experiment for experiment, _ in newest):
        for stream in sorted((s for e, s in newest if e == experiment), key=stream_key):
            found: dict[str, Points] = {}
            for (name, _), protocol in newest[experiment, stream].items():
                _take(found, name, protocol)
            panels = {title: points_of(of_clips) for title, of_clips in found.items() if len(of_clips) > 1}
            if panels:
                yield f"{experiment.label}, {stream}", panels


def _take(found: dict[str, Points], name: str, protocol: Mapping[str, Any]) -> None:
    """Add what a protocol of one folder says."""
    labelled, nearest = protocol.get("labelled"), protocol.get("knn")
    if not isinstance(labelled, int) or labelled < 1:
        return
    few = FEWSHOT.fullmatch(name)
    found.setdefault(LINEAR if few else FURTHER, {}).setdefault(labelled, []).extend(accuracies(name, protocol))
    if few and isinstance(nearest, Mapping):
        found.setdefault(NEAREST, {}).setdefault(labelled, []).extend(accuracies("knn", nearest))


LABELS = Kind("Accuracy against labelled clips", "Labelled clips", _pictures)
