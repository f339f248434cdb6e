"""MS2L: its losses against values of the public code and by hand, their gradients, its choices, and its recipes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from skelpipe import ranks
from skelpipe.clips.batches import Batch
from skelpipe.clips.views import build_view, render_view
from skelpipe.errors import BadInput
from skelpipe.layouts import find_layout
from skelpipe.layouts.kinect_v2 import KINECT_V2
from skelpipe.methods.ms2l import MS2L, Head, MotionHead, MS2LOptions, motion_loss, nt
from skelpipe.methods.network import Network, initialise
from skelpipe.training.recipe import load_recipe

TOY = ["encoder.width=3", "method.hidden=5", "method.size=4", "batch_size=4"]


def sine(start, *shape):
    count = math.prod(shape)
    return torch.sin(torch.arange(start, start + count, dtype=torch.float64)).view(*shape)


def made(name="small_ms2l", *sets, layout=KINECT_V2, seed=0):
    torch.manual_seed(seed)
    return load_recipe(name, [*TOY, *sets]).build_method(layout, 4)


def random_batch(lengths=None, frames=9, layout=KINECT_V2, bodies=1, seed=0):
    """Views of random clips; of lengths, nothing stands behind the clips' own frames."""
    n = 4
    size = (n, layout.channels, frames, len(layout.joints), bodies)
    clips = np.random.default_rng(seed).normal(size=size).astype(np.float32)
    ids, own = np.arange(n), None if lengths is None else np.array(lengths)
    batch = Batch({}, torch.zeros(n, dtype=torch.long))
    for number, (name, steps) in enumerate({"whole": [], "masked": ["tail_mask"], "jumbled": ["jigsaw"]}.items()):
        found = render_view(clips, ids, ids, build_view(steps), "joint", layout, 0, 1, number, valid=own)
        batch.views[name] = torch.from_numpy(found.clips)
        batch.targets[name] = {key: torch.from_numpy(value) for key, value in found.targets.items()}
        if found.lengths is not None:
            batch.lengths[name] = torch.from_numpy(found.lengths)
    return batch


@pytest.fixture
def in_float64(monkeypatch):
    """Networks give what their encoders do, in float64."""
    monkeypatch.setattr(Network, "sequence", lambda self, x, lengths=None: self.encoder.sequence(x, lengths))

    def doubled(method, batch):
        views = {name: x.double() for name, x in batch.views.items()}
        clip = {"clip": batch.targets["masked"]["clip"].double()}
        return method.double(), Batch(views, batch.labels, batch.lengths, {**batch.targets, "masked": clip})

    return doubled


# ---- the contrast


def test_the_contrast_has_the_public_codes_values():
    z, masked, jumbled = (sine(start, 3, 4) for start in (0, 20, 40))
    mean = (z + masked + jumbled) / 3
    found = [float(nt(x, mean, 0.9, "minus_one")) for x in (z, masked, jumbled)]
    assert found == pytest.approx([1.188103, 0.666815, 1.253026], abs=1e-6)
    assert np.mean([float(nt(x, mean, 0.9, "left_out")) for x in (z, masked, jumbled)]) == pytest.approx(
        0.974503, abs=1e-6
    )


@pytest.mark.parametrize("itself", ["left_out", "minus_one"])
def test_the_contrast_by_hand(itself):
    """Angles of x: 0°, 90°; of y: 30°, 150°."""

    def e(degrees):
        return math.exp(math.cos(math.radians(degrees)) / 0.5)

    def unit(*degrees):
        angle = torch.deg2rad(torch.tensor(degrees, dtype=torch.float64))
        return torch.stack([3 * angle.cos(), 3 * angle.sin()], dim=1)  # lengths do not matter

    extra = math.exp(-1 / 0.5) if itself == "minus_one" else 0
    terms = [
        e(30) / (e(30) + e(150) + e(90) + extra),  # x_0 with y_0; among y_0, y_1, x_1
        e(60) / (e(60) + e(60) + e(90) + extra),
        e(30) / (e(30) + e(60) + e(120) + extra),  # y_0
        e(60) / (e(60) + e(150) + e(120) + extra),
    ]
    expected = -np.mean(np.log(terms))
    assert float(nt(unit(0, 90), unit(30, 150), 0.5, itself)) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("itself", ["left_out", "minus_one"])
