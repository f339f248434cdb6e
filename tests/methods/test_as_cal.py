"""AS-CAL, which is momentum contrast with other choices: its clips, views, steps and probe.

What is said of its parts elsewhere: the loss of raw products in `test_moco`, its LSTM in `encoders/test_recurrent`.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from uneven import write_uneven

from skelpipe.clips.augment.linear import _shears, transform
from skelpipe.clips.batches import Batch
from skelpipe.clips.presets import find_preparation
from skelpipe.clips.views import render_view
from skelpipe.errors import BadInput
from skelpipe.evaluation.protocols import check_stated, read_options
from skelpipe.layouts import LAYOUTS
from skelpipe.layouts.kinect_v2 import KINECT_V2
from skelpipe.training.loop import train_step
from skelpipe.training.pretrain import pretrain
from skelpipe.training.recipe import load_recipe

BOTH = ("as_cal", "small_as_cal")
TOY = ["encoder.width=6", "method.queue_size=20", "method.momentum=0.9", "optimizer.lr=0.1"]


def a_method(*changes, name="as_cal", layout=KINECT_V2):
    torch.manual_seed(0)
    recipe = load_recipe(name, changes)
    method = recipe.build_method(layout, 60).train()
    return method, recipe.build_optimizer(method)


def test_published_sizes():
    method, _ = a_method()
    query, queue = method.evaluated, method.moco.queue
    assert sum(p.numel() for p in query.parameters()) == 417_792
    assert queue.shape == (256, 16384)
    assert 0.10825 < float(queue.abs().max()) <= 0.1082532
    x = torch.randn(2, 3, 150, 25, 2)
    assert torch.equal(query(x), query.features(x))
    assert all(map(torch.equal, query.parameters(), method.moco.key.parameters()))


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=lambda layout: layout.name)
@pytest.mark.parametrize("name", BOTH)
def test_it_takes_clips_of_every_layout(name, layout):
    method, optimizer = a_method("encoder.width=4", name=name, layout=layout)
    bodies = load_recipe(name).bodies
    views = {view: torch.randn(3, layout.channels, 9, len(layout.joints), bodies) for view in ("query", "key")}
    loss = train_step(method, optimizer, Batch(views, torch.zeros(3, dtype=torch.int64)), 2)["loss"]
    assert torch.isfinite(loss)


class Plain:
    """The same step written out: LSTM, memory and two copies of the weights; four bodies' numbers a frame."""

    def __init__(self, method):
        self.query, self.key = nn.LSTM(150, 6), nn.LSTM(150, 6)
        for mine, theirs in ((self.query, method.moco.query), (self.key, method.moco.key)):
            mine.load_state_dict({n: p.clone() for n, p in theirs.encoder.cells[0][0].state_dict().items()})
        self.memory, self.index = method.moco.queue.t().clone(), 0
        self.fall = [torch.zeros_like(p) for p in self.query.parameters()]

    def embed(self, lstm, x):
        frames = x.permute(2, 0, 1, 3, 4).reshape(x.shape[2], len(x), 150)  # c, v, m, the last running fastest
        return lstm(frames)[0].mean(0)

    def step(self, one, other, epoch, rate=0.1):
        q = self.embed(self.query, one)
        with torch.no_grad():
            k = self.embed(self.key, other)
        logits = torch.cat([(q * k).sum(1, keepdim=True), q @ self.memory.clone().t()], 1) / 0.06
        loss = nn.functional.cross_entropy(logits, torch.zeros(len(q), dtype=torch.int64))
        for row in k:
            self.memory[self.index] = row
            self.index = (self.index + 1) % len(self.memory)
        if epoch > 1:
            grads = torch.autograd.grad(loss, list(self.query.parameters()))
            with torch.no_grad():
                for p, g, fall in zip(self.query.parameters(), grads, self.fall, strict=True):
                    fall.mul_(0.9).add_(g + 1e-4 * p)
                    p.sub_(rate * fall)
                for mine, theirs in zip(self.key.parameters(), self.query.parameters(), strict=True):
                    mine.copy_(0.9 * mine + 0.1 * theirs)
        return float(loss.detach())


def test_steps_are_those_of_its_public_code():
    """Raw products; the first epoch only fills the memory; keys follow after a step; the memory wraps round."""
    method, optimizer = a_method(*TOY)
    plain, moco = Plain(method), method.moco
    start = [p.detach().clone() for p in moco.query.parameters()]
    for number in range(8):
        one, other = (torch.randn(6, 3, 12, 25, 2) for _ in range(2))
        epoch = 1 if number < 3 else 2
        views = Batch({"query": one, "key": other}, torch.zeros(6, dtype=torch.int64))
        loss = float(train_step(method, optimizer, views, epoch)["loss"])
        assert loss == pytest.approx(plain.step(one, other, epoch), rel=1e-5)
        assert all(map(torch.equal, start, moco.query.parameters())) == (epoch == 1)
    torch.testing.assert_close(moco.queue.t(), plain.memory, rtol=1e-5, atol=1e-6)
    for mine, theirs in ((moco.query, plain.query), (moco.key, plain.key)):
        torch.testing.assert_close(list(mine.parameters()), list(theirs.parameters()), rtol=1e-5, atol=1e-6)


