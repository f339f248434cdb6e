"""LongT GAN's reading LT-R: each loss by its formula, whom each of them teaches, and its view."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from skelpipe.clips.batches import Batch
from skelpipe.clips.views import build_view, render_view
from skelpipe.errors import BadInput
from skelpipe.layouts import LAYOUTS
from skelpipe.layouts.base import Layout
from skelpipe.layouts.kinect_v2 import KINECT_V2
from skelpipe.training.loop import train_step
from skelpipe.training.recipe import load_recipe

FOUR = Layout("four", ("a", "b"), (0, 0), (0, 1), (0,), ((0,), (1,)), (0,), (), 2)
TINY = ["encoder.width=3", "partner.width=2", "encoder.layers=2"]


def method(*changes, layout=FOUR):
    torch.manual_seed(0)
    return load_recipe("longt_gan", [*TINY, *changes]).build_method(layout, 2).train().double()


def batch(clips=4, frames=5):
    """Clips of several lengths, of which one joint was hidden behind the first frame."""
    torch.manual_seed(1)
    x = torch.randn(clips, 2, frames, 2, 1).double()
    lengths = torch.arange(clips) % 3 + frames - 2
    for n, length in enumerate(lengths):
        x[n, :, length:] = 0
    left = x.clone()
    left[:, :, 1:, 1] = 0
    mask = torch.zeros(clips, 1, frames, 2, 1, dtype=torch.bool)
    return Batch({"clip": left}, torch.zeros(clips), {"clip": lengths}, {"clip": {"clip": x, "mask": mask}})


def slopes(made, loss):
    made.zero_grad(set_to_none=True)
    loss.backward()
    return {name: p.grad.clone() for name, p in made.named_parameters() if p.grad is not None}


def told(made, given):
    """The decoder's frames, as of torch's own modules one after the other: (B, T, 4)."""
    x, left = given.targets["clip"]["clip"], given.views["clip"]
    feature = made.network.encoder(x, given.lengths["clip"])
    inputs = left.permute(0, 2, 3, 1, 4).flatten(2)
    return made.decoder.output(made.decoder.cell(inputs, feature[None])[0])


def critic(made, frames, lengths):
    """D's scores of single clips, cut to their own frames: (B,)."""
    clips = frames.view(*frames.shape[:2], 2, 2, 1).permute(0, 3, 1, 2, 4)
    return torch.stack([
        made.critic.projector(made.critic.encoder(clips[n : n + 1, :, :t]))[0, 0] for n, t in enumerate(lengths)
    ])  # fmt: skip


def test_the_losses_by_their_formulas():
    made, given = method(), batch()
    x, lengths = given.targets["clip"]["clip"], given.lengths["clip"].tolist()
    frames, made_up = x.permute(0, 2, 3, 1, 4).flatten(2), told(made, given)
    real, fake = (torch.sigmoid(critic(made, each, lengths)) for each in (frames, made_up))
    expected = {
        "reconstruction": torch.stack(
            [(made_up[n, :t] - frames[n, :t]).square().sum() / t for n, t in enumerate(lengths)]
        ).mean(),
        "adversarial": -fake.log().mean(),
        "discrimination": -real.log().mean() - (1 - fake).log().mean(),
    }
    found = made.losses(given, 1)
    assert list(found) == list(expected)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, msg=name)
    total = made(given, 1)[0]
    torch.testing.assert_close(
        total, expected["reconstruction"] + 1e-3 * expected["adversarial"] + expected["discrimination"]
    )
    apart = ((real > 0.5).sum() + (fake <= 0.5).sum()) / 8
    assert float(made.observed["told_apart"]) == pytest.approx(float(apart))


