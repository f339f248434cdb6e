"""Optimisers, schedules and clipping against values worked out by hand or in NumPy."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
from conftest import TINY
from torch import nn

from skelpipe.clips.batches import Batches
from skelpipe.clips.views import build_view
from skelpipe.errors import BadInput
from skelpipe.layouts.kinect_v2 import KINECT_V2
from skelpipe.settings import whole
from skelpipe.training.length import Length, length_of
from skelpipe.training.optim import CLIPPINGS, OPTIMIZERS, SCHEDULES, Clipping, Rates, Steps, clip_gradients
from skelpipe.training.optim.schedules import Cosine, Exponential
from skelpipe.training.pretrain import pretrain
from skelpipe.training.recipe import Recipe, load_recipe

OPTIONS = {"split": "xsub60", "stream": "motion", "device": "cpu", "threads": 1}


# Optimisers -------------------------------------------------------------------------------------------------------


def adam(w, gradients, decoupled=0.0, lr=0.1, b1=0.8, b2=0.9, eps=1e-3):
    m = v = np.zeros_like(w)
    for t, g in enumerate(gradients, 1):
        w = w * (1 - lr * decoupled)
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
        w = w - lr * (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps)
    return w


def rmsprop(w, gradients, lr=0.1, alpha=0.8, eps=1e-3, momentum=0.5):
    v = b = np.zeros_like(w)
    for g in gradients:
        v = alpha * v + (1 - alpha) * g**2
        b = momentum * b + g / (np.sqrt(v) + eps)
        w = w - lr * b
    return w


TWINS = {
    "adam": ({"betas": (0.8, 0.9), "eps": 1e-3}, adam),
    "adamw": ({"betas": (0.8, 0.9), "eps": 1e-3, "weight_decay": 0.3}, lambda w, g: adam(w, g, decoupled=0.3)),
    "rmsprop": ({"alpha": 0.8, "eps": 1e-3, "momentum": 0.5}, rmsprop),
    "sgd": ({"momentum": 0.0, "weight_decay": 0.0}, lambda w, g: w - 0.1 * np.sum(g, 0)),
}


def test_optimisers_do_what_torchs_do_and_leave_its_compiler_unloaded():
    """Steps, what is kept of them and brought back, in a process that has loaded nothing before."""
    code = """
        import sys, torch
        from skelpipe.training.optim import OPTIMIZERS

        def run(kind):
            w = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
            made = kind([{"params": [w]}], lr=0.1)
            for step in range(4):
                made.zero_grad()
                (w**3).sum().backward()
                made.step()
                if step == 1:
                    kept, made = made.state_dict(), kind([w], lr=0.1)
                    made.load_state_dict(kept)
            made.add_param_group({"params": [torch.nn.Parameter(torch.ones(1))]})
            return w.detach(), repr(made)

        found = {name: run(kind.build) for name, kind in OPTIMIZERS.items()}
        assert "torch._dynamo" not in sys.modules
        for name, kind in OPTIMIZERS.items():
            w, told = run(kind.build.__mro__[1])
            assert torch.equal(found[name][0], w) and found[name][1] == told, name
        assert "torch._dynamo" in sys.modules  # of itself torch loads it
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, env=environment)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_three_steps_are_those_of_the_paper(name):
    given, twin = TWINS[name]
    recipe = load_recipe("skeletonclr", [f"optimizer={json.dumps({'name': name, 'lr': 0.1, **given})}"])
    method = nn.Linear(3, 1, bias=False).double()
    start = method.weight.detach().numpy().copy()
    gradients = np.random.default_rng(0).normal(size=(3, 1, 3))
    optimizer = recipe.build_optimizer(method)
    for gradient in gradients:
        method.weight.grad = torch.from_numpy(gradient.copy())
        optimizer.step()
    np.testing.assert_allclose(method.weight.detach().numpy(), twin(start, gradients), rtol=1e-12)


def test_a_method_may_have_groups_of_its_own():
    class TwoParts(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(1, 1), nn.Linear(1, 1)

        def parameter_groups(self, options):
            slow = {"params": list(self.b.parameters()), "lr": options.lr / 10}
            return [{"params": list(self.a.parameters())}, slow]

    recipe = load_recipe("skeletonclr", ["optimizer={name: adam, lr: 0.1}"])
    optimizer = recipe.build_optimizer(TwoParts())
    rates = Rates(Exponential(gamma=0.5), optimizer, Length(3, 9))
    rates.set(3, 0)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.025, 0.0025])


