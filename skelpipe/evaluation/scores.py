"""What is computed from class scores: accuracies, confusion matrices, and the score files that stages exchange.

A higher score means more likely. Scores are added and ranked in float64, and ties are broken the same way everywhere:
of equal scores the lower class comes first. How often the highest score is shared is told as `tied`.

Scores are (n, classes), or (draws, n, classes) from a protocol that is repeated on several draws of training clips; of
these an accuracy is the mean over the draws, and a confusion matrix their sum.
"""

from __future__ import annotations

import csv
import io
import re
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from skelpipe.errors import BadInput, shortened
from skelpipe.evaluation.intervals import CLIP, top1_interval
from skelpipe.outputs.files import write_bytes

PROTOCOL = re.compile(r"[A-Za-z0-9_]{1,60}")

Scores = npt.NDArray[np.floating[Any]]
Labels = npt.NDArray[np.integer[Any]]
NOT_SCORES = ("name", "label", "group")  # the arrays of `scores.npz` that are of no protocol


class Stored(NamedTuple):
    """What `scores.npz` holds of n test clips.

    Attributes:
        names: (n,) texts.
        labels: (n,).
        scores: protocol -> (n, classes) or (draws, n, classes).
        group: (n,) the person or video of each clip; None in files of versions that did not keep it.
    """

    names: npt.NDArray[Any]
    labels: npt.NDArray[np.int64]
    scores: dict[str, Scores]
    group: npt.NDArray[Any] | None = None


def accuracies(
    scores: Scores, labels: Labels, classes: int, group: npt.NDArray[Any] | None = None, by: str = CLIP
) -> dict[str, Any]:
    """What is told of a protocol's scores, as fractions; of several draws the means over them, and each draw.

    Args:
        scores: (n, classes) or (draws, n, classes).
        labels: (n,), from 0.
        classes: how many entries `per_class` has.
        group: (n,) the person or video of each clip, which are called `by`; None: unknown.

    Returns:
        `top1`, `top5`, `balanced`, `macro_f1`, the `interval` of `top1`, `tied`, what `over_draws` gives, `per_class`.
    """
    hits = hits_of(scores, labels)
    return {
        "top1": topk_accuracy(scores, labels, 1),
        "top5": topk_accuracy(scores, labels, 5),
        "balanced": balanced_accuracy(scores, labels),
        "macro_f1": macro_f1(scores, labels),
        "interval": top1_interval(hits, group, by),
        "tied": tied(scores),
        **over_draws(scores, labels),
        "per_class": per_class(scores, labels, classes),
    }


def hits_of(scores: Scores, labels: Labels) -> npt.NDArray[np.float64]:
    """(n,) whether each clip is recognised; of several draws in how many, as a share. Arguments as of `label_rank`."""
    found: npt.NDArray[np.float64] = np.atleast_2d(label_rank(scores, labels) == 0).mean(axis=0)
    return found


def label_rank(scores: Scores, labels: Labels) -> npt.NDArray[np.int64]:
    """How many classes come before the label of each clip.

    Args:
        scores: (n, classes) or (draws, n, classes), finite.
        labels: (n,), 0 to classes - 1.

    Returns:
        (n,) or (draws, n) ranks; 0 means that the label is the prediction. Of equal scores the lower class comes first.

    Raises:
        ValueError: the shapes do not fit, a label is out of range, or a score is not a number.
    """
    scores, labels = np.asarray(scores, dtype=np.float64), np.asarray(labels, dtype=np.int64)
    if scores.ndim not in (2, 3) or labels.shape != scores.shape[-2:-1]:
        raise ValueError(f"scores {scores.shape} and labels {labels.shape} do not fit")
    if np.isnan(scores).any():
        raise ValueError("a score is not a number")
    classes = scores.shape[-1]
    if len(labels) and not (labels.min() >= 0 and labels.max() < classes):
        raise ValueError(f"labels reach from {labels.min()} to {labels.max()}, the scores have {classes} classes")
    own = scores[..., np.arange(len(labels)), labels][..., None]
    earlier = np.arange(classes) < labels[:, None]
    rank: npt.NDArray[np.int64] = ((scores > own) | ((scores == own) & earlier)).sum(axis=-1, dtype=np.int64)
    return rank


