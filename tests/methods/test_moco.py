"""The variants of momentum contrast: raw products, the queue's start, when keys follow and in which mode, two pairs."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn

from skelpipe.clips.batches import Batch
from skelpipe.errors import BadInput
from skelpipe.layouts.kinect_v2 import KINECT_V2
from skelpipe.methods.moco import MoCo, MoCoOptions, MomentumContrast
from skelpipe.methods.network import Network, projector
from skelpipe.methods.positives import OwnKey, OwnKeyOptions, Pair
from skelpipe.methods.queue import first_queue
from skelpipe.methods.skeletonclr import SkeletonCLR, SkeletonCLROptions
from skelpipe.training.loop import train_step
from skelpipe.training.recipe import load_recipe

LABELS = torch.zeros(4, dtype=torch.int64)


def sine(start, *shape):
    return torch.sin(torch.arange(start, start + math.prod(shape), dtype=torch.float64)).view(shape)


class Flat(nn.Module):
    features = 4

    def __init__(self):
        super().__init__()
        self.linear, self.norm, self.dropout = nn.Linear(12, 4), nn.BatchNorm1d(4), nn.Dropout(0.5)

    def forward(self, x):
        return self.dropout(torch.relu(self.norm(self.linear(x.flatten(1)))))


class Part(nn.Module):
    """Four of a clip's numbers are its feature."""

    features = 4

    def __init__(self, start):
        super().__init__()
        self.start, self.scale = start, nn.Parameter(torch.ones((), dtype=torch.float64))

    def forward(self, x):
        return self.scale * x[:, self.start : self.start + 4]


class Plain(nn.Identity):
    """A projector that leaves features in float64."""

    def forward(self, x):
        return x.double()


def toy(**options):
    options = SkeletonCLROptions(queue_size=10, momentum=0.9, temperature=0.2, **options)
    return SkeletonCLR(lambda: Network(Flat(), projector(4, 4, 3)), 3, options, OwnKey(OwnKeyOptions()), "torch")


def views(seed):
    generator = torch.Generator().manual_seed(seed)
    return Batch({name: torch.randn(4, 12, generator=generator) for name in ("query", "key")}, LABELS)


def build(start):
    network = Network(Part(start), Plain())
    network.features = lambda x, lengths=None: network.encoder(x)
    return network


@pytest.mark.parametrize(("normalise", "loss"), [(False, 0.690163), (True, 9.362284)])
def test_as_cals_products_are_raw(normalise, loss, monkeypatch):
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    options = SkeletonCLROptions(queue_size=3, temperature=0.06, normalise=normalise)
    method = SkeletonCLR(lambda: build(0), 4, options, OwnKey(OwnKeyOptions()), "torch").double()
    queue = 0.1 * sine(40, 3, 4).t()
    method.moco.queue.copy_(nn.functional.normalize(queue, dim=0) if normalise else queue)
    found, _ = method(Batch({"query": 0.3 * sine(0, 2, 4), "key": 0.3 * sine(20, 2, 4)}, LABELS[:2]), 1)
    assert float(found.detach()) == pytest.approx(loss, abs=1e-6)


class TwoPairs(MomentumContrast):
    """Two representations of a clip, each contrasted with the queue of the other's keys, as ISC does."""

    Options = MoCoOptions
    VIEWS, LOSSES = ("query", "key"), ("first", "second")

    def __init__(self, options):
        super().__init__(options)
        self.first, self.second = (MoCo(lambda start=start: build(start), 4, options, "torch") for start in (0, 4))

    @property
    def evaluated(self):
        return self.first.query

    def losses(self, batch, epoch):
        pairs = (self.first, self.second)
        query, queue = ([moco.query(batch.views["query"]) for moco in pairs], [moco.queue.clone() for moco in pairs])
        self.follow(epoch)
        key = [moco.embed_keys(batch.views["key"]) for moco in pairs]
        for moco, keys in zip(pairs, key, strict=True):
            moco.enqueue(keys, batch.labels)
        return {
            name: Pair(query[n], key[1 - n], queue[1 - n], self.options.temperature).info_nce
            for n, name in enumerate(self.LOSSES)
        }


def test_two_pairs_with_two_queues(monkeypatch):
    """ISC's loss: 3.337519 + 15.895826."""
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    method = TwoPairs(MoCoOptions(queue_size=3, weights={"second": 0.5})).double()
    for moco, start in ((method.first, 40), (method.second, 60)):
        moco.queue.copy_(nn.functional.normalize(sine(start, 4, 3), dim=0))
    both = [torch.cat([sine(a, 2, 4), sine(b, 2, 4)], dim=1) for a, b in ((0, 10), (20, 30))]
    batch = Batch(dict(zip(TwoPairs.VIEWS, both, strict=True)), LABELS[:2])
    loss, log = copy.deepcopy(method)(batch, 1)
    assert float(log["first"]) == pytest.approx(3.337519, abs=1e-6)
    assert float(log["second"]) == pytest.approx(15.895826, abs=1e-6)
    assert float(loss.detach()) == pytest.approx(3.337519 + 15.895826 / 2, abs=1e-6)
    with torch.no_grad():
        method.first.query.encoder.scale.fill_(2)
        method.second.query.encoder.scale.fill_(3)
    method(batch, 1)
    scales = [float(moco.key.encoder.scale.detach()) for moco in (method.first, method.second)]
    assert scales == pytest.approx([1.001, 1.002])
    for moco, start in ((method.first, 20), (method.second, 30)):
        keys = nn.functional.normalize(sine(start, 2, 4), dim=1)
        torch.testing.assert_close(moco.queue[:, :2], keys.t())
    assert method.evaluated is method.first.query


