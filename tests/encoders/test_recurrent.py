"""The recurrent encoder against values of the public code's modules, and lengths against each clip alone.

Weights and inputs of the values: every parameter, biases too, is p.flat[i] = 0.3 sin(i + 1).
"""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from skelpipe.encoders.recurrent import Recurrent, RecurrentOptions, own_frames, reverse
from skelpipe.errors import BadInput
from skelpipe.layouts.base import Layout
from skelpipe.layouts.kinect_v2 import KINECT_V2
from skelpipe.methods.network import Network, initialise, projector
from skelpipe.training.recipe import load_recipe


def chain(joints, coordinates):
    """A layout of so many joints in a row."""
    names, numbers = tuple(map(str, range(joints))), tuple(range(joints))
    return Layout("chain", names, (0, *numbers[:-1]), numbers, (0,), ((0,), (0,)), (0,), (), coordinates)


def count(module):
    return sum(p.numel() for p in module.parameters())


def wave(n):
    """sin(i) + 0.5 cos(i²)."""
    i = torch.arange(n, dtype=torch.float64)
    return torch.sin(i) + 0.5 * torch.cos(i**2)


def sine(start, stop):
    return torch.sin(torch.arange(start, stop, dtype=torch.float64))


def encoder(joints, coordinates, signs=(1, 1), **options):
    """One whose first and second direction have those signs before all their weights, in float64."""
    made = Recurrent(chain(joints, coordinates), RecurrentOptions(**options), 1).double().eval()
    with torch.no_grad():
        for layer in made.cells:
            for sign, cell in zip(signs, layer, strict=False):
                for p in cell.parameters():
                    p.copy_((sign * 0.3 * torch.sin(torch.arange(1, p.numel() + 1, dtype=p.dtype))).view_as(p))
    return made


def clip(frames, joints, coordinates):
    """Frames (T, V·C), the coordinate running fastest -> (1, C, T, V, 1)."""
    return frames.view(-1, joints, coordinates).permute(2, 0, 1)[None, ..., None]


def assert_is(found, *expected):
    torch.testing.assert_close(found.flatten(), torch.tensor(expected, dtype=torch.float64), rtol=0, atol=2e-6)


def test_isc_gru_read_frame_by_frame():
    """Its carried state makes the second direction read forwards too."""
    gru = encoder(1, 2, (1, -1), cell="gru", layers=2, width=3, direction="two_forward", pooling="last")
    x = clip(sine(0, 8), 1, 2)
    assert_is(gru(x), 0.406913, 0.347531, 0.087173, -0.241632, -0.270188, -0.012500)
    assert torch.equal(gru(x), gru.sequence(x)[:, -1])


def test_a_gru_of_both_directions():
    gru = encoder(1, 2, (1, -1), cell="gru", layers=2, width=3, direction="bi", pooling="final")
    assert_is(gru(clip(sine(0, 8), 1, 2)), 0.409579, 0.351487, 0.117371, -0.184064, -0.242453, 0.036052)


def test_predict_and_clusters_final_states_of_clips_of_two_lengths():
    gru = encoder(2, 2, cell="gru", layers=3, width=3, direction="bi", pooling="final")
    x = torch.cat([clip(sine(0, 20), 2, 2), clip(nn.functional.pad(sine(20, 32), (0, 8)), 2, 2)])
    found = gru(x, torch.tensor([5, 3]))
    assert_is(found[0], 0.451123, 0.366076, 0.263474, 0.439144, 0.388923, 0.309886)
    torch.testing.assert_close(found[1:], gru(x[1:, :, :3]))


@pytest.mark.parametrize(
    ("pooling", "padding", "values"),
    [("mean", "read", (-0.186390, -0.058177)), ("last", "skip", (-0.274007, -0.018973))],
)
def test_as_cals_lstm(pooling, padding, values):
    lstm = encoder(1, 3, cell="lstm", layers=1, width=2, direction="uni", pooling=pooling, padding=padding)
    assert_is(lstm(clip(wave(12), 1, 3)), *values)


def test_ms2ls_mean_over_valid_frames_of_a_gru_that_read_all():
    """Its divisor is F + 0.01."""
    how = {"cell": "gru", "layers": 1, "width": 2, "direction": "bi", "pooling": "mean_valid", "padding": "read"}
    gru, plain, x = encoder(1, 3, **how, excess=0.01), encoder(1, 3, **how), clip(wave(12), 1, 3)
    found = gru(x, torch.tensor([3]))
    assert_is(found, -0.235400, -0.248136, -0.341480, -0.219846)
    torch.testing.assert_close(plain(x, torch.tensor([3])), found * 3.01 / 3)
    torch.testing.assert_close(gru(x), plain(x) * 4 / 4.01)