def topk_accuracy(scores: Scores, labels: Labels, k: int) -> float:
    """Share of the clips whose label is among the k classes with the largest scores.

    Args:
        scores: (n, classes) or (draws, n, classes).
        labels: (n,), from 0.
        k: 1 or more; more than there are classes counts every clip.

    Returns:
        A fraction, 0 to 1, the mean over the draws; nan when there are no clips.
    """
    if k < 1:
        raise ValueError(f"k is {k}, it must be at least 1")
    rank = label_rank(scores, labels)
    return float((rank < k).mean()) if rank.size else float("nan")


def balanced_accuracy(scores: Scores, labels: Labels) -> float:
    """The mean of the classes' own top-1 accuracies, over the classes that have clips; of draws, the mean over them.

    That is `balanced_accuracy_score` of scikit-learn, unadjusted.

    Args:
        scores: (n, classes) or (draws, n, classes).
        labels: (n,), from 0.
    """
    own = [value for value in per_class(scores, labels, np.shape(scores)[-1]) if value is not None]
    return float(np.mean(own)) if own else float("nan")


def macro_f1(scores: Scores, labels: Labels) -> float:
    """The unweighted mean of the classes' F1 = 2 TP / (2 TP + FP + FN), where the class scored highest is predicted.

    Over the classes that occur as a label or as a prediction, as `f1_score(average="macro")` of scikit-learn has it; of
    draws, the mean over them.

    Args:
        scores: (n, classes) or (draws, n, classes).
        labels: (n,), from 0.
    """
    found, classes = [], np.shape(scores)[-1]
    for one in scores if scores.ndim == 3 else [scores]:
        matrix = confusion(one, labels, classes)
        occurs = matrix.sum(axis=0) + matrix.sum(axis=1)  # 2 TP + FP + FN
        found.append((2 * np.diag(matrix)[occurs > 0] / occurs[occurs > 0]).mean() if occurs.any() else np.nan)
    return float(np.mean(found))


def over_draws(scores: Scores, labels: Labels) -> dict[str, Any]:
    """What is told of repeated draws beside their mean: nothing for scores (n, classes) of a single training.

    Returns:
        `draws`, the top-1 fraction of each; `std`, their standard deviation (divisor draws - 1; None for one draw); and
        `draws_of`, the other figures of each draw by their names.
    """
    if scores.ndim == 2:
        return {}
    each = [topk_accuracy(one, labels, 1) for one in scores]
    others = {"balanced": balanced_accuracy, "macro_f1": macro_f1}
    return {
        "draws": each,
        "std": float(np.std(each, ddof=1)) if len(each) > 1 else None,
        "draws_of": {name: [figure(one, labels) for one in scores] for name, figure in others.items()},
    }


def tied(scores: Scores) -> int:
    """How many decisions are ties: the highest score of a clip, in one draw, is that of several classes."""
    scores = np.asarray(scores)
    shared: npt.NDArray[np.int64] = (scores == scores.max(axis=-1, keepdims=True)).sum(axis=-1)
    return int((shared > 1).sum())


def predictions(scores: Scores) -> npt.NDArray[np.int64]:
    """The class with the largest score, the lowest one of several: (..., n, classes) -> (..., n)."""
    best: npt.NDArray[np.int64] = np.argmax(scores, axis=-1).astype(np.int64)
    return best


def per_class(scores: Scores, labels: Labels, classes: int) -> list[float | None]:
    """Top-1 accuracy of the clips of each class, 0 to 1; None for a class without clips (JSON has no nan).

    Args:
        scores: (n, classes) or (draws, n, classes).
        labels: (n,), from 0.
        classes: how many entries the result has.
    """
    hit = hits_of(scores, labels)
    count = np.bincount(labels, minlength=classes)
    right = np.bincount(labels, weights=hit, minlength=classes)
    return [float(r / c) if c else None for r, c in zip(right, count, strict=True)]


def confusion(scores: Scores, labels: Labels, classes: int) -> npt.NDArray[np.int64]:
    """(classes, classes) counts of clips: row = the label, column = the class with the largest score.

    Of several draws the counts are added, so that a clip counts once per draw.
    """
    label_rank(scores, labels)  # for its checks
    cell = (np.asarray(labels, dtype=np.int64) * classes + predictions(scores)).ravel()
    return np.bincount(cell, minlength=classes * classes).reshape(classes, classes).astype(np.int64)


