"""Nearest neighbours on the code of an auto-encoder that is trained on frozen features.

Source: Su et al., Predict & Cluster (CVPR 2020), §3.3 "feature level auto-encoder", as its public code in torch has it.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import torch
from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor, nn

from skelpipe.evaluation.features import Features
from skelpipe.evaluation.knn import knn
from skelpipe.evaluation.protocol import Outcome, Setup
from skelpipe.settings import Settings
from skelpipe.training.optim import without_compiler


class AECOptions(Settings):
    """How the auto-encoder is made and trained.

    Attributes:
        code: its size; by default an eighth of the feature's: 2048 -> 1024 -> 512 -> 256 and back.
        epochs: over the training clips.
        batch_size: clips of a step; the rest of an epoch is a smaller one.
        lr: of Adam.
        gamma: by which the rate is multiplied after each `every` steps.
        every: so many steps.
    """

    code: PositiveInt | None = None
    epochs: NonNegativeInt = 400
    batch_size: PositiveInt = 64
    lr: float = Field(1e-3, gt=0)
    gamma: float = Field(0.95, gt=0, le=1)
    every: PositiveInt = 50


class AutoEncoder(nn.Module):
    """Linear layers with tanh between, also behind the code, and none behind the last: (B, D) -> (B, D)."""

    def __init__(self, size: int, code: int, generator: torch.Generator) -> None:
        super().__init__()
        down = [size, max(size // 2, 1), max(size // 4, 1), code]
        self.encoder, self.decoder = layers(down), layers(down[::-1])
        with torch.no_grad():
            for layer in self.modules():
                if isinstance(layer, nn.Linear):  # as torch draws them, from our own generator
                    bound = layer.in_features**-0.5
                    layer.weight.uniform_(-bound, bound, generator=generator)
                    layer.bias.uniform_(-bound, bound, generator=generator)

    def encode(self, x: Tensor) -> Tensor:
        """Features (B, D) -> codes (B, code)."""
        code: Tensor = self.encoder(x).tanh()
        return code

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.decoder(self.encode(x))
        return y


def layers(sizes: list[int]) -> nn.Sequential:
    """A linear layer from each size to the next, tanh between two of them."""
    made = [each for a, b in pairwise(sizes) for each in (nn.Linear(a, b), nn.Tanh())]
    return nn.Sequential(*made[:-1])


def aec(features: Features, setup: Setup) -> Outcome:
    """Train an auto-encoder on the training clips' features (mean squared error), then `knn` on its code of all clips.

    What is measured is the code after the last epoch; the authors report the best of many on the test clips.
    """
    options: Any = setup.options.get("aec") or AECOptions()
    x = torch.from_numpy(features.feature).to(setup.device)
    train = x[torch.from_numpy(features.train).to(setup.device)]
    made, loss = fit(train, options, setup)
    with torch.no_grad():
        code = torch.cat([made.encode(part) for part in torch.split(x, 4096)]).cpu().numpy()
    outcome = knn(replace(features, feature=code), setup)
    outcome.figures.update(code=code.shape[1], train_loss=loss, settings=options.model_dump(mode="json"))
    return outcome


def fit(x: Tensor, options: AECOptions, setup: Setup) -> tuple[AutoEncoder, float]:
    """The auto-encoder of features x (n, D), and its mean loss over the last epoch, or that of the untrained one.

    First weights and order of the clips follow from the seed.
    """
    generator = torch.Generator().manual_seed(setup.seed)
    made = AutoEncoder(x.shape[1], options.code or max(x.shape[1] // 8, 1), generator).to(setup.device)
    optimizer = without_compiler(torch.optim.Adam)(made.parameters(), options.lr)
    falls = torch.optim.lr_scheduler.StepLR(optimizer, options.every, options.gamma)
    with torch.no_grad():
        total, seen = nn.functional.mse_loss(made(x), x), 1
    for epoch in range(1, options.epochs + 1):
        total, seen = torch.zeros((), device=setup.device), 0
        for rows in torch.split(torch.randperm(len(x), generator=generator), options.batch_size):
            some = x[rows.to(setup.device)]
            loss = nn.functional.mse_loss(made(some), some)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            falls.step()
            total += loss.detach() * len(rows)
            seen += len(rows)
        if setup.progress is not None:
            setup.progress(epoch, options.epochs)
    return made, float(total) / seen
