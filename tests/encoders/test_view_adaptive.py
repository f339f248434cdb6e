"""The view-adaptation layer against values of its formula, a loop over frames, and the counts of the public code."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from skelpipe import layouts
from skelpipe.clips.augment import AUGMENTATIONS
from skelpipe.encoders.recurrent import RecurrentOptions
from skelpipe.encoders.view_adaptive import ViewAdaptive, ViewAdaptiveOptions, noisy, translated, turned, turns
from skelpipe.errors import BadInput
from skelpipe.layouts.base import Layout
from skelpipe.layouts.kinect_v2 import KINECT_V2
from skelpipe.methods.network import initialise
from skelpipe.training.recipe import load_recipe

ANGLES, SHIFT = (0.1, 0.2, 0.3), (0.4, -0.5, 0.6)
MAIN = RecurrentOptions(cell="lstm", layers=1, width=4, direction="uni", pooling="mean_valid")


def chain(joints, coordinates=3, confidence=False):
    """A layout of so many joints in a row."""
    names, numbers = tuple(map(str, range(joints))), tuple(range(joints))
    return Layout("chain", names, (0, *numbers[:-1]), numbers, (0,), ((0,), (0,)), (0,), (), coordinates, confidence)


def layer(layout=None, bodies=1, **options):
    """An encoder in float64, in eval mode."""
    torch.manual_seed(0)
    made = ViewAdaptive(layout or chain(2), ViewAdaptiveOptions(**{"main": MAIN, "width": 5, **options}), bodies)
    return made.double().eval()


def fixed(**options):
    """One whose branches say the same of every frame."""
    made = layer(**options)
    with torch.no_grad():
        for branch, said in ((made.rotation, ANGLES), (made.translation, SHIFT)):
            if branch is not None:
                branch.frame.weight.zero_()
                branch.frame.bias.copy_(torch.tensor(said))
    return made


def clip(*points, frames=2):
    """(1, 3, T, V, 1), the same points in every frame."""
    x = torch.tensor(points, dtype=torch.float64).t()[None, :, None, :, None]
    return x.expand(-1, -1, frames, -1, -1).contiguous()


def seen(made, *points):
    """Where the layer moves points, the same in every frame: (V, 3)."""
    found = made.move(clip(*points)).detach()
    assert torch.equal(found[:, :, 0], found[:, :, 1])
    return found[0, :, 0, :, 0].t()


def assert_is(found, *expected, atol=6e-7):
    torch.testing.assert_close(found, torch.tensor(expected, dtype=found.dtype), rtol=0, atol=atol)


TURN = ((0.950564, -0.270681, 0.152184), (0.294044, 0.942155, -0.160881), (-0.099833, 0.197677, 0.975170))
BACK = ((0.936293, 0.312992, -0.159345), (-0.289629, 0.944702, 0.153792), (0.198669, -0.097843, 0.975170))


@pytest.mark.parametrize(("convention", "expected"), [("keras", TURN), ("torch", BACK)])
def test_the_turn_is_that_of_the_public_code(convention, expected):
    made = fixed(layout=chain(3), translate=False, convention=convention)
    assert_is(seen(made, (1, 0, 0), (0, 1, 0), (0, 0, 1)).t(), *expected)


def test_points_are_shifted_then_turned():
    assert_is(seen(fixed(), (1, 2, 3), (1, 0, 3)), (1.472630, 1.245720, 3.667362), (1.878652, -0.167512, 3.370846))
    back = fixed(convention="torch", mask="none")
    assert_is(seen(back, (1, 2, 3), (0, 0, 0))[:1], (0.961827, 2.557079, 2.215002))


def test_the_mask_says_what_is_not_shifted():
    points = (1, 0, 3), (0, 0, 0)
    moved = {mask: seen(fixed(rotate=False, mask=mask), *points) for mask in ("coordinate", "joint", "none")}
    assert_is(moved["coordinate"], (1.4, 0, 3.6), (0, 0, 0))
    assert_is(moved["joint"], (1.4, -0.5, 3.6), (0, 0, 0))
    assert_is(moved["none"], (1.4, -0.5, 3.6), (0.4, -0.5, 0.6))


def test_the_random_turn_of_training_clips_is_the_same_composition():
    """Its angles are about x, y and z, the branch's about y, x and z."""
    x = clip((1, 0, 0), (0, 1, 0), (0, 0, 1)).float().numpy()
    AUGMENTATIONS["tilt"].apply(x, np.array([[0.2, 0.1, 0.3]]), None, {})
    assert_is(torch.from_numpy(x[0, :, 0, :, 0]), *TURN, atol=1e-6)


