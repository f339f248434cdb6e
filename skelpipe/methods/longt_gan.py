"""LongT GAN: from a clip's feature and what is left of it a decoder fills in what was hidden, and a critic judges that.

Source: Zheng et al., Unsupervised Representation Learning with Long-Term Dynamics for Skeleton Based Action Recognition
(AAAI 2018), whose settings no public code holds: this is the reading LT-R of it, with the corruption that the code
released with P&C (Su et al., CVPR 2020) makes for it, and the losses of Goodfellow et al., Generative Adversarial Nets
(NeurIPS 2014), §3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import binary_cross_entropy_with_logits

from skelpipe.errors import BadInput
from skelpipe.methods.base import Method, MethodOptions
from skelpipe.methods.network import Builder, Init, Network, initialise
from skelpipe.methods.positives import Positives
from skelpipe.methods.reconstruction import clips_of, decoder_for, frames_of, missed, shown

if TYPE_CHECKING:
    from skelpipe.clips.batches import Batch


class LongTGANOptions(MethodOptions):
    """What a recipe may say about LongT GAN.

    Attributes:
        adversary: λ, the weight of the critic's opinion beside the squared error; with 0 there is no critic, and what
            is left is inpainting.
        rate: of the critic's optimiser; by default the recipe's.
        encodes: whether the encoder reads the clip, as it does when it is evaluated, or what was left of it.
    """

    name: Literal["longt_gan"] = "longt_gan"
    adversary: float = Field(1e-3, ge=0)
    rate: float | None = Field(None, gt=0)
    encodes: Literal["clip", "corrupted"] = "clip"


class Critic(Network):
    """Scores clips, higher where they seem real: before the logistic function that makes probabilities D of them."""

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Clips (B, C, T, V, M), of which the first `lengths` (B,) frames count -> (B,)."""
        score: Tensor = self.projector(self.features(x, lengths).to(x.dtype))
        return score.squeeze(1)


class LongTGAN(Method):
    """A generator, which is an encoder and a decoder, and a critic, whose encoder is the recipe's `partner`.

    Both learn in one step, each from its own losses: to the generator the critic's weights are constants, and to the
    critic the generator's clips are.
    """

    Options = LongTGANOptions
    VIEWS: ClassVar[tuple[str, ...]] = ("clip",)
    LOSSES: ClassVar[tuple[str, ...]] = ("reconstruction", "adversarial", "discrimination")
    PROJECTS = False
    PARTNER = True
    ALIKE = True
    options: LongTGANOptions

    def __init__(self, build: Builder, size: int, options: LongTGANOptions, positives: Positives, init: Init) -> None:
        super().__init__(options)
        self.network, self.frame = build(), build.frame
        critic = build.partner().encoder
        self.decoder = decoder_for(self.network.encoder, build.frame)
        self.critic = Critic(critic, nn.Linear(critic.features, 1))  # type: ignore[arg-type]
        initialise(self, init)
        if not options.adversary:
            self.critic.requires_grad_(False)

    @property
    def evaluated(self) -> Network:
        return self.network

    @property
    def weights(self) -> dict[str, float]:
        return {"adversarial": self.options.adversary, **self.options.weights}

    def parameter_groups(self, options: Any) -> list[dict[str, Any]]:
        """The generator's and the critic's, the latter at its own rate."""
        own = [*self.network.parameters(), *self.decoder.parameters()]
        groups: list[dict[str, Any]] = [{"params": own}]
        if self.options.adversary:
            rate = options.lr if self.options.rate is None else self.options.rate
            groups.append({"params": [*self.critic.parameters()], "lr": rate})
        return groups

    def losses(self, batch: Batch, epoch: int) -> dict[str, Tensor]:
        """What the decoder makes of the corrupted frames, against the clip.

        `reconstruction`: the squared error, in each clip summed over the numbers of a frame and averaged over its own
        frames. `adversarial`: -log D(x̂), for the generator alone. `discrimination`: -log D(x) - log(1 - D(x̂)), for the
        critic alone. The log has the share of real and told clips that the critic tells apart.

        Raises:
            BadInput: the view hides nothing, so that it does not bring the clip.
        """
        left, lengths = batch.views["clip"], batch.lengths.get("clip")
        if "clip" not in batch.targets.get("clip", {}):
            raise BadInput("views.clip", "hides nothing of a clip", "begin it with joint_mask or tail_mask")
        x = batch.targets["clip"]["clip"]
        feature = self.network.features(x if self.options.encodes == "clip" else left, lengths).to(x.dtype)
        frames = frames_of(x)
        own = shown(frames, lengths)
        told = self.decoder.read(feature, frames_of(left))
        losses = {"reconstruction": missed(told, frames, own, power=2)}
        if not self.options.adversary:
            return losses
        made = clips_of(told * own[:, :, None], self.frame)
        fixed = {name: weight.detach() for name, weight in self.critic.named_parameters()}
        opinion = functional_call(self.critic, fixed, (made, lengths))
        both = None if lengths is None else torch.cat([lengths, lengths])
        real, fake = self.critic(torch.cat([x, made.detach()]), both).chunk(2)
        with torch.no_grad():
            self.observed = {"told_apart": ((real > 0).float() + (fake <= 0).float()).mean() / 2}
        losses["adversarial"] = against(opinion, 1.0)
        losses["discrimination"] = against(real, 1.0) + against(fake, 0.0)
        return losses


def against(scores: Tensor, answer: float) -> Tensor:
    """The mean binary cross-entropy of scores before the logistic function: -log D for 1, -log(1 - D) for 0."""
    return binary_cross_entropy_with_logits(scores, torch.full_like(scores, answer))
