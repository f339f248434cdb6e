"""k nearest neighbours on frozen features."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from skelpipe.evaluate.embed import Features
from skelpipe.evaluate.protocol import Outcome, Setup

TEMPERATURE = 0.1  # of the votes
BLOCK = 1024


def knn(features: Features, setup: Setup) -> Outcome:
    """Cosine nearest neighbours among the training clips.

    With k = 1, a class scores the cosine of its nearest training clip, so that the best class is the nearest clip's.
    With k > 1, each of the k nearest clips gives its class a vote of e^{cosine / 0.1}, as SkeleMixCLR and ActCLR do.
    """
    unit = torch.nn.functional.normalize(torch.from_numpy(features.feature).to(setup.device), dim=1)
    train = torch.from_numpy(features.train).to(setup.device)
    bank, label = unit[train], torch.from_numpy(features.label).to(setup.device)[train]
    k = min(setup.k, len(bank))
    scores = []
    for query in torch.split(unit[~train], BLOCK):
        cosine = query @ bank.t()
        if k == 1:
            score = nearest_of_each_class(cosine, label, setup.classes)
        else:
            near = cosine.topk(k, dim=1)
            score = torch.zeros(len(query), setup.classes, device=setup.device)
            score.scatter_add_(1, label[near.indices], (near.values / TEMPERATURE).exp())
        scores.append(score.cpu())
    figures: dict[str, Any] = {"k": k}
    return Outcome(torch.cat(scores).numpy().astype(np.float32), figures, [])


def nearest_of_each_class(cosine: Tensor, label: Tensor, classes: int) -> Tensor:
    """Cosines to the bank (B, n) and its classes (n,) -> the largest cosine per class (B, classes), -1 for none."""
    score = torch.full((len(cosine), classes), -1.0, device=cosine.device)
    return score.scatter_reduce_(1, label.expand(len(cosine), -1), cosine, "amax")
