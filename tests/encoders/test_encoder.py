"""The graph and ST-GCN against the tables of the public code."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch

from skelpipe.encoders.graph import PARTITIONS, adjacency, spatial_partitions
from skelpipe.encoders.stgcn import STGCN, Dropout, SpatialGraphConv, STGCNOptions
from skelpipe.errors import BadInput
from skelpipe.layouts.kinect_v2 import KINECT_V2
from skelpipe.methods.network import initialise
from skelpipe.training.recipe import load_recipe

# 1-based (joint, parent) pairs as published with ST-GCN and AimCLR's bone stream.
EDGES = [(1, 2), (2, 21), (3, 21), (4, 3), (5, 21), (6, 5), (7, 6), (8, 7), (9, 21), (10, 9), (11, 10), (12, 11)]
EDGES += [(13, 1), (14, 13), (15, 14), (16, 15), (17, 1), (18, 17), (19, 18), (20, 19), (22, 23), (23, 8), (24, 25)]
EDGES += [(25, 12)]


def test_layout_matches_the_published_pairs():
    assert {(v + 1, p + 1) for v, p in KINECT_V2.edges} == set(EDGES)
    assert len(KINECT_V2.edges) == 24
    assert KINECT_V2.parents[20] == 20
    flip = [0, 1, 2, 3, 8, 9, 10, 11, 4, 5, 6, 7, 16, 17, 18, 19, 12, 13, 14, 15, 20, 23, 24, 21, 22]
    assert list(KINECT_V2.mirror) == flip
    assert [KINECT_V2.mirror[m] for m in KINECT_V2.mirror] == list(range(25))


def test_partitions_have_the_published_entries():
    own, other, nearer = spatial_partitions(KINECT_V2)
    degree = {1: 4, 2: 3, 3: 3, 4: 2, 16: 2, 20: 2, 21: 5, 22: 2, 24: 2}
    expected = np.diag([1 / degree.get(joint, 3) for joint in range(1, 26)])
    np.testing.assert_allclose(own, expected, rtol=1e-6)
    third = 1 / 3
    centre = {(2, 1): 0.25, (3, 4): 0.5, (5, 6): third, (9, 10): third}
    centre |= {(21, 2): third, (21, 3): third, (21, 5): third, (21, 9): third}
    found = {(int(i) + 1, int(j) + 1): nearer[i, j] for i, j in zip(*np.nonzero(nearer), strict=True)}
    assert found == pytest.approx(centre)
    pairs = {(a, b) for a, b in EDGES} | {(b, a) for a, b in EDGES}
    assert {(int(i) + 1, int(j) + 1) for i, j in zip(*np.nonzero(other), strict=True)} == pairs - set(centre)
    assert np.count_nonzero(other) == 40
    np.testing.assert_allclose((own + other + nearer).sum(0), 1, rtol=1e-6)
    assert [float(a.sum()) for a in (own, other, nearer)] == pytest.approx([8.95, 13.3, 2.75], abs=1e-5)


def test_the_partition_along_the_bones_by_hand():
    """2s-AGCN's: each joint takes all of its parent, and the mean of its children."""
    own, inward, outward = adjacency(KINECT_V2, "inward_outward")
    assert np.array_equal(own, np.eye(25))
    assert {(int(i) + 1, int(j) + 1) for i, j in zip(*np.nonzero(inward), strict=True)} == {(p, v) for v, p in EDGES}
    assert set(inward[inward != 0]) == {1}
    found = {(int(i) + 1, int(j) + 1): outward[i, j] for i, j in zip(*np.nonzero(outward), strict=True)}
    children = {1: 2, 21: 4}  # two legs; spine, neck and two arms; all others have one, or none
    assert found == pytest.approx({(v, p): 1 / children.get(p, 1) for v, p in EDGES})


def test_the_other_partitions_hold_the_same_neighbourhood():
    own, other, nearer = spatial_partitions(KINECT_V2)
    np.testing.assert_array_equal(adjacency(KINECT_V2, "distance"), [own, other + nearer])
    np.testing.assert_allclose(adjacency(KINECT_V2, "uniform"), [own + other + nearer], rtol=1e-6)


def test_bones_of_another_graph_stand_in_place_of_the_layouts():
    """PySKL hangs both tips and thumbs on the hands: four bones at (22, 8), (23, 8), (24, 12), (25, 12)."""
    graph = adjacency(KINECT_V2, "spatial", [(21, 7), (23, 11)])
    hands = {(22, 8), (23, 8), (24, 12), (25, 12)}
    bones = {pair for pair in EDGES if pair[0] < 22} | hands
    found = {(int(i) + 1, int(j) + 1) for i, j in zip(*np.nonzero(graph.sum(0)), strict=True)}
    assert found == bones | {(p, v) for v, p in bones} | {(v, v) for v in range(1, 26)}
    assert graph[:, 21, 7].sum() == pytest.approx(1 / 4)  # the hand: wrist, tip, thumb, itself
    with pytest.raises(BadInput, match="no bone from joint 25 to joint 3"):
        adjacency(KINECT_V2, "spatial", [(3, 25)])


