"""The statistics against values worked out by hand, against scipy, and against simulation."""

import math

import numpy as np
import pytest
from scipy.stats import binomtest, ttest_rel

from lapd.statistics.limits import limit_of
from lapd.statistics.paired import paired_difference
from lapd.statistics.shares import share_interval
from lapd.statistics.tests import holm, sign_test


def outcomes(both, gained, lost, neither):
    """Two arms of yes/no outcomes with these counts."""
    arm = [1] * (both + gained) + [0] * (lost + neither)
    baseline = [1] * both + [0] * gained + [1] * lost + [0] * neither
    return np.array(arm), np.array(baseline)


def test_numbers_are_compared_by_students_t_on_the_differences():
    # Differences 2, 3, 2, 3: mean 2.5, standard error 0.288675; t(3) has its 97.5 % quantile at 3.182446.
    result = paired_difference(np.array([3, 5, 4, 6]), np.array([1, 2, 2, 3]))
    assert (result.n, result.test, result.difference) == (4, "paired t", 2.5)
    assert (result.low, result.high) == pytest.approx((1.581307, 3.418693), abs=1e-6)
    assert result.p == pytest.approx(ttest_rel([3, 5, 4, 6], [1, 2, 2, 3]).pvalue)


def test_numbers_agree_with_scipy_on_random_data():
    rng = np.random.default_rng(1)
    for n in (2, 10, 300):
        arm, baseline = rng.normal(0.3, 1, n), rng.normal(0, 2, n)
        result, theirs = paired_difference(arm, baseline), ttest_rel(arm, baseline)
        assert result.p == pytest.approx(theirs.pvalue)
        interval = theirs.confidence_interval(0.95)
        assert (result.low, result.high) == pytest.approx((interval.low, interval.high))


def test_yes_no_outcomes_by_hand():
    # 8 gained, 1 lost of 20. p = 2 (1 + 9) / 2^9. Half added to each cell: b 8.5, c 1.5 of 22;
    # (7 ± 1.959964 sqrt(10 − 49 / 22)) / 22.
    result = paired_difference(*outcomes(6, 8, 1, 5))
    assert (result.n, result.test) == (20, "McNemar exact")
    assert result.difference == pytest.approx(7 / 20)
    assert result.p == 20 / 512
    assert (result.low, result.high) == pytest.approx((0.069806, 0.566558), abs=2e-6)


def test_outcomes_in_points_give_the_same_in_points():
    arm, baseline = outcomes(6, 8, 1, 5)
    share, points = paired_difference(arm, baseline), paired_difference(100 * arm, 100 * baseline, scale=100)
    assert points.test == "McNemar exact"
    assert points.p == share.p
    for name in ("difference", "low", "high", "smallest"):
        assert getattr(points, name) == pytest.approx(100 * getattr(share, name))


def test_mcnemars_p_is_exact():
    for gained in range(0, 14):
        for lost in range(0, 14):
            expected = binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
            assert sign_test(gained, lost) == pytest.approx(expected, rel=1e-12)
            assert paired_difference(*outcomes(3, gained, lost, 3)).p == sign_test(gained, lost)
    assert sign_test(600, 400) == pytest.approx(binomtest(600, 1000).pvalue, rel=1e-9)


def test_swapping_the_arms_turns_the_result_round():
    rng = np.random.default_rng(2)
    numbers = rng.normal(0, 1, 20), rng.normal(0.4, 1, 20)
    for arm, baseline in (numbers, outcomes(6, 8, 1, 5)):
        there, back = paired_difference(arm, baseline), paired_difference(baseline, arm)
        assert back.difference == pytest.approx(-there.difference)
        assert (back.low, back.high) == pytest.approx((-there.high, -there.low))
        assert back.p == pytest.approx(there.p)


