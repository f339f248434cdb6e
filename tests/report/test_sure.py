"""Intervals of means and of their differences, against printed tables and hand-worked values."""

import pytest

from skelpipe.report.sure import interval_of, mean_interval, t_quantile, welch_interval


@pytest.mark.parametrize(
    ("freedom", "level", "printed"),
    [(1, 0.95, 12.706), (2, 0.95, 4.303), (4, 0.95, 2.776), (10, 0.95, 2.228), (120, 0.95, 1.980), (5, 0.99, 4.032)],
)
def test_quantiles_are_those_of_the_printed_tables(freedom, level, printed):
    assert t_quantile(freedom, level) == pytest.approx(printed, abs=6e-4)


def test_the_interval_of_a_mean():
    # mean 0.73, s = sqrt(0.0013), half = 4.3027 * s / sqrt(3)
    low, high = mean_interval([0.70, 0.72, 0.77])
    assert (low + high) / 2 == pytest.approx(0.73)
    assert (high - low) / 2 == pytest.approx(4.3027 * (0.0013 / 3) ** 0.5, rel=1e-4)
    assert mean_interval([0.7]) is None


def test_the_interval_of_a_difference_is_welchs():
    # Variances 2 and 8 over 3 values each: s² / n is 2/3 and 8/3; (10/3)² / ((4/9)/2 + (64/9)/2) = 2.9412 degrees,
    # t = 3.2175 there; the difference is 12 - 5 = 7.
    low, high = welch_interval([5 - 2**0.5, 5, 5 + 2**0.5], [12 - 8**0.5, 12, 12 + 8**0.5])
    assert (low + high) / 2 == pytest.approx(7)
    assert (high - low) / 2 == pytest.approx(3.2175 * (10 / 3) ** 0.5, rel=1e-3)
    assert welch_interval([1.0], [1.0, 2.0]) is None
    assert welch_interval([1.0, 1.0], [2.0, 2.0]) is None


def test_a_cell_has_students_interval_over_seeds_and_else_that_of_its_evaluation():
    several = interval_of({"values": [0.1, 0.2], "interval": None})
    assert several["method"] == "Student's t over 2 repetitions"
    assert several["high"] - several["low"] == pytest.approx(2 * 12.7062 * 0.05, rel=1e-4)
    single = {"level": 0.95, "low": 0.4, "high": 0.6, "by": "subject", "groups": 7}
    assert interval_of({"values": [0.5], "interval": single})["method"] == "bootstrap over 7 subjects"
    assert interval_of({"values": [0.5]}) is None
