"""What evaluations have stored of their test clips: scores and features."""

from __future__ import annotations

import zipfile
import zlib
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from skelpipe.errors import BadInput
from skelpipe.evaluation.scores import Scores, hits_of, read_scores
from skelpipe.report.collect import Found, Result


def scores_of(result: Result, found: Found) -> tuple[npt.NDArray[np.int64], dict[str, Scores]] | None:
    """The labels (n,) of the test clips and each protocol's scores; None, and a note in `found`, if they are broken."""
    try:
        stored = read_scores(result.path / "scores.npz")
    except BadInput as problem:
        found.skipped.append((f"{result.shown}/scores.npz", problem.what))
        return None
    return stored.labels, stored.scores


def read_named(
    result: Result, protocol: str
) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64], npt.NDArray[np.floating[Any]]] | None:
    """Names (n,), labels (n,) and one protocol's scores (n, classes), of several draws the first; None without them."""
    try:
        stored = read_scores(result.path / "scores.npz")
    except BadInput:  # which is told where they are drawn
        return None
    scores = stored.scores.get(protocol)
    if scores is None or not len(stored.labels) or int(stored.labels.max()) >= scores.shape[-1]:
        return None
    return stored.names, stored.labels, scores if scores.ndim == 2 else scores[0]


class NamedHits(NamedTuple):
    """Test clips: names (n,), labels (n,), in how many draws each was recognised (n,), and its person or video."""

    names: npt.NDArray[Any]
    labels: npt.NDArray[np.int64]
    hits: npt.NDArray[np.float64]
    group: npt.NDArray[Any] | None


def read_hits(result: Result, protocol: str) -> NamedHits | None:
    """What a protocol has recognised of the test clips; None without its scores, which is told where they are drawn."""
    try:
        stored = read_scores(result.path / "scores.npz")
    except BadInput:
        return None
    if protocol not in stored.scores or not len(stored.labels):
        return None
    hits = hits_of(stored.scores[protocol], stored.labels)
    return NamedHits(stored.names, stored.labels, hits, stored.group)


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