def test_a_queue_that_starts_uniform():
    torch.manual_seed(0)
    queue = first_queue(256, 400, "uniform")
    assert queue.shape == (256, 400)
    assert 0.1082 < float(queue.max()) <= 0.108253
    assert -0.108253 <= float(queue.min()) < -0.1082
    assert float(queue.std()) == pytest.approx(0.108253 / math.sqrt(3), rel=0.01)


def key_weights(method):
    return [p.clone() for p in method.moco.key.parameters()]


@pytest.mark.parametrize("when", ["before", "after"])
def test_when_keys_follow(when):
    """Before the keys, they are a step behind; after the optimiser's step they go towards what it has left."""
    torch.manual_seed(0)
    method = toy(key_follows=when, key_init="independent").train()
    sgd = torch.optim.SGD(method.parameter_groups(None), lr=0.5)
    query, key = [p.detach().clone() for p in method.moco.query.parameters()], key_weights(method)
    train_step(method, sgd, views(0), 1)
    goal = query if when == "before" else [p.detach() for p in method.moco.query.parameters()]
    assert not all(map(torch.equal, query, method.moco.query.parameters()))
    for mine, old, theirs in zip(method.moco.key.parameters(), key, goal, strict=True):
        torch.testing.assert_close(mine, 0.9 * old + 0.1 * theirs)


def test_keys_in_eval_mode():
    """No dropout, and statistics that follow those of the query network."""
    torch.manual_seed(0)
    method = toy(key_mode="eval").train()
    assert method.moco.query.training
    assert not any(module.training for module in method.moco.key.modules())
    norm, key_norm = method.moco.query.encoder.norm, method.moco.key.encoder.norm
    method(views(0), 1)  # the keys follow after the query was seen
    torch.testing.assert_close(key_norm.running_mean, 0.1 * norm.running_mean)
    x = views(1).views["key"]
    assert torch.equal(method.moco.embed_keys(x), method.moco.embed_keys(x))
    assert key_norm.num_batches_tracked == 0
    other = toy().train()
    assert not torch.equal(other.moco.embed_keys(x), other.moco.embed_keys(x))


@pytest.mark.parametrize("when", ["before", "after"])
def test_epochs_that_only_fill_the_queue(when):
    torch.manual_seed(0)
    method = toy(fill_epochs=1, key_follows=when, key_init="independent").train()
    sgd = torch.optim.SGD(method.parameter_groups(None), lr=0.5)
    before, queue = [p.detach().clone() for p in method.parameters()], method.moco.queue.clone()
    log = train_step(method, sgd, views(0), 1)
    assert not log["loss"].requires_grad
    assert all(map(torch.equal, before, method.parameters()))
    assert int(method.moco.pointer) == 4
    assert not (method.moco.queue[:, :4] == queue[:, :4]).any()
    train_step(method, sgd, views(1), 2)
    same = [*map(torch.equal, before, method.parameters())]
    assert not any(same[: len(same) // 2])


def test_the_optimiser_has_all_that_is_trained():
    method = toy()
    (group,) = method.parameter_groups(None)
    assert [id(p) for p in group["params"]] == [id(p) for p in method.moco.query.parameters()]


def test_variants_stay_out_of_a_dump_until_chosen():
    plain, chosen = (
        load_recipe("aimclr"),
        load_recipe("aimclr", ["method.key_mode=eval", "method.weights={contrast: 2}"]),
    )
    new = {"weights", "normalise", "queue_init", "key_follows", "key_mode", "fill_epochs"}
    assert not new & set(plain.model_dump(mode="json")["method"])
    dumped = chosen.model_dump(mode="json")
    assert {name: dumped["method"][name] for name in new & set(dumped["method"])} == {
        "key_mode": "eval", "weights": {"contrast": 2.0},
    }  # fmt: skip
    assert type(chosen).model_validate(dumped) == chosen


def test_aimclrs_losses_have_weights():
    torch.manual_seed(0)
    small = ["encoder.width=2", "encoder.features=8", "method.queue_size=16", "encoder.dropout=0"]
    method = load_recipe("aimclr", [*small, "method.weights={contrast: 3}", "method.d3m_weight=0.5"])
    method = method.build_method(KINECT_V2, 60)
    batch = Batch({view: torch.randn(4, 3, 10, 25, 2) for view in method.VIEWS}, LABELS)
    loss, log = copy.deepcopy(method)(batch, 1)
    assert float(loss.detach()) == pytest.approx(3 * float(log["info_nce"]) + 0.5 * float(log["d3m"]), rel=1e-5)
    with pytest.raises(BadInput, match="that of d3m is d3m_weight"):
        load_recipe("aimclr", ["method.weights={d3m: 2}"])
