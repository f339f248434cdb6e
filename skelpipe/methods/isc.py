"""ISC: momentum contrast between two representations of a skeleton, each with an encoder of its own.

Source: Thoker et al., Skeleton-Contrastive 3D Action Representation Learning (ACM MM 2021), §3.2, inter-skeleton
contrast. Their intra-skeleton contrast, of one representation, is what `skeletonclr` is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from torch import Tensor, nn

from skelpipe.errors import BadInput
from skelpipe.methods.moco import MoCo, MoCoOptions, MomentumContrast
from skelpipe.methods.network import Builder, Init, Network
from skelpipe.methods.positives import Pair, Positives
from skelpipe.methods.skeletonclr import observe

if TYPE_CHECKING:
    from skelpipe.clips.batches import Batch


class ISCOptions(MoCoOptions):
    """What a recipe may say about inter-skeleton contrast.

    Attributes:
        evaluated: which of the recipe's two encoders is kept: `encoder`, or `partner`.
    """

    LATER: ClassVar[tuple[str, ...]] = (*MoCoOptions.LATER, "evaluated")

    name: Literal["isc"] = "isc"
    evaluated: Literal["encoder", "partner"] = "encoder"


class ISC(MomentumContrast):
    """One query view and one key view, seen by two pairs of networks with a queue each.

    Each encoder's query is told from the keys of the other: L = L(q, l, Q₂) + L(r, k, Q₁), with queries q, r of the
    query view and keys k, l of the key view, by `encoder` and `partner` each, queues Q₁ of the past k and Q₂ of the
    past l, and L(query, key, queue) that of the set of positives, by default InfoNCE.

    Source: Thoker et al., Eqs. 2 and 3.
    """

    Options = ISCOptions
    VIEWS = ("query", "key")
    LOSSES = ("encoder", "partner")
    PARTNER = True
    options: ISCOptions

    def __init__(self, build: Builder, size: int, options: ISCOptions, positives: Positives, init: Init) -> None:
        super().__init__(options)
        self.encoder = MoCo(build, size, options, init)
        self.partner = MoCo(build.partner, size, options, init)
        self.positives = positives
        plain = isinstance(self.partner.query.projector, nn.Identity)  # then an embedding is as long as a feature
        if plain and (other := self.partner.query.encoder.features) != size:
            what = f"leaves embeddings of {size} numbers by encoder and of {other} by partner, which cannot be compared"
            raise BadInput("projector", what, "use a projector, or encoders of one feature size")

    @property
    def evaluated(self) -> Network:
        return (self.encoder if self.options.evaluated == "encoder" else self.partner).query

    def losses(self, batch: Batch, epoch: int) -> dict[str, Tensor]:
        """Those of the queries by `encoder` and by `partner`; the keys enter the queues.

        Args:
            batch: views "query" and "key"; the labels serve the log only.
            epoch: from 1.
        """
        lengths = batch.lengths
        both = (self.encoder, self.partner)
        queries = [moco.query(batch.views["query"], lengths.get("query")) for moco in both]
        self.follow(epoch)
        keys = [moco.embed_keys(batch.views["key"], lengths.get("key")) for moco in both]
        losses = {}
        for name, query, other, key in zip(self.LOSSES, queries, both[::-1], keys[::-1], strict=True):
            pair = Pair(query, key, other.queue.clone(), self.options.temperature)
            losses[name] = self.positives(pair, epoch)
            seen = observe(pair, batch.labels, other.queue_label, self.positives.mining(epoch))
            own = name == self.options.evaluated
            self.observed |= seen if own else {f"{name}_{key}": seen[key] for key in ("spread", "positive")}
        for moco, key in zip(both, keys, strict=True):
            moco.enqueue(key, batch.labels)
        return losses
