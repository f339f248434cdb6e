"""k nearest neighbours on frozen features."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from skelpipe.evaluation.features import Features
from skelpipe.evaluation.protocol import Outcome, Setup

TEMPERATURE = 0.1  # of the votes
BLOCK = 1024


def knn(features: Features, setup: Setup) -> Outcome:
    """Cosine nearest neighbours among the training clips; cosines and votes are float64.

    With k = 1, a class scores the cosine of its nearest training clip, so that the best class is the nearest clip's.
    With k > 1, each of the k nearest clips gives its class a vote of e^{cosine / 0.1}, as SkeleMixCLR and ActCLR do; of
    clips that are equally near, the earlier ones vote.
    """
    unit = unit_length(features.feature, setup)
    train = torch.from_numpy(features.train).to(setup.device)
    bank, label = unit[train], torch.from_numpy(features.label).to(setup.device)[train]
    k = min(setup.k, len(bank))
    scores = []
    for query in torch.split(unit[~train], BLOCK):
        cosine = query @ bank.t()
        if k == 1:
            score = nearest_of_each_class(cosine, label, setup.classes)
        else:
            near = nearest(cosine, k)
            score = torch.zeros(len(query), setup.classes, dtype=torch.float64, device=setup.device)
            score.scatter_add_(1, label[near], (cosine.gather(1, near) / TEMPERATURE).exp())
        scores.append(score.cpu())
    figures: dict[str, Any] = {"k": k}
    return Outcome(torch.cat(scores).numpy(), figures, [])


def nearest_of_each_class(cosine: Tensor, label: Tensor, classes: int) -> Tensor:
    """Cosines to the bank (B, n) and its classes (n,) -> the largest cosine per class (B, classes), -1 for none."""
    score = torch.full((len(cosine), classes), -1.0, dtype=cosine.dtype, device=cosine.device)
    return score.scatter_reduce_(1, label.expand(len(cosine), -1), cosine, "amax")


def nearest(cosine: Tensor, k: int) -> Tensor:
    """Cosines to the bank (B, n) -> the places of the k largest, (B, k); of equal ones the earlier counts."""
    found = cosine.topk(k, dim=1)
    last, near = found.values[:, -1:], found.indices
    torn = ((cosine == last).sum(1) > (found.values == last).sum(1)).nonzero()[:, 0]  # equal ones are left out
    if len(torn):
        near[torn] = cosine[torn].argsort(dim=1, descending=True, stable=True)[:, :k]
    return near


def unit_length(feature: npt.NDArray[np.float32], setup: Setup) -> Tensor:
    """Features (N, D) on the device, each of length 1, in float64: in float32 near neighbours become equally near."""
    return torch.nn.functional.normalize(torch.from_numpy(feature).to(setup.device).double(), dim=1)
