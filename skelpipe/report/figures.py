"""The pictures of the page: sweeps, training curves, confusion matrices and t-SNE maps, as PNG."""

from __future__ import annotations

import difflib
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from skelpipe.errors import BadInput
from skelpipe.evaluate.fuse import STREAM_ORDER
from skelpipe.evaluate.scores import confusion, read_scores
from skelpipe.plots.confusion import confusion_figure
from skelpipe.plots.curves import curves_figure
from skelpipe.plots.style import class_names, png_bytes
from skelpipe.plots.sweeps import sweep_figure
from skelpipe.plots.tsne import tsne_figure
from skelpipe.report.collect import Found, Result, Run
from skelpipe.report.experiments import Catalogue, caption, main_results, run_labels
from skelpipe.report.labels import protocol_title, recipe_key, split_key, split_title, stream_key

FIGURES = ("sweeps", "curves", "confusion", "tsne")  # in the order of the page
TEN = 10
LINES_PER_FIGURE = 8
MOST_MAPS = 6
CLIPS_PER_CLASS = 40
Picture = dict[str, Any]


def draw(
    found: Found, sweeps: Sequence[Mapping[str, Any]], classes: Sequence[int | str] | None, wanted: Sequence[str]
) -> list[Picture]:
    """Every figure of the kinds wanted: section, file, caption (also its alternative text), and the PNG.

    What cannot be drawn is noted in `found.skipped`.
    """
    catalogue = Catalogue(found.results)
    kinds: dict[str, Iterable[Picture]] = {  # generators: what is not wanted is not drawn
        "sweeps": _sweep_pictures(sweeps),
        "curves": _curve_pictures(found.runs),
        "confusion": _confusion_pictures(found, catalogue, classes),
        "tsne": _maps(found, catalogue, classes),
    }
    made = [picture for kind in FIGURES if kind in wanted for picture in kinds[kind]]
    for number, picture in enumerate(made, start=1):
        picture["file"] = f"figures/{picture['section']}_{number:02d}.png"
    return made


def _sweep_pictures(sweeps: Iterable[Mapping[str, Any]]) -> Iterator[Picture]:
    for sweep in sweeps:
        n = max(p["n"] for panel in sweep["panels"] for line in panel["lines"] for p in line["points"])
        bars = "; bars: one standard deviation" if n > 1 else ""
        text = f"{sweep['title']}: accuracy in percent against {sweep['name']}{bars}"
        figure = sweep_figure(sweep["panels"], sweep["name"], doubling=sweep["doubling"])
        yield {"section": "sweeps", "caption": text, "png": png_bytes(figure)}


def _curve_pictures(runs: Sequence[Run]) -> Iterator[Picture]:
    logged = [run for run in runs if run.log]
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
            figure = curves_figure({label: log for label, log, _ in some})
            yield {"section": "curves", "caption": text, "png": png_bytes(figure)}


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


def _confusion_pictures(found: Found, catalogue: Catalogue, classes: Sequence[int | str] | None) -> Iterator[Picture]:
    trained = [r for r in found.results if r.epochs]
    for group in main_results(trained or found.results, catalogue):
        first = group[0]
        stored = scores_of(first, found)
        if stored is None:
            continue
        labels, scores = stored
        protocol = next(iter(scores), None)
        if protocol is None or not len(labels):
            continue
        titles = class_names(first.metrics["dataset"], scores[protocol].shape[-1])
        ten = ten_classes(labels, titles, classes)
        matrix = confusion(scores[protocol], labels, len(titles))
        what = protocol_title(protocol, first.protocols.get(protocol, {}))
        which = "the classes asked for" if classes else f"the {len(ten)} classes with the most test clips"
        head = f"{caption(first, catalogue[first])}, seed {first.seed}, {what}"
        text = f"{head}: {which}; percent of each label's clips"
        figure = confusion_figure(matrix, titles, "", classes=ten)
        yield {"section": "confusion", "caption": text, "png": png_bytes(figure)}