def test_a_picture_is_turned_in_its_plane():
    points = torch.tensor([[1.0, 0.0], [0.0, 2.0]], dtype=torch.float64).t()[None, :, None, :, None]
    found = turned(points, turns(torch.tensor([[[0.3]]], dtype=torch.float64)))[0, :, 0, :, 0].t()
    c, s = math.cos(0.3), math.sin(0.3)
    assert_is(found, (c, s), (-2 * s, 2 * c))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def by_hand(made, x):
    """The layer frame by frame: x (T, M, V, 3) -> the same shape, by NumPy and with an LSTM of one bias vector."""
    out, said = x.copy(), {}
    for name, branch in (("turn", made.rotation), ("shift", made.translation)):
        weights = {key: value.detach().numpy() for key, value in branch.named_parameters()}
        h = c = np.zeros(branch.cell.hidden_size)
        said[name] = []
        for frame in x:
            gates = weights["cell.weight_ih_l0"] @ frame.ravel() + weights["cell.weight_hh_l0"] @ h
            i, f, g, o = np.split(gates + weights["cell.bias_ih_l0"], 4)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
            said[name].append(weights["frame.weight"] @ h + weights["frame.bias"])
    for t, ((y, x_, z), shift) in enumerate(zip(said["turn"], said["shift"], strict=True)):
        about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
        about_x = np.array([[1, 0, 0], [0, np.cos(x_), -np.sin(x_)], [0, np.sin(x_), np.cos(x_)]])
        about_z = np.array([[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]])
        out[t] = np.where(x[t] != 0, x[t] + shift, 0) @ (about_z @ about_y @ about_x).T
    return out


def test_two_bodies_frame_by_frame_are_moved_as_by_hand():
    made = layer(chain(3), bodies=2)
    frames = np.random.default_rng(0).normal(size=(6, 2, 3, 3))
    frames[1, 1] = frames[4:] = 0  # a body that is missing, and padding
    frames[0, 0, 1, 2] = 0
    x = torch.from_numpy(frames).permute(3, 0, 2, 1)[None]
    expected = by_hand(made, frames)
    np.testing.assert_allclose(made.move(x)[0].permute(1, 3, 2, 0).detach(), expected, rtol=0, atol=1e-12)
    assert not np.allclose(expected[0], frames[0], atol=1e-2)
    assert np.abs(expected[0] - expected[2]).max() > 1e-3  # not every frame alike
    assert np.all(expected[1, 1] == 0)
    assert np.all(expected[4:] == 0)


def test_gradients_are_those_of_finite_differences():
    made = layer(chain(1), mask="joint", width=2)
    drawn = torch.Generator().manual_seed(3)
    x = torch.randn(2, 3, 3, 1, 1, dtype=torch.float64, generator=drawn)
    x[1, 0, 1] = 0
    named = {name: value for name, value in made.named_parameters() if not name.startswith("main")}

    def features(*changed):
        return torch.func.functional_call(made, dict(zip(named, changed, strict=True)), (x, torch.tensor([3, 2])))

    assert torch.autograd.gradcheck(features, [*named.values()])
    said = [torch.randn(2, 3, 3, dtype=torch.float64, generator=drawn).requires_grad_() for _ in range(2)]
    assert torch.autograd.gradcheck(lambda a, s: turned(translated(x, s, "coordinate"), turns(a)), said)


def test_it_begins_by_changing_nothing_and_branches_learn_at_once():
    made = load_recipe("va_rnn", ["encoder.noise=0.5"]).build_method(KINECT_V2, 60).network
    x = torch.randn(2, 3, 7, 25, 2)
    for mode in (True, False):
        assert torch.equal(made.encoder.train(mode).move(x), x)
    made.train().scores(x, torch.tensor([7, 4])).square().sum().backward()
    for branch in (made.encoder.rotation, made.encoder.translation):
        assert branch.frame.weight.grad.abs().max() > 0