def test_whom_each_loss_teaches():
    """The generator's slopes are those of its own two losses, the critic's those of its own, as of two optimisers."""
    made, given = method("method.adversary=0.5"), batch()
    found = slopes(made, made(given, 1)[0])
    assert found.keys() == {name for name, _ in made.named_parameters()}
    x, lengths = given.targets["clip"]["clip"], given.lengths["clip"].tolist()
    frames = x.permute(0, 2, 3, 1, 4).flatten(2)
    ours = (
        made.losses(given, 1)["reconstruction"]
        - 0.5 * torch.sigmoid(critic(made, told(made, given), lengths)).log().mean()
    )
    generator = slopes(made, ours)
    fake = torch.sigmoid(critic(made, told(made, given).detach(), lengths))
    theirs = slopes(made, -torch.sigmoid(critic(made, frames, lengths)).log().mean() - (1 - fake).log().mean())
    assert theirs.keys() == {name for name in found if name.startswith("critic.")}
    for name, slope in found.items():
        torch.testing.assert_close(slope, (theirs if name in theirs else generator)[name], msg=name)


def test_one_optimiser_does_what_two_do():
    made, twin, given = method(), method(), batch()
    recipe = load_recipe("longt_gan", [*TINY, "optimizer.lr=0.01", "clip_gradients.at=0.05"])
    one = recipe.build_optimizer(made)
    assert [len(group["params"]) for group in one.param_groups] == [
        len([*twin.network.parameters(), *twin.decoder.parameters()]),
        len([*twin.critic.parameters()]),
    ]
    generator = [*twin.network.encoder.parameters()], [*twin.decoder.parameters()]
    critics = [*twin.critic.encoder.parameters()], [*twin.critic.projector.parameters()]
    two = [torch.optim.Adam([p for part in parts for p in part], 0.01) for parts in (generator, critics)]
    for _ in range(3):
        train_step(made, one, given, 1)
        losses = twin.losses(given, 1)
        for optimizer, parts, loss in (
            (two[0], generator, losses["reconstruction"] + 1e-3 * losses["adversarial"]),
            (two[1], critics, losses["discrimination"]),
        ):
            optimizer.zero_grad()
            loss.backward()
            for part in parts:
                nn.utils.clip_grad_norm_(part, 0.05)
        for optimizer in two:
            optimizer.step()
    for (name, p), q in zip(made.named_parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-9, atol=1e-12, msg=name)


def test_the_critics_rate_is_its_own():
    made = method("method.rate=0.5")
    groups = load_recipe("longt_gan", [*TINY, "optimizer.lr=0.01"]).build_optimizer(made).param_groups
    assert [group["lr"] for group in groups] == [0.01, 0.5]


def test_without_a_critic_it_is_inpainting():
    made, given = method("method.adversary=0"), batch()
    assert list(made.losses(given, 1)) == ["reconstruction"]
    found = slopes(made, made(given, 1)[0])
    assert not any(name.startswith("critic") for name in found)
    beside = method()
    plain = slopes(beside, beside.losses(given, 1)["reconstruction"])
    assert found.keys() == plain.keys()
    for name, slope in plain.items():
        assert torch.equal(slope, found[name])
    before = [p.detach().clone() for p in made.critic.parameters()]
    train_step(made, load_recipe("longt_gan", TINY).build_optimizer(made), given, 1)
    assert all(torch.equal(p, q) for p, q in zip(made.critic.parameters(), before, strict=True))


def test_the_decoder_by_hand():
    """One unit that keeps its state: z = σ(100) and x̂ = 2 h + 1, whatever it reads; the error is then known."""
    made, given = method("method.adversary=0", "encoder.direction=uni", "encoder.width=1"), batch(2, 3)
    with torch.no_grad():
        for p in made.parameters():
            p.zero_()
        made.decoder.cell.bias_ih_l0[1] = 100  # z, of r, z, n: the state stays the feature, which is 0
        made.decoder.output.weight[:], made.decoder.output.bias[:] = 2.0, 1.0
        made.network.encoder.cells[-1][0].bias_ih_l0[2] = (
            0.5  # n, so that h goes from 0 half the way to tanh ½ each frame
        )
    x, lengths = given.targets["clip"]["clip"], given.lengths["clip"].tolist()
    expected = 0.0
    for n, t in enumerate(lengths):
        feature = np.tanh(0.5) * (1 - 0.5**t)
        expected += float((x[n, :, :t] - (2 * feature + 1)).square().sum()) / t / 2
    assert float(made.losses(given, 1)["reconstruction"].detach()) == pytest.approx(expected)