# Schedules --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (Steps(at=(2, 4), gamma=0.5), [1, 1, 0.5, 0.5, 0.25, 0.25]),
        (Steps(), [1, 1, 1, 1, 1, 1]),
        (Exponential(gamma=0.5), [1, 0.5, 0.25, 0.125, 0.0625, 0.03125]),
        (Exponential(gamma=0.5, every=2), [1, 1, 0.5, 0.5, 0.25, 0.25]),
        (Exponential(gamma=0.5, after=4), [1, 1, 1, 1, 0.5, 0.25]),
        (Cosine(), [(1 + math.cos(math.pi * t / 6)) / 2 for t in range(6)]),
        (Cosine(warmup=4, final=0.1), [0.25, 0.5, 0.75, 1, 1, 0.55]),
        (Cosine(length=4), [1, 0.5 + math.sqrt(0.125), 0.5, 0.5 - math.sqrt(0.125), 0, 0]),
    ],
)  # fmt: skip
def test_shares_of_the_rate(schedule, expected):
    assert [schedule.factor(done, 6) for done in range(6)] == pytest.approx(expected, abs=1e-15)


def test_rates_follow_steps_where_the_schedule_counts_them():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=8.0)
    rates = Rates(Exponential(gamma=0.5, every=2, by="iteration"), optimizer, Length(3, 7))
    seen = []
    for epoch, step in [(1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2), (3, 0)]:
        rates.set(epoch, step)
        seen.append(rates.first)
    assert seen == [8, 8, 4, 4, 2, 2, 1]
    rates = Rates(Cosine(), optimizer, Length(3, 7))  # of three epochs, the last one being short
    rates.set(2, 1)
    assert rates.first == pytest.approx(1 * (1 + math.cos(math.pi / 3)) / 2)


def test_the_log_tells_the_rate_of_each_epochs_last_step(clips, tmp_path):
    sets = [*TINY, "optimizer={name: adam, lr: 0.01}", "schedule={name: exponential, gamma: 0.5, by: iteration}"]
    pretrain(load_recipe("skeletonclr", sets, iterations=7), clips, tmp_path / "run", **OPTIONS)
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [entry["lr"] for entry in log] == pytest.approx([0.01 / 2**2, 0.01 / 2**5, 0.01 / 2**6])


# Clipping ---------------------------------------------------------------------------------------------------------


def gradients_of(method):
    return {name: p.grad.numpy().copy() for name, p in method.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("by", CLIPPINGS)
def test_clipped_gradients(by):
    recipe = load_recipe("skeletonclr", TINY)
    method = recipe.build_method(KINECT_V2, 4)
    torch.manual_seed(0)
    for p in method.parameters():
        if p.requires_grad:
            p.grad = torch.randn_like(p)
    before = gradients_of(method)
    clip_gradients(method, Clipping(by=by, at=0.7))
    after = gradients_of(method)

    def norm(names):
        return math.sqrt(sum(float((before[name].astype(np.float64) ** 2).sum()) for name in names))

    for part in ("encoder", "projector"):
        names = [name for name in before if part in name.split(".")]
        assert names
        whole_norm, own_norm = norm(before), norm(names)
        assert own_norm > 0.7
        for name in names:
            if by == "value":
                expected = before[name].clip(-0.7, 0.7)
            else:
                expected = before[name] * 0.7 / (whole_norm if by == "global_norm" else own_norm)
            np.testing.assert_allclose(after[name], expected, rtol=1e-5)


def test_small_gradients_stay_and_clipping_comes_before_each_step():
    recipe = load_recipe("skeletonclr", ["optimizer={lr: 1, momentum: 0, weight_decay: 0}",
                                         "clip_gradients={by: global_norm, at: 5}"])  # fmt: skip
    method = nn.Linear(2, 1, bias=False)
    nn.init.zeros_(method.weight)
    optimizer = recipe.build_optimizer(method)
    for gradient, moved in [([3.0, 0.0], [-3, 0]), ([30.0, 40.0], [-3, -4])]:
        nn.init.zeros_(method.weight)
        method.weight.grad = torch.tensor([gradient])
        optimizer.step()
        np.testing.assert_allclose(method.weight.detach().numpy(), [moved], rtol=1e-5)


# Recipes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("registry", [OPTIMIZERS, SCHEDULES])
def test_every_entry_says_its_own_name(registry):
    for name, entry in registry.items():
        options = getattr(entry, "Options", entry)
        assert options().name == name
        assert options.__doc__


def test_a_dump_is_read_back_and_says_what_counts():
    sets = ["optimizer={name: adam, lr: 1e-4}", "schedule=cosine", "clip_gradients={by: value, at: 8}"]
    recipe = load_recipe("skeletonclr", [*sets, "sampling=with_replacement", "iterations=15000"])
    dump = recipe.model_dump(mode="json")
    assert "epochs" not in dump
    assert dump["optimizer"]["name"] == "adam"
    assert Recipe.model_validate(dump) == recipe
    plain = load_recipe("skeletonclr", ["schedule={name: exponential}"]).model_dump(mode="json")
    assert plain["optimizer"] == {"lr": 0.1, "momentum": 0.9, "weight_decay": 1e-4, "nesterov": False}
    assert whole(load_recipe("skeletonclr"))["optimizer"]["name"] == "sgd"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("optimizer=adma", "optimizer: unknown name 'adma' (did you mean 'adam'?)"),
        ("optimizer={name: adam, momentum: 0.9}", "optimizer.momentum: unknown key"),
        ("optimizer={name: adam, betas: [0.9, 1.5]}", "optimizer.betas.1: input should be less than 1 (got 1.5)"),
        (
            "optimizer={name: adamw, betas: [-0.1, 0.9]}",
            "optimizer.betas.0: input should be greater than or equal to 0",
        ),
        ("optimizer={name: sgd, momentum: 0, nesterov: true}", "optimizer: nesterov: it needs a momentum above 0"),
        ("schedule=cosin", "schedule: unknown name 'cosin' (did you mean 'cosine'?)"),
        ("schedule={name: cosine, warmup: 5, length: 5}", "warmup: 5 leaves nothing of a length of 5"),
        ("schedule={name: plateau, by: iteration}", "schedule.by: input should be 'epoch'"),
        (
            "schedule={name: plateau, meanwhile: {name: exponential, by: iteration}}",
            "schedule: meanwhile: a plateau is looked for after each epoch",
        ),
        ("schedule={name: plateau, meanwhile: {name: plateau}}", "schedule.meanwhile"),
        ("clip_gradients={by: global, at: 1}", "unknown name 'global' (did you mean 'global_norm'?)"),
        ("clip_gradients={by: value, at: 0}", "clip_gradients.at: input should be greater than 0"),
        ("sampling=replaced", "sampling: input should be"),
    ],
)
def test_a_mistake_is_named(change, says):
    with pytest.raises(BadInput) as caught:
        load_recipe("crosnnclr", [change])
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "given", "says"),
    [
        ("epochs=2", {"iterations": 5}, "--set epochs=2: is given beside 5 iterations; leave one of them out"),
        ("iterations=2", {"epochs": 5}, "--set iterations=2: is given beside 5 epochs; leave one of them out"),
    ],
)
def test_one_length_is_given(change, given, says):
    with pytest.raises(BadInput) as caught:
        load_recipe("skeletonclr", [change], **given)
    assert str(caught.value) == says