def test_noise_is_read_in_training_and_not_moved():
    x = torch.randn(4, 3, 50, 25, 2)
    x[:, :, 10:20] = x[:, 1, 5] = 0
    torch.manual_seed(1)
    added = noisy(x, 0.075) - x
    assert torch.all(added[x == 0] == 0)
    assert added[x != 0].std() == pytest.approx(0.075, rel=0.02)
    assert abs(float(added[x != 0].mean())) < 1e-3
    made = layer(chain(25), bodies=2, dropout=0.0, noise=0.5).float()
    still = made.move(x)
    assert torch.equal(made.move(x), still)
    first, second = made.train().move(x), made.move(x)
    assert not torch.equal(first, second)
    # The lengths of bodies' bones are those without noise: a frame is only turned and shifted.
    bones = [(moved[:, :, 0, 1:, 0] - moved[:, :, 0, :-1, 0]).norm(dim=1) for moved in (first, x)]
    torch.testing.assert_close(bones[0], bones[1], rtol=1e-4, atol=1e-5)
    quiet = layer(chain(25), bodies=2, dropout=0.0, noise=0.0).float().train()
    assert torch.equal(quiet.move(x), quiet.eval().move(x))


def test_noise_is_read_beside_a_confidence_which_has_none():
    made = layer(chain(2, confidence=True), dropout=0.0, noise=0.5)
    x = torch.randn(2, 4, 5, 2, 1, dtype=torch.float64)
    assert not torch.equal(made.train().move(x), made.eval().move(x))
    assert torch.equal(made.train().move(x)[:, 3], x[:, 3])
    x[:, :3] = 0  # so that only a confidence is read, and only what is said of it can differ
    options = {"dropout": 0.0, "noise": 0.5, "mask": "none"}
    made = layer(chain(2, confidence=True), **options)
    assert torch.equal(made.train().move(x), made.eval().move(x))


def test_dropout_is_the_branches_own():
    made = layer(noise=0.0, dropout=0.5).train()
    x = torch.randn(2, 3, 5, 2, 1, dtype=torch.float64)
    assert not torch.equal(made.move(x), made.move(x))
    assert torch.equal(made.eval().move(x), made.move(x))


def test_it_has_as_many_weights_as_the_public_code():
    method = load_recipe("va_rnn").build_method(KINECT_V2, 60)
    count = {name: sum(p.numel() for p in part.parameters()) for name, part in method.network.encoder.named_children()}
    classifier = sum(p.numel() for p in method.network.projector.parameters())
    assert sum(count.values()) + classifier == 468_666
    assert count["main"] + classifier == 267_260
    two = load_recipe("va_rnn", ["encoder.biases=two", "encoder.main.biases=two"]).build_method(KINECT_V2, 60)
    assert sum(p.numel() for p in two.parameters()) == 468_666 + 5 * 400
    assert {name: count[name] for name in ("rotation", "translation")} == dict.fromkeys(
        ("rotation", "translation"), 4 * 100 * (150 + 100 + 1) + 303
    )


def test_weights_start_as_the_public_code_draws_them():
    torch.manual_seed(0)
    network = load_recipe("va_rnn").build_method(KINECT_V2, 60).network
    encoder = network.encoder
    cells = [encoder.rotation.cell, encoder.translation.cell, *(layer[0] for layer in encoder.main.cells)]
    for cell in cells:
        bound = math.sqrt(6 / (cell.input_size + 400))
        assert 0.98 * bound < float(cell.weight_ih_l0.detach().abs().max()) <= bound
        eye = cell.weight_hh_l0.detach().t() @ cell.weight_hh_l0.detach() * 1e6
        torch.testing.assert_close(eye, torch.eye(100), rtol=0, atol=1e-4)
        assert cell.bias_ih_l0.tolist() == [0.0] * 100 + [1.0] * 100 + [0.0] * 200
        assert cell.bias_hh_l0.tolist() == [0.0] * 400
        assert not isinstance(cell.bias_hh_l0, nn.Parameter)
    assert not torch.equal(cells[0].weight_ih_l0, cells[1].weight_ih_l0)
    assert all(not branch.frame.bias.any() for branch in (encoder.rotation, encoder.translation))
    assert float(network.projector.weight.detach().abs().max()) == pytest.approx(math.sqrt(6 / 160), rel=0.01)
    assert not network.projector.bias.any()


