"""DGCNN against values of its public code's modules, and against edge convolutions that are written out.

The weights of the values are those of `clouds.waves`.
"""

from __future__ import annotations

import copy

import pytest
import torch
from clouds import cloud, waves
from test_recurrent import chain, count, wave
from torch import nn
from torch.nn.functional import leaky_relu

from skelpipe.encoders import dgcnn
from skelpipe.encoders.dgcnn import DGCNN, DGCNNOptions, EdgeConv, look_at_neighbours, nearest
from skelpipe.errors import BadInput
from skelpipe.layouts import find_layout
from skelpipe.layouts.kinect_v2 import KINECT_V2
from skelpipe.methods.network import Network, initialise
from skelpipe.methods.synced import SyncedNorm, sync_norms


def clip(points: torch.Tensor) -> torch.Tensor:
    """Points (B, N, C) as clips of one joint and one body."""
    return points.transpose(1, 2)[..., None, None]


def edges_written_out(layer: EdgeConv, x: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """max_j LeakyReLU(BN(W [x_j - x_i, x_i])) from an array of all edges."""
    rows = torch.arange(len(x))[:, None, None]
    here = x[:, :, None].expand(-1, -1, places.shape[2], -1)
    edges = layer.conv(torch.cat([x[rows, places] - here, here], dim=3)).permute(0, 3, 1, 2)
    return leaky_relu(layer.norm(edges), 0.2).max(dim=3)[0].transpose(1, 2)


def layer_of(channels_in: int, channels_out: int) -> EdgeConv:
    """An edge convolution whose norm has weights of both signs."""
    layer = EdgeConv(channels_in, channels_out).double()
    with torch.no_grad():
        layer.norm.weight.copy_(cloud(7, channels_out))
        layer.norm.bias.copy_(cloud(8, channels_out))
        layer.norm.running_mean.copy_(cloud(9, channels_out))
    assert (layer.norm.weight < 0).any()
    assert (layer.norm.weight > 0).any()
    return layer


def test_the_public_codes_values():
    x = wave(30).view(1, 10, 3)
    assert set(nearest(x, 3)[0, 0].tolist()) == {0, 4, 2}
    encoder = waves(DGCNN(chain(1, 3), DGCNNOptions(features=8, neighbours=3)))
    expected = [-0.108093, 2.361802, 1.535314, -0.020568, 3.779664, 2.704618, 1.983616, 1.277435]
    torch.testing.assert_close(encoder(clip(x))[0], torch.tensor(expected, dtype=torch.float64), rtol=0, atol=3e-6)


def test_size():
    encoder = DGCNN(KINECT_V2, DGCNNOptions())
    assert (encoder.features, count(encoder)) == (1024, 617_856)
    assert [tuple(layer.conv.weight.shape) for layer in encoder.layers] == [(64, 6), (64, 128), (128, 128), (256, 256)]
    narrow = DGCNN(KINECT_V2, DGCNNOptions(width=4, features=6))
    assert [tuple(layer.conv.weight.shape) for layer in narrow.layers] == [(4, 6), (4, 8), (8, 8), (16, 16)]
    assert tuple(narrow.conv.weight.shape) == (6, 32)


@pytest.mark.parametrize("training", [True, False])
def test_an_edge_convolution_is_that_of_all_edges(training):
    layer, x = layer_of(3, 5).train(training), cloud(0, 2, 9, 3).requires_grad_()
    other, along = copy.deepcopy(layer), cloud(1, 2, 9, 5)
    places = nearest(x, 4)
    found = [
        [y, *torch.autograd.grad(y, [x, *each.parameters()], along)]
        for each, y in ((layer, layer(x, places)), (other, edges_written_out(other, x, places)))
    ]
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)
    for name, value in other.state_dict().items():
        torch.testing.assert_close(layer.state_dict()[name], value, rtol=1e-12, atol=1e-12, msg=name)
    moved = torch.equal(layer.norm.running_mean, cloud(9, 5))
    assert moved is not training


def test_gradients_are_finite_differences():
    layer, places = layer_of(2, 3), nearest(cloud(0, 2, 6, 2), 3)
    inputs = [cloud(0, 2, 6, 2).requires_grad_(), *layer.parameters()]
    names = [name for name, _ in layer.named_parameters()]

    def forward(x, *parameters):
        return torch.func.functional_call(layer, dict(zip(names, parameters, strict=True)), (x, places))

    assert torch.autograd.gradcheck(forward, inputs, atol=1e-6)


@pytest.mark.parametrize("at_a_time", [1, 1 << 30])
def test_neighbours_are_looked_up_a_few_clips_at_a_time(at_a_time, monkeypatch):
    monkeypatch.setattr(dgcnn, "EDGES", at_a_time)
    x, places = (
        cloud(0, 3, 7, 4).requires_grad_(),
        torch.randint(7, (3, 7, 5), generator=torch.Generator().manual_seed(1)),
    )
    every = x[torch.arange(3)[:, None, None], places]
    largest, total = look_at_neighbours(x, places)
    torch.testing.assert_close(largest, every.amax(2))
    torch.testing.assert_close(total, every.sum(2))
    along = cloud(2, 2, 3, 7, 4)
    mine = torch.autograd.grad((largest * along[0] + total * along[1]).sum(), x)
    theirs = torch.autograd.grad((every.max(2)[0] * along[0] + every.sum(2) * along[1]).sum(), x)
    torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("at_a_time", [1, 40, 1 << 24])
