"""Training on classes of unequal size as if they were equal: by how often clips are drawn, or by what they weigh."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

Balance = Literal["none", "sampling", "weights"]
Labels = npt.NDArray[np.integer]
BITS = 24  # of a clip's number in its folder; above them stands how often it was drawn before


def class_weights(labels: Labels) -> npt.NDArray[np.float64]:
    """What each clip weighs so that all classes weigh the same: N / (K · n_c) of n_c clips of K classes.

    The mean over the clips is 1, and over the clips of each class 1/K. That is `class_weight="balanced"` of
    scikit-learn (King and Zeng, Logistic Regression in Rare Events Data, 2001).

    Args:
        labels: (N,).

    Returns:
        (N,) weights.
    """
    _, own, count = np.unique(labels, return_inverse=True, return_counts=True)
    weights: npt.NDArray[np.float64] = (len(labels) / (len(count) * count))[own.reshape(-1)]
    return weights


def balanced_order(labels: Labels, count: int, generator: np.random.Generator) -> npt.NDArray[np.int64]:
    """Clips in an order that has every class equally often, or once more than others.

    Of a class all clips are drawn, in an order of their own, before one is drawn again.

    Args:
        labels: (N,).
        count: how many clips are drawn.

    Returns:
        (count,) rows of `labels`.
    """
    members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    each = np.full(len(members), count // len(members))
    each[generator.permutation(len(members))[: count % len(members)]] += 1
    drawn = []
    for rows, wanted in zip(members, each.tolist(), strict=True):
        rounds = [generator.permutation(rows) for _ in range(-(-wanted // len(rows)))]
        drawn.append(np.concatenate([*rounds, rows[:0]])[:wanted])
    return generator.permutation(np.concatenate(drawn)).astype(np.int64)


def numbers_drawn(clip_ids: npt.NDArray[np.int64], rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The number that the random choices of each drawn clip hang on: its own, and another one each time it comes again.

    Otherwise a clip that is drawn ten times in an epoch would be ten times the same augmented clip.

    Args:
        clip_ids: (N,) the clips' own numbers.
        rows: (n,) those that are drawn, in their order.

    Returns:
        (n,) below 2**32.
    """
    order = np.argsort(rows, kind="stable")
    _, first, count = np.unique(rows[order], return_index=True, return_counts=True)
    before = np.empty(len(rows), np.int64)
    before[order] = np.arange(len(rows)) - np.repeat(first, count)
    return (clip_ids[rows] + (before << BITS)) % 2**32
