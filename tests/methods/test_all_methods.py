"""What every method and every set of positives hold to, whoever adds them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from conftest import small
from torch import nn

from skelpipe.layouts.kinect_v2 import KINECT_V2
from skelpipe.methods import METHODS, POSITIVES
from skelpipe.methods.positives import Pair
from skelpipe.outputs.digests import read_digest
from skelpipe.recordings.store import Clips
from skelpipe.resources import names
from skelpipe.settings import check, override
from skelpipe.training.loop import load_batches, train_step
from skelpipe.training.recipe import Recipe, load_recipe

CPU = torch.device("cpu")


def recipe_of(name: str) -> Recipe:
    """The first shipped recipe of a method, or else one whose views are the clips as they are; at toy size."""
    for shipped in sorted(names("models"), key=lambda shipped: shipped != name):  # the method's own name first
        if (recipe := load_recipe(shipped)).method.name == name:
            return load_recipe(shipped, small(recipe))
    stated = {"method": {"name": name}, "views": {view: [] for view in METHODS[name].VIEWS}}
    return check(Recipe, override(stated, small(check(Recipe, stated, name))), name)


@pytest.mark.parametrize("name", METHODS)
def test_a_step_moves_what_is_evaluated(clips, name):
    torch.manual_seed(0)
    recipe, source = recipe_of(name), Clips(clips)
    method = recipe.build_method(source.layout, 4).train()
    settings = {"half_storage": False, "precision": "fp32", "seed": 0, "stream": "joint"}
    settings["clips_digest"] = read_digest(clips)
    batches = load_batches(recipe, source, np.arange(len(source.labels)), settings, CPU, 1)
    sgd = torch.optim.SGD([p for p in method.parameters() if p.requires_grad], 0.1)
    before = {key: value.clone() for key, value in method.evaluated.state_dict().items()}
    log = train_step(method, sgd, next(iter(batches.epoch(1, 0))), 1)
    assert math.isfinite(log["loss"])
    assert all(value.numel() == 1 and not value.requires_grad for value in log.values())
    after = method.evaluated.state_dict()
    assert any(not torch.equal(after[key], value) for key, value in before.items() if "encoder" in key)
    assert all(torch.isfinite(value).all() for value in after.values())


@pytest.mark.parametrize("name", METHODS)
def test_what_a_method_says_of_itself_is_what_it_is(name):
    recipe = recipe_of(name)
    kind, method = METHODS[name], recipe.build_method(KINECT_V2, 4).eval()
    assert kind.VIEWS
    assert kind.Options().name == name
    networks = [method.evaluated[stream] for stream in kind.STREAMS] if kind.STREAMS else [method.evaluated]
    for network in networks:
        features = network.encoder(torch.randn(2, 3, 12, 25, recipe.bodies))
        assert features.shape == (2, network.encoder.features)
        if kind.SUPERVISED and not network.SCORES_CLIPS:
            assert network.projector(features).shape == (2, 4)  # a score for each class


def unit(seed: int, *shape: int) -> torch.Tensor:
    draw = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return nn.functional.normalize(draw, dim=-1)


def pair(seed: int, batch: int = 4, size: int = 6, places: int = 12) -> Pair:
    query, key, queue = unit(seed, batch, size), unit(seed + 1, batch, size), unit(seed + 2, places, size).t()
    return Pair(query.requires_grad_(), key, queue.contiguous(), 0.2, others=(unit(seed + 3, batch, size),))


@pytest.mark.parametrize("epoch", [1, 10_000])  # before neighbours serve as positives, and after
@pytest.mark.parametrize("name", POSITIVES)
def test_positives_pull_the_query(name, epoch):
    kind, own = POSITIVES[name], pair(0)
    assert kind.Options().name == name
    if getattr(kind, "NEEDS_PARTNERS", False):
        own.partners = (pair(10), pair(20))
    positives = kind(kind.Options())
    loss = positives(own, epoch)
    assert loss.shape == ()
    assert torch.isfinite(loss)
    loss.backward()
    assert torch.isfinite(own.query.grad).all()
    assert own.query.grad.abs().amax(1).min() > 0  # of every clip
    assert own.key.grad is None
    assert isinstance(positives.mining(epoch), bool)
