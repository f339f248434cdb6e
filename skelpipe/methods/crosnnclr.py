"""CrosNNCLR: for each view, the nearest neighbour of the *other* view in the queue is a further positive.

Source: X. Zhang, Z. Xu, L. Wang, J. Chen, Cross-View Nearest Neighbor Contrastive Learning of Human Skeleton
Representation (2022). The paper prints its loss twice, as Eqs. 6-8 and as Algorithm 1, and a public repository by one
of the authors holds a third form; they are three different losses, so all three are here, by name.

Notation: q query, k key, m_j the queue, n(u) the queue's nearest neighbour of u, s = q·k/τ. Keys and queue carry no
gradient. All functions return the mean over the batch; with top_k > 1 every neighbour takes its place.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor, nn

from skelpipe import ranks
from skelpipe.methods.positives import Pair, mined, mining_loss
from skelpipe.settings import Settings


def equation_loss(pair: Pair, top_k: int = 1) -> Tensor:
    """Eqs. 6-8 as printed: ½ (L_qk + L_kq).

    L_qk = -log (e^s + e^{n(q)·k/τ}) / (e^s + Σ_j e^{q·m_j/τ})
    L_kq = -log (e^s + e^{n(k)·q/τ}) / (e^s + Σ_j e^{k·m_j/τ})

    The added numerator term is not one of the denominator's, so neither fraction is a probability and each half can be
    negative; their mean cannot, because q·n(k) ≤ q·n(q) and k·n(q) ≤ k·n(k). In L_qk the neighbour is a constant that
    only weakens the pull to k, while the queue, n(q) included, pushes q away; in L_kq the neighbour does pull q, but
    the queue is a constant there.
    """
    n_q, n_k = _bank(pair, pair.query_neighbours(top_k)), _bank(pair, pair.key_neighbours(top_k))
    qk = torch.cat([pair.positive, torch.einsum("bdn,bd->bn", n_q, pair.key) / pair.temperature], dim=1)
    kq = torch.cat([pair.positive, torch.einsum("bdn,bd->bn", n_k, pair.query) / pair.temperature], dim=1)
    over_query = torch.cat([pair.positive, pair.query_negatives], dim=1)
    over_key = torch.cat([pair.positive, pair.key_negatives], dim=1)
    l_qk = over_query.logsumexp(1) - qk.logsumexp(1)
    l_kq = over_key.logsumexp(1) - kq.logsumexp(1)
    return (l_qk + l_kq).mean() / 2


def algorithm1_loss(pair: Pair, top_k: int = 1) -> Tensor:
    """Algorithm 1 as printed: in-batch negatives, and the neighbours among them.

    ½ of the sum of
    -log e^{k_i·q_i/τ} / (Σ_j e^{k_i·q_j/τ} + Σ_j e^{n(q_i)·k_j/τ}) and
    -log e^{q_i·k_i/τ} / (Σ_j e^{q_i·k_j/τ} + Σ_j e^{n(k_i)·q_j/τ}).

    The queue only supplies neighbours, and n(k_i)·q_i stands in the denominator alone: the neighbour is pushed away,
    the opposite of Eqs. 6 and 7. The pseudocode updates both networks by SGD; here the key network follows by momentum,
    as the paper's text says. The batch, j, is that of all ranks; i goes over this rank's clips.
    """
    n_q, n_k = _bank(pair, pair.query_neighbours(top_k)), _bank(pair, pair.key_neighbours(top_k))
    queries, keys = ranks.gather_with_gradient(pair.query), ranks.gather(pair.key)
    batch = len(pair.query)
    own = torch.arange(batch, device=pair.query.device) + ranks.mine() * batch
    by_query = torch.einsum("bdn,jd->bnj", n_q, keys).reshape(batch, -1)
    by_key = torch.einsum("bdn,jd->bnj", n_k, queries).reshape(batch, -1)
    first = nn.functional.cross_entropy(torch.cat([pair.key @ queries.t(), by_query], dim=1) / pair.temperature, own)
    second = nn.functional.cross_entropy(torch.cat([pair.query @ keys.t(), by_key], dim=1) / pair.temperature, own)
    return (first + second) / 2


def released_loss(pair: Pair, top_k: int = 1) -> Tensor:
    """The loss of the authors' public code: mean of log-probabilities, neighbours crossed, over K + 1 terms.

    With A = log softmax [s, q·m/τ] and B = log softmax [s, k·m/τ]: ½ (L1 + L2) where
    L1 = -½ (A_0 + A_{n(k)}) and L2 = -½ (B_0 + B_{n(q)}).
    """
    a = torch.cat([pair.positive, pair.query_negatives], dim=1).log_softmax(1)
    b = torch.cat([pair.positive, pair.key_negatives], dim=1).log_softmax(1)
    own = torch.zeros(len(a), 1, dtype=torch.int64, device=a.device)
    l1 = -a.gather(1, torch.cat([own, pair.key_neighbours(top_k) + 1], dim=1)).mean(1)
    l2 = -b.gather(1, torch.cat([own, pair.query_neighbours(top_k) + 1], dim=1)).mean(1)
    return (l1 + l2).mean() / 2


LOSSES = {"equation": equation_loss, "algorithm1": algorithm1_loss, "released": released_loss}


class CrossViewOptions(Settings):
    """What a recipe may say about cross-view neighbours.

    Attributes:
        form: which of the three published losses.
        nn_start_epoch: the last epoch of plain InfoNCE; the neighbours count from the next one.
        top_k: how many neighbours.
        keep_union: keep AimCLR's mining, the neighbours of the query and of all further embeddings, and add the key's
            neighbour to them; `form` then has no say.
        weight: of the loss with neighbours, beside what the method adds to it (D³M in AimCLR).
    """

    name: Literal["cross_view"] = "cross_view"
    form: Literal["equation", "algorithm1", "released"] = "equation"
    nn_start_epoch: NonNegativeInt = 150
    top_k: PositiveInt = 1
    keep_union: bool = False
    weight: float = Field(1.0, gt=0)


class CrossView:
    """InfoNCE until `nn_start_epoch`, then the chosen CrosNNCLR loss times its weight."""

    Options = CrossViewOptions

    def __init__(self, options: CrossViewOptions) -> None:
        self.options = options

    def __call__(self, pair: Pair, epoch: int) -> Tensor:
        if not self.mining(epoch):
            return pair.info_nce
        top_k = self.options.top_k
        if self.options.keep_union:
            loss = mining_loss(pair, [*mined(pair, top_k), pair.key_neighbours(top_k)])
        else:
            loss = LOSSES[self.options.form](pair, top_k)
        return self.options.weight * loss

    def mining(self, epoch: int) -> bool:
        return epoch > self.options.nn_start_epoch


def _bank(pair: Pair, places: Tensor) -> Tensor:
    """The queue's vectors at `places` (B, n): (B, D, n)."""
    return pair.queue[:, places].transpose(0, 1)
