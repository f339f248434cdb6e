"""The encoder's fused operations on a CPU against torch's own modules, and against plain sums."""

from __future__ import annotations

import copy
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from skelpipe.encoders import cpu
from skelpipe.encoders.cpu import mixing, norms, rowwise, temporal
from skelpipe.encoders.graph import spatial_partitions
from skelpipe.encoders.stgcn import STGCN, STGCNOptions
from skelpipe.layouts.kinect_v2 import KINECT_V2

SHAPE = (5, 7, 25, 6)  # T, B·M, V, C: 875 rows, three chunks and a piece


def clip(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def norm(training, channels=SHAPE[-1]):
    module = nn.BatchNorm2d(channels).train(training)
    with torch.no_grad():
        module.weight.copy_(clip(channels, seed=1) + 1)
        module.bias.copy_(clip(channels, seed=2))
        module.running_mean.copy_(clip(channels, seed=3))
        module.running_var.copy_(clip(channels, seed=4).exp())
    return module


def plain_norm(module, x):
    return module(x.permute(1, 3, 0, 2)).permute(2, 0, 3, 1)


def leaf(x):
    return x.detach().clone().requires_grad_()


def gradients(y, grad, *leaves):
    return torch.autograd.grad(y, leaves, grad)


@pytest.mark.parametrize("training", [True, False])
def test_norm_relu(training):
    ours, theirs = norm(training), norm(training)
    # Far from zero for its spread: a variance by way of the mean square would be lost here.
    x = clip(*SHAPE) * 0.01 + 30
    a, b = leaf(x), leaf(x)
    y, expected = cpu.norm_relu(a, ours), plain_norm(theirs, b).relu()
    torch.testing.assert_close(y, expected, rtol=2e-3, atol=2e-3)
    for name, value in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value, rtol=1e-4, atol=1e-5, msg=name)
    ours, theirs, a, b = norm(training), norm(training), leaf(clip(*SHAPE)), leaf(clip(*SHAPE))
    y, expected = cpu.norm_relu(a, ours), plain_norm(theirs, b).relu()
    torch.testing.assert_close(y, expected, rtol=1e-5, atol=1e-5)
    grad = clip(*SHAPE, seed=9)
    mine = gradients(y, grad, a, ours.weight, ours.bias)
    for ours_, theirs_ in zip(mine, gradients(expected, grad, b, theirs.weight, theirs.bias), strict=True):
        torch.testing.assert_close(ours_, theirs_, rtol=1e-4, atol=1e-4)


def test_where_a_relu_is_zero_it_passes_no_gradient():
    """Exactly at zero: as torch has it."""
    x = torch.tensor([[-1.0], [0.0], [1.0]]).numpy()
    one, nothing = np.ones(1, np.float32), np.zeros(1, np.float32)
    grad, out, sums = np.full((3, 1), 5, np.float32), np.empty((3, 1), np.float32), np.empty((2, 1, 1), np.float32)
    rowwise.relu_gradient(x, grad, one, nothing, one, nothing, nothing, out, 0, 3)
    assert out.ravel().tolist() == [0, 0, 5]
    rowwise.relu_sums(x, grad, one, nothing, nothing, sums[0], sums[1], 0, 1)
    assert sums.ravel().tolist() == [5, 5]
    kept, past = np.full((3, 1), 255, np.uint8), np.empty((3, 1), np.float32)
    rowwise.drop_sums(x, grad, x, kept, np.uint8(1), nothing, past, sums[0], sums[1], 0, 1)
    assert past.ravel().tolist() == [0, 0, 5]
    assert sums.ravel().tolist() == [5, 5]


