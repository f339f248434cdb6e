"""SkeletonCLR: momentum contrast between two normal views of a clip.

Source: Li et al., 3D Human Action Representation Learning via Cross-View Consistency Pursuit (CVPR 2021), §3.1. With
`positives: cross_view` it becomes CrosNNCLR.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from skelpipe import ranks
from skelpipe.methods.moco import Init, MoCo, MoCoOptions, Network
from skelpipe.methods.positives import Pair, Positives


class SkeletonCLROptions(MoCoOptions):
    """Momentum contrast, nothing added."""

    name: Literal["skeletonclr"] = "skeletonclr"


class SkeletonCLR(nn.Module):
    """One query view, one key view, one queue.

    Attributes:
        VIEWS: the views that a recipe must describe.
        SUPERVISED: whether it learns from labels; its projector is then a classifier.
        STREAMS: the streams that are trained together; none if a run is of one stream.
        evaluated: the network whose encoder is kept after pretraining; with STREAMS, one for each by its name.
    """

    Options: ClassVar[type[MoCoOptions]] = SkeletonCLROptions
    VIEWS: ClassVar[tuple[str, ...]] = ("query", "key")
    SUPERVISED: ClassVar[bool] = False
    STREAMS: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        build: Callable[[], Network],
        size: int,
        options: MoCoOptions,
        positives: Positives,
        init: Init,
    ) -> None:
        super().__init__()
        self.moco = MoCo(build, size, options, init)
        self.positives = positives

    @property
    def evaluated(self) -> Network:
        return self.moco.query

    def forward(self, views: Mapping[str, Tensor], labels: Tensor, epoch: int) -> tuple[Tensor, dict[str, Tensor]]:
        """One step's loss, before the backward pass; the keys enter the queue.

        Args:
            views: "query" and "key", each (B, C, T, V, M).
            labels: (B,) classes, for the log only.
            epoch: from 1.

        Returns:
            The loss, and scalars for the log.
        """
        moco = self.moco
        query = moco.query(views["query"])
        moco.follow()
        key = moco.embed_keys(views["key"])
        pair = Pair(query, key, moco.queue.clone(), moco.options.temperature)
        loss = self.positives(pair, epoch)
        log = observe(pair, labels, moco.queue_label, self.positives.mining(epoch))
        moco.enqueue(key, labels)
        return loss, log


@torch.no_grad()
def observe(pair: Pair, labels: Tensor, queue_label: Tensor, mining: bool) -> dict[str, Tensor]:
    """Scalars that show whether training is healthy; their mean over the ranks is what one process would see.

    Returns:
        info_nce: the plain loss, comparable between sets of positives.
        spread: standard deviation of an embedding's coordinates over the batch, averaged; near 0 is a collapse.
        positive, negative: mean cosine similarity with the own key, and with the queue.
        neighbour_label: share of mined neighbours (of query and key) of the clip's own class, NaN while none is mined.
    """
    log = {
        "info_nce": pair.info_nce.detach(),
        "spread": ranks.gather(pair.query).std(dim=0).mean(),
        "positive": pair.positive.mean() * pair.temperature,
        "negative": pair.query_negatives.mean() * pair.temperature,
        "neighbour_label": pair.query.new_tensor(torch.nan),
    }
    if mining:
        places = torch.cat([pair.query_neighbours(), pair.key_neighbours()], dim=1)
        log["neighbour_label"] = (queue_label[places] == labels[:, None]).float().mean()
    return log