def test_a_file_states_one_length(tmp_path):
    (tmp_path / "r.yaml").write_text("method: skeletonclr\nviews: {query: [], key: []}\nepochs: 3\niterations: 9\n")
    with pytest.raises(BadInput, match="iterations: stands in place of epochs"):
        load_recipe(tmp_path / "r.yaml")


# Length and sampling ----------------------------------------------------------------------------------------------


def test_a_length_in_steps_ends_within_an_epoch():
    recipe = load_recipe("skeletonclr", ["batch_size=8"], iterations=10)
    length = length_of(recipe, 27)
    assert (length.steps, length.iterations, length.epochs) == (3, 10, 4)
    assert [length.steps_of(epoch) for epoch in (1, 3, 4, 5)] == [3, 3, 1, 0]
    assert length_of(load_recipe("skeletonclr", ["batch_size=8"], epochs=2), 27) == Length(3, 6)


def test_batches_with_replacement():
    data = np.zeros((20, 3, 4, 25, 1), np.float32)

    def orders(replacement, fixed=False):
        batches = Batches(
            data, np.arange(20), np.arange(20), {"query": build_view([])}, "joint", KINECT_V2, 6, 1,
            torch.device("cpu"), 1, replacement=replacement, fixed=fixed,
        )  # fmt: skip
        return [batches.order(epoch) for epoch in range(1, 40)]

    drawn, shuffled = orders(True), orders(False)
    assert {len(order) for order in (*drawn, *shuffled)} == {18}
    assert all(len(set(order)) == 18 for order in shuffled)
    assert all(len(set(order)) < 18 for order in drawn)
    assert len({tuple(order) for order in drawn}) == 39
    counts = np.bincount(np.concatenate(drawn), minlength=20)  # 702 draws, 35.1 ± 5.8 of each clip
    assert counts.min() > 12
    assert counts.max() < 64
    for a, b in zip(drawn, orders(True), strict=True):
        assert np.array_equal(a, b)
    fixed = orders(False, fixed=True)
    assert len({tuple(order) for order in fixed}) == 1
    assert len(set(fixed[0])) == 18
    assert sorted(fixed[0]) != fixed[0].tolist()
