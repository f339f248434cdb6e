"""Momentum contrast: a query and a key network, and a queue of past keys.

Source: He et al., Momentum Contrast for Unsupervised Visual Representation Learning (CVPR 2020), in the order of steps
that SkeletonCLR's public code has.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from skelpipe import ranks
from skelpipe.settings import Settings

Init = Literal["torch", "reference"]


class MoCoOptions(Settings):
    """What a recipe may say about momentum contrast.

    Attributes:
        queue_size: K, how many past keys are kept.
        momentum: share of the key network that an update keeps.
        temperature: τ.
        key_init: "copy" starts the key network from the query network, as MoCo's paper says; "independent" draws it
            anew, as the public SkeletonCLR and AimCLR code does.
    """

    queue_size: PositiveInt = 32768
    momentum: float = Field(0.999, ge=0, le=1)
    temperature: float = Field(0.07, gt=0)
    key_init: Literal["copy", "independent"] = "copy"


class Network(nn.Module):
    """An encoder and its projector: clip -> unit embedding z, always in float32.

    Attributes:
        bfloat16_encoder: whether the encoder computes in bfloat16.
    """

    def __init__(self, encoder: nn.Module, projector: nn.Module) -> None:
        super().__init__()
        self.encoder, self.projector = encoder, projector
        self.bfloat16_encoder = False

    def forward(self, x: Tensor) -> Tensor:
        # Half precision is confined to the encoder: embeddings of an early network differ by less than bfloat16
        # resolves, so they, the similarities and the loss stay in float32, whatever a method does with them.
        with self.precision(x):
            h = self.encoder(x)
        return self.embed(h)

    def precision(self, x: Tensor) -> torch.autocast:
        """The context in which the encoder computes."""
        return torch.autocast(x.device.type, torch.bfloat16, enabled=self.bfloat16_encoder)

    def scores(self, x: Tensor) -> Tensor:
        """What the projector says before normalisation: a classifier's scores, (B, C, T, V, M) -> (B, D)."""
        with self.precision(x):
            h = self.encoder(x)
        z: Tensor = self.projector(h.float())
        return z

    def embed(self, h: Tensor) -> Tensor:
        """Features (B, H) -> unit embeddings (B, D)."""
        return nn.functional.normalize(self.projector(h.float()), dim=1)


def projector(features: int, hidden: int, size: int) -> nn.Sequential:
    """Linear, ReLU, Linear: feature h (features) -> embedding before normalisation (size)."""
    return nn.Sequential(nn.Linear(features, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, size))


def initialise(network: nn.Module, init: Init) -> None:
    """Draw the weights anew: torch's defaults, or the public code's N(0, 0.02²) with BN weights N(1, 0.02²)."""
    for module in network.modules():
        if init == "torch":
            reset = getattr(module, "reset_parameters", None)
            if callable(reset):
                reset()
        elif isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.normal_(module.weight, 0.0, 0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
            nn.init.zeros_(module.bias)


class MoCo(nn.Module):
    """Query network, momentum-updated key network, and the queue.

    The queue starts as random unit vectors; `queue_label` (the classes of the keys, -1 at first) serves the log only.
    """

    def __init__(self, build: Callable[[], Network], size: int, options: MoCoOptions, init: Init) -> None:
        super().__init__()
        self.options = options
        self.query, self.key = build(), build()
        for network in (self.query, self.key):
            initialise(network, init)
        if options.key_init == "copy":
            self.key.load_state_dict(self.query.state_dict())
        self.key.requires_grad_(False)
        self.queue: Tensor
        self.queue_label: Tensor
        self.pointer: Tensor
        queue = nn.functional.normalize(torch.randn(size, options.queue_size), dim=0)
        self.register_buffer("queue", queue)
        self.register_buffer("queue_label", torch.full((options.queue_size,), -1, dtype=torch.int64))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def follow(self) -> None:
        """Move the key network's parameters towards the query network's; its BN statistics are its own."""
        mine: list[Tensor] = list(self.key.parameters())
        theirs: list[Tensor] = list(self.query.parameters())
        torch._foreach_lerp_(mine, theirs, 1 - self.options.momentum)

    @torch.no_grad()
    def embed_keys(self, x: Tensor) -> Tensor:
        """Unit embeddings by the key network, its dropout active as in the public code: (B, C, T, V, M) -> (B, D)."""
        z: Tensor = self.key(x)
        return z

    @torch.no_grad()
    def enqueue(self, keys: Tensor, labels: Tensor) -> None:
        """Overwrite the oldest keys by those of all ranks; wraps round where the queue is no multiple of the batch."""
        keys, labels = ranks.gather(keys), ranks.gather(labels)
        place = (self.pointer + torch.arange(len(keys), device=keys.device)) % self.options.queue_size
        self.queue[:, place] = keys.t()
        self.queue_label[place] = labels
        self.pointer.copy_((self.pointer + len(keys)) % self.options.queue_size)
