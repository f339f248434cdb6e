"""A-GCN against values of the public code's modules, and its fused operations against plain ones in float64.

Weights of the values: "R1" has every parameter p.flat[i] = 0.1 sin(i + 1), biases too; "R2" has no biases, weights
sin(i² + 1) / √(numbers of a row), and learnt graphs 0.02 sin(i² + 1). Norms are those of a fresh network, in eval mode.
Where the public code has a module for each graph, ours holds their tensors one behind the other.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from skelpipe.encoders.agcn import AGCN, AdaptiveGraphConv, AGCNBlock, AGCNOptions, Shortcut
from skelpipe.encoders.graph import inward_outward_partitions
from skelpipe.layouts import LAYOUTS
from skelpipe.layouts.kinect_v2 import KINECT_V2

GRAPH = torch.from_numpy(inward_outward_partitions(KINECT_V2)).double()


def wave(n):
    """sin(i) + 0.5 cos(i²)."""
    i = torch.arange(n, dtype=torch.float64)
    return torch.sin(i) + 0.5 * torch.cos(i**2)


def sine(*shape):
    return torch.sin(torch.arange(math.prod(shape), dtype=torch.float64)).view(shape)


def as_theirs(module):
    """(tensor, whether it is a learnt graph) for each tensor that the public code has."""
    for name, p in module.named_parameters():
        if "norm" in name:
            continue
        parts = 6 if "embedding" in name else 3 if "spatial.conv" in name else 1
        for part in p.data.chunk(parts):
            yield part, name.endswith("learnt")


def r1(module):
    for p, _ in as_theirs(module):
        p.copy_((0.1 * torch.sin(torch.arange(1, p.numel() + 1, dtype=p.dtype))).view_as(p))
    return module.eval()


def r2(module):
    for p, learnt in as_theirs(module):
        scale = 0 if p.dim() == 1 else 0.02 if learnt else 1 / math.sqrt(p[0].numel())
        p.copy_((scale * torch.sin(torch.arange(p.numel(), dtype=torch.float64) ** 2 + 1)).view_as(p))
    return module.eval()


def norms_open(module):
    """All norms as a fresh one has them; the authors let those of graph convolutions start nearly closed."""
    for each in module.modules():
        if isinstance(each, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.ones_(each.weight)
    return module


def block(stride=1, residual=True):
    return r1(norms_open(AGCNBlock(3, 8, 3, 25, AGCNOptions(), stride, residual)).double())


def test_the_graph_convolution_of_the_public_code():
    made, x = block(), sine(1, 3, 2, 25).transpose(2, 3)
    with torch.no_grad():
        y = torch.relu(made.spatial_norm(made.spatial(x, GRAPH)) + made.past(x))
        relation = made.spatial.relation(x)
    expected = torch.tensor([0.356123, 0.774185, 0.780991, 0], dtype=torch.float64)
    torch.testing.assert_close(y[0, 0, [0, 1, 20, 24], 0], expected, rtol=0, atol=2e-6)
    assert float(y.sum()) == pytest.approx(104.3456, abs=1e-4)
    expected = torch.tensor([0.040120, 0.039738, 0.039600], dtype=torch.float64)
    torch.testing.assert_close(relation[0, 0, :3, 0], expected, rtol=0, atol=2e-6)
    torch.testing.assert_close(relation.sum(2), torch.ones(1, 3, 25, dtype=torch.float64))


def test_a_block_of_the_public_code():
    with torch.no_grad():
        y = block(stride=2)(sine(1, 3, 5, 25).transpose(2, 3), GRAPH, False)
    expected = torch.tensor([0.139884, 0.060622, 0], dtype=torch.float64)
    assert y.shape == (1, 8, 25, 3)
    torch.testing.assert_close(y[0, 0, 0], expected, rtol=0, atol=2e-6)
    assert float(y.sum()) == pytest.approx(62.99625, abs=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_whole_network_of_the_public_code(dtype):
    made = r2(norms_open(AGCN(KINECT_V2, AGCNOptions(), 2)).to(dtype))
    with torch.no_grad():
        found = made(wave(1200).view(1, 3, 8, 25, 2).to(dtype))[0].double()
    expected = torch.tensor([66.1093, 38.9477, 0, 101.9338, 37.6285, 17.6535], dtype=torch.float64)
    torch.testing.assert_close(found[[0, 1, 2, 10, 100, 255]], expected, rtol=1e-4, atol=1e-3)
    assert float(found.mean()) == pytest.approx(38.5602, rel=1e-4)


def test_published_size():
    made = AGCN(KINECT_V2, AGCNOptions(), 2)
    assert (sum(p.numel() for p in made.parameters()), made.features) == (3_454_090, 256)


def test_each_target_takes_its_own_sum_of_sources():
    """The formula by plain sums, with graphs that are not symmetric."""
    torch.manual_seed(0)
    made = AdaptiveGraphConv(2, 4, 3, 25, 2).double()
    nn.init.normal_(made.learnt)
    x = torch.randn(2, 2, 25, 3, dtype=torch.float64)
    theta, phi = made.embedding(x).view(2, 2, 3, 2, 25, 3).unbind(1)
    alike = torch.einsum("bkevt,bkewt->bkvw", theta, phi) / 6
    graph = GRAPH + made.learnt + alike.exp() / alike.exp().sum(2, keepdim=True)
    weight, bias = made.conv.weight.view(3, 4, 2), made.conv.bias.view(3, 4)
    expected = torch.einsum("koc,bkvw,bcvt->bowt", weight, graph, x) + bias.sum(0)[:, None, None]
    torch.testing.assert_close(made(x, GRAPH), expected)


def test_a_shortcut_is_a_convolution_with_a_stride():
    torch.manual_seed(0)
    made, x = Shortcut(3, 5, 2), torch.randn(2, 3, 25, 7)
    strided = nn.functional.conv2d(x, made.conv.weight, made.conv.bias, (1, 2))
    torch.testing.assert_close(made(x), nn.functional.batch_norm(strided, None, None, training=True))
    made = AGCN(KINECT_V2, AGCNOptions(width=2), 2)
    pointwise = [each for each in made.modules() if isinstance(each, nn.Conv2d) and each.kernel_size == (1, 1)]
    assert {each.stride for each in pointwise} == {(1, 1)}  # see Shortcut


def test_gradients_are_those_of_differences():
    torch.manual_seed(0)
    made = AGCNBlock(2, 2, 3, 3, AGCNOptions(time_kernel=3, relation=2), 2, True).double()
    made.start()
    nn.init.constant_(made.spatial_norm.weight, 0.7)
    x = torch.randn(2, 2, 3, 4, dtype=torch.float64, requires_grad=True)
    names, values = zip(*made.named_parameters(), strict=True)
    graph = torch.rand(3, 3, 3, dtype=torch.float64)

    def run(x, *values):
        return torch.func.functional_call(made, dict(zip(names, values, strict=True)), (x, graph, False))

    made.eval()
    assert torch.autograd.gradcheck(run, (x, *(p.detach().requires_grad_() for p in values)))


@pytest.mark.parametrize("training", [True, False])
def test_fused_operations_are_the_plain_ones(training):
    torch.manual_seed(0)
    made, plain = (AGCN(KINECT_V2, AGCNOptions(width=6, time_kernel=3), 2).train(training) for _ in range(2))
    for name, p in made.named_parameters():
        if name.endswith(("norm.weight", "learnt")):
            nn.init.uniform_(p, 0.1, 0.9)
    plain.load_state_dict(made.state_dict())
    plain.double()  # on a CPU only float32 is fused
    x, weight = torch.randn(3, 3, 11, 25, 2), torch.randn(3, 24)
    y, expected = made(x), plain(x.double())
    torch.testing.assert_close(y.double(), expected, rtol=1e-3, atol=1e-5)
    (y * weight).sum().backward()
    (expected * weight).sum().backward()
    most = max(float(p.grad.norm()) for p in plain.parameters())
    for (name, p), other in zip(made.named_parameters(), plain.parameters(), strict=True):
        apart = float((p.grad - other.grad).norm()) / (float(other.grad.norm()) + 1e-3 * most)
        assert apart < 0.02, name
    for (name, p), other in zip(made.named_buffers(), plain.buffers(), strict=True):
        torch.testing.assert_close(p.double(), other.double(), rtol=1e-3, atol=1e-5, msg=name)


def test_weights_start_as_the_authors_draw_them():
    torch.manual_seed(0)
    made = AGCN(KINECT_V2, AGCNOptions(), 2)
    for module in reversed([*made.modules()]):
        if callable(start := getattr(module, "start", None)):
            start()
    wide, spatial = made.blocks[9], made.blocks[9].spatial
    for weight, deviation in (
        (spatial.embedding.weight, math.sqrt(2 / 64)),
        (spatial.conv.weight, math.sqrt(2 / (256 * 256 * 3))),
        (wide.temporal.weight, math.sqrt(2 / (256 * 9))),
        (made.blocks[7].residual.conv.weight, math.sqrt(2 / 256)),
        (made.blocks[7].past.conv.weight, math.sqrt(2 / 256)),
    ):
        assert float(weight.detach().std()) == pytest.approx(deviation, rel=0.02)
    for each in made.blocks:
        assert set(each.spatial_norm.weight.tolist()) == set(each.spatial.learnt.flatten().tolist())
        assert each.spatial.learnt[0, 0, 0].item() == pytest.approx(1e-6)
        assert set(each.temporal_norm.weight.tolist()) == {1.0}
    assert not any(p.any() for name, p in made.named_parameters() if name.endswith("bias"))
    head = nn.Linear(256, 128)
    bias = head.bias.detach().clone()
    made.start_head(head)
    assert float(head.weight.detach().std()) == pytest.approx(math.sqrt(2 / 128), rel=0.02)
    assert torch.equal(head.bias, bias)


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_has_its_graph(name):
    layout = LAYOUTS[name]
    made = AGCN(layout, AGCNOptions(width=2), 1)
    assert made(torch.randn(2, layout.channels, 9, len(layout.joints), 1)).shape == (2, 8)
    assert made.adjacency.shape == (3, len(layout.joints), len(layout.joints))


def test_a_feature_map_is_what_is_averaged():
    made = AGCN(KINECT_V2, AGCNOptions(width=2), 2).eval()
    x = torch.randn(3, 3, 16, 25, 2)
    found = made.feature_map(x)
    assert found.shape == (6, 8, 4, 25)
    torch.testing.assert_close(made(x), found.mean((2, 3)).view(3, 2, 8).mean(1))


def test_a_kernel_of_even_length_is_refused():
    with pytest.raises(ValueError, match="must be odd"):
        AGCNOptions(time_kernel=4)
