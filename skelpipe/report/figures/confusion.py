"""Confusion matrices of ten classes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from skelpipe.evaluation.fuse import ONLY
from skelpipe.evaluation.scores import Scores, confusion
from skelpipe.plots.confusion import confusion_figure
from skelpipe.plots.style import class_names, png_bytes
from skelpipe.report.collect import Found, Result
from skelpipe.report.experiments import caption, main_results
from skelpipe.report.figures.base import Drawn, Kind, Material
from skelpipe.report.figures.chosen import ten_classes
from skelpipe.report.figures.stored import scores_of
from skelpipe.report.labels import protocol_title


def _pooled(folds: Sequence[Result], found: Found) -> tuple[npt.NDArray[Any], dict[str, Scores]] | None:
    """The labels and scores of all folds of one seed together, or of the one result that there is."""
    each = [stored for fold in folds if (stored := scores_of(fold, found)) is not None]
    if not each:
        return None
    shared = [
        name
        for name, first in each[0][1].items()
        if all(name in scores and scores[name].shape[:-2] == first.shape[:-2] for _, scores in each)
    ]
    labels = np.concatenate([labels for labels, _ in each])
    return labels, {name: np.concatenate([scores[name] for _, scores in each], axis=-2) for name in shared}


def _pictures(material: Material) -> Iterator[Drawn]:
    found, catalogue, classes = material.found, material.catalogue, material.classes
    trained = [r for r in found.results if r.epochs]
    for group in main_results(trained or found.results, catalogue):
        first = group[0]
        stored = _pooled([r for r in group if r.seed == first.seed], found)
        if stored is None:
            continue
        labels, scores = stored
        protocol = next(iter(scores), None)
        if protocol is None or not len(labels):
            continue
        titles = class_names(first.metrics, scores[protocol].shape[-1], first.metrics.get(ONLY))
        ten = ten_classes(labels, titles, classes)
        matrix = confusion(scores[protocol], labels, len(titles))
        what = protocol_title(protocol, first.protocols.get(protocol, {}))
        which = "the classes asked for" if classes else f"the {len(ten)} classes with the most test clips"
        head = f"{caption(first, catalogue[first])}, seed {first.seed}, {what}"
        text = f"{head}: {which}; percent of each label's clips"
        figure = confusion_figure(matrix, titles, "", classes=ten)
        yield Drawn(text, png_bytes(figure))


CONFUSION = Kind("Confusion of ten classes", "Confusion", _pictures, paired=True)