@pytest.mark.parametrize(("training", "rate"), [(True, 0.5), (True, 0.25), (True, 0.0), (False, 0.0)])
def test_norm_drop_add_relu(training, rate):
    """The plain form takes the mask from what the fused one let through."""
    ours, theirs = norm(training), norm(training)
    a, b, r, s = (leaf(clip(*SHAPE, seed=seed)) for seed in (0, 0, 5, 5))
    torch.manual_seed(3)
    mask = norms.Mask(rate)
    bits = torch.from_numpy(mask.bits((int(np.prod(SHAPE[:3])), SHAPE[3])).copy()).view(SHAPE)
    torch.manual_seed(3)
    y = cpu.norm_drop_add_relu(a, r, ours, rate)
    keep = (bits >= round(rate * 256)).float() / (1 - rate)
    expected = (plain_norm(theirs, b) * keep + s).relu()
    torch.testing.assert_close(y, expected, rtol=1e-5, atol=1e-5)
    grad = clip(*SHAPE, seed=9)
    mine = gradients(y, grad, a, r, ours.weight, ours.bias)
    for ours_, theirs_ in zip(mine, gradients(expected, grad, b, s, theirs.weight, theirs.bias), strict=True):
        torch.testing.assert_close(ours_, theirs_, rtol=1e-4, atol=1e-4)
    if rate:
        assert abs(float((keep > 0).float().mean()) - (1 - rate)) < 0.03


@pytest.mark.parametrize("training", [True, False])
def test_norm_add_relu(training):
    ours, theirs = norm(training), norm(training)
    a, b, r, s = (leaf(clip(*SHAPE, seed=seed)) for seed in (0, 0, 5, 5))
    y, expected = cpu.norm_add_relu(a, r, ours), (plain_norm(theirs, b) + s).relu()
    torch.testing.assert_close(y, expected, rtol=1e-5, atol=1e-5)
    for name, value in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value, rtol=1e-4, atol=1e-5, msg=name)
    grad = clip(*SHAPE, seed=9)
    mine = gradients(y, grad, a, r, ours.weight, ours.bias)
    for ours_, theirs_ in zip(mine, gradients(expected, grad, b, s, theirs.weight, theirs.bias), strict=True):
        torch.testing.assert_close(ours_, theirs_, rtol=1e-4, atol=1e-4)


def test_random_words_are_those_of_splitmix64():
    expected, word = [], 2**64 - 1
    for i in range(1, 6):
        z = (2**62 - 5 + i * 0x9E3779B97F4A7C15) & word
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & word
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB & word
        expected.append(z ^ (z >> 31))
    got = np.zeros(5, np.uint64)
    rowwise.random_words(2**62 - 5, got, 0, 5)
    assert got.tolist() == expected
    # The first number that its authors' program prints for the seed 1234567.
    rowwise.random_words(1234567, got, 0, 1)
    assert got[0] == 6457827717110365317


def test_masks_seldom_share_a_seed():
    assert len({norms.Mask(0.5).seed for _ in range(200)}) == 200


def test_random_bytes_are_uniform_and_follow_from_the_seed():
    torch.manual_seed(0)
    mask = norms.Mask(0.5)
    first = mask.bits((1000, 64))
    np.testing.assert_array_equal(mask.bits((1000, 64)), first)  # the backward pass finds the same ones
    counts = np.bincount(first.ravel(), minlength=256)
    # χ² with 255 degrees of freedom: its 0.1 % points are 190 and 330.
    assert 190 < float(((counts - 250.0) ** 2 / 250).sum()) < 330
    bits = np.unpackbits(first.ravel()).reshape(-1, 8).mean(0)
    assert np.abs(bits - 0.5).max() < 0.01
    second = norms.Mask(0.5).bits((1000, 64))
    assert 0.99 < (first != second).mean() < 1
    torch.manual_seed(0)
    np.testing.assert_array_equal(norms.Mask(0.5).bits((1000, 64)), first)


@pytest.mark.parametrize("rate", [0.0, 0.001, 0.004, 0.1, 0.3, 0.5, 0.9, 0.996])
def test_dropout_keeps_the_mean_at_any_rate(rate):
    mask = norms.Mask(rate)
    kept = (256 - int(mask.threshold)) / 256
    assert kept * mask.factor == pytest.approx(1)
    assert abs(kept - (1 - rate)) <= 0.5 / 256
    assert abs((mask.bits((500, 100)) >= mask.threshold).mean() - kept) <= 4 * np.sqrt(kept * (1 - kept) / 50_000)


