"""What a protocol is given and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from skelpipe.evaluate.embed import Features, Run
from skelpipe.store import Clips

Probe = Literal["reference", "paper", "lbfgs"]


@dataclass(frozen=True)
class Setup:
    """Options of an evaluation, common to all protocols.

    Attributes:
        classes: outputs of a classifier.
        probe: which linear classifier.
        k: neighbours of knn.
        best_on_test: also report the best accuracy over the epochs, chosen on the test clips as the papers do.
        run: whose encoder it is, for protocols that train it.
        clips: whose features they are, for the same.
        options: what was set of the protocols' own options, protocol -> {option: value}.
        progress: called with (done, total) steps.
    """

    classes: int
    device: torch.device
    seed: int = 0
    probe: Probe = "reference"
    k: int = 1
    best_on_test: bool = False
    run: Run | None = None
    clips: Clips | None = None
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    progress: Callable[[int, int], None] | None = None


@dataclass(frozen=True)
class Outcome:
    """Scores of the test clips (n, classes) in their order, further figures for `metrics.json`, and warnings."""

    scores: npt.NDArray[np.float32]
    figures: dict[str, Any]
    warnings: list[str]


Progress = Callable[[str, int, int], None]
Protocol = Callable[[Features, Setup], Outcome]
