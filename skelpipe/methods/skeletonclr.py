"""SkeletonCLR: momentum contrast between two normal views of a clip.

Source: Li et al., 3D Human Action Representation Learning via Cross-View Consistency Pursuit (CVPR 2021), §3.1. With
`positives: cross_view` it becomes CrosNNCLR.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from torch import Tensor

from skelpipe import ranks
from skelpipe.methods.moco import MoCo, MoCoOptions, MomentumContrast
from skelpipe.methods.network import Init, Network
from skelpipe.methods.positives import Pair, Positives

if TYPE_CHECKING:
    from skelpipe.clips.batches import Batch


class SkeletonCLROptions(MoCoOptions):
    """Momentum contrast, nothing added."""

    name: Literal["skeletonclr"] = "skeletonclr"


class SkeletonCLR(MomentumContrast):
    """One query view, one key view, one queue."""

    Options: ClassVar[type[MoCoOptions]] = SkeletonCLROptions
    VIEWS: ClassVar[tuple[str, ...]] = ("query", "key")
    LOSSES: ClassVar[tuple[str, ...]] = ("contrast",)

    def __init__(
        self,
        build: Callable[[], Network],
        size: int,
        options: MoCoOptions,
        positives: Positives,
        init: Init,
    ) -> None:
        super().__init__(options)
        self.moco = MoCo(build, size, options, init)
        self.positives = positives

    @property
    def evaluated(self) -> Network:
        return self.moco.query

    def pairs(self, epoch: int) -> Iterable[MoCo]:
        return (self.moco,)

    def losses(self, batch: Batch, epoch: int) -> dict[str, Tensor]:
        """`contrast`, by the set of positives; the keys enter the queue.

        Args:
            batch: views "query" and "key"; the labels serve the log only.
            epoch: from 1.
        """
        moco = self.moco
        query = moco.query(batch.views["query"], batch.lengths.get("query"))
        self.follow(epoch)
        key = moco.embed_keys(batch.views["key"], batch.lengths.get("key"))
        pair = Pair(query, key, moco.queue.clone(), moco.options.temperature)
        loss = self.positives(pair, epoch)
        self.observed = observe(pair, batch.labels, moco.queue_label, self.positives.mining(epoch))
        moco.enqueue(key, batch.labels)
        return {"contrast": loss}


@torch.no_grad()
def observe(pair: Pair, labels: Tensor, queue_label: Tensor, mining: bool) -> dict[str, Tensor]:
    """Scalars that show whether training is healthy; their mean over the ranks is what one process would see.

    Returns:
        info_nce: the plain loss, comparable between sets of positives.
        spread: standard deviation of an embedding's coordinates over the batch, averaged; near 0 is a collapse.
        positive, negative: mean cosine similarity with the own key, and with the queue.
        neighbour_label: share of mined neighbours (of query and key) of the clip's own class, over the clips that have
            a label; NaN while none is mined.
    """
    log = {
        "info_nce": pair.info_nce.detach(),
        "spread": ranks.gather(pair.query).std(dim=0).mean(),
        "positive": pair.positive.mean() * pair.temperature,
        "negative": pair.query_negatives.mean() * pair.temperature,
        "neighbour_label": pair.query.new_full((), torch.nan),
    }
    if mining:
        places = torch.cat([pair.query_neighbours(), pair.key_neighbours()], dim=1)
        same = (queue_label[places] == labels[:, None]).float()
        log["neighbour_label"] = same.masked_fill(labels[:, None] < 0, torch.nan).nanmean()
    return log
