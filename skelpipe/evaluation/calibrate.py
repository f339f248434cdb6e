"""What the training clips that are held out say of a classifier's confidence, and of how far unseen clips are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from skelpipe.evaluation.features import Features
from skelpipe.evaluation.protocol import Outcome, Setup
from skelpipe.training.confidence import (
    Calibration,
    Distance,
    Unseen,
    calibrate,
    calibration_error,
    centres,
    distances,
    likelihood_loss,
    spread_of,
)
from skelpipe.training.model import Kept

TURNS = 5  # parts of the training clips that are held out in turn
ENOUGH = 1000  # clips for a temperature
REFUSED = (0.01, 0.05)  # shares of clips of known classes that `metrics.json` tells of
SINGLY = "clip"
Mask = npt.NDArray[np.bool_]
Scores = npt.NDArray[np.floating[Any]]


def with_confidence(
    outcome: Outcome, features: Features, held: Mask, setup: Setup, again: Callable[[Mask], Scores] | None = None
) -> Outcome:
    """The outcome, what it keeps now with a temperature and distances; test clips play no part in either.

    The temperature is that of like classifiers, trained without the clips that they score, and stands for that of the
    classifier which is kept, trained on all. Few held-out clips are of one or two persons, after whom it would go; then
    the others are held out in turn too. So they always are for the distances, which cost little. A clip whose class
    nobody else has done says nothing of known classes, and is left out.

    Args:
        held: (training clips,) which of them `outcome.unseen` has the scores of.
        again: the scores of other training clips by a classifier that was trained without them.
    """
    if outcome.unseen is None or outcome.kept is None:
        return outcome
    label, group = features.label[features.train], features.group[features.train]
    group, by = grouped(group, held, setup)
    parts = in_turn(group, held, setup.seed)
    turns = parts[1:] if again is not None and held.sum() < ENOUGH else []
    scores = [outcome.unseen, *(again(part) for part in turns if again is not None)]
    return completed(outcome, scores, features.feature[features.train], label, group, parts, by)


def completed(
    outcome: Outcome,
    scores: Sequence[Scores],
    feature: npt.NDArray[np.float32] | None,
    label: npt.NDArray[np.int64],
    group: npt.NDArray[Any],
    parts: Sequence[Mask],
    by: str,
) -> Outcome:
    """The same by the scores of the first parts, each without what it holds out, and by the features of all clips."""
    assert outcome.kept is not None
    kept = replace(outcome.kept, calibration=calibrated(scores, label, group, parts[: len(scores)], by))
    if feature is not None:
        distance, measured = distances_of(feature, label, group, parts, by)
        kept = replace(kept, distance=distance, measured=measured)
    return replace(outcome, kept=kept)


def grouped(group: npt.NDArray[Any], held: Mask, setup: Setup) -> tuple[npt.NDArray[Any], str]:
    """What is held out together, and what that is called: the clips one by one, where no whole groups are held out."""
    if np.isin(group[held], group[~held]).any():
        return np.arange(len(group)), SINGLY
    return group, "group" if setup.clips is None else setup.clips.about.group


def in_turn(group: npt.NDArray[Any], held: Mask, seed: int) -> list[Mask]:
    """The clips that are held out, and the other groups, dealt by seed into parts that are held out after them."""
    others = np.random.default_rng(seed).permutation(np.unique(group[~held]))
    return [held, *(np.isin(group, others[k :: TURNS - 1]) for k in range(min(TURNS - 1, len(others))))]


def calibrated(
    scores: Sequence[Scores], label: npt.NDArray[np.int64], group: npt.NDArray[Any], parts: Sequence[Mask], by: str
) -> Calibration | None:
    """The calibration by the scores of each held-out part."""
    fair = [known(label, part) for part in parts]
    z = np.concatenate([own[ok[part]] for own, ok, part in zip(scores, fair, parts, strict=True)])
    y, of = (np.concatenate([values[ok] for ok in fair]) for values in (label, group))
    return calibrate(torch.from_numpy(z), torch.from_numpy(y), len(np.unique(of)), by)


def known(label: npt.NDArray[np.int64], part: Mask) -> Mask:
    """Which clips of a held-out part are of a class that others have too."""
    return part & np.isin(label, label[~part])


def distances_of(
    feature: npt.NDArray[np.float32],
    label: npt.NDArray[np.int64],
    group: npt.NDArray[Any],
    parts: Sequence[Mask],
    by: str,
) -> tuple[Distance | None, Unseen | None]:
    """The centres of all training clips, and how far those of each part are from the centres of all others."""
    h, y = torch.from_numpy(feature), torch.from_numpy(label)
    fair = [known(label, part) for part in parts]
    far = [distances(h[ok], centres(h[~part], y[~part])) for ok, part in zip(fair, parts, strict=True) if ok.any()]
    if not far:
        return None, None
    found = torch.cat(far)
    groups = len(np.unique(group[np.any(fair, axis=0)]))
    return Distance(centres(h, y), spread_of(found)), Unseen(clips=len(found), groups=groups, by=by)


def confidence_told(outcome: Outcome, features: Features) -> dict[str, Any]:
    """The temperature and the distances in `metrics.json`, and what they do to the test clips."""
    kept, test = outcome.kept or Kept(None), ~features.train
    found: dict[str, Any] = {}
    if kept.calibration is not None:
        told = on_test(kept.calibration, outcome.scores, features.label[test])
        found["calibration"] = {**kept.calibration.model_dump(mode="json"), "test": told}
    if kept.distance is not None and kept.measured is not None:
        found["distance"] = kept.measured.model_dump(mode="json")
        if kept.network is None:
            refused = shares_refused(kept.distance, torch.from_numpy(features.feature[test]))
            found["distance"]["test"] = {"refused": refused}
    return found


def on_test(calibration: Calibration, scores: Scores, label: npt.NDArray[np.int64]) -> dict[str, float]:
    """What the temperature does to the test clips, which have not chosen it, as of `Calibration`."""
    z, y = torch.from_numpy(np.asarray(scores, np.float64)), torch.from_numpy(label)
    after = z / calibration.temperature
    return {
        "nll_before": likelihood_loss(z, y),
        "nll_after": likelihood_loss(after, y),
        "ece_before": calibration_error(z, y),
        "ece_after": calibration_error(after, y),
    }


def shares_refused(distance: Distance, h: Tensor) -> dict[str, float]:
    """Which share of these features (n, D) is refused where a share of the known classes' clips may be."""
    far = distance.of(h)
    return {f"{share:g}": float((far > distance.threshold(share)).double().mean()) for share in REFUSED}
