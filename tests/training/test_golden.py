"""The first steps of every method against those written down, and proof that a wrong formula would not pass.

In float32, another order of sums (threads, the plain encoder, float64 throughout) moves these numbers by up to 8e-4 of
their size or of 0.1; the tolerance leaves room for other processors. Dropout, whose masks depend on the path taken, has
its own tests.
"""

import json

import golden
import numpy as np
import pytest
import torch
from golden import CASES, curve

from skelpipe.methods import aimclr, crosnnclr, crossclr
from skelpipe.methods.moco import MoCo
from skelpipe.methods.positives import Pair
from skelpipe.training.optim import Steps
from skelpipe.training.recipe import Recipe

TOLERANCE, LEAST = 2e-3, 0.1
WRITTEN = json.loads(golden.FILE.read_text())
# Another order of sums can make another clip the nearest of two that are nearly as near; then all is different.
pytestmark = pytest.mark.usefixtures("one_thread")


def distance(case, clips):
    """The largest deviation from what is written, in units of the tolerance; infinite where a name differs."""
    found, written = curve(case, clips), WRITTEN[case]
    if found.keys() != written.keys():
        return np.inf
    apart = 0.0
    for name, values in written.items():
        scale = np.maximum(np.abs(values), LEAST)
        apart = max(apart, float(np.max(np.abs(np.subtract(found[name], values)) / scale)))
    return apart / TOLERANCE


def test_every_case_is_written():
    assert WRITTEN.keys() == CASES.keys()
    for found in WRITTEN.values():
        assert {len(values) for values in found.values()} == {golden.EPOCHS, 3 * golden.EPOCHS}


@pytest.mark.parametrize("case", CASES)
def test_first_steps(case, clips):
    assert distance(case, clips) < 1


def negated(function):
    return lambda *given, **named: -function(*given, **named)


def wrong_mining(pair, neighbours):
    log_p = torch.cat([pair.positive, pair.query_negatives], dim=1).log_softmax(1)
    mask = torch.zeros_like(log_p)
    mask[:, 0] = 1
    for places in neighbours:
        mask.scatter_(1, places + 1, 1.0)
    return -(mask * log_p.exp()).sum(1).log().mean()


def backwards(moco):
    torch._foreach_lerp_(list(moco.key.parameters()), list(moco.query.parameters()), moco.options.momentum)


def one_key_late(moco, keys, labels):
    place = (moco.pointer + 1 + torch.arange(len(keys))) % moco.options.queue_size
    moco.queue[:, place] = keys.t()
    moco.pointer.copy_((moco.pointer + len(keys)) % moco.options.queue_size)


def opposite(pair):
    return -(pair.query * pair.key).sum(1, keepdim=True) / pair.temperature


def nearest(pair, top_k=1):
    return pair.key_negatives.topk(1, dim=1).indices


def not_detached(pair):
    queries = torch.cat([pair.positive, pair.query_negatives], dim=1).softmax(1)
    return torch.stack(
        [
            -(queries * torch.cat([(o * pair.key).sum(1, keepdim=True) / pair.temperature, n], 1).log_softmax(1)).sum(1)
            for o, n in zip(pair.others, pair.others_negatives, strict=True)
        ]
    ).mean()


WRONG = {
    "a term's sign": ("SkeletonCLR", Pair, "positive", property(opposite)),
    "the temperature": ("SkeletonCLR", Pair, "query_negatives", property(lambda pair: pair.query @ pair.queue)),
    "no queue update": ("SkeletonCLR", MoCo, "enqueue", lambda moco, keys, labels: None),
    "the queue's pointer": ("CrosNNCLR, equation", MoCo, "enqueue", one_key_late),
    "no key update": ("SkeletonCLR", MoCo, "follow", lambda moco: None),
    "the momentum's side": ("SkeletonCLR", MoCo, "follow", backwards),
    "own neighbours": ("CrosNNCLR, equation", Pair, "query_neighbours", Pair.key_neighbours),
    "no neighbours": ("CrosNNCLR, released", crosnnclr, "LOSSES", {"released": lambda pair, top_k: pair.info_nce}),
    "the nearest only": ("CrosNNCLR, algorithm1", Pair, "key_neighbours", nearest),
    "logarithm of the sum": ("AimCLR", aimclr, "mining_loss", wrong_mining),
    "the union": ("CrosNNCLR*, union", crosnnclr, "mined", lambda pair, top_k: []),
    "D3M's sign": ("CrosNNCLR*", aimclr, "distribution_loss", negated(aimclr.distribution_loss)),
    "D3M's target": ("CrosNNCLR*", aimclr, "distribution_loss", not_detached),
    "no drop": ("AimCLR", aimclr, "attention_drop", lambda x, threshold, lam: x),
    "another stream's clip": ("CrosSCLR", crossclr.CrossStream, "towards", lambda self, pair, partner: pair.info_nce),
    "the rate's schedule": ("SkeletonCLR", Steps, "factor", lambda self, done, total: 1.0),
    "no momentum": (
        "supervised", Recipe, "build_optimizer",
        lambda recipe, method: torch.optim.SGD(method.parameters(), recipe.optimizer.lr),
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_formula_is_seen(what, clips, monkeypatch):
    case, owner, name, instead = WRONG[what]
    monkeypatch.setattr(owner, name, instead)
    assert distance(case, clips) > 5
