"""t-SNE maps of single streams' features (a fusion has none): the joint stream where there is one."""

from __future__ import annotations

from collections.abc import Iterator

from skelpipe.plots.style import class_names, png_bytes
from skelpipe.plots.tsne import tsne_figure
from skelpipe.report.collect import Result
from skelpipe.report.experiments import caption, main_results
from skelpipe.report.figures.base import Drawn, Kind, Material
from skelpipe.report.figures.chosen import CLIPS_PER_CLASS, some_of_each, ten_classes
from skelpipe.report.figures.stored import features_of

MOST_MAPS = 6


def _fold(result: Result) -> str:
    """Each fold has an encoder of its own, whose features are not those of another."""
    return "" if result.fold is None else f", fold {result.fold[1]}"


def _pictures(material: Material) -> Iterator[Drawn]:
    found, catalogue, classes = material.found, material.catalogue, material.classes
    single = [r for r in found.results if (r.path / "features.npz").is_file()]
    groups = [group[0] for group in main_results(single, catalogue)]
    if len(groups) > MOST_MAPS:
        found.skipped.append((f"{len(groups) - MOST_MAPS} t-SNE map(s)", f"only the first {MOST_MAPS} are drawn"))
    for result in groups[:MOST_MAPS]:
        stored = features_of(result, found)
        if stored is None:
            continue
        names, labels, features = stored
        titles = class_names(result.metrics, max(int(result.metrics["classes"]), int(labels.max(initial=0)) + 1))
        ten = ten_classes(labels, titles, classes)
        rows = some_of_each(names, labels, ten)
        if len(rows) < 2 * len(ten):
            continue
        head = (
            f"{features.shape[1]}-d encoder features of test clips, at most {CLIPS_PER_CLASS} a class;\n"
            f"{caption(result, catalogue[result])}{_fold(result)}, seed {result.seed}"
        )
        figure = tsne_figure(features[rows], labels[rows], {c: titles[c] for c in ten}, head)
        text = f"{head.replace(chr(10), ' ')}: {len(rows)} clips of {len(ten)} classes, t-SNE on unit-length features"
        yield Drawn(text, png_bytes(figure))


TSNE = Kind("Features of ten classes (t-SNE)", "Features", _pictures, paired=True)
