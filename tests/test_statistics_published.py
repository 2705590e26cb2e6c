"""Each method against values that R or a book prints; the source stands in each test."""

from itertools import combinations, product

import numpy as np
import pytest
from scipy.stats import bootstrap as scipys_bootstrap
from scipy.stats import norm, t

from lapd.statistics.bootstrap import bootstrap
from lapd.statistics.crossed import crossed, linear
from lapd.statistics.paired import paired_difference, tail, two_one_sided
from lapd.statistics.power import power_of_share
from lapd.statistics.rates import homogeneity, rate_difference
from lapd.statistics.spread import Spread
from lapd.statistics.tests import benjamini_hochberg, mid_p, sign_test

# Student (Biometrika 1908, 6:1): hours of sleep gained with two drugs; R's data set `sleep`.
FIRST = np.array([0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0])
SECOND = np.array([1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4])


def test_mcnemars_mid_p_is_that_of_fagerland_lydersen_and_laake() -> None:
    # BMC Medical Research Methodology 2013, 13:91: table 1 (Bentur et al.), 7 and 1 changed: exact .070, mid-p .039.
    assert (sign_test(1, 7), mid_p(1, 7)) == pytest.approx((0.070, 0.039), abs=5e-4)
    assert mid_p(7, 1) == mid_p(1, 7)
    # The same paper, where as many changed in either direction: 1 less half of what was seen.
    assert mid_p(4, 4) == pytest.approx(1 - 0.5 * 70 / 256)


def test_q_is_that_of_benjamini_and_hochbergs_example() -> None:
    # Journal of the Royal Statistical Society B 1995, 57:289, section 4.2: at .05 the four smallest of 15 are told.
    given = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528]
    found = benjamini_hochberg([*given, 0.7590, 1.0])
    # R: p.adjust(p, "BH").
    assert found[:6] == pytest.approx([0.0015, 0.003, 0.0095, 0.035625, 0.0603, 0.06385714])
    assert sum(q < 0.05 for q in found) == 4
    assert benjamini_hochberg([0.04, 0.01]) == [0.04, 0.02]
    assert benjamini_hochberg([]) == []
    with pytest.raises(ValueError, match="not a number"):
        benjamini_hochberg([0.1, float("nan")])


@pytest.mark.parametrize(
    ("counts", "ends"),
    [
        ((56, 70, 48, 80), (0.0524, 0.3339)),
        ((9, 10, 3, 10), (0.1705, 0.8090)),
        ((6, 7, 2, 7), (0.0582, 0.8062)),
        ((5, 56, 0, 29), (-0.0381, 0.1926)),
        ((0, 10, 0, 20), (-0.1611, 0.2775)),
        ((10, 10, 0, 10), (0.6075, 1.0)),
    ],
)
def test_a_difference_of_rates_has_newcombes_interval(
    counts: tuple[int, int, int, int], ends: tuple[float, ...]
) -> None:
    # Newcombe (Statistics in Medicine 1998, 17:873), table II, method 10.
    found = rate_difference(*counts)
    assert (found.low, found.high) == pytest.approx(ends, abs=5e-5)


def test_rates_are_held_against_each_other_as_by_rs_prop_test() -> None:
    # R's help of prop.test: smokers among patients (Fleiss 1981, p. 139): X-squared = 12.6, df = 3, p = 0.005585.
    found = homogeneity([83, 90, 129, 70], [86, 93, 136, 82])
    assert (found.statistic, found.df, found.p) == (
        pytest.approx(12.6004, abs=1e-3),
        3,
        pytest.approx(0.005585, abs=1e-6),
    )
    # Of two samples the chi-square is the square of the z test's.
    two, z = homogeneity([15, 25], [50, 50]), rate_difference(15, 50, 25, 50)
    assert two.p == pytest.approx(z.p)