def test_its_clips_are_the_first_frames_told_from_the_middle_of_each_spine():
    needed = load_recipe("as_cal").clips
    how = find_preparation(needed.preset, {"frames": needed.frames}, [f"{k}={v}" for k, v in needed.steps.items()])
    assert how.text == ["bodies=first", "gaps=keep", "centre=middle", "align=none", "scale=none", "time=first"]
    assert how.frames == 150


def test_shear_by_numbers():
    """R of rows (1, .1, .4), (-.2, 1, -.5), (.3, .6, 1); the augmentation's numbers are in the order of its places."""
    matrix = _shears(np.array([[0.1, 0.4, -0.2, -0.5, 0.3, 0.6]]))
    x = np.array([1, 2, 3], np.float32).reshape(1, 3, 1, 1, 1)
    transform(x, matrix)
    np.testing.assert_allclose(x.ravel(), (2.4, 0.3, 4.5), rtol=1e-6)


@pytest.mark.parametrize("name", BOTH)
def test_a_view_is_a_clip_backwards_or_not_and_sheared(name):
    """Whole: the zeros that fill it up come first. Six numbers within ± 1 for each view, solved from what came out."""
    rng = np.random.default_rng(0)
    recipe = load_recipe(name)
    clips = rng.normal(size=(64, 3, 10, 25, recipe.bodies)).astype(np.float32)
    valid = np.full(64, 7)
    clips[:, :, 7:] = 0
    backwards, numbers = [], []
    for view in range(2):
        made = render_view(clips, np.arange(64), np.arange(64), recipe.view("query"), "joint", KINECT_V2, 3, 2, view,
                           valid=valid)  # fmt: skip
        for n in range(64):
            turned = not made.clips[n, :, 0].any()
            assert made.lengths is None or made.lengths[n] == (10 if turned else 7)
            source = clips[n, :, ::-1] if turned else clips[n]
            found = np.linalg.lstsq(source.reshape(3, -1).T, made.clips[n].reshape(3, -1).T, rcond=None)[0].T
            np.testing.assert_allclose(np.diag(found), 1, atol=1e-5)
            np.testing.assert_allclose(found @ source.reshape(3, -1), made.clips[n].reshape(3, -1), atol=1e-4)
            backwards.append(turned)
            numbers += found[~np.eye(3, dtype=bool)].tolist()
    assert 0.35 < np.mean(backwards) < 0.65
    assert -1 <= min(numbers) < -0.97
    assert 0.97 < max(numbers) <= 1
    assert abs(np.mean(numbers)) < 0.1


def test_zeros_are_read_and_the_sane_reading_leaves_them_out():
    x = torch.randn(2, 3, 12, 25, 2)
    x[:, :, 5:] = 0
    lengths = torch.tensor([5, 5])
    for changes, counts in (((), True), (("encoder.padding=skip", "encoder.pooling=mean_valid"), False)):
        network = a_method("encoder.width=6", *changes)[0].evaluated
        alone = network(x[:, :, :5], lengths)
        assert torch.allclose(network(x, lengths), alone, atol=1e-6) != counts


def test_unit_vectors_are_an_option():
    method, optimizer = a_method("encoder.width=6", "method.normalise=true", "method.queue_init=normal")
    views = {view: torch.randn(4, 3, 9, 25, 2) for view in ("query", "key")}
    train_step(method, optimizer, Batch(views, torch.zeros(4, dtype=torch.int64)), 1)
    torch.testing.assert_close(method.moco.queue.norm(dim=0), torch.ones(16384))


@pytest.mark.parametrize("name", BOTH)
def test_its_rates_and_its_probe(name):
    recipe = load_recipe(name)
    check_stated(recipe, name)
    rate = 0.01 if name == "as_cal" else 0.1
    falls = [recipe.optimizer.rate(epoch) / rate for epoch in (1, 30, 31, 60)]
    assert falls == pytest.approx([1, 1, 0.1, 0.1])
    options = read_options(recipe.evaluate.words(["linear"]), ["linear"])["linear"]
    rates = [options.optimizer.lr * options.rates.factor(epoch - 1, 90) for epoch in (15, 16, 35, 36, 61, 76, 90)]
    assert rates == [1, 0.5, 0.5, 0.25, 0.125, 0.0625, 0.0625]
    assert (options.epochs, options.batch_size, options.std, options.rest) == (90, 32, 0.01, "kept")
    assert (options.optimizer.nesterov, options.optimizer.weight_decay) == (True, 0)


def test_it_learns_from_filled_up_clips(tmp_path):
    filled = write_uneven(tmp_path)[0]
    changes = ["clips={preset: aimclr}", "encoder.width=16", "method.queue_size=24", "batch_size=8", "optimizer.lr=0.1"]
    recipe = load_recipe("small_as_cal", changes, epochs=8)
    result = pretrain(recipe, filled, tmp_path / "run", split="xsub60", stream="joint", device="cpu", threads=1)
    assert result.state == "finished"
    assert result.last["loss"] < np.log(25) - 0.05


def test_epochs_that_only_fill_the_queue_are_refused():
    with pytest.raises(BadInput, match="epochs: the first 1 only fill the queue"):
        load_recipe("as_cal", epochs=1)
    assert load_recipe("as_cal", epochs=0).epochs == 0
