"""CrosSCLR: three streams of the same clips trained together, each mining neighbours in the other streams' queues.

Source: Li et al., 3D Human Action Representation Learning via Cross-View Consistency Pursuit (CVPR 2021), whose
"views" are our streams; with the behaviour of its public code. With `positives: cross_view` the streams only share
their clips (and their heads, if so chosen), and each learns as CrosNNCLR does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Literal

import torch
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor, nn

from skelpipe.methods.moco import MoCo, MoCoOptions, MomentumContrast
from skelpipe.methods.network import Init, Network, initialise
from skelpipe.methods.positives import Pair, Positives
from skelpipe.methods.skeletonclr import observe
from skelpipe.settings import Settings

if TYPE_CHECKING:
    from skelpipe.clips.batches import Batch


class CrosSCLROptions(MoCoOptions):
    """What a recipe may say about CrosSCLR beside momentum contrast.

    Attributes:
        heads: "own" gives each stream a projector; with "shared", as in the public code, those of motion and bone are a
            further Linear and ReLU before the joint projector itself, whose key copy then follows once for every stream
            that does, up to three times a step.
        key_update: "all" moves every key network at every step. "released" does as the public code: once neighbours are
            mined only the motion key network follows (with a shared head, that as well) and the others stand still.
    """

    name: Literal["crossclr"] = "crossclr"
    heads: Literal["own", "shared"] = "own"
    key_update: Literal["all", "released"] = "all"


class CrosSCLR(MomentumContrast):
    """A query and a key view of each clip, and for every stream two networks and a queue."""

    Options = CrosSCLROptions
    VIEWS = ("query", "key")
    STREAMS = ("joint", "motion", "bone")
    LOSSES = STREAMS
    # The log has the plain InfoNCE of every stream.
    LOGGED = ()
    options: CrosSCLROptions

    def __init__(
        self, build: Callable[[], Network], size: int, options: CrosSCLROptions, positives: Positives, init: Init
    ) -> None:
        super().__init__(options)
        self.streams = nn.ModuleDict({stream: MoCo(build, size, options, init) for stream in self.STREAMS})
        if options.heads == "shared":
            for stream in ("motion", "bone"):
                share_head(self.moco(stream), self.moco("joint"), init)
        self.positives = positives

    def moco(self, stream: str) -> MoCo:
        """One stream's networks and queue."""
        moco = self.streams[stream]
        assert isinstance(moco, MoCo)
        return moco

    @property
    def evaluated(self) -> nn.ModuleDict:
        return nn.ModuleDict({stream: self.moco(stream).query for stream in self.STREAMS})

    def pairs(self, epoch: int) -> Iterable[MoCo]:
        only_motion = self.options.key_update == "released" and self.positives.mining(epoch)
        return [self.moco(stream) for stream in (("motion",) if only_motion else self.STREAMS)]

    def losses(self, batch: Batch, epoch: int) -> dict[str, Tensor]:
        """Every stream's loss by the set of positives, under its name; the keys enter the queues.

        Args:
            batch: views "joint/query", "joint/key", "motion/query", ...; the labels serve the log only.
            epoch: from 1.
        """
        views, lengths, labels = batch.views, batch.lengths, batch.labels
        query = {s: self.moco(s).query(views[f"{s}/query"], lengths.get(f"{s}/query")) for s in self.STREAMS}
        self.follow(epoch)
        pairs = {}
        for stream in self.STREAMS:
            moco = self.moco(stream)
            key = moco.embed_keys(views[f"{stream}/key"], lengths.get(f"{stream}/key"))
            pairs[stream] = Pair(query[stream], key, moco.queue.clone(), moco.options.temperature)
        for stream, pair in pairs.items():
            pair.partners = tuple(pairs[other] for other in self.STREAMS if other != stream)
        losses = {stream: self.positives(pair, epoch) for stream, pair in pairs.items()}
        mining = self.positives.mining(epoch)
        self.observed = observe_streams(
            {s: observe(p, labels, self.moco(s).queue_label, mining) for s, p in pairs.items()}
        )
        for stream, pair in pairs.items():
            self.moco(stream).enqueue(pair.key, labels)
            # Pairs that name each other would outlive the step, their queues and similarities with them, until Python
            # looks for cycles.
            pair.partners = ()
        return losses


def share_head(moco: MoCo, joint: MoCo, init: Init) -> None:
    """Give both networks a projector that ends in the joint stream's own: Linear, ReLU, joint projector."""
    for mine, theirs in ((moco.query, joint.query), (moco.key, joint.key)):
        size = mine.encoder.features
        first = nn.Linear(size, size)  # type: ignore[arg-type]
        initialise(first, init)
        mine.projector = nn.Sequential(first, nn.ReLU(inplace=True), theirs.projector)
    if moco.options.key_init == "copy":
        moco.key.load_state_dict(moco.query.state_dict())
    moco.key.requires_grad_(False)


def observe_streams(each: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """What `observe` says of every stream, as `name_stream`, and the average over the streams as `name`."""
    names = next(iter(each.values()))
    log = {name: torch.stack([scalars[name] for scalars in each.values()]).mean() for name in names}
    return log | {f"{name}_{stream}": value for stream, scalars in each.items() for name, value in scalars.items()}


class CrossStreamOptions(Settings):
    """What a recipe may say about CrosSCLR's mining.

    Attributes:
        nn_start_epoch: the last epoch of plain InfoNCE.
        top_k: how many neighbours each other stream names.
        context: also contrast the products of two streams' similarities.
    """

    name: Literal["cross_stream"] = "cross_stream"
    nn_start_epoch: NonNegativeInt = 150
    top_k: PositiveInt = 1
    context: bool = True


class CrossStream:
    """Clips that are near in another stream are positives in this one.

    With s = q·k / τ, l_j = q·m_j in this stream and l'_j in another: -mean over the positives of
    log softmax [s, l / τ, l ⊙ l' / τ], the positives being the own key and, in both of the other parts, the other
    stream's top-k of l'; averaged over the other streams. It is the mean of the logarithms, as the public code has it.

    Source: CrosSCLR, §3.2, and its public code for the products, which it calls the context.
    """

    Options = CrossStreamOptions
    NEEDS_PARTNERS = True

    def __init__(self, options: CrossStreamOptions) -> None:
        self.options = options

    def __call__(self, pair: Pair, epoch: int) -> Tensor:
        if not self.mining(epoch):
            return pair.info_nce
        return torch.stack([self.towards(pair, partner) for partner in pair.partners]).mean()

    def towards(self, pair: Pair, partner: Pair) -> Tensor:
        """The loss of one stream with the neighbours that another one names."""
        places = partner.query_neighbours(self.options.top_k) + 1
        positives = [torch.zeros_like(places[:, :1]), places]
        logits = [pair.positive, pair.query_negatives]
        if self.options.context:
            # Both factors hold 1/τ; the product of the similarities shall hold it once.
            logits.append(pair.query_negatives * partner.query_negatives * partner.temperature)
            positives.append(places + pair.query_negatives.shape[1])
        log_p = torch.cat(logits, dim=1).log_softmax(1)
        return -log_p.gather(1, torch.cat(positives, dim=1)).mean()

    def mining(self, epoch: int) -> bool:
        return epoch > self.options.nn_start_epoch