def test_published_rates_of_five_arms_are_told_apart_as_they_were() -> None:
    # BeaverTails: a base of .224 and four personas, 700 answers each, none of which is known item by item.
    yes = [round(rate * 700) for rate in (0.224, 0.313, 0.240, 0.367, 0.293)]
    assert homogeneity(yes, [700] * 5).p == pytest.approx(3.4e-9, rel=0.01)
    first, second, third = (rate_difference(of, 700, yes[0], 700) for of in yes[1:4])
    assert (third.difference, third.error) == pytest.approx((0.143, 0.024), abs=5e-4)
    assert third.low > 0.09
    assert first.p < 0.001
    assert second.p > 0.4


def test_rates_without_a_sample_are_refused() -> None:
    for wrong in ((1, 0, 1, 2), (3, 2, 1, 2)):
        with pytest.raises(ValueError, match="no rate"):
            rate_difference(*wrong)
    with pytest.raises(ValueError, match="two or more samples"):
        homogeneity([1], [3])
    assert homogeneity([0, 0], [5, 7]).p == 1


def test_satterthwaites_degrees_of_freedom_are_those_of_rs_t_test() -> None:
    # R: t.test(extra ~ group, sleep): t = -1.8608, df = 17.776.
    parts = Spread(FIRST.var(ddof=1) / 10, 9, SECOND.var(ddof=1) / 10, 9)
    assert parts.satterthwaite() == pytest.approx(17.776, abs=5e-4)
    assert (FIRST.mean() - SECOND.mean()) / parts.error == pytest.approx(-1.8608, abs=5e-5)


def test_the_error_over_items_and_trainings_is_that_of_lme4() -> None:
    # Bates, lme4: Penicillin (24 plates x 6 samples): variances .7169, 3.7309, .3024 between plates, samples, and of
    # the rest; the mean's standard error is .8086. Values are made that have just these mean squares.
    plates, samples, rest = 0.3024 + 6 * 0.7169, 0.3024 + 24 * 3.7309, 0.3024
    drawn = np.random.default_rng(0).normal(size=(24, 6))
    drawn -= drawn.mean()
    by_plate, by_sample = drawn.mean(axis=1, keepdims=True), drawn.mean(axis=0, keepdims=True)
    left = drawn - by_plate - by_sample
    values = (
        22.9722
        + by_plate * np.sqrt(plates / (6 * (by_plate**2).sum() / 23))
        + by_sample * np.sqrt(samples / (24 * (by_sample**2).sum() / 5))
        + left * np.sqrt(rest / ((left**2).sum() / 115))
    )
    found = crossed([values], [1.0])
    assert found is not None
    assert (found.estimate, found.error) == pytest.approx((22.9722, 0.8086), abs=5e-5)
    assert (found.spread.items, found.spread.trainings) == pytest.approx((0.7169 / 24, samples / 144), rel=1e-6)


def test_equivalence_is_rs_two_one_sided_tests() -> None:
    # R's TOSTER, vignette IntroTOSTt: the sleep data, paired, within ± .5: the lower test has t(9) = -2.777, p = .989.
    differences = FIRST - SECOND
    error = float(differences.std(ddof=1)) / np.sqrt(10)
    p = two_one_sided(float(differences.mean()), 0.5, lambda distance: tail(distance, error, 9))
    assert p == pytest.approx(float(t.cdf(2.777, 9)), abs=1e-4)
    # Of numbers that are not skewed, `equivalence` is the same, and is told where the 90 % interval lies within.
    values = np.array([-0.2, 0.1, 0.3, -0.1, 0.2, 0.0, 0.1, -0.3])
    found = paired_difference(values, np.zeros(8))
    end = abs(found.difference) + float(t.ppf(0.95, 7)) * found.error
    assert found.equivalence(end) == pytest.approx(0.05)
    assert found.equivalence(0.01) > 0.4


