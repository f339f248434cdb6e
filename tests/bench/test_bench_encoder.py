"""The encoder's fused form on a CPU beside the plain torch modules that it stands for, at the paper's width."""

import copy

import pytest
import torch

from skelpipe.encoders import cpu
from skelpipe.encoders.cpu import mixing, temporal
from skelpipe.encoders.stgcn import STGCN, STGCNOptions
from skelpipe.layouts.kinect_v2 import KINECT_V2

CLIPS = 8
MORE = 128  # of several blocks each, as a training step has them


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


@pytest.fixture(params=["blocks", "steps"])
def shared(request, monkeypatch):
    """What two threads share among them: blocks, each with all of its steps, or every step of a block.

    It hangs on how threads wait: commands let them sleep (OMP_WAIT_POLICY=PASSIVE).
    """
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    if request.param == "steps":
        for module in (mixing, temporal):
            monkeypatch.setattr(module, "in_turn", lambda work, blocks: (work(*block) for block in blocks))
    yield
    torch.set_num_threads(before)


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


@pytest.mark.benchmark(group=f"encoder, forward and backward on two threads: {MORE} clips")
def test_train_on_two_threads(benchmark, encoder, shared):
    model = copy.deepcopy(encoder).train()
    clips = torch.randn(MORE, 3, 50, 25, 2)
    benchmark.pedantic(lambda: model(clips).sum().backward(), rounds=3, warmup_rounds=1)
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())
