"""Balanced training: weights and orders by hand, and batches that go on where they were."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_sample_weight

from skelpipe.clips.balance import balanced_order, class_weights, numbers_drawn
from skelpipe.clips.batches import Batches
from skelpipe.clips.views import build_view
from skelpipe.layouts.kinect_v2 import KINECT_V2

LABELS = np.repeat([0, 2, 5], [12, 3, 1])


def make(balance, labels=LABELS, batch_size=5, **options):
    data = np.random.default_rng(0).normal(size=(len(labels), 3, 6, 25, 1)).astype(np.float32)
    views, ids = {"clip": build_view([{"shear": {"amplitude": 0.5}}])}, np.arange(len(labels)) + 40
    return Batches(
        data, ids, labels, views, "joint", KINECT_V2, batch_size, 7, torch.device("cpu"), 1, balance=balance, **options
    )


def test_weights_by_hand_and_as_scikit_learn_has_them():
    """16 clips of three classes: 16 / (3 · 12), 16 / (3 · 3), 16 / 3."""
    found = class_weights(LABELS)
    assert found.tolist() == pytest.approx([16 / 36] * 12 + [16 / 9] * 3 + [16 / 3])
    assert found.mean() == pytest.approx(1)
    np.testing.assert_allclose(found, compute_sample_weight("balanced", LABELS))
    assert class_weights(np.array([4, 4, 4])).tolist() == [1, 1, 1]


@pytest.mark.parametrize("count", [0, 1, 2, 15, 16, 100])
def test_each_class_is_drawn_equally_often_and_all_of_its_clips_before_one_comes_again(count):
    order = balanced_order(LABELS, count, np.random.default_rng(1))
    assert len(order) == count
    of_class = np.array([(LABELS[order] == label).sum() for label in (0, 2, 5)])
    assert of_class.max() - of_class.min() <= 1
    for label in (0, 2, 5):
        times = np.bincount(order, minlength=16)[label == LABELS]
        assert times.max() - times.min() <= 1


def test_an_epoch_is_as_long_as_before_and_follows_from_seed_and_epoch():
    plain, even = make("none"), make("sampling")
    assert even.steps == plain.steps == 3
    assert np.bincount(LABELS[even.order(1)]).tolist() == [5, 0, 5, 0, 0, 5]
    assert even.order(1).tolist() == make("sampling").order(1).tolist() != even.order(2).tolist()
    nine_to_one = make("sampling", np.array([0] * 9 + [1]))
    several = [(nine_to_one.order(epoch) == 9).sum() for epoch in (1, 2)]
    assert several == [5, 5]


def test_a_clip_that_comes_again_is_another_augmented_clip():
    batches = make("sampling")
    order = batches.order(1)
    one = np.flatnonzero(order == 15)
    assert len(one) == 5
    clips = torch.cat([batch.views["clip"].clone() for batch in batches.epoch(1)])
    assert len(torch.unique(clips[one], dim=0)) == 5
    numbers = numbers_drawn(np.arange(16) + 40, order)
    assert len(set(numbers.tolist())) == len(order)
    first = [np.flatnonzero(order == row)[0] for row in np.unique(order)]
    assert (numbers[first] == order[first] + 40).all()  # the first time it is as it always was


def test_entering_an_epoch_late_gives_the_same_batches():
    for balance in ("sampling", "weights"):
        whole = [(b.views["clip"].clone(), b.labels.clone()) for b in make(balance).epoch(4)]
        late = [(b.views["clip"].clone(), b.labels.clone()) for b in make(balance).epoch(4, 2)]
        assert len(late) == 1
        assert all(torch.equal(a, b) for a, b in zip(whole[2], late[0], strict=True))


def test_ranks_share_the_batches_that_one_would_have():
    whole = [b.labels.clone() for b in make("sampling", batch_size=4).epoch(1)]
    parts = [[b.labels.clone() for b in make("sampling", batch_size=4, rank=r, ranks=2).epoch(1)] for r in (0, 1)]
    for batch, *shares in zip(whole, *parts, strict=True):
        assert torch.equal(batch, torch.cat(shares))


def test_weights_come_with_the_clips_that_they_are_of():
    plain = [batch.labels.clone() for batch in make("none").epoch(1)]
    for labels, batch in zip(plain, make("weights").epoch(1), strict=True):
        assert torch.equal(batch.labels, labels)  # the same clips in the same order
        expected = torch.tensor([{0: 16 / 36, 2: 16 / 9, 5: 16 / 3}[label] for label in labels.tolist()])
        torch.testing.assert_close(batch.weights, expected)
    assert next(iter(make("sampling").epoch(1))).weights is None
