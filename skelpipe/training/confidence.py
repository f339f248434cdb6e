"""How far a classifier's scores can be believed: a temperature for them, found on clips that it has not learnt from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from pydantic import Field
from torch import Tensor

from skelpipe.errors import BadInput
from skelpipe.settings import Settings

if TYPE_CHECKING:
    from skelpipe.training.model import Facts, Model

COLDEST, HOTTEST = 0.05, 20.0  # a held-out part that is recognised without a mistake asks for 0, noise for infinity
HALVINGS = 60
BINS = 15
REMEDY = "evaluate its run by 'skelpipe evaluate RUN CLIPS OUT --protocol linear', and give OUT here"


class Calibration(Settings):
    """A temperature, and what it was found on.

    The figures of the held-out clips are of those that the temperature was chosen by; `metrics.json` has test clips'.

    Attributes:
        temperature: what scores are divided by; COLDEST or HOTTEST where the held-out clips ask for more than that.
        clips: how many were held out.
        groups: of how many persons or videos they are.
        by: what these are called.
        nll_before, nll_after: the mean negative log-likelihood of their classes, in nats, of scores and of scores /
            temperature.
        ece_before, ece_after: the same of `calibration_error`.
    """

    temperature: float = Field(ge=COLDEST, le=HOTTEST)
    clips: int
    groups: int
    by: str
    nll_before: float
    nll_after: float
    ece_before: float
    ece_after: float


def calibrate(scores: Tensor, label: Tensor, groups: int, by: str) -> Calibration | None:
    """The calibration by held-out clips; None without any, or where a score is not finite.

    Args:
        scores: (n, K), by a classifier that was trained without these clips.
        label: (n,).
    """
    scores, label = scores.double(), label.long()
    if not len(label) or not bool(scores.isfinite().all()):
        return None
    temperature = best_temperature(scores, label)
    after = scores / temperature
    return Calibration(
        temperature=temperature, clips=len(label), groups=groups, by=by,
        nll_before=likelihood_loss(scores, label), nll_after=likelihood_loss(after, label),
        ece_before=calibration_error(scores, label), ece_after=calibration_error(after, label),
    )  # fmt: skip


def best_temperature(scores: Tensor, label: Tensor) -> float:
    """The T in [COLDEST, HOTTEST] whose softmax(scores / T) makes the classes `label` (n,) of scores (n, K) likeliest.

    Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, section 4.2. In 1/T the mean negative
    log-likelihood is convex, and its slope, the mean over clips of sum_k p_k z_k - z_label, grows: it is halved to
    where that is 0. Where it is 0 everywhere (all scores of a clip alike, or none that could be surer) T is 1.
    """
    z = scores.double()
    z = z - z.max(1, keepdim=True).values
    own = z.gather(1, label[:, None].long())[:, 0]

    def slope(cold: float) -> float:
        return float(((torch.softmax(cold * z, 1) * z).sum(1) - own).mean())

    low, high = 1 / HOTTEST, 1 / COLDEST
    ends = slope(low), slope(high)
    if ends == (0, 0):
        return 1.0
    if ends[0] > 0:
        return HOTTEST
    if ends[1] < 0:
        return COLDEST
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return min(HOTTEST, max(COLDEST, 2 / (low + high)))


def likelihood_loss(scores: Tensor, label: Tensor) -> float:
    """The mean negative log-likelihood of the classes `label` (n,) by softmax(scores) (n, K), in nats."""
    return float(torch.nn.functional.cross_entropy(scores.double(), label.long()))


def calibration_error(scores: Tensor, label: Tensor, bins: int = BINS) -> float:
    """By how much the probability of the top class differs from how often it is right, from 0 to 1.

    The expected calibration error of Guo et al. (2017), equation 3: clips (n, K) are put into bins of equal width by
    the probability of their top class; the differences of the bins' means are averaged, weighted by their clips.
    """
    sure, top = torch.softmax(scores.double(), 1).max(1)
    right = (top == label.long()).double()
    place = (torch.ceil(sure * bins) - 1).clamp(0, bins - 1).long()  # bins are open below, as the publication has them
    gap = torch.zeros(bins, dtype=torch.float64, device=sure.device).index_add_(0, place, right - sure)
    return float(gap.abs().sum() / len(label))


def combined(scores: Sequence[Tensor], weights: Sequence[float], temperatures: Sequence[float]) -> Tensor:
    """Scores (B, K) of several models of the same clips as one: the weighted mean of each one's scores / temperature.

    The temperature of the whole cannot be known: no clips were held out of all models alike. A mean, with weights that
    are made to sum to 1, is right where the models say the same (several copies of one give what one gives) and too
    unsure where they know different things; a sum would be too sure wherever they say the same.

    Args:
        weights: positive, one for each model, as of `fuse`.
        temperatures: as of `need_temperature`, or 1 for scores as they are.
    """
    whole = float(sum(weights))
    return sum((w / whole) * z / t for z, w, t in zip(scores, weights, temperatures, strict=True))  # type: ignore[return-value]


def temperature(facts: Facts) -> float:
    """What a model's scores are to be divided by; 1 where that is not known."""
    return 1.0 if facts.calibration is None else facts.calibration.temperature


def need_temperature(model: Model) -> float:
    """The same of a model that must know it.

    Raises:
        BadInput: no clips were held out of its training.
    """
    if model.facts.calibration is None:
        raise BadInput(model.path, f"({model.facts.protocol}) has no temperature: it held out no clips", REMEDY)
    return temperature(model.facts)
