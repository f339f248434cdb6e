"""What pretraining logged, epoch by epoch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from skelpipe.evaluation.fuse import STREAM_ORDER
from skelpipe.plots.curves import curves_figure
from skelpipe.plots.style import png_bytes
from skelpipe.report.charts import training_chart
from skelpipe.report.collect import Run
from skelpipe.report.experiments import run_labels
from skelpipe.report.figures.base import Drawn, Kind, Material
from skelpipe.report.labels import recipe_key, split_key, split_title, stream_key

LINES_PER_FIGURE = 8


def _pictures(material: Material) -> Iterator[Drawn]:
    logged = [run for run in material.found.runs if run.log]
    groups: dict[str, list[tuple[Run, str]]] = {}
    for run, label in zip(logged, run_labels(logged), strict=True):
        groups.setdefault(str(run.settings.get("split", "")), []).append((run, label))
    for split, group in sorted(groups.items(), key=lambda item: split_key(item[0])):
        group.sort(
            key=lambda item: (
                recipe_key(str(item[0].settings.get("recipe"))),
                stream_key(str(item[0].settings.get("stream"))),
                item[1],
            )
        )
        lines = [(label, log, run) for run, name in group for label, log in _lines_of(run, name)]
        for start in range(0, len(lines), LINES_PER_FIGURE):
            some = lines[start : start + LINES_PER_FIGURE]
            of = len({run.shown for _, _, run in some})
            text = f"{split_title(split)}: what pretraining logged, epoch by epoch, of {of} run{'s' if of > 1 else ''}"
            if any(_streams_of(run) for _, _, run in some):
                text += "; the loss of streams that are trained together is their sum"
            logs = {label: log for label, log, _ in some}
            yield Drawn(text, png_bytes(curves_figure(logs)), training_chart(logs))


def _streams_of(run: Run) -> list[str]:
    """The streams that were trained together in this run, as its log tells; none for a run of one stream."""
    return [stream for stream in STREAM_ORDER if any(key.endswith(f"_{stream}") for e in run.log for key in e)]


def _lines_of(run: Run, label: str) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The lines that a run is drawn by: one, or for streams trained together what they share and one for each."""
    ends = {stream: f"_{stream}" for stream in _streams_of(run)}
    own = {key.removesuffix(end) for e in run.log for end in ends.values() for key in e if key.endswith(end)}
    # The averages over the streams are left out, as each stream has its line.
    shared = {k for e in run.log for k in e if k not in own and not k.endswith(tuple(ends.values()))}
    yield label, [{k: v for k, v in e.items() if k in shared} for e in run.log]
    for stream, end in ends.items():
        epochs = ({"epoch": e["epoch"]} if "epoch" in e else {} for e in run.log)
        log = [{**epoch, **{k: e.get(k + end) for k in own}} for epoch, e in zip(epochs, run.log, strict=True)]
        yield f"{label}: {stream}", log


CURVES = Kind("Training curves", "Training", _pictures)