@pytest.mark.parametrize("partition", PARTITIONS)
def test_every_partition_computes_the_same_fused_and_plain(partition, monkeypatch):
    torch.manual_seed(0)
    encoder = STGCN(KINECT_V2, STGCNOptions(width=2, features=4, partition=partition)).eval()
    x = torch.randn(2, 3, 8, 25, 2)
    with torch.no_grad():
        fused = encoder(x)
        monkeypatch.setattr("skelpipe.encoders.cpu.usable", lambda *_: False)
        torch.testing.assert_close(encoder(x), fused)


def test_a_recipe_may_name_every_partition():
    assert get_args(STGCNOptions.model_fields["partition"].annotation) == tuple(PARTITIONS)


def test_a_recipe_says_no_more_of_the_usual_graph_than_before():
    assert not {"partition", "bones"} & STGCNOptions().model_dump(mode="json").keys()
    options = STGCNOptions(partition="inward_outward", bones=((21, 7),)).model_dump(mode="json")
    assert (options["partition"], options["bones"]) == ("inward_outward", [[21, 7]])


def count(module):
    return sum(p.numel() for p in module.parameters())


def test_parameter_counts():
    encoder = STGCN(KINECT_V2, STGCNOptions())
    assert [count(b) for b in encoder.blocks] == [2576, 3200, 3200, 3200, 11616, 12544, 12544, 45760, 49664, 658176]
    assert count(encoder.input_norm) == 150
    assert count(encoder.edge_importance) == 18750
    assert count(encoder) == 821_380
    for name in ("skeletonclr", "crosnnclr"):
        method = load_recipe(name).build_method(KINECT_V2, 60)
        assert sum(p.numel() for p in method.parameters() if p.requires_grad) == 920_068
        assert count(method) == 1_840_136


def test_shapes_through_the_blocks():
    encoder = STGCN(KINECT_V2, STGCNOptions()).eval().double()  # float64 goes block by block in torch's own modules
    frames = []
    for block in encoder.blocks:
        block.register_forward_hook(lambda module, inputs, output: frames.append(tuple(output.shape[1:])))
    assert encoder(torch.randn(2, 3, 50, 25, 2, dtype=torch.float64)).shape == (2, 256)
    assert frames == [(16, 50, 25)] * 4 + [(32, 25, 25)] * 3 + [(64, 13, 25)] * 2 + [(256, 13, 25)]


def test_graph_convolution_is_the_published_sum():
    torch.manual_seed(0)
    layer = SpatialGraphConv(3, 5, 3).double()
    x, a = torch.randn(2, 3, 4, 25).double(), torch.rand(3, 25, 25).double()
    z = layer.conv(x).view(2, 3, 5, 4, 25)  # convolution first, then the graph, as the formula is usually written
    torch.testing.assert_close(layer(x, a), torch.einsum("bkctv,kvw->bctw", z, a))


def test_input_norm_channels_are_joint_major():
    """BN over 75 channels numbered joint·3 + coordinate."""
    encoder = STGCN(KINECT_V2, STGCNOptions(width=2, features=4)).eval().double()
    with torch.no_grad():
        encoder.input_norm.weight.zero_()
        encoder.input_norm.bias.copy_(torch.arange(75.0))
    seen = []
    encoder.blocks[0].register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    encoder(torch.randn(1, 3, 6, 25, 2).double())
    v, c = torch.arange(25), torch.arange(3)
    torch.testing.assert_close(seen[0][0, :, 0], (v[None, :] * 3 + c[:, None]).double())


def test_absent_body_takes_part_in_the_mean():
    encoder = STGCN(KINECT_V2, STGCNOptions(width=2, features=4)).eval()
    x = torch.randn(1, 3, 8, 25, 2)
    x[..., 1] = 0
    each = encoder.feature_map(x).mean(dim=(2, 3))
    torch.testing.assert_close(encoder(x)[0], (each[0] + each[1]) / 2)


def test_reference_initialisation():
    torch.manual_seed(0)
    encoder = STGCN(KINECT_V2, STGCNOptions())
    initialise(encoder, "reference")
    weight = torch.cat([m.weight.flatten() for m in encoder.modules() if isinstance(m, torch.nn.Conv2d)])
    assert float(weight.mean()) == pytest.approx(0, abs=2e-4)
    assert float(weight.std()) == pytest.approx(0.02, rel=0.02)
    norm = torch.cat([m.weight for m in encoder.modules() if isinstance(m, torch.nn.BatchNorm2d)])
    assert float(norm.mean()) == pytest.approx(1, abs=5e-3)
    assert float(norm.std()) == pytest.approx(0.02, rel=0.15)
    biases = [m.bias for m in encoder.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.BatchNorm2d)]
    assert all(float(b.detach().abs().max()) == 0 for b in biases)
    assert all(bool((e == 1).all()) for e in encoder.edge_importance)


@pytest.mark.parametrize("rate", [0.5, 0.25, 0.3])
def test_dropout_keeps_the_right_share_and_scale(rate):
    torch.manual_seed(0)
    y = Dropout(rate).train()(torch.ones(400, 501))
    assert float((y == 0).float().mean()) == pytest.approx(rate, abs=4e-3)
    torch.testing.assert_close(y[y != 0], torch.full_like(y[y != 0], 1 / (1 - rate)))
    x = torch.randn(3, 5)
    assert Dropout(rate).eval()(x) is x


def test_dropout_passes_the_gradient_where_it_passed_the_value():
    x = torch.ones(4, 100, requires_grad=True)
    y = Dropout(0.5).train()(x)
    y.sum().backward()
    torch.testing.assert_close(x.grad, y.detach())
