"""The part-aware LSTM against values of the public cell, a plain writing of its formulas, and torch's own LSTM."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from skelpipe.encoders.part_aware import PartAware, PartAwareLayer, PartAwareOptions, divide, places
from skelpipe.errors import BadInput
from skelpipe.layouts import LAYOUTS, find_layout
from skelpipe.layouts.base import Layout
from skelpipe.layouts.kinect_v2 import KINECT_V2
from skelpipe.methods.network import Network, initialise
from skelpipe.training.recipe import load_recipe


def count(module):
    return sum(p.numel() for p in module.parameters())


def encoder(layout=KINECT_V2, bodies=2, double=True, **options):
    torch.manual_seed(0)
    made = PartAware(layout, PartAwareOptions(**{"dropout": 0, **options}), bodies)
    initialise(made, "torch")
    return made.double() if double else made


def clips(batch=4, frames=6, layout=KINECT_V2, bodies=2):
    shape = (batch, layout.channels, frames, len(layout.joints), bodies)
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def cell(layer, xs, h, c, shift=0.0, add=0.0):
    """One frame by the formulas, part by part: xs of each part (B, D_p), h and c (B, P·n) -> h and c."""
    n, parts = layer.options.width, len(layer.own)
    hidden, bias = layer.hidden.view(4, parts, n, -1), layer.bias.view(4, parts, n)
    cells = []
    for p, x in enumerate(xs):
        own = layer.inputs[p].view(3, n, -1)
        i, f, g = (x @ own[k].t() + h @ hidden[k, p].t() + bias[k, p] for k in range(3))
        forget = torch.sigmoid(f + shift) + add
        cells.append(forget * c[:, p * n : (p + 1) * n] + torch.sigmoid(i) * torch.tanh(g))
    o = torch.cat(xs, 1) @ layer.output.t() + h @ hidden[3].flatten(0, 1).t() + bias[3].flatten()
    return torch.sigmoid(o) * torch.tanh(torch.cat(cells, 1)), torch.cat(cells, 1)


GATES = {"plain": (0.0, 0.0), "plus_inside": (1.0, 0.0), "repository": (0.0, 1.0)}


def of_parts(x, layout=KINECT_V2, torso=True):
    """What every part sees of frames (B, C, T, V, M), written by joint numbers of `divide`: [(B, T, D_p)]."""
    parts, shared = divide(layout)
    groups = [(part, shared) for part in parts] if torso else [(part, ()) for part in (*parts, shared)]
    y = x.permute(0, 2, 4, 3, 1)
    return [torch.cat([y[:, :, :, list(some)].flatten(2) for some in pair if some], 2) for pair in groups]


PUBLIC = {  # c[0..3], h[0..3]
    "plain": ((0.309573, 0.322892, -0.003480, -0.193637), (0.163695, 0.150658, -0.001587, -0.099754)),
    "plus_inside": ((0.351700, 0.364562, 0.035649, -0.149629), None),
    "repository": ((0.509573, 0.522892, 0.196520, 0.006363), None),
}


@pytest.mark.parametrize("gate", GATES)
def test_one_frame_of_the_public_cell(gate):
    """Two units a part, one body, no biases; weights 0.1 sin(i + 1) in the public order of columns, x before h."""

    def sine(*shape):
        return 0.1 * torch.sin(torch.arange(1, torch.Size(shape).numel() + 1, dtype=torch.float64)).view(shape)

    made = encoder(bodies=1, layers=1, width=2, forget_gate=gate)
    layer = made.layers[0]
    assert [weight.shape[1] for weight in layer.inputs] == [15, 27, 27, 21, 21]
    with torch.no_grad():
        layer.bias.zero_()
        hidden = layer.hidden.view(4, 5, 2, 10)
        for p, weight in enumerate(layer.inputs):
            public = sine(6, weight.shape[1] + 10)
            weight.copy_(public[:, :-10])
            hidden[:3, p] = public[:, -10:].view(3, 2, 10)
        layer.output.copy_(sine(10, 121)[:, :111])
        hidden[3] = sine(10, 121)[:, 111:].view(5, 2, 10)
    i = torch.arange(75, dtype=torch.float64)
    x = (torch.sin(i) + 0.5 * torch.cos(i**2)).view(1, 1, 75)[:, :, made.order]
    state = torch.full((1, 10), 0.1, dtype=torch.float64), torch.full((1, 10), 0.2, dtype=torch.float64)
    y, (h, c) = layer(x, state)
    cells, outputs = PUBLIC[gate]
    torch.testing.assert_close(c[0, :4], torch.tensor(cells, dtype=torch.float64), rtol=0, atol=1e-6)
    if outputs is not None:
        torch.testing.assert_close(h[0, :4], torch.tensor(outputs, dtype=torch.float64), rtol=0, atol=1e-6)
    assert torch.equal(y[:, 0], h)


@pytest.mark.parametrize("torso", ["repeated", "part"])
@pytest.mark.parametrize("gate", GATES)
def test_layers_are_the_formulas_frame_by_frame(gate, torso):
    made, x = encoder(layers=2, width=3, forget_gate=gate, torso=torso), clips()
    xs = of_parts(x, torso=torso == "repeated")
    shift, add = GATES[gate]
    found = []
    states = [(torch.zeros(4, made.features).double(),) * 2 for _ in made.layers]
    for t in range(x.shape[2]):
        inputs = [each[:, t] for each in xs]
        for number, layer in enumerate(made.layers):
            states[number] = cell(layer, inputs, *states[number], shift, add)
            inputs = states[number][0].split(3, 1)
        found.append(states[-1][0])
    torch.testing.assert_close(made.sequence(x), torch.stack(found, 1))
    torch.testing.assert_close(made(x), found[-1])


@pytest.mark.parametrize("gate", GATES)
def test_gradients_are_those_of_finite_differences(gate):
    layer = PartAwareLayer([2, 1], 2, PartAwareOptions(width=2, forget_gate=gate)).double()
    x = torch.randn(2, 3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)

    def outputs(x, *weights):
        names = [name for name, _ in layer.named_parameters()]
        return torch.func.functional_call(layer, dict(zip(names, weights, strict=True)), (x,))[0]

    assert torch.autograd.gradcheck(outputs, (x, *layer.parameters()))


def test_a_layer_whose_parts_saw_everything_would_be_torchs_lstm():
    layer = PartAwareLayer([4], 0, PartAwareOptions(width=3)).double()
    theirs = nn.LSTM(4, 3, batch_first=True).double()
    theirs.weight_ih_l0.data = torch.cat([layer.inputs[0], layer.output]).detach()
    theirs.weight_hh_l0.data, theirs.bias_ih_l0.data = layer.hidden.data, layer.bias.data
    theirs.bias_hh_l0.data.zero_()
    x = torch.randn(2, 5, 4, dtype=torch.float64)
    torch.testing.assert_close(layer(x)[0], theirs(x)[0])


def test_sizes_of_the_reading():
    recipe = load_recipe("part_aware_lstm")
    network = recipe.build_network(KINECT_V2, 120)
    first, second = network.encoder.layers
    assert [weight.shape[1] for weight in first.inputs] == [30, 54, 54, 42, 42]
    assert (count(first), count(second), count(network.projector)) == (107_400, 88_000, 15_120)
    assert network.encoder.features == 125


TORSOS = {
    "kinect_v2": ("spine base", "spine mid", "spine shoulder"),
    "kinect_v1": ("hip centre", "spine", "shoulder centre"),
    "openpose25": ("neck", "mid hip"),
    "openpose18": ("neck",),
    "coco17": ("nose",),
    "mediapipe33": ("nose",),
}


@pytest.mark.parametrize("name", [*LAYOUTS, "coco17+confidence"])
def test_every_layout_is_divided_and_read(name):
    layout = find_layout(name)
    parts, torso = divide(layout)
    assert sorted([v for part in (*parts, torso) for v in part]) == list(range(len(layout.joints)))
    assert all(parts)
    if name in TORSOS:
        assert len(torso) == len(TORSOS[name])
    if name.startswith(("kinect", "openpose25")):
        assert {layout.mirror[v] for v in torso} == set(torso)
    for kind in ("repeated", "part"):
        made = encoder(layout, layers=1, width=2, torso=kind)
        x = clips(layout=layout)
        assert made(x).shape == (4, made.features) == (4, 2 * (5 if kind == "repeated" else 6))
        assert sorted(made.order.tolist()) == list(range(layout.channels * len(layout.joints) * 2))
        torch.testing.assert_close(made(x), encoder(layout, layers=1, width=2, torso=kind)(x))


def test_the_torso_of_ntus_joints():
    parts, torso = divide(KINECT_V2)
    assert (parts[0], torso) == ((2, 3), (0, 1, 20))
    assert places((2,), KINECT_V2, 2) == [6, 7, 8, 81, 82, 83]


def test_a_layout_without_limbs_or_without_parts():
    names, chain = ("a", "b", "c"), (0, 0, 1)
    whole = Layout("worm", names, chain, (0, 1, 2), (0,), ((0,), (0,)), (0,), (("trunk", (0, 1, 2)),))
    assert divide(whole) == ([(0, 1, 2)], ())
    assert encoder(whole, bodies=1, width=2)(clips(layout=whole, bodies=1)).shape == (4, 2)
    one = Layout("tadpole", names, chain, (0, 1, 2), (0,), ((0,), (0,)), (0,), (("trunk", (0, 1)), ("tail", (2,))))
    assert divide(one) == ([(0,), (2,)], (1,))
    bare = Layout("bare", names, chain, (0, 1, 2), (0,), ((0,), (0,)), (0,))
    with pytest.raises(BadInput, match="encoder: part_aware: the layout bare names no parts"):
        encoder(bare)


@pytest.mark.parametrize("gate", GATES)
def test_padding_does_not_matter_to_a_clip(gate):
    made, x, lengths = encoder(width=3, forget_gate=gate), clips(), torch.tensor([6, 4, 1, 0])
    found, frames = made(x, lengths), made.sequence(x, lengths)
    for n, length in enumerate([6, 4, 1, 1]):
        alone = made(x[n : n + 1, :, :length])
        torch.testing.assert_close(found[n : n + 1], alone)
    assert not frames[1, 4:].any()
    assert not frames[3].any()
    torch.testing.assert_close(frames[1, 3], found[1])
    torch.testing.assert_close(made(x, torch.full((4,), 6)), made(x))


def test_a_part_sees_its_own_joints_and_only_the_output_gate_sees_all():
    made = encoder(layers=1, width=3, torso="part")
    layer, x = made.layers[0], clips(frames=1)
    other = x.clone()
    other[:, :, :, [16, 17, 18, 19]] += 1  # the right leg
    cells = [layer(each.permute(0, 2, 4, 3, 1).flatten(2)[:, :, made.order])[1][1] for each in (x, other)]
    changed = (cells[0] - cells[1]).abs().view(4, 6, 3).amax((0, 2)) > 0
    assert changed.tolist() == [False, False, False, False, True, False]
    assert ((made(x) - made(other)).abs().amax(0) > 0).all()


def test_weights_at_the_start():
    made = encoder(double=False, width=25)
    for layer in made.layers:
        for weight in (*layer.inputs, layer.output, layer.hidden):
            assert 0.07 < float(weight.detach().abs().max()) <= 0.08
        i, f, g, o = layer.bias.detach().chunk(4)
        assert f.eq(1).all()
        assert all(0 < float(part.abs().max()) <= 0.08 for part in (i, g, o))
    drawn = encoder(double=False, width=25, weights="torch", forget=None)
    assert 0.08 < float(drawn.layers[0].hidden.detach().abs().max()) <= 125**-0.5
    assert float(drawn.layers[0].bias.detach().abs().max()) <= 125**-0.5


def test_dropout_is_of_every_layers_outputs_in_training():
    made, x = encoder(width=20, layers=1, dropout=0.5), clips()
    whole = made.eval().sequence(x)
    dropped = made.train().sequence(x)
    kept = dropped != 0
    torch.testing.assert_close(dropped[kept], 2 * whole[kept])
    assert 0.4 < float(kept.double().mean()) < 0.6
    assert not torch.equal(kept[:, 0], kept[:, 1])  # anew for each frame
    two = encoder(width=20, layers=2, dropout=0.5).train()
    own = two.sequence(x)
    again = two.sequence(x)
    both = (own != 0) & (again != 0)
    assert not torch.allclose(own[both], again[both])  # what the layer below dropped is another half


@pytest.mark.parametrize("gate", GATES)
def test_half_precision_is_near_the_whole(gate):
    network = Network(encoder(double=False, width=8, forget_gate=gate), nn.Identity()).eval()
    x = clips().float()
    whole = network.features(x)
    network.bfloat16_encoder = True
    half = network.sequence(x)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half[:, -1], whole, rtol=0.05, atol=0.01)


@pytest.mark.parametrize("gate", GATES)
def test_compiled_it_is_one_graph_of_the_same_values(gate):
    made, x, lengths = encoder(width=3, forget_gate=gate), clips(), torch.tensor([6, 4, 1, 2])
    compiled = torch.compile(made, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x, lengths), made(x, lengths))