def write_confusion_csv(path: Path, matrix: npt.NDArray[np.integer[Any]], names: Sequence[str]) -> None:
    """Write counts as CSV: first row the predicted classes, first column the labels, class numbers before names."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    titles = [f"{i} {name}" for i, name in enumerate(names)]
    writer.writerow(["label \\ predicted", *titles])
    for title, row in zip(titles, matrix.tolist(), strict=True):
        writer.writerow([title, *row])
    write_bytes(path, text.getvalue().encode())


def write_scores(
    path: Path,
    names: Sequence[str] | npt.NDArray[Any],
    labels: Labels,
    scores: Mapping[str, Scores],
    group: npt.NDArray[Any] | None = None,
) -> None:
    """Write `scores.npz`: `name` (n,) str, `label` (n,) int64, `group` (n,); per protocol float32 or float64 scores.

    Scores are (n, classes), or (draws, n, classes). The same values give the same bytes, so that the digest of a folder
    says whether its content changed.
    """
    names = np.asarray(names, dtype=str)
    arrays = {"name": names, "label": np.asarray(labels, dtype=np.int64)}
    if group is not None:
        arrays["group"] = np.asarray(group, dtype=str if group.dtype.kind in "OT" else None)
    for protocol, values in scores.items():
        if protocol in NOT_SCORES:
            raise ValueError(f"a protocol cannot be called {protocol!r}")
        arrays[protocol] = np.asarray(values, dtype=np.float64 if values.dtype == np.float64 else np.float32)
    if wrong := [key for key, values in arrays.items() if not _fits(key, values.shape, len(names))]:
        raise ValueError(f"{', '.join(wrong)}: not one row per clip")
    write_npz(path, arrays)


def write_npz(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write arrays as a compressed .npz whose bytes depend on nothing but the arrays (NumPy's own carries the time)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for key, values in arrays.items():
            entry = zipfile.ZipInfo(f"{key}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(entry, "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.ascontiguousarray(values), allow_pickle=False)
    write_bytes(path, buffer.getvalue())


def read_scores(path: Path) -> Stored:
    """Read `scores.npz`.

    Raises:
        BadInput: the file is missing, damaged, lists a clip twice, or holds arrays that do not fit each other.
    """
    remedy = "run 'skelpipe evaluate' again"
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
        names, labels, group = arrays.pop("name"), arrays.pop("label").astype(np.int64), arrays.pop("group", None)
    except FileNotFoundError:
        raise BadInput(path, "does not exist", remedy) from None
    except KeyError as error:
        raise BadInput(path, f"holds no array {error}", remedy) from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise BadInput(path, f"cannot be read ({error})", remedy) from None
    if names.ndim != 1 or names.dtype.kind != "U":
        raise BadInput(path, "has names that are no list of texts", remedy)
    if labels.shape != names.shape:
        raise BadInput(path, f"holds {len(names)} names and {labels.size} labels", remedy)
    if group is not None and (group.shape != names.shape or group.dtype.kind not in "Uiu"):
        raise BadInput(path, f"has groups of shape {group.shape} and type {group.dtype} for its clips", remedy)
    for key, values in arrays.items():
        if not PROTOCOL.fullmatch(key):  # it is shown, and becomes part of a file's name
            raise BadInput(path, f"has an array {shortened(key, 40)!r}, which is no protocol's name", remedy)
        if not _fits(key, values.shape, len(names)) or values.dtype.kind != "f":
            what = f"array {key!r} has shape {values.shape} and type {values.dtype} for {len(names)} clips"
            raise BadInput(path, what, remedy)
        if len(labels) and not (labels.min() >= 0 and labels.max() < values.shape[-1]):
            what = f"has labels from {labels.min()} to {labels.max()}, and {key} has {values.shape[-1]} classes"
            raise BadInput(path, what, remedy)
    found, count = np.unique(names, return_counts=True)
    if (count > 1).any():
        raise BadInput(path, f"lists the clip {found[count > 1][0]} more than once", remedy)
    return Stored(names, labels, arrays, group)


def _fits(key: str, shape: tuple[int, ...], clips: int) -> bool:
    """Whether an array of `scores.npz` has a row per clip; only scores may have draws before it."""
    if key in NOT_SCORES:
        return shape == (clips,)
    return len(shape) in (2, 3) and shape[-2] == clips
