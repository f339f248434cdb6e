"""How far a classifier can be believed: a temperature for its scores, and how far a clip is from what it has learnt.

Both are measured on training clips of persons or videos that were held out; test clips play no part in them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from pydantic import Field
from torch import Tensor, nn

from skelpipe.errors import BadInput
from skelpipe.settings import Settings

if TYPE_CHECKING:
    from skelpipe.training.model import Facts, Model

COLDEST, HOTTEST = 0.05, 100.0  # held-out clips that are all recognised ask for 0, and mere noise for infinity
HALVINGS = 60
BINS = 15
QUANTILES = 101
TENSORS = "distance."
REMEDY = "evaluate its run by 'skelpipe evaluate RUN CLIPS OUT --protocol linear', and give OUT here"


class Unseen(Settings):
    """Training clips that were held out.

    Attributes:
        clips: how many.
        groups: of how many persons or videos they are.
        by: what these are called; "clip" where clips were held out one by one.
    """

    clips: int
    groups: int
    by: str


class Calibration(Unseen):
    """A temperature, and the clips that it was found on.

    The figures are of these clips themselves; `metrics.json` has those of test clips.

    Attributes:
        temperature: what scores are divided by; COLDEST or HOTTEST where the held-out clips ask for more than that.
        nll_before, nll_after: the mean negative log-likelihood of their classes, in nats, of scores and of scores /
            temperature.
        ece_before, ece_after: the same of `calibration_error`.
    """

    temperature: float = Field(ge=COLDEST, le=HOTTEST)
    nll_before: float
    nll_after: float
    ece_before: float
    ece_after: float


def calibrate(scores: Tensor, label: Tensor, groups: int, by: str) -> Calibration | None:
    """The calibration by held-out clips, of so many `groups`; None without any, or where a score is not finite.

    Args:
        scores: (n, K), each by a classifier that was trained without that clip's group.
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
    first, last = slope(low), slope(high)
    if first == 0 and last == 0:
        return 1.0
    if first > 0:
        return HOTTEST
    if last < 0:
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
    """Scores (B, K) of several models of the same clips as one: the weighted sum of each one's scores / temperature.

    The temperature of the whole is not known: none of the models tells how its held-out clips were scored. A sum by the
    usual weights of streams, 0.6, 0.6 and 0.4, lies between a mean, which is right where models say the same, and a
    plain sum, which is right where they know different things; of three streams on two small data sets it came nearer
    than a mean. One model is taken as it is, whatever its weight.

    Args:
        weights: one for each model, as of `fuse`.
        temperatures: as of `need_temperature`.
    """
    whole = 1.0 if len(scores) > 1 else float(sum(weights))
    return sum((w / whole) * z / t for z, w, t in zip(scores, weights, temperatures, strict=True))  # type: ignore[return-value]


@dataclass(frozen=True)
class Distance:
    """How far a clip's feature is from those that a head has learnt from: the basis of "none of these".

    A distance is 1 less the cosine between a feature and the nearest class centre, from 0 to 2. The centre of a class
    is the mean of its training features at length 1. This is the simplest of the measures that were compared on classes
    which neither encoder nor head had seen: relative Mahalanobis distances (Ren et al., 2021) tell them apart a little
    better, plain ones (Lee et al., NeurIPS 2018), the nearest training features (Sun et al., ICML 2022) and the scores
    themselves worse.

    Attributes:
        centres: (K, D) float32, of length 1; classes without training clips have none.
        quantiles: (101,) float64, rising: that part of the held-out clips of known classes, from 0 to all in steps of
            1 %, is at most so far.
    """

    centres: Tensor
    quantiles: Tensor

    def of(self, h: Tensor) -> Tensor:
        """The distances (B,) float64 of features (B, D)."""
        return distances(h, self.centres.to(h.device))

    def threshold(self, share: float) -> float:
        """The distance beyond which so large a share of clips of the known classes lies: what is farther is refused.

        That is so of clips like those that were held out, between whose quantiles it is interpolated. 0 refuses what is
        farther than all of these were.

        Raises:
            BadInput: the share is not from 0 to 1.
        """
        if not 0 <= share <= 1:
            raise BadInput(f"a share of {share:g}", "is none of the clips of known classes", "give one from 0 to 1")
        place = (1 - share) * (len(self.quantiles) - 1)
        low = min(int(place), len(self.quantiles) - 2)
        first, second = self.quantiles[low : low + 2].tolist()
        return float(first + (place - low) * (second - first))

    def tensors(self) -> dict[str, Tensor]:
        """Its parts as a model's weights have them."""
        return {f"{TENSORS}{name}": value for name, value in vars(self).items()}

    @classmethod
    def among(cls, tensors: Mapping[str, Tensor]) -> Distance | None:
        """That of a model's weights; None where there is none."""
        own = {key.removeprefix(TENSORS): value for key, value in tensors.items() if key.startswith(TENSORS)}
        return cls(**own) if own else None


def centres(h: Tensor, label: Tensor) -> Tensor:
    """The class centres (K, D) float32 of features (n, D), K the number of classes that occur among `label` (n,)."""
    unit = nn.functional.normalize(h.double(), dim=1)
    means = torch.stack([unit[label == c].mean(0) for c in torch.unique(label)])
    return nn.functional.normalize(means, dim=1).float()


def distances(h: Tensor, centre: Tensor) -> Tensor:
    """1 less the cosine between features (B, D) and the nearest of the centres (K, D): (B,) float64."""
    # Features behind a ReLU all point about the same way: float32 would leave few digits of the difference to 1.
    unit, near = (nn.functional.normalize(each.double(), dim=1) for each in (h, centre))
    return 1 - (unit @ near.t()).max(1).values


def spread_of(found: Tensor) -> Tensor:
    """The quantiles that a `Distance` keeps of distances (n,)."""
    at = torch.linspace(0, 1, QUANTILES, dtype=torch.float64)
    return torch.quantile(found.double().cpu(), at)


def temperature(facts: Facts) -> float:
    """What a model's scores are to be divided by; 1 where that is not known."""
    return 1.0 if facts.calibration is None else facts.calibration.temperature


def need_temperature(model: Model) -> float:
    """The same of a model that must know it.

    Raises:
        BadInput: no clips were held out of its training.
    """
    if model.facts.calibration is None:
        what = f"has no temperature for its scores ({model.facts.protocol}): no clips were held out of its training"
        raise BadInput(model.path, what, _remedy(model))
    return temperature(model.facts)


def need_distance(model: Model) -> Distance:
    """The distance of a model that must have one.

    Raises:
        BadInput: no clips were held out of its training, or its network scores clips without features.
    """
    if model.distance is None:
        what = (
            f"cannot tell what is far from its classes ({model.facts.protocol}): it knows no distances of unseen clips"
        )
        raise BadInput(model.path, what, _remedy(model))
    return model.distance


def _remedy(model: Model) -> str:
    """What to do about a model that does not know how far it can be believed."""
    first = "make a run of it by 'skelpipe import-weights', and " if Path(model.path).is_file() else ""
    return f"{first}{REMEDY}"
