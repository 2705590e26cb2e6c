"""The statistics that designs rest on: ratios of separate means, departures from a line, means of different items."""

from __future__ import annotations

import numpy as np
import pytest

from lapd.statistics.departure import departure
from lapd.statistics.ratios import ratio_of_separate_means
from lapd.statistics.welch import welch


def test_the_ratio_of_separate_means_covers_the_truth() -> None:
    chance = np.random.default_rng(1)
    covered = 0
    for _ in range(200):
        above, below = chance.normal(1.0, 2.0, 60), chance.normal(2.0, 1.0, 40)
        moments = [(float(x.mean()), float(x.var(ddof=1)) / len(x)) for x in (above, below)]
        found = ratio_of_separate_means(moments[0], moments[1], 39)
        assert found is not None and found.low < found.ratio < found.high
        covered += found.low <= 0.5 <= found.high
    assert 0.92 <= covered / 200 <= 0.98


def test_where_the_mean_below_is_not_told_from_zero_there_is_no_ratio() -> None:
    assert ratio_of_separate_means((1.0, 0.01), (0.1, 0.01), 30) is None


def test_a_line_is_no_departure_as_often_as_the_level_says_and_a_bend_is_one() -> None:
    chance, at = np.random.default_rng(2), np.array([0.0, 0.5, 1.0, 2.0])
    slopes = chance.normal(1.0, 1.0, (600, 40, 1))
    lines = slopes * at + chance.normal(0, 0.5, (600, 40, 4))
    told = np.mean([departure(values, at) < 0.05 for values in lines])
    assert 0.03 <= told <= 0.075
    assert departure(lines[0] - 0.5 * at**2, at) < 0.001


def test_items_that_belong_together_count_as_one_in_a_departure() -> None:
    chance, at = np.random.default_rng(3), np.array([0.0, 1.0, 2.0, 3.0])
    values = chance.normal(0, 1, (15, 4))
    fourfold, clusters = np.repeat(values, 4, axis=0), np.repeat(np.arange(15), 4)
    assert departure(fourfold, at, clusters) == pytest.approx(departure(values, at))
    assert departure(fourfold, at) < departure(values, at)


@pytest.mark.parametrize("items", [1, 2])
def test_too_few_items_tell_no_departure(items: int) -> None:
    assert departure(np.arange(items * 4.0).reshape(items, 4) ** 2, np.arange(4.0)) == 1.0


def test_welch_is_what_scipy_has() -> None:
    from scipy.stats import ttest_ind

    first, second = np.array([20.4, 24.2, 15.4, 21.4, 20.2, 18.5, 21.5]), np.array([20.2, 16.9, 18.5, 17.3, 20.5])
    found, known = welch(first, second), ttest_ind(first, second, equal_var=False)
    assert found is not None
    interval = known.confidence_interval()
    assert (found.p, found.low, found.high) == pytest.approx((known.pvalue, interval.low, interval.high))
    assert welch(first, second[:1]) is None
    assert welch(np.ones(5), np.zeros(4)) is None