POOLINGS = [("last", "skip"), ("final", "skip"), ("mean_valid", "skip"), ("last", "read"), ("final", "read"),
            ("mean_valid", "read"), ("mean", "read")]  # fmt: skip


@pytest.mark.parametrize(("pooling", "padding"), POOLINGS)
@pytest.mark.parametrize("lengths", [None, torch.tensor([4, 2, 1])])
def test_a_sequence_is_pooled_to_the_feature(pooling, padding, lengths):
    gru = encoder(2, 2, cell="gru", layers=2, width=3, direction="bi", pooling=pooling, padding=padding)
    x = clip(sine(0, 48), 6, 2).reshape(3, 2, 4, 2, 1)
    torch.testing.assert_close(gru.pool_sequence(gru.sequence(x, lengths), lengths), gru(x, lengths), rtol=0, atol=0)
    assert gru.inputs == 4


def test_published_sizes():
    bodies = {"layout": KINECT_V2, "bodies": 2}
    isc = Recurrent(options=RecurrentOptions(direction="two_forward"), **bodies)
    assert (count(isc), isc.features) == (44_998_656, 2048)
    assert count(projector(2048, 2048, 128)) == 4_458_624
    ascal = RecurrentOptions(cell="lstm", layers=1, width=256, direction="uni", pooling="mean", padding="read")
    assert (count(Recurrent(options=ascal, **bodies)), Recurrent(options=ascal, **bodies).features) == (417_792, 256)
    ms2l = RecurrentOptions(layers=2, width=300, pooling="mean_valid", padding="read")
    assert count(Recurrent(options=ms2l, **bodies)) == 2_437_200
    assert Recurrent(KINECT_V2, RecurrentOptions(layers=1, width=4), 1).cells[0][0].input_size == 75