def test_the_contrasts_gradient(itself):
    z = [sine(start, 3, 4).requires_grad_() for start in (0, 20, 40)]

    def contrast(*z):
        mean = torch.stack(z).mean(0)
        return sum(nt(x, mean, 0.9, itself) for x in z) / 3

    assert torch.autograd.gradcheck(contrast, z)
    through = torch.autograd.grad(contrast(*z), z[0])[0]
    held = torch.stack(z).mean(0).detach()
    assert not torch.allclose(through, torch.autograd.grad(nt(z[0], held, 0.9, itself) / 3, z[0])[0])


# ---- the motion


def test_the_motions_squares_by_hand():
    """Two clips of 4 frames of one number, of which 4 and 2 are their own; the second's are played again behind."""
    told = torch.tensor([[1.0, 2, 3, 4], [5, 6, 7, 8]]).unsqueeze(2)
    clip = torch.tensor([[1.0, 1, 1, 1], [5, 4, 5, 4]])[:, None, :, None, None]
    lengths = torch.tensor([4, 2])
    whole, half = 0 + 1 + 4 + 9, 0 + 4

    def loss(over, lengths=lengths):
        return float(motion_loss(told, clip, lengths, MS2LOptions(motion_over=over)))

    assert loss("own") == pytest.approx((whole / 4 + half / 2) / 2)
    assert loss("all") == pytest.approx((whole + half) / 8)
    assert loss("stored") == pytest.approx((whole + half + 25 + 16) / 8)
    for over in ("own", "all", "stored"):
        assert loss(over, None) == pytest.approx((whole + half + 4 + 16) / 8)


def test_the_motions_order_of_numbers_is_coordinate_joint_body():
    clip = sine(0, 2, 3, 4, 5, 2)
    told = torch.stack([clip[:, c, :, v, m] for c in range(3) for v in range(5) for m in range(2)], dim=2)
    assert float(motion_loss(told, clip, None, MS2LOptions())) == 0


@pytest.mark.parametrize("over", ["own", "all", "stored"])
def test_the_motions_gradient(over):
    told, clip = sine(0, 3, 5, 4).requires_grad_(), sine(70, 3, 2, 5, 2, 1)
    lengths, options = torch.tensor([5, 3, 1]), MS2LOptions(motion_over=over)
    assert torch.autograd.gradcheck(lambda told: motion_loss(told, clip, lengths, options), told)
    (grad,) = torch.autograd.grad(motion_loss(told, clip, lengths, options), told)
    assert not grad[1, 3:].any()
    assert grad[1, :3].all()
    (zeros,) = torch.autograd.grad(motion_loss(told, clip, lengths, MS2LOptions(motion_over="all")), told)
    assert torch.equal(grad, zeros) == (over != "own")  # what stands behind adds a constant


# ---- the whole method


def test_the_losses_are_those_of_their_parts(in_float64):
    """Each view through the encoder by itself, its frames summed up by hand."""
    method, batch = in_float64(made().train(), random_batch([9, 6, 3, 8]))
    losses = method.losses(batch, 1)
    lengths = batch.lengths["whole"]
    y = {name: method.network.encoder.sequence(x, lengths) for name, x in batch.views.items()}
    h = {name: y.sum(1) / lengths[:, None] for name, y in y.items()}
    away = (method.motion(y["masked"]) - batch.targets["masked"]["clip"].transpose(1, 2).flatten(2)).square()
    motion = sum(away[n, :length].mean() for n, length in enumerate(lengths)) / 4
    order = batch.targets["jumbled"]["order"]
    jigsaw = -method.jigsaw(h["jumbled"]).log_softmax(1)[range(4), order].mean()
    z = [method.contrast(h[name]) for name in MS2L.VIEWS]
    mean = (z[0] + z[1] + z[2]) / 3
    contrast = sum(nt(each, mean, 0.9, "left_out") for each in z) / 3
    for name, expected in (("motion", motion), ("jigsaw", jigsaw), ("contrast", contrast)):
        torch.testing.assert_close(losses[name], expected, rtol=1e-12, atol=0)
    total, log = method(batch, 1)
    torch.testing.assert_close(total, motion + jigsaw + contrast)
    right = (method.jigsaw(h["jumbled"]).argmax(1) == order).double().mean()
    assert set(log) == {"motion", "jigsaw", "contrast", "jigsaw_top1"}
    assert float(log["jigsaw_top1"]) == pytest.approx(float(right))


