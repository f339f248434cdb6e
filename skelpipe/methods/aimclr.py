"""AimCLR: an extremely augmented view, a drop of its liveliest features, and neighbours mined by all query branches.

Source: Guo et al., Contrastive Learning from Extremely Augmented Skeleton Sequences for Self-supervised Action
Recognition (AAAI 2022), with the behaviour of its public code where paper and code differ. With
`positives: cross_view` it becomes CrosNNCLR*.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from pydantic import Field, NonNegativeInt, PositiveInt, model_validator
from torch import Tensor

from skelpipe import ranks
from skelpipe.methods.moco import MoCoOptions
from skelpipe.methods.positives import Pair, mined, mining_loss
from skelpipe.methods.skeletonclr import SkeletonCLR, observe
from skelpipe.settings import Settings

if TYPE_CHECKING:
    from skelpipe.clips.batches import Batch


class AimCLROptions(MoCoOptions):
    """What a recipe may say about AimCLR beside momentum contrast.

    Attributes:
        drop_threshold: features whose attention reaches this are dropped.
        drop_lambda: λ in the energy, which keeps it finite on flat features.
        d3m_weight: weight of the distributional loss.
    """

    name: Literal["aimclr"] = "aimclr"
    drop_threshold: float = Field(0.7, gt=0.5, le=1)
    drop_lambda: float = Field(1e-4, gt=0)
    d3m_weight: float = Field(1.0, ge=0)

    @model_validator(mode="after")
    def _one_weight(self) -> AimCLROptions:
        if "d3m" in self.weights:
            raise ValueError("weights: that of d3m is d3m_weight")
        return self


class AimCLR(SkeletonCLR):
    """SkeletonCLR with an extreme query view besides."""

    Options = AimCLROptions
    VIEWS: ClassVar[tuple[str, ...]] = ("extreme", "query", "key")
    LOSSES: ClassVar[tuple[str, ...]] = ("contrast", "d3m")
    # The log shows the plain InfoNCE in place of `contrast`, as that compares between sets of positives.
    LOGGED: ClassVar[tuple[str, ...]] = ("d3m",)
    NEEDS = ("feature_map", "pool")
    options: AimCLROptions

    @property
    def weights(self) -> Mapping[str, float]:
        return {**self.options.weights, "d3m": self.options.d3m_weight}

    def losses(self, batch: Batch, epoch: int) -> dict[str, Tensor]:
        """`contrast`, by the set of positives, and `d3m`; the keys enter the queue. See `SkeletonCLR.losses`."""
        moco, views, lengths = self.moco, batch.views, batch.lengths
        query = moco.query(views["query"], lengths.get("query"))
        extreme, dropped = self.embed_extreme(views["extreme"])
        self.follow(epoch)
        key = moco.embed_keys(views["key"], lengths.get("key"))
        pair = Pair(query, key, moco.queue.clone(), moco.options.temperature, others=(extreme, dropped))
        d3m = distribution_loss(pair)
        contrast = self.positives(pair, epoch)
        self.observed = observe(pair, batch.labels, moco.queue_label, self.positives.mining(epoch))
        moco.enqueue(key, batch.labels)
        return {"contrast": contrast, "d3m": d3m}

    def embed_extreme(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings of the extreme view, whole and after the drop, from one pass of the encoder: each (B, D)."""
        network, encoder = self.moco.query, self.moco.query.encoder
        with network.precision(x):
            features: Tensor = encoder.feature_map(x)  # type: ignore[operator]
        features = features.float()
        dropped = attention_drop(features, self.options.drop_threshold, self.options.drop_lambda)
        pool: Callable[[Tensor, int], Tensor] = encoder.pool  # type: ignore[assignment]
        return network.embed(pool(features, len(x))), network.embed(pool(dropped, len(x)))


def attention(x: Tensor, lam: float) -> Tensor:
    """How far each feature stands out from its channel: (B, C, T, V) -> the same shape, in [σ(½), 1).

    a = σ(e) with e = (x - μ)² / (4 (s² + λ)) + ½, where μ and s² are the mean and the variance (over TV - 1) of the
    channel's T·V places.

    Source: AimCLR, §"Energy-based attention-guided drop module", after SimAM (Yang et al., ICML 2021).
    """
    squares = (x - x.mean(dim=(2, 3), keepdim=True)).square()
    variance = squares.sum(dim=(2, 3), keepdim=True) / (x.shape[2] * x.shape[3] - 1)
    return torch.sigmoid(squares / (4 * (variance + lam)) + 0.5)


def attention_drop(x: Tensor, threshold: float = 0.7, lam: float = 1e-4) -> Tensor:
    """AimCLR's drop: zero what stands out in a feature map, first whole joints, then single features.

    A joint of a sample goes if its mean attention over channels and frames reaches the threshold, then every single
    feature whose own does. Each time the rest is scaled by (all / kept) of the whole batch, over all ranks, not of the
    sample, as in the public code. Guo et al., Contrastive Learning from Extremely Augmented Skeleton Sequences for
    Self-supervised Action Recognition (AAAI 2022), "Energy-based attention-guided drop module".

    Args:
        x: (B, C, T, V), a feature map; the choice has no gradient.
        threshold: features whose attention reaches this are dropped.
        lam: λ in the energy, which keeps it finite on flat features.

    Returns:
        (B, C, T, V).

    Example:
        >>> sk.attention_drop(torch.randn(2, 8, 5, 25)).shape
        torch.Size([2, 8, 5, 25])
    """
    with torch.no_grad():
        a = attention(x, lam)
        joints = (a.mean(dim=(1, 2), keepdim=True) < threshold).to(x.dtype)
        places = (a < threshold).to(x.dtype)
        # A batch of which nothing would be left stays zero instead of becoming infinite.
        kept = ranks.add_up(torch.stack([joints.sum(), places.sum()])).clamp_min(1)
        scale = ranks.count() * joints.numel() / kept[0] * (ranks.count() * places.numel()) / kept[1]
        mask = joints * places * scale
    return x * mask


def distribution_loss(pair: Pair) -> Tensor:
    """D³M: the similarities of the extreme branches follow those of the normal query, which is held fixed.

    ½ Σ over both branches u of -mean Σ_j p_j log softmax [u·k, u·m]_j / τ, with p = softmax [q·k, q·m] / τ detached.

    Source: AimCLR, Eqs. 6-8.
    """
    target = torch.cat([pair.positive, pair.query_negatives], dim=1).detach().softmax(1)
    losses = []
    for other, negatives in zip(pair.others, pair.others_negatives, strict=True):
        own = (other * pair.key).sum(1, keepdim=True) / pair.temperature
        losses.append(-(target * torch.cat([own, negatives], dim=1).log_softmax(1)).sum(1).mean())
    return torch.stack(losses).mean()


class UnionOptions(Settings):
    """What a recipe may say about AimCLR's mining.

    Attributes:
        nn_start_epoch: the last epoch of plain InfoNCE.
        top_k: how many neighbours each branch adds.
    """

    name: Literal["union"] = "union"
    nn_start_epoch: NonNegativeInt = 150
    top_k: PositiveInt = 1


class Union:
    """AimCLR's nearest-neighbour mining: the neighbours of the query and of all further embeddings, together."""

    Options = UnionOptions

    def __init__(self, options: UnionOptions) -> None:
        self.options = options

    def __call__(self, pair: Pair, epoch: int) -> Tensor:
        if not self.mining(epoch):
            return pair.info_nce
        return mining_loss(pair, mined(pair, self.options.top_k))

    def mining(self, epoch: int) -> bool:
        return epoch > self.options.nn_start_epoch