def test_what_the_encoder_reads():
    made, given = method(), batch()
    other = method("method.encodes=corrupted")
    hidden = Batch(given.views, given.labels, given.lengths, {"clip": {"clip": given.views["clip"]}})
    for name in ("adversarial", "reconstruction"):
        assert not torch.equal(made.losses(given, 1)[name], other.losses(given, 1)[name])
        torch.testing.assert_close(made.losses(hidden, 1)[name], other.losses(hidden, 1)[name])


def test_slopes_of_the_sum():
    """Of the generator; -log D(x̂) is differentiated through the critic, which is held."""
    made, given = method("method.adversary=0.5"), batch(2, 3)
    found = slopes(made, made(given, 1)[0])

    def value():
        losses = made.losses(given, 1)
        return float((losses["reconstruction"] + 0.5 * losses["adversarial"]).detach())

    for name, p in made.named_parameters():
        if name.startswith("critic"):
            continue
        at = tuple(np.unravel_index(p.numel() // 2, p.shape))
        with torch.no_grad():
            kept, ends = p[at].clone(), []
            for step in (1e-6, -1e-6):
                p[at] = kept + step
                ends.append(value())
            p[at] = kept
        assert float(found[name][at]) == pytest.approx((ends[0] - ends[1]) / 2e-6, abs=2e-8), name


def test_padding_does_not_matter():
    made, given = method(), batch()
    found = made.losses(given, 1)
    for x in (given.views["clip"], given.targets["clip"]["clip"]):
        for n, length in enumerate(given.lengths["clip"]):
            x[n, :, length:] = 7.0
    for name, value in made.losses(given, 1).items():
        torch.testing.assert_close(value, found[name], msg=name)


def test_its_view_hides_four_joints_of_all_frames_but_the_first():
    recipe, n = load_recipe("longt_gan"), 64
    x = np.random.default_rng(0).normal(size=(n, 3, 6, 25, 1)).astype(np.float32)
    made = render_view(x, np.arange(n), np.arange(n), build_view(recipe.views["clip"]), "joint", KINECT_V2, 0, 1, 0)
    np.testing.assert_array_equal(made.targets["clip"], x)
    hidden = (made.clips == 0).all(axis=(1, 4))
    assert not hidden[:, 0].any()
    assert (hidden[:, 1:] == hidden[:, 1:2]).all()
    groups = {tuple(np.flatnonzero(each)) for each in hidden[:, 1]}
    assert groups == {tuple(range(4 * g, 4 * g + 4)) for g in range(5)}
    np.testing.assert_array_equal(made.targets["mask"][:, 0, :, :, 0], hidden)


def test_sizes():
    made = load_recipe("longt_gan", ["init=reference"]).build_method(KINECT_V2, 60)
    sizes = {name: sum(p.numel() for p in part.parameters()) for name, part in made.named_children()}

    def gru(size, width):
        return 3 * width * (size + width + 2)

    assert sizes["network"] == 2 * (gru(75, 800) + 2 * gru(1600, 800))
    assert sizes["decoder"] == gru(75, 1600) + 1601 * 75
    assert sizes["critic"] == 2 * gru(75, 400) + 801
    assert made.evaluated.encoder.features == 1600


def test_any_layout_and_a_view_that_hides_nothing():
    for layout in LAYOUTS.values():
        made = method(layout=layout).float()
        size = (4, layout.channels, 6, len(layout.joints), 1)
        x = torch.randn(size)
        given = Batch({"clip": x * (torch.rand(size) > 0.2)}, torch.zeros(4), {}, {"clip": {"clip": x}})
        assert torch.isfinite(made(given, 1)[0])
    with pytest.raises(BadInput, match=r"views.clip: hides nothing of a clip; begin it with joint_mask or tail_mask"):
        made(Batch({"clip": x}, torch.zeros(4)), 1)
    with pytest.raises(BadInput, match="partner: longt_gan trains two encoders; describe the second"):
        load_recipe("longt_gan", ["partner=null"])
