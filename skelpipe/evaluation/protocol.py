"""What a protocol is given and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from skelpipe.evaluation.features import Features, Run
from skelpipe.recordings.store import Clips
from skelpipe.settings import Settings
from skelpipe.training.model import Kept
from skelpipe.training.step import Graphs

Probe = Literal["reference", "paper", "lbfgs", "grid", "stated"]


@dataclass(frozen=True)
class Setup:
    """Options of an evaluation, common to all protocols.

    Attributes:
        classes: outputs of a classifier.
        only: their labels in the data set, where they are a part of its classes; labels of features are places in it.
        probe: which linear classifier.
        k: neighbours of knn.
        best_on_test: also report the best accuracy over the epochs, chosen on the test clips as the papers do.
        run: whose encoder it is, for protocols that train it.
        clips: whose features they are, for the same.
        options: the checked options of the protocols that have some, by protocol; they have defaults.
        progress: called with (done, total) steps.
        threads: for the kernels that make batches; None takes all cores.
        graphs: compiles the steps of protocols that train the encoder; None: they are taken as they are.
    """

    classes: int
    device: torch.device
    seed: int = 0
    probe: Probe = "reference"
    k: int = 1
    best_on_test: bool = False
    run: Run | None = None
    clips: Clips | None = None
    options: Mapping[str, Settings] = field(default_factory=dict)
    progress: Callable[[int, int], None] | None = None
    threads: int | None = None
    only: tuple[int, ...] | None = None
    graphs: Graphs | None = None


@dataclass(frozen=True)
class Outcome:
    """What a protocol found.

    Attributes:
        scores: of the test clips in their order, (n, classes), or (draws, n, classes) if it was repeated on several
            draws of training clips.
        figures: what else `metrics.json` shall tell.
        kept: the classifier that gave them, which the evaluation keeps as a model; None where there is none, or many.
        unseen: scores (h, classes) of the training clips that were held out, by a like classifier that was trained
            without them; None where none were.
    """

    scores: npt.NDArray[np.floating[Any]]
    figures: dict[str, Any]
    warnings: list[str]
    kept: Kept | None = None
    unseen: npt.NDArray[np.floating[Any]] | None = None


Progress = Callable[[str, int, int], None]
# One outcome goes by the protocol's name; several say their own names.
Protocol = Callable[[Features, Setup], Outcome | dict[str, Outcome]]