def test_what_stands_behind_a_clip_does_not_change_its_feature():
    made = layer(chain(3), bodies=2)
    x = torch.randn(2, 3, 9, 3, 2, dtype=torch.float64)
    x[1, :, 5:] = 0
    found = made(x, torch.tensor([9, 5]))
    torch.testing.assert_close(found[1:], made(x[1:, :, :5]))
    torch.testing.assert_close(found[:1], made(x[:1]))
    torch.testing.assert_close(made.sequence(x, torch.tensor([9, 5]))[1:, :5], made.sequence(x[1:, :, :5]))
    assert not torch.allclose(made(x)[1], found[1])


@pytest.mark.parametrize("name", layouts.LAYOUTS)
def test_every_layout_keeps_its_confidence(name):
    layout = layouts.find_layout(name)
    made = layer(layout, bodies=2, mask="joint")
    x = torch.randn(2, layout.channels, 5, len(layout.joints), 2, dtype=torch.float64)
    moved = made.move(x)
    assert moved.shape == x.shape
    assert made(x).shape == (2, 4)
    assert torch.equal(moved[:, layout.coordinates :], x[:, layout.coordinates :])
    points = slice(0, layout.coordinates)
    assert not torch.allclose(moved[:, points], x[:, points])
    for a, b in ((0, 1), (2, 5)):  # what is turned and shifted keeps its distances
        apart = [(y[:, points, :, a, 0] - y[:, points, :, b, 1]).norm(dim=1) for y in (moved, x)]
        torch.testing.assert_close(apart[0], apart[1])


def test_it_stands_in_front_of_any_encoder():
    for main in ({"name": "stgcn", "width": 2, "features": 8}, {"name": "temporal", "width": 4, "features": 6}):
        options = ViewAdaptiveOptions.model_validate({"main": main})
        made = ViewAdaptive(KINECT_V2, options, 2).eval()
        initialise(made, "torch")
        x = torch.randn(2, 3, 16, 25, 2)
        assert made(x, torch.tensor([16, 9])).shape == (2, made.features)
        torch.testing.assert_close(made(x), made.main(x))  # it starts by changing nothing
        found = made.feature_map(x)
        torch.testing.assert_close(made.pool(found, 2), made.main(x))
        assert [made.gives(name, options) for name in ("sequence", "feature_map", "pool")] == [False, True, True]
    assert ViewAdaptive.gives("sequence", ViewAdaptiveOptions())
    assert not ViewAdaptive.gives("feature_map", ViewAdaptiveOptions())
    load_recipe("aimclr", ["encoder={name: view_adaptive, main: {name: stgcn}}"])
    with pytest.raises(BadInput, match="needs one that has feature_map and pool, as view_adaptive has not"):
        load_recipe("aimclr", ["encoder={name: view_adaptive}"])
    with pytest.raises(BadInput, match="supervised_frames needs one that has sequence, as view_adaptive has not"):
        load_recipe("va_rnn", ["encoder.main={name: stgcn}"])


def test_mistakes_are_named():
    with pytest.raises(BadInput, match=r"encoder: rotate: without it and translate the layer does nothing"):
        load_recipe("va_rnn", ["encoder.rotate=false", "encoder.translate=false"])
    with pytest.raises(BadInput, match=r"encoder.main: unknown name 'view_adaptive'"):
        load_recipe("va_rnn", ["encoder.main={name: view_adaptive}"])
    with pytest.raises(BadInput, match=r"encoder.main.widht: unknown key \(did you mean 'width'\?\)"):
        load_recipe("va_rnn", ["encoder.main.widht=3"])
    with pytest.raises(BadInput, match=r"encoder.mask: .*not 'joints' \(did you mean 'joint'\?\)") as caught:
        load_recipe("va_rnn", ["encoder.mask=joints"])
    assert "\n" not in str(caught.value)
