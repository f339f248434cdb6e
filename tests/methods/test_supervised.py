"""Supervised training: the loss by hand, and a run from training to its accuracy."""

from __future__ import annotations

import json
import math

import pytest
import torch
from torch import nn

from skelpipe.clips.batches import Batch
from skelpipe.layouts.kinect_v2 import KINECT_V2
from skelpipe.methods.network import Network
from skelpipe.methods.positives import OwnKey, OwnKeyOptions
from skelpipe.methods.supervised import Supervised, SupervisedOptions
from skelpipe.training.pretrain import pretrain
from skelpipe.training.recipe import load_recipe

TINY = ["encoder.width=2", "encoder.features=8", "encoder.time_kernel=3", "batch_size=8", "init=torch"]


class Sum(nn.Module):
    """A clip's feature is the sum of its numbers, and one."""

    def forward(self, x):
        return torch.stack([x.flatten(1).sum(1), torch.ones(len(x))], dim=1)


def test_cross_entropy_by_hand():
    method = Supervised(
        lambda: Network(Sum(), nn.Linear(2, 3, bias=False)), 0, SupervisedOptions(), OwnKey(OwnKeyOptions()), "torch"
    )
    with torch.no_grad():
        method.network.projector.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 2.0], [-1.0, 0.0]]))
    clips = torch.tensor([1.0, -3.0]).view(2, 1, 1, 1, 1)
    # The first clip scores (1, 2, -1), the second (-3, 2, 3).
    first = -2 + math.log(math.e + math.e**2 + math.e**-1)
    second = -3 + math.log(math.e**-3 + math.e**2 + math.e**3)
    loss, log = method(Batch({"clip": clips}, torch.tensor([1, 2])), 1)
    assert float(loss.detach()) == pytest.approx((first + second) / 2, rel=1e-6)
    assert float(log["train_top1"]) == 1.0
    loss, log = method(Batch({"clip": clips}, torch.tensor([0, 2])), 1)
    assert float(log["train_top1"]) == 0.5
    assert not log["train_top1"].requires_grad
    loss, _ = method(Batch({"clip": clips}, torch.tensor([1, 2]), weights=torch.tensor([0.5, 1.5])), 1)
    assert float(loss.detach()) == pytest.approx((0.5 * first + 1.5 * second) / 2, rel=1e-6)
    assert method.evaluated is method.network


def test_the_shipped_recipe_is_the_original_size():
    """3,098,832 parameters at 60 classes (the original's graph, importance and widths)."""
    recipe = load_recipe("stgcn_supervised")
    assert sum(p.numel() for p in recipe.build_method(KINECT_V2, 60).parameters()) == 3_098_832
    assert recipe.build_method(KINECT_V2, 51).network.projector.out_features == 51
    rates = [recipe.optimizer.rate(epoch) for epoch in (10, 11, 50, 51)]
    assert rates == pytest.approx([0.1, 0.01, 0.01, 0.001])


def test_training_learns_the_labels_and_logs_no_embeddings(clips, tmp_path):
    recipe = load_recipe("stgcn_supervised", [*TINY, "optimizer.lr=0.05", "encoder.dropout=0"], epochs=12)
    result = pretrain(recipe, clips, tmp_path / "run", split="xsub60", stream="joint", device="cpu", threads=1)
    assert (result.state, result.warnings) == ("finished", ())
    entries = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert entries[-1]["loss"] < entries[0]["loss"]
    assert entries[-1]["train_top1"] > 0.8  # chance is a quarter
    assert not {"info_nce", "spread", "collapsed"} & set(entries[-1])