def test_the_gradients_are_those_of_finite_differences(in_float64):
    method, batch = in_float64(made("small_ms2l", "method.weights={motion: 2, jigsaw: 0.5}").train(), random_batch())
    parameters = [p for p in method.parameters() if p.requires_grad]
    assert len(parameters) == len(list(method.parameters()))
    grads = torch.autograd.grad(method(batch, 1)[0], parameters)
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        ways = [torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in parameters]
        found = []
        for step in (1e-5, -2e-5):
            with torch.no_grad():
                torch._foreach_add_(parameters, ways, alpha=step)
                found.append(float(method(batch, 1)[0]))
        torch._foreach_add_([p.data for p in parameters], ways, alpha=1e-5)
        expected = sum(float((grad * way).sum()) for grad, way in zip(grads, ways, strict=True))
        assert (found[0] - found[1]) / 2e-5 == pytest.approx(expected, rel=1e-6)


def test_what_stands_behind_a_clip_does_not_count():
    method, batch = made().train(), random_batch([9, 6, 3, 8])
    losses = method.losses(batch, 1)
    for views in (batch.views, {"clip": batch.targets["masked"]["clip"]}):
        for x in views.values():
            for n, length in enumerate(batch.lengths["whole"]):
                x[n, :, length:] = 7.0
    longer = random_batch([9, 6, 3, 8])
    longer.views = {name: nn.functional.pad(x, (0, 0, 0, 0, 0, 5)) for name, x in longer.views.items()}
    clip = nn.functional.pad(longer.targets["masked"]["clip"], (0, 0, 0, 0, 0, 5))
    longer.targets["masked"] = {"clip": clip}
    for other in (batch, longer):
        for name, loss in method.losses(other, 1).items():
            torch.testing.assert_close(loss, losses[name], msg=name)
    read = made("small_ms2l", "encoder.padding=read").train()
    apart = [read.losses(each, 1)["contrast"].detach() for each in (batch, random_batch([9, 6, 3, 8]))]
    assert not torch.equal(*apart)


def test_lengths_of_some_views_only():
    """A view that has none has only frames of the clips' own."""
    method, batch = made().train(), random_batch()
    losses = method.losses(batch, 1)
    batch.lengths["jumbled"] = torch.full((4,), 9)
    for name, loss in method.losses(batch, 1).items():
        torch.testing.assert_close(loss, losses[name], msg=name)


def test_two_ranks_contrast_all_clips(monkeypatch, in_float64):
    """Each with two of four clips; batch norm, which has the statistics of all, does not matter in eval mode."""
    method, batch = in_float64(made().eval(), random_batch())
    whole, gathered = method.losses(batch, 1), []
    monkeypatch.setattr(ranks, "gather_with_gradient", lambda x: gathered.append(x) or x)
    method.losses(batch, 1)
    everybody, found = list(gathered), []
    for part in (slice(0, 2), slice(2, 4)):
        rest = iter(everybody)
        monkeypatch.setattr(ranks, "gather_with_gradient", lambda x, rest=rest: next(rest))
        targets = {name: {key: value[part] for key, value in own.items()} for name, own in batch.targets.items()}
        views = {name: x[part] for name, x in batch.views.items()}
        found.append(method.losses(Batch(views, batch.labels[part], {}, targets), 1))
    for name, loss in whole.items():
        torch.testing.assert_close((found[0][name] + found[1][name]) / 2, loss, msg=name)


# ---- what it consists of


