"""Bootstrap intervals against enumeration, a plain loop, and the binomial distribution."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy.stats import binom

from skelpipe.evaluation.intervals import RESAMPLES, resampled_means, stored_interval, top1_interval


def test_three_persons_against_all_27_resamples():
    """Of each of the 27 equally likely resamples the share of hits, in whole persons; how often each share comes."""
    size, hits = np.array([1, 2, 4]), np.array([1.0, 0, 3])
    exact = {}
    for drawn in product(range(3), repeat=3):
        share = hits[list(drawn)].sum() / size[list(drawn)].sum()
        exact[round(share, 9)] = exact.get(round(share, 9), 0) + 1 / 27
    found, count = np.unique(resampled_means(size, hits).round(9), return_counts=True)
    assert found.tolist() == pytest.approx(sorted(exact))
    expected = np.array([exact[share] for share in sorted(exact)])
    assert np.abs(count / RESAMPLES - expected).max() < 4 * np.sqrt(0.25 / RESAMPLES)


def test_persons_against_a_plain_loop():
    rng = np.random.default_rng(1)
    group = np.repeat(np.arange(10), rng.integers(3, 60, 10))
    hits = (rng.random(len(group)) < np.linspace(0.4, 0.95, 10)[group]).astype(float)
    plain = []
    for _ in range(4000):
        clips = np.concatenate([np.flatnonzero(group == person) for person in rng.integers(10, size=10)])
        plain.append(hits[clips].mean())
    found = top1_interval(hits, group, "subject")
    assert (found["level"], found["by"], found["groups"]) == (0.95, "subject", 10)
    assert found["low"] == pytest.approx(np.quantile(plain, 0.025), abs=0.012)
    assert found["high"] == pytest.approx(np.quantile(plain, 0.975), abs=0.012)
    clips = top1_interval(hits, None)
    assert clips["high"] - clips["low"] < 0.6 * (found["high"] - found["low"])  # as if the clips told of themselves
    assert found == top1_interval(
        hits, group.astype(str), "subject"
    )  # the same bytes each time, whatever they are called


@pytest.mark.parametrize("group", [None, np.zeros(200), np.arange(200) * 3, np.array(["one"] * 200)])
def test_one_person_or_one_clip_each_are_resampled_clip_by_clip(group):
    hits = np.arange(200) < 150
    found = top1_interval(hits.astype(float), group, "subject")
    assert (found["by"], found["groups"]) == ("clip", 200)
    low, high = binom.ppf([0.025, 0.975], 200, 0.75) / 200
    assert found["low"] == pytest.approx(low, abs=0.006)
    assert found["high"] == pytest.approx(high, abs=0.006)


def test_what_is_always_right_is_sure_and_no_clips_have_no_interval():
    assert top1_interval(np.ones(12), np.arange(12) // 2, "video") == {
        "level": 0.95, "by": "video", "groups": 6, "low": 1.0, "high": 1.0,
    }  # fmt: skip
    with pytest.raises(ValueError, match="no clips"):
        top1_interval(np.zeros(0), None)


@pytest.mark.parametrize(("groups", "sure"), [(2, False), (4, False), (5, True)])
def test_few_groups_have_no_interval(groups, sure):
    hits = np.arange(40) % 2.0
    found = top1_interval(hits, np.arange(40) % groups, "subject")
    assert (found["level"], found["by"], found["groups"]) == (0.95, "subject", groups)
    assert (found["low"] is not None, found["high"] is not None) == (sure, sure)
    assert stored_interval(found) == found
    older = {**found, "low": 0.5, "high": 0.5}  # as it was stored before
    assert stored_interval(older)["low"] == (0.5 if sure else None)
    assert top1_interval(np.ones(1), np.zeros(1))["low"] is None
    assert stored_interval(None) is None


def test_many_groups_and_clips_are_drawn_in_parts(monkeypatch):
    size, hits = np.arange(1, 41), np.arange(1, 41) * 0.7
    whole = resampled_means(size, hits)
    monkeypatch.setattr("skelpipe.evaluation.intervals.AT_ONCE", 1000)
    np.testing.assert_allclose(resampled_means(size, hits), whole, rtol=1e-14)  # sums in another order