def test_the_interval_of_numbers_covers_the_truth_in_95_of_100_samples():
    rng = np.random.default_rng(3)
    baseline = rng.normal(0, 1, (2000, 12))
    arm = baseline + rng.normal(0.5, 2, (2000, 12))
    results = [paired_difference(a, b) for a, b in zip(arm, baseline, strict=True)]
    # The standard error of a coverage of 95 % over 2,000 samples is half a point.
    assert np.mean([r.low <= 0.5 <= r.high for r in results]) == pytest.approx(0.95, abs=0.015)
    rejected = [r.p < 0.05 for r in results]
    assert rejected == [not r.low <= 0 <= r.high for r in results]


@pytest.mark.parametrize("cells", [(0.4, 0.15, 0.05, 0.4), (0.6, 0.02, 0.02, 0.36), (0.1, 0.5, 0.1, 0.3)])
def test_the_interval_of_yes_no_outcomes_covers_the_truth_in_95_of_100_samples(cells):
    counts = np.random.default_rng(4).multinomial(60, cells, 2000)
    truth = cells[1] - cells[2]
    kinds, times = np.unique(counts[:, 1:3], axis=0, return_counts=True)
    results = [paired_difference(*outcomes(60 - g - lost, g, lost, 0)) for g, lost in kinds.tolist()]
    covered = np.dot([r.low <= truth <= r.high for r in results], times) / 2000
    assert covered >= 0.935
    # Where nothing differs, an exact test rejects in at most 5 %.
    if truth == 0:
        assert np.dot([r.p < 0.05 for r in results], times) / 2000 <= 0.05


def test_the_smallest_difference_shows_in_80_of_100_samples():
    # With the standard error known, a true difference of that size is found significant in 80 %.
    n, rng = 40, np.random.default_rng(5)
    typical = np.mean([paired_difference(d, np.zeros(n)).smallest for d in rng.normal(0, 1, (200, n))])
    found = [paired_difference(d, np.zeros(n)).p < 0.05 for d in rng.normal(typical, 1, (2000, n))]
    assert np.mean(found) == pytest.approx(0.80, abs=0.04)