def count(module):
    return sum(p.numel() for p in module.parameters())


def test_published_sizes_and_first_weights():
    torch.manual_seed(0)
    method = load_recipe("ms2l").build_method(KINECT_V2, 60)
    sizes = [count(part) for part in (method.network, method.motion, method.jigsaw, method.contrast)]
    assert sizes == [2_437_200, 4_417_350, 1_247_238, 3_333_120]
    encoder = method.network.encoder
    assert encoder.features == 600
    for layer in encoder.cells:
        for cell in layer:
            inputs = cell.weight_ih_l0.shape[1]
            assert float(cell.weight_ih_l0.detach().abs().max()) == pytest.approx(
                math.sqrt(6 / (900 + inputs)), rel=1e-2
            )
            turns = cell.weight_hh_l0.detach()
            torch.testing.assert_close(turns.t() @ turns, torch.eye(300), rtol=0, atol=1e-4)
            assert not cell.bias_ih_l0.any()
            assert not cell.bias_hh_l0.any()
    for head, outputs in ((method.jigsaw, 6), (method.contrast, 1024)):
        for layer, fans in ((head[0], 600 + 2048), (head[3], 2048 + outputs)):
            assert float(layer.weight.detach().std()) == pytest.approx(math.sqrt(2 / fans), rel=2e-2)
            assert float(layer.weight.detach().abs().max()) > 3 * math.sqrt(2 / fans)  # normal, not uniform
            assert not layer.bias.any()
    for p in method.motion.parameters():
        assert float(p.detach().abs().max()) == pytest.approx(600**-0.5, rel=5e-2)  # torch's own


def test_what_is_evaluated_is_the_encoder_alone():
    method = made()
    assert method.evaluated is method.network
    assert {key.partition(".")[0] for key in method.evaluated.state_dict()} == {"encoder"}
    x = torch.randn(2, 3, 9, 25, 1)
    torch.testing.assert_close(method.network(x), nn.functional.normalize(method.network.features(x), dim=1))


def test_the_heads_shapes():
    assert MotionHead(6, 1, 10)(torch.randn(2, 5, 6)).shape == (2, 5, 10)
    head = Head(6, 8, 3)
    initialise(head, "xavier")
    assert head(torch.randn(4, 6)).shape == (4, 3)


@pytest.mark.parametrize("name", ["kinect_v1", "coco17", "openpose25"])
def test_layouts_of_other_joints_and_coordinates(name):
    layout = find_layout(name)
    method = made("small_ms2l", "bodies=2", layout=layout).train()
    assert method.motion.tell.out_features == layout.channels * len(layout.joints) * 2
    loss, _ = method(random_batch([9, 6, 3, 8], layout=layout, bodies=2), 1)
    loss.backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in method.parameters())


# ---- recipes


TAIL, CUT = "{tail_mask: {keep: 0.5}}", "{jigsaw: {segments: 4}}"


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (["views.masked=[shear]"], "views.masked: nothing in it brings the target 'clip'; tail_mask does"),
        (["views.jumbled=[shear]"], "views.jumbled: nothing in it brings the target 'order'; jigsaw does"),
        ([f"views.jumbled=[{CUT}]"], "method.segments: 3, but jigsaw cuts into 4"),
        (["views={whole: [], masked: [tail_mask]}"], "views: ms2l needs exactly whole, masked, jumbled"),
        (["views.whole=[{first: {frames: 20}}]"], "views: ms2l needs equally many frames of all three"),
        (["encoder={name: stgcn}"], "ms2l needs one that has sequence and pool_sequence, as stgcn has not"),
    ],
)
def test_a_recipe_that_does_not_fit_is_named(sets, message):
    with pytest.raises(BadInput, match=message) as caught:
        load_recipe("ms2l", sets)
    assert "\n" not in str(caught.value)


def test_other_numbers_of_segments():
    recipe = load_recipe("ms2l", [*TOY, "method.segments=4", f"views.jumbled=[{CUT}]", f"views.masked=[{TAIL}]"])
    assert recipe.build_method(KINECT_V2, 4).jigsaw[3].out_features == 24