def test_both_directions_are_torchs_own():
    torch.manual_seed(0)
    mine = Recurrent(KINECT_V2, RecurrentOptions(layers=2, width=5, pooling="final", order="mvc"), 2)
    theirs = nn.GRU(150, 5, 2, batch_first=True, bidirectional=True)
    for number, layer in enumerate(mine.cells):
        for ending, cell in zip(("", "_reverse"), layer, strict=True):
            for name, value in cell.named_parameters():
                getattr(theirs, f"{name[:-1]}{number}{ending}").data.copy_(value)
    x, lengths = torch.randn(3, 3, 7, 25, 2), torch.tensor([7, 4, 1])
    packed = nn.utils.rnn.pack_padded_sequence(
        x.permute(0, 2, 4, 3, 1).flatten(2), lengths, batch_first=True, enforce_sorted=False
    )
    outputs, states = theirs(packed)
    torch.testing.assert_close(mine(x, lengths), torch.cat([states[-2], states[-1]], 1), rtol=1e-5, atol=1e-6)
    padded = nn.utils.rnn.pad_packed_sequence(outputs, batch_first=True)[0]
    torch.testing.assert_close(mine.sequence(x, lengths), padded, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("pooling", ["last", "final", "mean_valid"])
@pytest.mark.parametrize("direction", ["uni", "bi", "two_forward"])
@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_padding_does_not_matter_to_a_clip(cell, direction, pooling):
    torch.manual_seed(0)
    options = RecurrentOptions(cell=cell, layers=2, width=4, direction=direction, pooling=pooling)
    made = Recurrent(KINECT_V2, options, 2).double()
    x, lengths = torch.randn(4, 3, 9, 25, 2, dtype=torch.float64), torch.tensor([9, 5, 2, 1])
    found, frames = made(x, lengths), made.sequence(x, lengths)
    assert frames.shape == (4, 9, made.features)
    for n, length in enumerate(lengths.tolist()):
        alone = x[n : n + 1, :, :length]
        torch.testing.assert_close(found[n : n + 1], made(alone))
        torch.testing.assert_close(frames[n : n + 1, :length], made.sequence(alone))
        assert not frames[n, length:].any()
    torch.testing.assert_close(made(x, torch.full((4,), 9)), made(x))
    reading = Recurrent(KINECT_V2, RecurrentOptions(**{**options.model_dump(), "padding": "read"}), 2).double()
    reading.load_state_dict(made.state_dict())
    apart = float((reading(x, lengths)[1:] - found[1:]).detach().abs().max())
    # Read forwards, the frames of a clip are not touched by those behind it.
    assert (apart > 1e-3) == (pooling != "mean_valid" or direction == "bi")


def test_the_order_of_a_frames_numbers():
    """v·6 + c·2 + m (ISC), c·50 + v·2 + m (AS-CAL), m·75 + v·3 + c (VA-RNN)."""
    x = torch.randn(2, 3, 4, 25, 2)
    for order, place in {
        "vcm": lambda c, v, m: v * 6 + c * 2 + m,
        "cvm": lambda c, v, m: c * 50 + v * 2 + m,
        "mvc": lambda c, v, m: m * 75 + v * 3 + c,
    }.items():
        made, seen = Recurrent(KINECT_V2, RecurrentOptions(layers=1, width=2, order=order), 2), []
        made.cells[0][0].register_forward_pre_hook(lambda module, inputs, seen=seen: seen.append(inputs[0]))
        made(x)
        for c, v, m in [(0, 0, 1), (1, 0, 0), (2, 24, 1), (1, 7, 0)]:
            assert torch.equal(seen[0][:, :, place(c, v, m)], x[:, c, :, v, m])


def test_frames_in_reverse_and_own_frames():
    x = torch.arange(10.0).view(2, 5, 1)
    assert reverse(x, torch.tensor([3, 5])).flatten().tolist() == [2, 1, 0, 3, 4, 9, 8, 7, 6, 5]
    assert own_frames(x, torch.tensor([2, 0])).flatten().tolist() == [1, 1, 0, 0, 0, 0, 0, 0, 0, 0]


def test_a_mean_over_all_frames_reads_them():
    with pytest.raises(ValueError, match="take mean_valid, or padding: read"):
        RecurrentOptions(pooling="mean")


def test_xavier_draws_what_has_two_axes():
    torch.manual_seed(0)
    network = Network(Recurrent(KINECT_V2, RecurrentOptions(layers=1, width=64), 2), projector(128, 128, 16))
    initialise(network, "xavier")
    for name, p in network.named_parameters():
        bound = (6 / sum(p.shape)) ** 0.5 if p.dim() == 2 else None
        if bound is not None:
            assert 0.97 * bound < float(p.detach().abs().max()) <= bound, name
    torch_bound = 1 / 64**0.5
    assert 0.9 * torch_bound < float(network.encoder.cells[0][0].bias_ih_l0.detach().abs().max()) <= torch_bound


def test_a_network_tells_lengths_and_gives_frames():
    torch.manual_seed(0)
    network = Network(Recurrent(KINECT_V2, RecurrentOptions(layers=1, width=8), 2), projector(16, 16, 4))
    x, lengths = torch.randn(3, 3, 6, 25, 2), torch.tensor([6, 3, 1])
    assert torch.equal(network(x, lengths), network.embed(network.encoder(x, lengths)))
    assert not torch.equal(network(x, lengths), network(x))
    network.bfloat16_encoder = True
    assert network.sequence(x, lengths).dtype == network(x, lengths).dtype == torch.float32


def test_a_recipe_takes_it():
    recipe = load_recipe("skeletonclr", ["encoder={name: recurrent, layers: 1, width: 4}", "method.queue_size=8"])
    network = recipe.build_network(KINECT_V2, 4)
    assert isinstance(network.encoder, Recurrent)
    assert network.encoder.cells[0][0].input_size == 150
    assert network.projector[0].in_features == 8
    with pytest.raises(BadInput, match="encoder: aimclr needs one that has feature_map and pool, as recurrent has not"):
        load_recipe("aimclr", ["encoder={name: recurrent}"])


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_one_vector_of_biases_is_two_of_which_the_second_is_zero(cell):
    torch.manual_seed(0)
    options = {"cell": cell, "layers": 2, "width": 3, "direction": "uni", "pooling": "mean_valid"}
    two = Recurrent(chain(2, 3), RecurrentOptions(**options), 1).double()
    one = Recurrent(chain(2, 3), RecurrentOptions(**options, biases="one"), 1).double()
    assert count(two) - count(one) == 2 * 3 * (3 if cell == "gru" else 4)
    with torch.no_grad():
        for layer in two.cells:
            layer[0].bias_hh_l0.zero_()
    one.load_state_dict(two.state_dict())
    x = torch.randn(2, 3, 5, 2, 1, dtype=torch.float64)
    for made in (two, one, copy.deepcopy(one)):
        torch.testing.assert_close(made(x), two(x), rtol=0, atol=0)
    torch.optim.SGD(one.parameters(), 0.1).zero_grad()
    one(x).square().sum().backward()
    two(x).square().sum().backward()
    for (name, mine), (_, theirs) in zip(
        one.cells[0][0].named_parameters(), two.cells[0][0].named_parameters(), strict=False
    ):
        torch.testing.assert_close(mine.grad, theirs.grad, msg=name)
    for layer in one.cells:
        assert "bias_hh_l0" not in dict(layer[0].named_parameters())
        layer[0].reset_parameters()
        assert not layer[0].bias_hh_l0.any()
