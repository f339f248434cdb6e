"""What the training clips that a protocol has held out say of its classifier's confidence."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from skelpipe.evaluate.embed import Features
from skelpipe.evaluate.protocol import Outcome, Setup
from skelpipe.training.confidence import Calibration, calibrate, calibration_error, likelihood_loss

CALIBRATION = "calibration"  # in metrics.json
SINGLY = "clip"


def with_confidence(outcome: Outcome, features: Features, held: npt.NDArray[np.bool_], setup: Setup) -> Outcome:
    """The outcome with a calibration of what it keeps, by its scores of held-out clips; test clips play no part.

    It is that of a like classifier which was trained without these clips, and stands for that of the classifier which
    is kept, trained on all.

    Args:
        held: (training clips,) which of them were held out.
    """
    if outcome.unseen is None or outcome.kept is None:
        return outcome
    label, group = features.label[features.train], features.group[features.train]
    groups, by = grouped(group, held, "group" if setup.clips is None else setup.clips.about.group)
    found = calibrate(torch.from_numpy(outcome.unseen), torch.from_numpy(label[held]), groups, by)
    if found is not None:
        outcome.figures[CALIBRATION] = found.model_dump(mode="json")
    return replace(outcome, kept=replace(outcome.kept, calibration=found))


def grouped(group: npt.NDArray[Any], held: npt.NDArray[np.bool_], by: str) -> tuple[int, str]:
    """Of how many groups the held-out clips are, and what these are called: clips, where no whole groups are out."""
    names = np.unique(group[held])
    return (int(held.sum()), SINGLY) if np.isin(names, group[~held]).any() else (len(names), by)


def on_test(calibration: Calibration, scores: npt.NDArray[Any], label: npt.NDArray[np.int64]) -> dict[str, Any]:
    """What the temperature does to the test clips, which have not chosen it, as of `Calibration`."""
    z, y = torch.from_numpy(np.asarray(scores, np.float64)), torch.from_numpy(label)
    found: dict[str, float] = {}
    for when, each in (("before", z), ("after", z / calibration.temperature)):
        found |= {f"nll_{when}": likelihood_loss(each, y), f"ece_{when}": calibration_error(each, y)}
    return {"test": found}