def test_an_experiment_of_sixteen_runs_gives_montgomerys_effects() -> None:
    # Montgomery, Design and Analysis of Experiments, example 6.2 (filtration rate), in the order (1), a, b, ab, c, ...
    rates = np.array([45, 71, 48, 65, 68, 60, 80, 65, 43, 100, 45, 104, 75, 86, 70, 96.0])
    poles = np.array(list(product((-1.0, 1.0), repeat=4)))[:, ::-1]
    pairs = list(combinations(range(4), 2))
    design = np.hstack([np.ones((16, 1)), poles, *(poles[:, [a]] * poles[:, [b]] for a, b in pairs)])
    shares = 2 * np.linalg.pinv(design)
    found = [linear(np.tile(rates, (400, 1)), shares[term], design, (16,)) for term in range(1, 11)]
    effects = [effect.estimate for effect in found if effect]
    assert effects == pytest.approx([21.625, 3.125, 9.875, 14.625, 0.125, -18.125, 16.625, 2.375, -0.375, -1.125])
    # The five interactions of more than two factors are the error: sum of squares 127.81, an effect's error 2 s / 4.
    assert found[0] is not None
    assert found[0].error == pytest.approx(2 * np.sqrt(127.8125 / 5) / 4)
    assert found[0].p == pytest.approx(2 * float(t.sf(21.625 / found[0].error, 5)), rel=1e-6)


def test_clusters_sums_are_what_varies_by_hand() -> None:
    # Passages of two: mean 4, sums of what differs from it -5, 1, 4; (25 + 1 + 16) / 36 * 3 / 2 = 1.75; t with 2 df.
    values, passages = np.array([1, 2, 4, 5, 6, 6.0]), np.array(["a", "a", "b", "b", "c", "c"])
    found = paired_difference(values, np.zeros(6), clusters=passages)
    assert (found.difference, found.error, found.df) == (4, pytest.approx(np.sqrt(1.75)), 2)
    assert found.high - found.difference == pytest.approx(4.302653 * np.sqrt(1.75))
    # Where each item is its own cluster, nothing changes.
    assert paired_difference(values, np.zeros(6), clusters=np.arange(6)) == paired_difference(values, np.zeros(6))


def test_bca_is_scipys_at_the_level_that_few_numbers_ask_for() -> None:
    values = np.sort(np.random.default_rng(3).exponential(size=12))
    level = 1 - 2 * norm.cdf(-t.ppf(0.975, 11) * np.sqrt(12 / 11))
    theirs = scipys_bootstrap(
        (values,), np.mean, method="BCa", confidence_level=level, rng=np.random.default_rng(0)
    ).confidence_interval
    ours = bootstrap(values[::-1])
    assert ours.interval(0.95) == pytest.approx((theirs.low, theirs.high))
    assert [ours.tail(end) for end in ours.interval(0.95)] == pytest.approx([0.05, 0.05])
    assert ours.tail(-1) < ours.tail(0) < 0.001
    assert bootstrap(-values).interval(0.95) == pytest.approx((-theirs.high, -theirs.low))


def test_the_power_of_mcnemars_test_is_that_of_gpower() -> None:
    # G*Power's manual, McNemar: odds ratio .25, 40 % discordant, 50 pairs, one-sided 5 %: power .839343.
    assert power_of_share(50, 0.4, 0.24, 0.10) == pytest.approx(0.839343, abs=2e-5)


def test_a_tail_is_behrens_and_fishers_where_it_is_far_and_students_where_one_part_is_all() -> None:
    trainings_alone, items_alone = Spread(0.0, 50.0, 2.0, 3), Spread(2.0, 50.0, 0.0, 3)
    for distance in (1.0, 4.0, 12.0):
        assert trainings_alone.tail(distance) == pytest.approx(2 * t.sf(distance / np.sqrt(2), 3), rel=1e-5)
        assert items_alone.tail(distance) == pytest.approx(2 * t.sf(distance / np.sqrt(2), 50), rel=1e-5)
    # Fisher's solution is the sum of both parts' own distributions; far out, the tail is that.
    rng, both = np.random.default_rng(1), Spread(1.0, 1e9, 1.0, 2)
    sums = np.abs(rng.standard_normal(400_000) + rng.standard_t(2, 400_000))
    assert both.tail(30.0) == pytest.approx(np.mean(sums > 30), rel=0.1)
