"""Retrieval on frozen features: each test clip asks for the training clips of its class."""

from __future__ import annotations

import torch
from torch import Tensor

from skelpipe.evaluation.features import Features
from skelpipe.evaluation.knn import BLOCK, nearest_of_each_class, unit_length
from skelpipe.evaluation.protocol import Outcome, Setup

RANKS = (1, 5, 10)


def retrieval(features: Features, setup: Setup) -> Outcome:
    """Rank the training clips by cosine, in float64, for every test clip; of equal cosines the earlier clip is first.

    Figures: `map`, the mean over the test clips of the average precision over all training clips; `recall`, for each
    rank k the share of test clips with one of their class among the first k. A test clip whose class has no training
    clip counts 0. The class scores are those of knn with k = 1.
    """
    unit = unit_length(features.feature, setup)
    label = torch.from_numpy(features.label).to(setup.device)
    train = torch.from_numpy(features.train).to(setup.device)
    bank, bank_label, wanted = unit[train], label[train], label[~train]
    precisions, hits, scores = [], [], []
    for query, own in zip(torch.split(unit[~train], BLOCK), torch.split(wanted, BLOCK), strict=True):
        cosine = query @ bank.t()
        relevant = (bank_label[cosine.argsort(dim=1, descending=True, stable=True)] == own[:, None]).double()
        precisions.append(average_precision(relevant))
        hits.append(torch.stack([relevant[:, :k].amax(1) for k in RANKS]))
        scores.append(nearest_of_each_class(cosine, bank_label, setup.classes).cpu())
    recall = torch.cat(hits, dim=1).mean(1).tolist()
    figures = {
        "map": float(torch.cat(precisions).mean()),
        "recall": {str(k): value for k, value in zip(RANKS, recall, strict=True)},
    }
    return Outcome(torch.cat(scores).numpy(), figures, [])


def average_precision(relevant: Tensor) -> Tensor:
    """Mean of the precision at each relevant place of a ranking: (B, n) of 0 and 1 -> (B,); 0 where none is."""
    place = torch.arange(1, relevant.shape[1] + 1, device=relevant.device)
    precision = relevant.cumsum(1) / place
    return (precision * relevant).sum(1) / relevant.sum(1).clamp_min(1)
