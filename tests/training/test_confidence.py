"""Temperatures, calibration errors and distances: by hand, against twins, and at their ends."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from skelpipe.errors import BadInput
from skelpipe.training.confidence import (
    COLDEST,
    HOTTEST,
    Distance,
    best_temperature,
    calibrate,
    calibration_error,
    centres,
    combined,
    distances,
    likelihood_loss,
    need_distance,
    need_temperature,
    spread_of,
    temperature,
)

pytestmark = pytest.mark.usefixtures("one_thread")


def noisy(n=400, classes=5, too_sure=3.0, seed=0):
    """Scores (n, K), `too_sure` times those by whose softmax the labels (n,) are drawn."""
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(n, classes, generator=generator, dtype=torch.float64) * 1.5
    label = torch.multinomial(torch.softmax(z, 1), 1, generator=generator)[:, 0]
    return too_sure * z, label


def twin(scores, label, temperature):
    """The mean negative log-likelihood in plain NumPy."""
    z = np.asarray(scores) / temperature
    z -= z.max(1, keepdims=True)
    return (np.log(np.exp(z).sum(1)) - z[np.arange(len(z)), np.asarray(label)]).mean()


@pytest.mark.parametrize("too_sure", [0.3, 1.0, 3.0, 12.0])
def test_the_temperature_is_the_one_a_search_finds(too_sure):
    scores, label = noisy(too_sure=too_sure)
    found = best_temperature(scores, label)
    grid = np.geomspace(COLDEST, HOTTEST, 5001)
    best = grid[np.argmin([twin(scores, label, t) for t in grid])]
    assert found == pytest.approx(best, rel=0.002)
    assert found == pytest.approx(too_sure, rel=0.15)
    assert twin(scores, label, found) <= min(twin(scores, label, t) for t in grid) + 1e-12
    assert likelihood_loss(scores / found, label) == pytest.approx(twin(scores, label, found), abs=1e-12)


def test_two_classes_by_hand():
    # Four clips with a lead of 2 for class 0, of which three are of class 0: the likeliest p is 3/4, the logit of
    # which is ln 3, so that 2 / T = ln 3.
    scores, label = torch.tensor([[2.0, 0.0]] * 4), torch.tensor([0, 0, 0, 1])
    assert best_temperature(scores, label) == pytest.approx(2 / math.log(3), abs=1e-9)
    found = calibrate(scores, label, 2, "subject")
    assert (found.clips, found.groups, found.by) == (4, 2, "subject")
    assert found.nll_after == pytest.approx(-(3 * math.log(0.75) + math.log(0.25)) / 4)
    p = 1 / (1 + math.exp(-2))
    assert found.nll_before == pytest.approx(-(3 * math.log(p) + math.log(1 - p)) / 4)
    assert found.ece_after == pytest.approx(0, abs=1e-9)
    assert found.ece_before == pytest.approx(p - 0.75)


def test_the_calibration_error_by_hand():
    # Two bins, up to 1/2 and above it. Below: two clips at 0.4, one of them right; above: at 0.6 and 0.9, both right.
    p = torch.tensor([[0.4, 0.3, 0.3], [0.4, 0.3, 0.3], [0.6, 0.4, 0], [0.05, 0.9, 0.05]], dtype=torch.float64)
    label = torch.tensor([0, 1, 0, 1])
    assert calibration_error(p.log().clamp_min(-700), label, bins=2) == pytest.approx((0.5 * 0.1) + (0.5 * 0.25))
    # As many bins as there are figures: |1/2 - 0.4| and |1 - 0.6| and |1 - 0.9|.
    assert calibration_error(p.log().clamp_min(-700), label, bins=10) == pytest.approx((0.2 + 0.4 + 0.1) / 4)
    # A probability on a bin's upper edge belongs to it: 1/2 with 0.4, not with 0.6.
    p = torch.tensor([[0.5, 0.25, 0.25], [0.6, 0.2, 0.2]], dtype=torch.float64)
    assert calibration_error(p.log(), torch.tensor([0, 1]), bins=2) == pytest.approx((0.5 + 0.6) / 2)


def test_it_changes_no_top_class_and_what_is_calibrated_stays():
    scores, label = noisy()
    found = best_temperature(scores, label)
    assert torch.equal((scores / found).argmax(1), scores.argmax(1))
    assert best_temperature(scores / found, label) == pytest.approx(1, abs=1e-6)
    assert best_temperature(scores + torch.randn(len(scores), 1), label) == pytest.approx(found)


@pytest.mark.parametrize(
    ("scores", "label", "found"),
    [
        ([[1.0, 0.0]], [0], COLDEST),  # all right: the surer the better
        ([[1.0, 0.0], [0.0, 1.0]], [1, 0], HOTTEST),  # all wrong: the less sure the better
        ([[0.0, 0.0], [3.0, 3.0]], [0, 1], 1.0),  # they tell nothing
        ([[5.0], [7.0]], [0, 0], 1.0),  # one class
        ([[1e30, 0.0]], [0], 1.0),  # as sure as can be
        ([[1e30, 0.0], [1e30, 0.0]], [0, 1], HOTTEST),
    ],
)
def test_few_clips_and_extreme_scores_end_at_the_bounds(scores, label, found):
    assert best_temperature(torch.tensor(scores, dtype=torch.float64), torch.tensor(label)) == pytest.approx(found)


def test_nothing_is_concluded_from_nothing():
    assert calibrate(torch.zeros(0, 3), torch.zeros(0, dtype=torch.long), 0, "subject") is None
    assert calibrate(torch.tensor([[math.nan, 0.0]]), torch.tensor([0]), 1, "subject") is None


def test_several_copies_of_one_model_say_what_one_says():
    z, other = torch.randn(6, 3), torch.randn(6, 3)
    torch.testing.assert_close(combined([z, z, z], [0.6, 0.6, 0.4], [2.0, 2.0, 2.0]), 1.6 * z / 2)
    torch.testing.assert_close(combined([z, other], [3, 1], [2.0, 0.5]), 3 * z / 2 + other / 0.5)
    with pytest.raises(ValueError, match="argument"):
        combined([z, z], [1.0, 1.0], [1.0])


# Distances --------------------------------------------------------------------------------------------------------


def test_distances_are_those_of_a_twin_in_numpy():
    rng = np.random.default_rng(0)
    h, label, other = rng.normal(2, 1, (60, 16)), rng.choice([0, 2, 5], 60), rng.normal(2, 1, (20, 16))
    unit = h / np.linalg.norm(h, axis=1, keepdims=True)
    means = np.stack([unit[label == c].mean(0) for c in (0, 2, 5)])
    cosine = other @ means.T / np.linalg.norm(other, axis=1)[:, None] / np.linalg.norm(means, axis=1)
    found = centres(torch.from_numpy(h), torch.from_numpy(label))
    assert found.shape == (3, 16)
    distance = Distance(found, torch.linspace(0, 1, 101, dtype=torch.float64))
    np.testing.assert_allclose(distance.of(torch.from_numpy(other)).numpy(), 1 - cosine.max(1), atol=1e-7)
    torch.testing.assert_close(distance.of(torch.from_numpy(7 * other)), distance.of(torch.from_numpy(other)))


def test_distances_by_hand():
    centre = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    h = torch.tensor([[3.0, 0.0], [1.0, 1.0], [-2.0, 0.0], [-1.0, -1.0], [0.0, 0.0]])
    found = distances(h, centre).tolist()  # a feature of zeros has no direction: as far as what is at right angles
    assert found == pytest.approx([0, 1 - math.sqrt(0.5), 1, 1 + math.sqrt(0.5), 1], abs=1e-7)


def test_a_share_is_the_distance_that_so_many_are_beyond():
    far = torch.linspace(0, 2, 1001, dtype=torch.float64)[torch.randperm(1001)]
    distance = Distance(torch.eye(2), spread_of(far))
    for share in (0.0, 0.01, 0.015, 0.25, 0.999, 1.0):
        assert distance.threshold(share) == pytest.approx(2 * (1 - share))
        assert float((far > distance.threshold(share)).double().mean()) == pytest.approx(share, abs=0.002)
    one = Distance(torch.eye(2), spread_of(torch.tensor([0.3])))
    assert one.threshold(0) == one.threshold(0.5) == pytest.approx(0.3)
    for share in (-0.1, 1.5, math.nan):
        with pytest.raises(BadInput, match="from 0 to 1"):
            one.threshold(share)


def test_its_tensors_bring_it_back():
    distance = Distance(torch.eye(3), spread_of(torch.rand(9)))
    again = Distance.among({"head.weight": torch.eye(3), **distance.tensors()})
    assert torch.equal(again.centres, distance.centres)
    assert torch.equal(again.quantiles, distance.quantiles)
    assert Distance.among({"head.weight": torch.eye(3)}) is None


def test_a_model_that_knows_neither_says_so_in_a_line():
    facts = SimpleNamespace(calibration=None, protocol="supervised")
    model = SimpleNamespace(path="run", facts=facts, distance=None)
    assert temperature(facts) == 1
    with pytest.raises(BadInput, match=r"run: has no temperature.*supervised.*--protocol linear"):
        need_temperature(model)
    with pytest.raises(BadInput, match=r"run: cannot tell what is far.*supervised.*--protocol linear"):
        need_distance(model)
    scores, label = noisy()
    facts.calibration = calibrate(scores, label, 1, "subject")
    assert need_temperature(model) == temperature(facts) == facts.calibration.temperature > 2
