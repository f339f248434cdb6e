"""One epoch of the linear probe's descent beside torch's autograd and optimiser, on features of NTU RGB+D's size."""

import pytest
import torch
from torch import nn

from skelpipe.evaluation.descent import Descent

CLIPS, FEATURES, CLASSES, BATCH = 40_091, 256, 60, 128
STEPS = CLIPS // BATCH


@pytest.fixture(scope="module")
def batches():
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(STEPS, BATCH, FEATURES, generator=generator)
    return list(zip(x, torch.randint(0, CLASSES, (STEPS, BATCH), generator=generator), strict=True))


def written_out(batches):
    layer = nn.Linear(FEATURES, CLASSES)
    descent = Descent(layer)
    with torch.no_grad():
        for x, y in batches:
            descent.step(x, y[:, None], 0.3)
    return layer


def autograd(batches):
    layer = nn.Linear(FEATURES, CLASSES)
    sgd = torch.optim.SGD(layer.parameters(), lr=0.3, momentum=0.9)
    for x, y in batches:
        loss = nn.functional.cross_entropy(layer(x), y)
        sgd.zero_grad()
        loss.backward()
        sgd.step()
    return layer


@pytest.mark.parametrize("train", [written_out, autograd], ids=lambda train: train.__name__)
@pytest.mark.benchmark(group=f"linear probe: {STEPS} steps of {BATCH}")
def test_epoch(benchmark, batches, train):
    layer = benchmark.pedantic(train, (batches,), rounds=5, warmup_rounds=1)
    assert torch.isfinite(layer.weight).all()
