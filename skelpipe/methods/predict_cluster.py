"""P&C: an encoder whose feature alone has to tell a clip's frames to a weakened decoder.

Source: Su et al., Predict & Cluster: Unsupervised Skeleton Based Action Recognition (CVPR 2020), §3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from torch import Tensor

from skelpipe.errors import BadInput
from skelpipe.methods.base import Method, MethodOptions
from skelpipe.methods.network import Builder, Init, Network, initialise
from skelpipe.methods.positives import Positives
from skelpipe.methods.reconstruction import Output, decoder_for, frames_of, missed, shown

if TYPE_CHECKING:
    from skelpipe.clips.batches import Batch


class PredictClusterOptions(MethodOptions):
    """What a recipe may say about P&C.

    Attributes:
        decoder: how it is weakened. "fixed_state" (FS) starts every step from the feature, its input the frame that it
            told before; "fixed_weights" (FW) is given zeros, its state going on, and its GRU is not trained; "carried"
            is not weakened: FS with a state that goes on.
        freeze: whether FW's GRU keeps its first weights; the public code means to, and trains it.
        targets: what the others tell from frame 1: the "next" frames, 2 to T, or the "same", 1 to T, so that each is
            told by the step behind it, as the public code in torch has it. FW tells 1 to T.
        counted: "all" adds up frames behind a clip's own as well, as the code in torch does; the divisor stays.
        output: how the layer is drawn that makes frames of states; see `Decoder`.
    """

    name: Literal["predict_cluster"] = "predict_cluster"
    decoder: Literal["fixed_state", "fixed_weights", "carried"] = "fixed_state"
    freeze: bool = True
    targets: Literal["next", "same"] = "next"
    counted: Literal["own", "all"] = "own"
    output: Output = "uniform"


class PredictCluster(Method):
    """An encoder, whose feature is what is evaluated, and a decoder of a state as large as that."""

    Options = PredictClusterOptions
    VIEWS: ClassVar[tuple[str, ...]] = ("clip",)
    LOSSES: ClassVar[tuple[str, ...]] = ("prediction",)
    PROJECTS = False
    ALIKE = True
    options: PredictClusterOptions

    def __init__(
        self, build: Builder, size: int, options: PredictClusterOptions, positives: Positives, init: Init
    ) -> None:
        super().__init__(options)
        self.network = build()
        self.decoder = decoder_for(self.network.encoder, build.frame, options.output)
        initialise(self, init)
        if options.decoder == "fixed_weights" and options.freeze:
            self.decoder.cell.requires_grad_(False)

    @property
    def evaluated(self) -> Network:
        return self.network

    def losses(self, batch: Batch, epoch: int) -> dict[str, Tensor]:
        """`prediction`: how far the frames are off that the decoder tells, in each clip summed over the numbers of a
        frame and averaged over its own frames (L1).

        Raises:
            BadInput: there is no next frame.
        """
        x, lengths, how = batch.views["clip"], batch.lengths.get("clip"), self.options
        feature = self.network.features(x, lengths).to(x.dtype)
        frames = frames_of(x)
        own = shown(frames, lengths)
        if how.decoder == "fixed_weights":
            told = self.decoder.read(feature, frames.new_zeros(frames.shape))
            return {"prediction": missed(told, frames, own, counted=how.counted)}
        since = 1 if how.targets == "next" else 0
        if frames.shape[1] <= since:
            raise BadInput("views.clip", "has one frame, and no next one to tell", "use longer clips")
        told = self.decoder.go_on(feature, frames[:, 0], frames.shape[1] - since, how.decoder == "fixed_state")
        return {"prediction": missed(told, frames[:, since:], own[:, since:], counted=how.counted)}
