"""Few-shot probes: what frozen features are worth with k labelled clips of each class.

Source: the few-shot linear probe of Radford et al., Learning Transferable Visual Models From Natural Language
Supervision (ICML 2021, section 3.1.3), here with the penalised classifier of the `linear` protocol's probe "lbfgs".
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field, PositiveInt, field_validator

from skelpipe.evaluation.features import Features
from skelpipe.evaluation.finetune import mixed_by_class
from skelpipe.evaluation.knn import knn
from skelpipe.evaluation.linear import HELD_OUT, Data, penalised, standardised
from skelpipe.evaluation.protocol import Outcome, Setup
from skelpipe.evaluation.scores import topk_accuracy
from skelpipe.recordings.datasets.held_out import hold_out
from skelpipe.settings import Settings

ALL = "all"
Shots = PositiveInt | Literal["all"]


class FewshotOptions(Settings):
    """How many labelled clips there are.

    Attributes:
        shots: labelled training clips of each class, or "all"; each is a protocol of its own in `metrics.json`. A class
            with fewer gives all that it has; of two numbers that give the same clips the larger is taken.
        draws: how often such clips are drawn; all of them are one draw.
    """

    shots: tuple[Shots, ...] = Field((1, 2, 5, 10, 20, "all"), min_length=1)
    draws: PositiveInt = 5

    @field_validator("shots")
    @classmethod
    def _differ(cls, value: tuple[Shots, ...]) -> tuple[Shots, ...]:
        if len(set(value)) < len(value):
            raise ValueError("names a number twice")
        return tuple(sorted(value, key=lambda k: (k == ALL, k)))


def fewshot(features: Features, setup: Setup) -> dict[str, Outcome]:
    """A linear classifier, and the nearest neighbour, by few labelled clips drawn in each class, several times.

    Features are standardised by all training clips, which needs no label. The classifier is multinomial logistic
    regression, its penalty chosen on a tenth of the labelled clips that is held out (of equal ones the strongest), then
    fitted on all of them. Each number of clips is an outcome of its own: its scores, (draws, n, classes), are those of
    the classifier, and its figures have the top-1 of the nearest neighbour by cosine as `knn`.
    """
    options: Any = setup.options.get("fewshot") or FewshotOptions()
    label = features.label[features.train]
    quiet, done = replace(setup, progress=None, k=1, options={}), 0
    wanted = distinct(options.shots, label)
    total = sum(1 if takes_all(k, label) else options.draws for k in wanted)
    found = {}
    for k in wanted:
        draws = range(1 if takes_all(k, label) else options.draws)
        chosen = [draw_shots(label, k, setup.seed, draw) for draw in draws]
        scores, nearest, train_top1 = [], [], []
        for rows in chosen:
            outcome, near = probes(features, rows, quiet)
            scores.append(outcome.scores.astype(np.float32))
            nearest.append(topk_accuracy(near, features.label[~features.train], 1))
            train_top1.append(outcome.figures["train_top1"])
            done += 1
            if setup.progress is not None:
                setup.progress(done, total)
        figures = {
            "shots": k,
            "labelled": len(chosen[0]),
            "seed": setup.seed,
            "train_top1": float(np.mean(train_top1)),
            "knn": spread(nearest),
        }
        whole = takes_all(k, label)
        found[shots_name(k)] = Outcome(scores[0] if whole else np.stack(scores), figures, [])
    return found


def probes(
    features: Features, rows: npt.NDArray[np.int64], setup: Setup
) -> tuple[Outcome, npt.NDArray[np.floating[Any]]]:
    """The linear classifier that knows only the labels of `rows`, of the training clips; and the scores of 1-NN."""
    train = np.flatnonzero(features.train)
    x = torch.from_numpy(features.feature).to(setup.device)
    label = torch.from_numpy(features.label).to(setup.device)
    place = torch.from_numpy(train).to(setup.device)
    x, few = standardised(x, x[place]), train[rows]
    held = hold_out(features.group[few], HELD_OUT, setup.seed)
    test = np.flatnonzero(~features.train)
    fitted, fit, looked_at, tested = (Data(x[which], label[which]) for which in (few, few[~held], few[held], test))
    known = np.concatenate([few, test])
    part = {key: getattr(features, key)[known] for key in ("name", "label", "train", "group", "feature")}
    return penalised(fitted, fit, looked_at, tested, setup), knn(replace(features, **part), setup).scores


def shots_name(k: Shots) -> str:
    """What an outcome is called: 5 -> fewshot5, "all" -> fewshot_all."""
    return f"fewshot_{ALL}" if k == ALL else f"fewshot{k}"


def draw_shots(label: npt.NDArray[np.int64], k: Shots, seed: int, draw: int) -> npt.NDArray[np.int64]:
    """Rows of `label` (n,) that carry labels: k of each class, or all that it has, in order.

    They follow from (seed, draw); those of a smaller k are among those of a larger one.
    """
    return np.sort(np.concatenate([rows[: len(rows) if k == ALL else k] for rows in mixed_by_class(label, seed, draw)]))


def takes_all(k: Shots, label: npt.NDArray[np.int64]) -> bool:
    """Whether no class has more than k clips."""
    return k == ALL or bool(np.bincount(label).max() <= k)


def distinct(shots: tuple[Shots, ...], label: npt.NDArray[np.int64]) -> list[Shots]:
    """The numbers, in order, without those that take all clips as the next one does."""
    return [k for place, k in enumerate(shots) if place == len(shots) - 1 or not takes_all(k, label)]


def spread(values: list[float]) -> dict[str, Any]:
    """`top1`, the mean, and of several draws `draws` and `std` (divisor draws - 1)."""
    mean = {"top1": float(np.mean(values))}
    return mean if len(values) == 1 else {**mean, "draws": values, "std": float(np.std(values, ddof=1))}
