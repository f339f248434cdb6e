"""The encoder's fused form on a CPU beside the plain torch modules that it stands for, at the paper's width."""

import copy

import pytest
import torch

from skelpipe.encoders import cpu
from skelpipe.encoders.stgcn import STGCN, STGCNOptions
from skelpipe.layouts.kinect_v2 import KINECT_V2

CLIPS = 8


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    return STGCN(KINECT_V2, STGCNOptions())


@pytest.fixture(scope="module")
def clips():
    x = torch.randn(CLIPS, 3, 50, 25, 2)
    x[2:, ..., 1] = 0  # a second body in one clip of four
    return x


@pytest.fixture(params=["fused", "plain"])
def form(request, monkeypatch):
    if request.param == "plain":
        monkeypatch.setattr(cpu, "usable", lambda x, norm: False)


@pytest.mark.benchmark(group=f"encoder, forward and backward: {CLIPS} clips")
def test_train(benchmark, encoder, clips, form):
    model = copy.deepcopy(encoder).train()
    benchmark.pedantic(lambda: model(clips).sum().backward(), rounds=5, warmup_rounds=1)
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


@pytest.mark.benchmark(group=f"encoder, frozen: {CLIPS} clips")
def test_embed(benchmark, encoder, clips, form):
    model = copy.deepcopy(encoder).eval()
    with torch.no_grad():
        features = benchmark.pedantic(model, (clips,), rounds=5, warmup_rounds=1)
    assert features.shape == (CLIPS, 256)