def _maps(found: Found, catalogue: Catalogue, classes: Sequence[int | str] | None) -> Iterator[Picture]:
    """t-SNE maps of single streams' features (a fusion has none): the joint stream where there is one."""
    single = [r for r in found.results if (r.path / "features.npz").is_file()]
    groups = [group[0] for group in main_results(single, catalogue)]
    if len(groups) > MOST_MAPS:
        found.skipped.append((f"{len(groups) - MOST_MAPS} t-SNE map(s)", f"only the first {MOST_MAPS} are drawn"))
    for result in groups[:MOST_MAPS]:
        stored = features_of(result, found)
        if stored is None:
            continue
        names, labels, features = stored
        titles = class_names(
            result.metrics["dataset"], max(int(result.metrics["classes"]), int(labels.max(initial=0)) + 1)
        )
        ten = ten_classes(labels, titles, classes)
        rows = some_of_each(names, labels, ten)
        if len(rows) < 2 * len(ten):
            continue
        head = (
            f"{features.shape[1]}-d encoder features of test clips, at most {CLIPS_PER_CLASS} a class;\n"
            f"{caption(result, catalogue[result])}, seed {result.seed}"
        )
        figure = tsne_figure(features[rows], labels[rows], {c: titles[c] for c in ten}, head)
        text = f"{head.replace(chr(10), ' ')}: {len(rows)} clips of {len(ten)} classes, t-SNE on unit-length features"
        yield {"section": "tsne", "caption": text, "png": png_bytes(figure)}


def scores_of(result: Result, found: Found) -> tuple[npt.NDArray[np.int64], dict[str, npt.NDArray[np.float32]]] | None:
    """The labels (n,) of the test clips and each protocol's scores; None, and a note in `found`, if they are broken."""
    try:
        _, labels, scores = read_scores(result.path / "scores.npz")
    except BadInput as problem:
        found.skipped.append((f"{result.shown}/scores.npz", problem.what))
        return None
    return labels, scores


def features_of(
    result: Result, found: Found
) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64], npt.NDArray[np.float32]] | None:
    """Names (n,), labels (n,), features (n, D) of the test clips; None, and a note in `found`, if they are broken."""
    try:
        with np.load(result.path / "features.npz", allow_pickle=False) as stored:
            test = ~stored["train"].astype(bool)
            names, labels, features = (stored[k][test] for k in ("name", "label", "feature"))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        found.skipped.append((f"{result.shown}/features.npz", f"cannot be read ({error})"))
        return None
    return names, labels, features


def ten_classes(labels: npt.NDArray[np.int64], titles: Sequence[str], asked: Sequence[int | str] | None) -> list[int]:
    """The classes to draw: those asked for, or the ten with the most clips (the lower number first among equals)."""
    if asked:
        return [_find_class(c, titles) for c in asked]
    count = np.bincount(labels, minlength=len(titles))
    largest = np.argsort(-count, kind="stable")[:TEN]
    return sorted(int(c) for c in largest if count[c])


def _find_class(asked: int | str, titles: Sequence[str]) -> int:
    if isinstance(asked, int) or asked.isdecimal():
        if 0 <= int(asked) < len(titles):
            return int(asked)
        raise BadInput(f"class {asked}", "does not exist", f"give a number from 0 to {len(titles) - 1}, or a name")
    lower = [t.lower() for t in titles]
    if asked.lower() in lower:
        return lower.index(asked.lower())
    near = difflib.get_close_matches(asked.lower(), lower, n=1, cutoff=0.3)
    raise BadInput(f"class {asked!r}", "does not exist", f"did you mean {near[0]!r}?" if near else "give its number")


def some_of_each(names: npt.NDArray[Any], labels: npt.NDArray[Any], classes: Sequence[int]) -> npt.NDArray[np.int64]:
    """Rows of up to CLIPS_PER_CLASS clips per class, drawn with a fixed seed from the clips in order of name."""
    draw = np.random.default_rng(0)
    chosen = []
    for c in classes:
        rows = np.flatnonzero(labels == c)
        rows = rows[np.argsort(names[rows], kind="stable")]
        chosen.append(np.sort(draw.permutation(rows)[:CLIPS_PER_CLASS]))
    return np.concatenate(chosen) if chosen else np.zeros(0, np.int64)
