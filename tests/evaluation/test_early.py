"""Accuracy over the observed share: which frames a network is shown, and what is told of them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import TINY
from torch import nn

from skelpipe.errors import BadInput
from skelpipe.evaluation.classes import among
from skelpipe.evaluation.early import EarlyOptions, beginning, early
from skelpipe.evaluation.evaluate import evaluate
from skelpipe.evaluation.features import Features, embed, load_run
from skelpipe.evaluation.protocol import Setup
from skelpipe.evaluation.protocols import check_stated
from skelpipe.evaluation.supervised import supervised
from skelpipe.recordings.datasets import find_split
from skelpipe.recordings.store import Clips
from skelpipe.training.pretrain import pretrain
from skelpipe.training.recipe import load_recipe

pytestmark = pytest.mark.usefixtures("one_thread")
OPTIONS = {"split": "xsub60", "stream": "joint", "device": "cpu", "threads": 1}
USUAL = ["clips={preset: aimclr}", "batch_size=8", "bodies=1"]
ENCODERS = {
    "small_soft_rnn": [*USUAL, "encoder.width=8"],
    "small_part_aware_lstm": [*USUAL, "encoder.width=2"],
    "stgcn_supervised": [change for change in TINY if change.startswith(("encoder.", "batch_size"))],
}


@pytest.fixture(scope="module")
def measured(clips, tmp_path_factory):
    """Runs by recipe, with the features of their clips and a setup."""
    root, source, split, found = tmp_path_factory.mktemp("early"), Clips(clips), find_split("xsub60"), {}
    for name, changes in ENCODERS.items():
        pretrain(load_recipe(name, changes, epochs=1), clips, root / name, **OPTIONS)
        run = load_run(root / name, source, "cpu")
        setup = Setup(4, run.device, run=run, clips=source, options={"early": EarlyOptions(steps=4)}, threads=1)
        found[name] = embed(run, source, split), setup
    return root, found


def limited(features, labels):
    """The clips of some classes."""
    kept = np.isin(features.label, labels)
    return Features(**{key: value[kept] for key, value in vars(features).items()})


@pytest.mark.parametrize("name", ENCODERS)
def test_the_whole_clip_is_what_supervised_says(measured, name):
    features, setup = measured[1][name]
    outcome = early(features, setup)
    np.testing.assert_allclose(outcome.scores, supervised(features, setup).scores, rtol=1e-4, atol=1e-5)
    assert outcome.figures["observed"] == [0.25, 0.5, 0.75, 1.0]
    assert outcome.figures["mean_observed"] == pytest.approx(np.mean(outcome.figures["top1_observed"]))
    label = features.label[~features.train]
    assert outcome.figures["top1_observed"][-1] == pytest.approx((outcome.scores.argmax(1) == label).mean())
    some = np.isin(label, (1, 3))
    few = early(among(limited(features, (1, 3)), (1, 3)), replace(setup, classes=2, only=(1, 3)))
    np.testing.assert_allclose(few.scores, outcome.scores[some][:, [1, 3]], rtol=1e-4, atol=1e-6)


def test_beginnings_are_whole_frames_rounded_up_and_the_rest_is_not_seen(measured, monkeypatch):
    features, setup = measured[1]["small_part_aware_lstm"]
    shown = []

    def scores(x, lengths):
        shown.append((x, lengths))
        return nn.functional.one_hot(lengths % 4, 4).float()

    monkeypatch.setattr(setup.run.network, "scores", scores)
    outcome = early(features, replace(setup, options={"early": EarlyOptions(steps=3)}))
    assert [lengths.unique().tolist() for _, lengths in shown] == [[3], [6], [8]]  # of 8 frames
    for (x, lengths), (whole, _) in zip(shown, shown[-1:] * 3, strict=True):
        own = int(lengths[0])
        assert torch.equal(x[:, :, :own], whole[:, :, :own])
        assert not x[:, :, own:].any()
    label = features.label[~features.train]
    assert outcome.figures["top1_observed"] == pytest.approx([(label == n).mean() for n in (3, 2, 0)])


def test_a_beginning():
    x = torch.ones(2, 1, 4, 1, 1)
    seen, lengths = beginning(x, torch.tensor([1, 3]))
    assert seen.flatten(1).tolist() == [[1, 0, 0, 0], [1, 1, 1, 0]]
    assert lengths.tolist() == [1, 3]


def test_it_is_told_beside_top_1_and_suits_runs_with_a_classifier(clips, measured, tmp_path):
    run = measured[0] / "small_soft_rnn"
    evaluate(run, clips, tmp_path / "out", protocols=["early"], options=["early.steps=2"], device="cpu", threads=1)
    told = json.loads((tmp_path / "out" / "metrics.json").read_text())["protocols"]["early"]
    assert told["observed"] == [0.5, 1.0]
    assert told["top1_observed"][-1] == told["top1"]
    pretrain(load_recipe("skeletonclr", TINY, epochs=0), clips, tmp_path / "plain", **OPTIONS)
    with pytest.raises(BadInput, match="--protocol early: .* has learnt without labels and has no classifier"):
        evaluate(tmp_path / "plain", clips, tmp_path / "not", protocols=["early"], device="cpu")
    with pytest.raises(BadInput, match="early measures a classifier, and skeletonclr trains none"):
        check_stated(load_recipe("skeletonclr", ["evaluate.protocols=[early]"]), "r.yaml")
