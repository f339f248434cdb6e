"""Sets of positives: what a query is pulled to. They plug into any method that names a query and a key view.

A set of positives is called with a `Pair` and the epoch and returns the loss. To add one: a class with `Options` (its
`name` chooses it in a recipe) and a line in POSITIVES; `NEEDS_PARTNERS = True` if it works between streams only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeVar

import torch
from torch import Tensor, nn

from skelpipe.settings import Settings

T = TypeVar("T")


def once(compute: Callable[[Any], T]) -> T:
    """A property that is computed when first asked for: a `cached_property` that torch.compile can see through."""
    name = compute.__name__

    def ask(pair: Pair) -> T:
        if name not in pair.made:
            pair.made[name] = compute(pair)
        found: T = pair.made[name]
        return found

    return property(ask, doc=compute.__doc__)  # type: ignore[return-value]


@dataclass
class Pair:
    """Embeddings of two views of the same clips, and the queue as it was before they are added.

    Attributes:
        query: (B, D) unit vectors, with gradient.
        key: (B, D) unit vectors, without.
        queue: (D, K) unit vectors, without.
        temperature: τ.
        others: further embeddings of the same clips, each (B, D), that a set of positives may mine with.
        partners: the same clips in the other streams, where a method trains several; place j of every queue then holds
            the same clip.
        made: what was computed of these, by its name below.
    """

    query: Tensor
    key: Tensor
    queue: Tensor
    temperature: float
    others: tuple[Tensor, ...] = ()
    partners: tuple[Pair, ...] = ()
    made: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @once
    def positive(self) -> Tensor:
        """s = q·k / τ: (B, 1)."""
        return (self.query * self.key).sum(1, keepdim=True) / self.temperature

    @once
    def query_negatives(self) -> Tensor:
        """q·m_j / τ: (B, K)."""
        return self.query @ self.queue / self.temperature

    @once
    def others_negatives(self) -> tuple[Tensor, ...]:
        """u·m_j / τ for each further embedding u: (B, K)."""
        return tuple(other @ self.queue / self.temperature for other in self.others)

    @once
    def key_negatives(self) -> Tensor:
        """k·m_j / τ: (B, K)."""
        return self.key @ self.queue / self.temperature

    @once
    def info_nce(self) -> Tensor:
        """-log e^s / (e^s + Σ_j e^{q·m_j/τ}), averaged over the batch.

        Source: He et al. (CVPR 2020), Eq. 1.
        """
        logits = torch.cat([self.positive, self.query_negatives], dim=1)
        return nn.functional.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.int64, device=logits.device))

    def query_neighbours(self, top_k: int = 1) -> Tensor:
        """n(q), the places in the queue nearest to each query: (B, top_k)."""
        return self.query_negatives.detach().topk(top_k, dim=1).indices

    def key_neighbours(self, top_k: int = 1) -> Tensor:
        """n(k), the places in the queue nearest to each key: (B, top_k)."""
        return self.key_negatives.topk(top_k, dim=1).indices


def mined(pair: Pair, top_k: int) -> list[Tensor]:
    """The places in the queue nearest to the query and to each further embedding: (B, top_k) each."""
    negatives = (pair.query_negatives, *pair.others_negatives)
    return [similarity.detach().topk(top_k, dim=1).indices for similarity in negatives]


def mining_loss(pair: Pair, neighbours: Sequence[Tensor]) -> Tensor:
    """Cross-entropy with several positives: the own key, and every place of the queue that is named at least once.

    -mean over the positives of log softmax [q·k, q·m] / τ: the mean of the logarithms, as AimCLR's public code has it;
    the paper's Eq. 5 prints the logarithm of the sum.

    Args:
        neighbours: places in the queue, (B, n) each.

    Source: AimCLR, §"Nearest neighbors mining".
    """
    log_p = torch.cat([pair.positive, pair.query_negatives], dim=1).log_softmax(1)
    mask = torch.zeros_like(log_p)
    mask[:, 0] = 1
    for places in neighbours:
        mask.scatter_(1, places + 1, 1.0)
    return -((mask * log_p).sum(1) / mask.sum(1)).mean()


class Positives(Protocol):
    """Turns a pair of views into a loss."""

    def __call__(self, pair: Pair, epoch: int) -> Tensor:
        """The loss, a scalar; `epoch` counts from 1."""
        ...

    def mining(self, epoch: int) -> bool:
        """Whether neighbours from the queue serve as positives in this epoch."""
        ...


class OwnKeyOptions(Settings):
    """The clip's own key, nothing else."""

    name: Literal["own_key"] = "own_key"


class OwnKey:
    """InfoNCE: a query is pulled to the key of its own clip."""

    Options = OwnKeyOptions

    def __init__(self, options: OwnKeyOptions) -> None:
        self.options = options

    def __call__(self, pair: Pair, epoch: int) -> Tensor:
        return pair.info_nce

    def mining(self, epoch: int) -> bool:
        return False