def test_the_nearest_are_the_nearest(at_a_time, monkeypatch):
    monkeypatch.setattr(dgcnn, "DISTANCES", at_a_time)
    x = cloud(0, 2, 11, 3) + 50
    expected = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist").topk(4, dim=2, largest=False)[1]
    assert torch.equal(nearest(x, 4).sort(2)[0], expected.sort(2)[0])
    assert (nearest(x, 1)[:, :, 0] == torch.arange(11)).all()  # itself


def test_neighbours_are_those_of_the_layer_before():
    """Not of the clip's coordinates: two layers with fixed neighbours give something else."""
    encoder = waves(DGCNN(chain(1, 3), DGCNNOptions(width=4, features=8, neighbours=3)))
    x = cloud(0, 1, 30, 3)
    y, each = x, []
    for layer in encoder.layers:
        y = layer(y, nearest(x, 3))
        each.append(y)
    fixed = leaky_relu(encoder.norm(encoder.conv(torch.cat(each, 2))[0]), 0.2).amax(0)
    assert (fixed - encoder(clip(x))[0]).abs().max() > 1e-3


def test_points_are_told_from_their_coordinates_alone():
    encoder = waves(DGCNN(KINECT_V2, DGCNNOptions(width=4, features=8, neighbours=5)))
    x = cloud(0, 2, 3, 4, 25, 2)
    points = encoder.points(x)
    assert points.shape == (2, 200, 3)
    assert torch.equal(points[1, 3 * 50 + 7 * 2 + 1], x[1, :, 3, 7, 1])
    mixed = points[:, torch.randperm(200, generator=torch.Generator().manual_seed(0))]
    again = mixed.transpose(1, 2).reshape(x.shape)
    torch.testing.assert_close(encoder(again), encoder(x))
    assert not torch.allclose(encoder(x * 1.1), encoder(x))


@pytest.mark.parametrize(("name", "coordinates"), [("coco17", 2), ("kinect_v1", 3)])
def test_other_layouts(name, coordinates):
    layout = find_layout(name)
    encoder = DGCNN(layout, DGCNNOptions(width=4, features=8)).eval()
    x = torch.randn(2, layout.channels, 6, len(layout.joints), 1)
    assert encoder.points(x).shape == (2, 6 * len(layout.joints), coordinates)
    blind = x.clone()
    blind[:, coordinates:] = 0.5  # how sure a detector was is not looked at
    assert torch.equal(encoder(blind), encoder(x))


def test_an_absent_body_is_points_in_the_origin():
    encoder = waves(DGCNN(KINECT_V2, DGCNNOptions(width=4, features=8, neighbours=5)))
    one = cloud(0, 2, 3, 4, 25, 1)
    both = torch.cat([one, torch.zeros_like(one)], dim=4)
    points = torch.cat([encoder.points(one), torch.zeros(2, 100, 3)], dim=1)
    torch.testing.assert_close(encoder(both), encoder(clip(points)))


def test_fewer_points_than_neighbours():
    with pytest.raises(BadInput, match="encoder.neighbours: 20 is more than the 19 points of a clip") as caught:
        DGCNN(KINECT_V2, DGCNNOptions(width=2, features=4))(torch.randn(2, 3, 1, 19, 1))
    assert "\n" not in str(caught.value)


def test_norms_over_all_ranks_compute_the_same():
    torch.manual_seed(0)
    plain = DGCNN(KINECT_V2, DGCNNOptions(width=4, features=8, neighbours=5)).double()
    for layer in plain.layers:
        nn.init.normal_(layer.norm.weight)
    synced = copy.deepcopy(plain)
    sync_norms(synced)
    assert isinstance(synced.layers[0].norm, SyncedNorm)
    x, along = cloud(0, 3, 3, 4, 25, 1), cloud(1, 3, 8)
    for each in (plain, synced):
        (each(x) * along).sum().backward()
    for (name, a), (_, b) in zip(plain.named_parameters(), synced.named_parameters(), strict=True):
        torch.testing.assert_close(b.grad, a.grad, rtol=1e-8, atol=1e-10, msg=name)
    for (name, a), (_, b) in zip(plain.named_buffers(), synced.named_buffers(), strict=True):
        torch.testing.assert_close(b, a, rtol=1e-9, atol=1e-12, msg=name)
    torch.testing.assert_close(synced.eval()(x), plain.eval()(x))


def test_in_half_precision_distances_are_not():
    torch.manual_seed(0)
    network = Network(DGCNN(KINECT_V2, DGCNNOptions(width=4, features=8)), nn.Identity())
    initialise(network, "torch")
    x = torch.randn(2, 3, 8, 25, 2)
    exact = network.features(x)
    network.bfloat16_encoder = True
    rough = network.features(x).float()
    assert not torch.equal(rough, exact)
    assert (rough - exact).abs().mean() < 0.15 * exact.abs().mean()