@pytest.mark.parametrize("block", [1, mixing.BLOCK])
def test_graph_conv_against_einsum(monkeypatch, block):
    """In blocks of 256 of the 675 skeletons, or all at once, where their sums are taken chunk by chunk."""
    monkeypatch.setattr(mixing, "BLOCK", block)
    adjacency = torch.from_numpy(spatial_partitions(KINECT_V2))
    graph = cpu.Graph(adjacency)
    weights = adjacency * (1 + 0.3 * clip(*adjacency.shape, seed=7))
    x, matrix, bias = clip(75, 9, 25, 5), clip(15, 7, seed=1), clip(25, 7, seed=2)
    assert list(graph.blocks(675, 5)) == ([(0, 256), (256, 512), (512, 675)] if block == 1 else [(0, 675)])
    mine, a, *my_rest = leaves = [leaf(each) for each in (x, weights, matrix, bias)]
    theirs, b, *rest = plain = [leaf(each) for each in (x, weights, matrix, bias)]
    y = cpu.graph_conv(mine, a, *my_rest, graph)
    mixed = torch.einsum("tbvc,kvw->tbwkc", theirs, b).flatten(-2)
    expected = mixed @ rest[0] + rest[1]
    torch.testing.assert_close(y, expected, rtol=1e-5, atol=1e-6)
    grad = clip(*y.shape, seed=9)
    for ours, exact in zip(gradients(y, grad, *leaves), gradients(expected, grad, *plain), strict=True):
        if exact.shape == adjacency.shape:
            exact = exact * (adjacency != 0)  # elsewhere nothing is learned
        assert float((ours - exact).norm() / exact.norm()) < 4e-6  # sums of 16,875 rows