@pytest.mark.parametrize("n", [20, 50, 100, 500])
def test_the_smallest_yes_no_difference_could_have_been_significant(n):
    smallest = paired_difference(*outcomes(n // 2, 0, 0, n - n // 2)).smallest
    gained = math.ceil(smallest * n)
    assert paired_difference(*outcomes(0, gained, 0, n - gained)).p < 0.05


def test_no_change_at_all_is_no_difference_but_not_certainty():
    result = paired_difference(*outcomes(30, 0, 0, 20))
    assert (result.difference, result.p) == (0, 1)
    assert result.low < 0 < result.high
    assert result.smallest > 0
    wider = paired_difference(*outcomes(3, 0, 0, 2))
    assert wider.high > result.high


def test_all_wrong_and_all_right_are_yes_no_outcomes():
    for value in (0, 1):
        result = paired_difference(np.full(9, value), np.full(9, value))
        assert (result.test, result.difference, result.p) == ("McNemar exact", 0, 1)
    gain = paired_difference(np.ones(9), np.zeros(9))
    assert (gain.difference, gain.p, gain.high) == (1, 2 / 512, 1)


def test_two_levels_that_are_not_no_and_yes_are_numbers():
    for values in (np.array([0, 3.7, 0]), np.array([0, 100.0, 0]), np.array([2.0, 2.0, 1.0])):
        assert paired_difference(values, values[::-1]).test == "paired t"


def test_an_interval_of_a_share_does_not_leave_its_range():
    for n in (1, 2, 5):
        result = paired_difference(np.ones(n), np.zeros(n))
        assert -1 <= result.low <= result.difference <= result.high <= 1


def test_one_item_settles_nothing():
    number = paired_difference(np.array([2.5]), np.array([1.0]))
    assert (number.n, number.difference, number.p) == (1, 1.5, 1.0)
    assert (number.low, number.high, number.smallest) == (-math.inf, math.inf, math.inf)
    share = paired_difference(np.array([1]), np.array([0]))
    assert (share.n, share.difference, share.p) == (1, 1.0, 1.0)
    assert share.low < 0


def test_no_items_are_refused():
    with pytest.raises(ValueError, match=r"no items"):
        paired_difference(np.array([]), np.array([]))


def test_negative_values_are_numbers():
    assert paired_difference(np.array([-1.0, 0, 0]), np.array([0, 0, -1.0])).test == "paired t"


@pytest.mark.parametrize("step", [0.5, 0.1, -3.7])
def test_numbers_that_all_move_alike_are_told_by_their_number(step):
    # 0.1 is no binary fraction: its differences are the same but for their last digit.
    baseline = np.array([0.1, 0.7, 1.3, 2.9, 30.3, 7.7, 8.1, 0.9])
    two, five, eight = (paired_difference(baseline[:n] + step, baseline[:n]) for n in (2, 5, 8))
    assert (two.p, five.p, eight.p) == (2 / 2**2, 2 / 2**5, 2 / 2**8)
    assert {two.test, five.test, eight.test} == {"sign test"}
    for result in (two, five):
        assert (result.low, result.high, result.smallest) == (-math.inf, math.inf, math.inf)
    assert (eight.difference, eight.low, eight.high) == pytest.approx((step, step, step))


def test_numbers_that_do_not_move_settle_nothing():
    for n in (2, 3, 8):
        same = paired_difference(np.arange(n) + 1.5, np.arange(n) + 1.5)
        assert (same.difference, same.p) == (0, 1)
        assert (same.high == math.inf) == (n < 6)


@pytest.mark.parametrize(
    ("arm", "baseline", "found"),
    [
        ([1] * 20, [1] * 20, "ceiling"),
        ([1] * 19 + [0], [0] + [1] * 19, "ceiling"),
        ([0] * 20, [0] * 20, "floor"),
        ([1] * 18 + [0] * 2, [1] * 20, ""),
        ([1] * 20, [0] * 20, ""),
        ([0.5] * 20, [0.5] * 20, "constant"),
        ([0.1, 0.2, 0.3], [0.1, 0.2, 0.3], ""),
    ],
)
def test_a_limit_is_where_nearly_all_items_of_both_arms_have_one_value(arm, baseline, found):
    assert limit_of(np.array(arm), np.array(baseline), 0, 1) == found


def test_a_shares_interval_is_clopper_and_pearsons():
    for successes, n in ((0, 10), (10, 10), (3, 17), (48, 64), (0, 1)):
        expected = binomtest(successes, n).proportion_ci(0.95, "exact")
        assert share_interval(successes, n) == pytest.approx((expected.low, expected.high))


def test_a_shares_interval_never_covers_less_than_it_says():
    n = 25
    intervals = [share_interval(k, n) for k in range(n + 1)]
    for truth in np.linspace(0.01, 0.99, 99):
        chances = [math.comb(n, k) * truth**k * (1 - truth) ** (n - k) for k in range(n + 1)]
        covered = sum(c for c, (low, high) in zip(chances, intervals, strict=True) if low <= truth <= high)
        assert covered >= 0.95


def test_holm_by_hand():
    # Sorted: .005 x 4, .01 x 3, .03 x 2, .04 x 1 (which may not be below .06).
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_at_its_edges():
    assert holm([]) == []
    assert holm([0.2]) == [0.2]
    assert holm([0.5, 0.9, 0.6]) == [1, 1, 1]
    assert holm([0.01, 0.01]) == [0.02, 0.02]
    with pytest.raises(ValueError, match=r"not a number"):
        holm([0.1, float("nan")])


def test_holm_keeps_the_family_wise_error_below_5_percent():
    p_values = np.random.default_rng(6).uniform(size=(2000, 10))
    wrong = np.mean([min(holm(list(row))) < 0.05 for row in p_values])
    assert wrong == pytest.approx(1 - 0.995**10, abs=0.015)