@pytest.mark.parametrize(("frames", "taps"), [(13, 9), (50, 9), (12, 3), (4, 9), (1, 5)])
def test_transforms_are_a_convolution(frames, taps):
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=frames), rng.normal(size=taps)
    into, into_taps, back = (matrix.double().numpy() for matrix in temporal.transforms(frames, taps))
    padded = np.pad(x, taps // 2)
    expected = [padded[t : t + taps] @ w for t in range(frames)]
    np.testing.assert_allclose(back @ ((into @ x) * (into_taps @ w)), expected, atol=1e-5)
    assert len(into) == 1 + 3 * ((frames + taps // 2) // 2)


@pytest.mark.parametrize(
    ("channels", "frames", "stride", "taps"),
    [((4, 6), 11, 1, 9), ((4, 6), 11, 2, 9), ((3, 3), 6, 2, 3), ((64, 72), 13, 1, 9), ((64, 64), 3, 1, 9)],
)
def test_temporal_convolution_against_torch(channels, frames, stride, taps, monkeypatch):
    """Behind the norm and the ReLU; the spectral form in blocks of joints that leave a piece."""
    monkeypatch.setattr(temporal, "BLOCK", 40_000)
    before = norm(True, channels[0])
    conv = nn.Conv2d(*channels, (taps, 1), (stride, 1), padding=(taps // 2, 0)).double()
    x = clip(frames, 3, 25, channels[0]).double()
    expected_x = leaf(x)
    exact = copy.deepcopy(before).double()
    expected = conv(plain_norm(exact, expected_x).relu().permute(1, 3, 0, 2)).permute(2, 0, 3, 1)
    grad = clip(*expected.shape, seed=9).double()
    theirs = gradients(expected, grad, expected_x, conv.weight, conv.bias, exact.weight, exact.bias)
    ours = copy.deepcopy(conv).float()
    mine_x = leaf(x.float())
    y = cpu.norm_relu_conv(mine_x, before, ours)
    assert isinstance(temporal.way(conv), temporal.Spectral) == (stride == 1 and channels[0] >= 64)
    torch.testing.assert_close(y.double(), expected, rtol=1e-4, atol=1e-5)
    mine = gradients(y, grad.float(), mine_x, ours.weight, ours.bias, before.weight, before.bias)
    for a, b in zip(mine, theirs, strict=True):
        assert float((a.double() - b).norm() / b.norm()) < 3e-6


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("stride", [1, 2])
def test_shortcut_against_torch(stride, training):
    conv, module = nn.Conv2d(4, 6, 1, (stride, 1)), norm(training)
    theirs = copy.deepcopy(nn.Sequential(conv, module)).double().train(training)
    a, b = leaf(clip(11, 3, 25, 4)), leaf(clip(11, 3, 25, 4).double())
    y, expected = cpu.shortcut(a, conv, module), theirs(b.permute(1, 3, 0, 2)).permute(2, 0, 3, 1)
    torch.testing.assert_close(y.double(), expected, rtol=1e-5, atol=1e-5)
    for name, value in theirs[1].state_dict().items():
        torch.testing.assert_close(module.state_dict()[name].double(), value.double(), rtol=1e-5, atol=1e-6, msg=name)
    grad = clip(*y.shape, seed=9)
    mine = gradients(y, grad, a, *conv.parameters(), *module.parameters())
    for ours, exact in zip(mine, gradients(expected, grad.double(), b, *theirs.parameters()), strict=True):
        if float(exact.norm()) > 1e-9:  # in training the norm takes the bias away
            assert float((ours.double() - exact).norm() / exact.norm()) < 3e-6


def kept_by(*outputs):
    """Bytes that a backward pass would find, each memory once, without the leaves'."""
    seen, todo, done = {}, [y.grad_fn for y in outputs], set()
    while todo:
        node = todo.pop()
        if node is None or node in done:
            continue
        done.add(node)
        todo += [after for after, _ in node.next_functions]
        for each in getattr(node, "saved_tensors", ()):
            if not each.is_leaf or not each.requires_grad:
                seen[each.untyped_storage().data_ptr()] = each.untyped_storage().nbytes()
    return sum(seen.values())


def test_a_block_keeps_three_of_its_arrays_for_the_backward_pass():
    """Its output and what its two batch norms saw: neither mixed joints nor rectified values nor masks."""
    encoder = STGCN(KINECT_V2, STGCNOptions(width=8, features=8, dropout=0.5)).train()
    x = leaf(clip(20, 6, 25, 8))
    y = encoder.blocks[1].fused(x, encoder.adjacency, encoder.graph)
    arrays = (kept_by(y) - 4 * len(encoder.graph.entries[0])) / x.nbytes
    assert arrays == pytest.approx(3, abs=0.01)


def test_where_the_fused_form_serves():
    x, module = clip(2, 3, 4, 25, 2), nn.BatchNorm1d(75)
    assert cpu.usable(x, module)
    assert not cpu.usable(x, nn.SyncBatchNorm(75))
    assert not cpu.usable(x.double(), module)
    assert not cpu.usable(x.to("meta"), module)


@pytest.mark.parametrize("there", [True, False])
def test_where_the_fused_form_serves_in_bfloat16(monkeypatch, there):
    """Only where the CPU has it; otherwise torch's operators compute in it."""
    x, module = clip(2, 3, 4, 25, 2), nn.BatchNorm1d(75)
    monkeypatch.setattr(cpu, "has_bfloat16", lambda: there)
    with torch.autocast("cpu", torch.bfloat16):
        assert cpu.arithmetic() == torch.bfloat16
        assert cpu.usable(x, module) == there
        assert not cpu.usable(x, nn.SyncBatchNorm(75))
    with torch.autocast("cpu", torch.float16):
        assert not cpu.usable(x, module)


def test_a_torch_that_does_not_tell_has_no_bfloat16(monkeypatch):
    monkeypatch.setattr(torch, "cpu", object())
    monkeypatch.setattr(cpu.platform, "machine", lambda: "x86_64")
    assert not cpu.has_bfloat16.__wrapped__()


@pytest.mark.parametrize("training", [True, False])
def test_whole_encoder_against_its_plain_form(training, monkeypatch):
    """In float32 both forms are as far from float64 as each other."""
    torch.manual_seed(0)
    encoder = STGCN(KINECT_V2, STGCNOptions(width=16, features=64, dropout=0)).train(training)
    x = clip(6, 3, 20, 25, 2) * (torch.arange(6) % 2 == 0)[:, None, None, None, None]
    fused, double = copy.deepcopy(encoder), copy.deepcopy(encoder).double()
    with monkeypatch.context() as patch:
        patch.setattr(cpu, "usable", lambda x, norm: False)
        plain = encoder(x)
        exact = double(x.double())
    mine = fused(x)
    error = float((plain.double() - exact).detach().abs().max())
    assert float((mine.double() - exact).detach().abs().max()) < 5 * error + 1e-7
    for name, value in double.state_dict().items():
        torch.testing.assert_close(fused.state_dict()[name].double(), value.double(), rtol=1e-4, atol=1e-5, msg=name)
    direction = clip(*mine.shape, seed=9)
    encoder.zero_grad(), fused.zero_grad()
    mine.backward(direction)
    exact.backward(direction.double())
    for (name, p), q in zip(fused.named_parameters(), double.parameters(), strict=True):
        if float(q.grad.norm()) > 1e-6:
            assert float((p.grad.double() - q.grad).norm() / q.grad.norm()) < 2e-2, name  # a ReLU may flip


def encoded(encoder, x, direction, dtype=None):
    """An encoder's feature of clips, and the gradients of its weights in that direction."""
    encoder = copy.deepcopy(encoder)
    with torch.autocast("cpu", dtype or torch.bfloat16, enabled=dtype is not None):
        y = encoder(x)
    y.backward(direction.to(y.dtype))
    return y.detach().double(), {n: p.grad for n, p in encoder.named_parameters()}, encoder.state_dict()


def apart(a, b):
    return float((a.double() - b.double()).norm() / b.double().norm())


def test_whole_encoder_in_bfloat16_against_float64(monkeypatch):
    """Nearer to it than torch's own operators under autocast, with float32 weights, gradients and statistics.

    A bfloat16 has 8 binary digits, 2e-3 of rounding on average, and values pass some five roundings a block.
    """
    monkeypatch.setattr(cpu, "has_bfloat16", lambda: True)  # torch computes it on any
    torch.manual_seed(0)
    encoder = STGCN(KINECT_V2, STGCNOptions(width=16, features=128, dropout=0)).train()
    x, direction = clip(6, 3, 20, 25, 2), clip(6, 128, seed=9)
    exact, of_exact, state = encoded(copy.deepcopy(encoder).double(), x.double(), direction)
    mine, of_mine, my_state = encoded(encoder, x, direction, torch.bfloat16)
    monkeypatch.setattr(cpu, "has_bfloat16", lambda: False)
    plain, of_plain, _ = encoded(encoder, x, direction, torch.bfloat16)
    assert apart(mine, exact) < 0.02
    assert apart(mine, exact) < 1.5 * apart(plain, exact)
    assert {each.dtype for each in of_mine.values()} == {torch.float32}
    told = [name for name, each in of_exact.items() if float(each.norm()) > 1e-6]
    mean = [sum(apart(of[name], of_exact[name]) for name in told) / len(told) for of in (of_mine, of_plain)]
    assert mean[0] < 1.2 * mean[1]
    assert mean[0] < 0.3
    for name, value in state.items():
        if name.endswith(("running_mean", "running_var")):
            assert my_state[name].dtype == torch.float32
            assert apart(my_state[name], value) < 0.02, name


@pytest.mark.parametrize("way", [temporal.Direct(1), temporal.Spectral()])
def test_a_convolution_in_bfloat16_loses_no_more_than_its_digits(way):
    x, weight, bias = clip(13, 2, 25, 128), clip(128, 128, 9, 1, seed=1) / 34, clip(128, seed=2)
    rounded = x.bfloat16(), weight.bfloat16(), bias
    expected = temporal.Direct(1).forward(*(each.double() for each in rounded))
    y = way.forward(rounded[0], weight, bias)
    assert y.dtype == torch.bfloat16
    assert apart(y, expected) < 6e-3
    grad = clip(*y.shape, seed=9).bfloat16()
    past, of_weight = way.backward(rounded[0], weight, grad)
    expected_past, expected_weight = temporal.Direct(1).backward(*(e.double() for e in (*rounded[:2], grad)))
    assert past.dtype == torch.bfloat16
    assert apart(past, expected_past) < 6e-3
    assert of_weight.dtype == torch.float32
    assert apart(of_weight, expected_weight) < 6e-3


def test_the_statistics_of_bfloat16_values_are_those_of_the_values():
    x = (clip(5000, 6) * 0.1 + 3).bfloat16()
    found = norms.Norm(norm(True), norms.rows(x))
    np.testing.assert_allclose(found.mean, x.double().mean(0).numpy(), rtol=1e-6)
    np.testing.assert_allclose(found.inverse, 1 / np.sqrt(x.double().var(0, correction=0).numpy() + 1e-5), rtol=1e-5)


def test_kernels_round_to_bfloat16_as_torch_does():
    """Ties to even, infinities, zeros of both signs; what is no number stays none."""
    ties = torch.tensor([0x3F808000, 0x3F818000, 0x3F807FFF, 0x3F808001, 0x7F7FFFFF, 0x007FFFFF], dtype=torch.int32)
    x = torch.cat([ties.view(torch.float32), torch.tensor([0.0, -0.0, torch.inf, -torch.inf, torch.nan]), clip(999)])
    found = norms.empty(torch.empty(0, dtype=torch.bfloat16), 1, 1, len(x))
    back = np.empty((1, 1, len(x)), np.float32)
    alone = np.array([0, 1]), np.array([0]), np.ones(1, np.float32)  # one joint, taken as it is
    rowwise.gather_joints(x[None, None].numpy(), *alone, norms.values(found), 0, 1)
    rowwise.gather_joints(norms.values(found), *alone, back, 0, 1)
    expected, real = x.bfloat16(), ~x.isnan()
    assert torch.equal(found[0, 0].view(torch.int16)[real], expected.view(torch.int16)[real])
    np.testing.assert_array_equal(back[0, 0], expected.float().numpy())


@pytest.mark.parametrize(("present", "embedded"), [(2, 4), (5, 8), (31, 32), (32, 64)])  # an absent one is among these
def test_an_absent_body_costs_nothing_and_changes_nothing(monkeypatch, present, embedded):
    torch.manual_seed(0)
    encoder = STGCN(KINECT_V2, STGCNOptions(width=4, features=8)).eval()
    x = clip(present, 3, 20, 25, 2)
    x[1:, ..., 1] = 0
    x[-1] = 0
    expected = encoder.pool(encoder.feature_map(x), present).detach()
    seen = []
    feature_map = encoder.feature_map
    monkeypatch.setattr(encoder, "feature_map", lambda x: seen.append(len(x)) or feature_map(x))
    with torch.no_grad():
        torch.testing.assert_close(encoder(x), expected, rtol=1e-5, atol=1e-6)
    assert seen == [embedded]  # sizes that all differ would leave holes in memory


def test_where_all_bodies_are_there_none_is_embedded_beside_them(monkeypatch):
    encoder = STGCN(KINECT_V2, STGCNOptions(width=4, features=8)).eval()
    x = clip(1, 3, 20, 25, 2)
    expected = encoder.pool(encoder.feature_map(x), 1).detach()
    seen = []
    feature_map = encoder.feature_map
    monkeypatch.setattr(encoder, "feature_map", lambda x: seen.append(len(x)) or feature_map(x))
    with torch.no_grad():
        torch.testing.assert_close(encoder(x), expected, rtol=1e-5, atol=1e-6)
    assert seen == [2]


def test_settled_weights_embed_an_absent_body_once(monkeypatch):
    encoder = STGCN(KINECT_V2, STGCNOptions(width=4, features=8)).eval()
    x = clip(3, 3, 20, 25, 2)
    x[..., 1] = 0
    with torch.no_grad():
        expected, nobody = encoder(x), encoder(0 * x)
        encoder.settle()
        seen = []
        feature_map = encoder.feature_map
        monkeypatch.setattr(encoder, "feature_map", lambda x: seen.append(len(x)) or feature_map(x))
        for _ in range(2):
            torch.testing.assert_close(encoder(x), expected, rtol=1e-5, atol=1e-6)
            torch.testing.assert_close(encoder(0 * x), nobody, rtol=1e-5, atol=1e-6)
        longer = clip(1, 3, 24, 25, 2)
        longer[..., 1] = 0
        encoder(longer)
    assert seen == [1, 4, 4, 1, 1]  # the absent one, three bodies, again; and of another length


def test_settled_weights_are_transformed_once_and_only_without_gradients():
    encoder = STGCN(KINECT_V2, STGCNOptions(width=16, features=64, dropout=0)).eval()
    x = clip(2, 3, 40, 25, 2)
    with torch.no_grad():
        expected = encoder(x)
        encoder.settle()
        torch.testing.assert_close(encoder(x), expected, rtol=1e-5, atol=1e-6)
        last = encoder.blocks[-1].temporal
        (kept,) = getattr(last, temporal.SETTLED).values()
        assert torch.equal(encoder(x), encoder(x))
        assert next(iter(getattr(last, temporal.SETTLED).values())) is kept
        last.weight.mul_(2)
    other = STGCN(KINECT_V2, STGCNOptions(width=16, features=64, dropout=0)).eval()
    other.load_state_dict(encoder.state_dict())
    torch.testing.assert_close(encoder(x), other(x), rtol=1e-5, atol=1e-6)  # with gradients weights may change


def test_threads_change_no_bit():
    """Sums are taken chunk by chunk, whoever takes them."""
    x = clip(5000, 6).numpy()
    results = []
    for threads in (1, 3):
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            results.append(norms.Norm(norm(True), x))
        finally:
            torch.set_num_threads(before)
    np.testing.assert_array_equal(results[0].scale, results[1].scale)
    np.testing.assert_array_equal(results[0].shift, results[1].shift)
    np.testing.assert_allclose(results[0].mean, x.mean(0, dtype=np.float64), atol=1e-7)
    assert rowwise.chunks(5000) == 20


@pytest.mark.parametrize("bfloat16", [False, True])
def test_threads_change_no_bit_of_a_whole_pass(bfloat16, monkeypatch):
    """Forward and backward, dropout included. Torch's own products and convolutions sum alike on any number."""
    monkeypatch.setattr(cpu, "has_bfloat16", lambda: True)
    torch.manual_seed(0)
    encoder = STGCN(KINECT_V2, STGCNOptions(width=8, features=64, dropout=0.3)).train()
    x, direction = clip(16, 3, 30, 25, 2), clip(16, 64, seed=9)
    found, before = [], torch.get_num_threads()
    for threads in (1, 2, 4):
        torch.set_num_threads(threads)
        try:
            torch.manual_seed(1)
            ours = copy.deepcopy(encoder)
            with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
                y = ours(x)
            y.backward(direction)
            found.append({name: p.grad for name, p in ours.named_parameters()} | ours.state_dict())
        finally:
            torch.set_num_threads(before)
    for other in found[1:]:
        assert [name for name, value in found[0].items() if not torch.equal(value, other[name])] == []


def test_memory_is_kept_between_steps():
    """In a process of its own: after a first round, blocks of 64 MB come and go without faulting pages in."""
    code = """
import resource, sys
import numpy as np
from skelpipe.allocator import keep_memory
if sys.argv[1] == "keep":
    sys.exit(0) if not keep_memory() else None
def work():
    for _ in range(20):
        np.ones(2**24, np.float32)
work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    run = [subprocess.run([sys.executable, "-c", code, how], capture_output=True, text=True) for how in ("keep", "not")]
    assert [r.returncode for r in run] == [0, 0], [r.stderr for r in run]
    if not run[0].stdout:
        pytest.skip("this C library has no mallopt")
    kept, faulted = (int(r.stdout) for r in run)
    assert kept < 1000
    assert kept < faulted
