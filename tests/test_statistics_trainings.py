"""Statements about a training, not only about one adapter: against simulation, and where there is nothing to tell."""

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from simulations.claims import family_error, mcnemar_error
from simulations.coverage import contrast, of_trainings
from simulations.estimates import factorial, opposites
from simulations.run import lines, summary
from simulations.values import ITEMS, REST, made

from lapd.statistics.crossed import crossed
from lapd.statistics.paired import paired_difference
from lapd.statistics.power import (
    detectable,
    detectable_adapter,
    detectable_share,
    items_needed,
    items_needed_share,
    power_of_share,
    seeds_needed,
)

ROOT = Path(__file__).parent.parent


def values_of(items: int, trainings: int, between: float, seed: int = 0) -> np.ndarray:
    """[items, trainings] of which trainings differ by `between`."""
    return made("normal", (1, items, trainings), between, np.random.default_rng(seed)).values[0]


def test_intervals_over_trainings_cover_where_those_over_items_do_not() -> None:
    rows = of_trainings(500, (80,), ("normal",), seeds=(2, 3, 5), spreads=(0.2,))
    for row in rows:
        # The standard error of a coverage of 95 % over 500 samples is one point.
        assert row["coverage"] == pytest.approx(0.95, abs=0.03)
        assert row["items_alone"] < 0.85
    assert rows[0]["satterthwaite"] < 0.92
    assert summary(rows)[0]["seeds"] == 2
    assert lines({"family_error": 0.0, "simulation_error": 0.0, "rows": rows, "samples": 500, "seconds": 1})


def test_rare_yes_no_changes_are_covered_too() -> None:
    (row,) = of_trainings(500, (80,), ("rate .03",), seeds=(5,), spreads=(0.1,))
    assert row["coverage"] >= 0.93
    assert row["items_alone"] < 0.93


def test_two_trainings_with_as_many_right_answers_are_not_taken_for_the_same() -> None:
    # 10 of 40 items changed in either training, not the same ones: the means are equal, by chance.
    values = np.zeros((40, 2))
    values[:10, 0] = values[5:15, 1] = 1
    found = crossed([values], [1.0])
    assert found is not None
    assert found.spread.trainings == pytest.approx((1 / 40) ** 2 / 12 / 2)
    assert found.p > paired_difference(values.mean(axis=1), np.zeros(40)).p


def test_a_family_without_an_effect_claims_one_in_at_most_one_of_twenty() -> None:
    (row,) = family_error(40, (3,), (0.2,))
    assert row["family_error"] <= 0.05 + 2.5 * math.sqrt(0.05 * 0.95 / 40)
    assert row["items_alone"] > 0.9


def test_mid_p_keeps_its_level_and_the_exact_p_is_timid() -> None:
    rows = mcnemar_error((20, 50))
    assert all(row["exact"] <= row["mid_p"] <= row["level"] for row in rows)
    some = [row for row in rows if row["level"] == 0.05 and row["n"] == 50 and 0.2 <= row["changing"] <= 0.6]
    assert all(row["exact"] < 0.033 and row["mid_p"] > 0.040 for row in some)


def test_the_factorial_and_opposites_estimate_what_is_there() -> None:
    for row in factorial(80) + opposites(80):
        assert abs(row["bias_in_errors"]) < 4
        assert row["coverage"] >= 0.85


def test_controls_tell_how_far_trainings_differ_for_a_persona_trained_once() -> None:
    controls, one = values_of(60, 4, 0.2), values_of(60, 1, 0.2, seed=1)
    found = crossed([one, controls], [1.0, -1.0])
    assert found is not None
    assert (found.replicates, found.spread.trainings_df, found.n) == ((1, 4), 3, 60)
    assert found.estimate == pytest.approx(one.mean() - controls.mean())
    # A fifth training of the kind weighs as one against the mean of four.
    between = np.var(controls.mean(axis=0), ddof=1)
    assert found.spread.trainings == pytest.approx(between * (1 + 1 / 4))


def test_without_two_trainings_or_items_nothing_is_said_of_trainings() -> None:
    assert crossed([values_of(60, 1, 0.2)], [1.0]) is None
    assert crossed([values_of(60, 1, 0.2), values_of(60, 1, 0.2, seed=1)], [1.0, -1.0]) is None
    assert crossed([values_of(1, 3, 0.2)], [1.0]) is None
    assert crossed([values_of(6, 3, 0.2)], [1.0], clusters=np.zeros(6)) is None
    with pytest.raises(ValueError, match="same items"):
        crossed([values_of(5, 2, 0.2), values_of(6, 2, 0.2)], [1.0, -1.0])


def test_trainings_that_do_all_the_same_settle_nothing() -> None:
    found = crossed([np.full((40, 3), 0.1)], [1.0])
    assert found is not None
    assert (found.p, found.low, found.high, found.detectable()) == (1.0, -math.inf, math.inf, math.inf)
    assert found.equivalence(5.0) == 1.0


def test_no_changed_answer_in_many_is_no_change_beyond_the_margin() -> None:
    unchanged = np.zeros((200, 3))
    assert (unknown := crossed([unchanged], [1.0])) is not None
    assert unknown.equivalence(0.05) == 1.0
    found = crossed([unchanged], [1.0], scale=1.0)
    assert found is not None
    assert found.equivalence(0.05) < 0.001
    assert 0 < found.high < 0.02
    few = crossed([unchanged[:10]], [1.0], scale=1.0)
    assert few is not None
    assert few.equivalence(0.05) > 0.05


def test_interval_p_and_equivalence_agree() -> None:
    found = crossed([values_of(60, 3, 0.1) + 0.2], [1.0])
    assert found is not None
    half = found.high - found.estimate
    assert found.spread.tail(half) == pytest.approx(0.05, rel=1e-4)
    assert (found.p < 0.05) == (found.low > 0)
    assert found.detectable() > half > found.error * 1.96
    assert found.detectable(0.05 / 80) > found.detectable()
    ten = crossed([values_of(60, 10, 0.1)], [1.0])
    assert ten is not None
    assert ten.equivalence(0.5) < 0.05 < ten.equivalence(abs(ten.estimate) + 1e-6)


def test_fewer_trainings_have_fewer_degrees_of_freedom() -> None:
    found = [crossed([values_of(300, 10, 0.3)[:, :seeds]], [1.0]) for seeds in (2, 3, 10)]
    df = [each.df for each in found if each]
    assert df[0] < df[1] < df[2]
    assert 1 <= df[0] < 1.5


def test_passages_widen_intervals_over_trainings() -> None:
    passages = np.repeat(values_of(30, 3, 0.1), 4, axis=0)
    known, unknown = (crossed([passages], [1.0], clusters=c) for c in (np.repeat(np.arange(30), 4), None))
    alone = crossed([values_of(30, 3, 0.1)], [1.0])
    assert known is not None
    assert unknown is not None
    assert alone is not None
    assert known.error == pytest.approx(alone.error)
    assert unknown.error < known.error


def test_a_single_yes_among_passages_is_no_certainty() -> None:
    passages, no = np.repeat(np.arange(30), 2), np.zeros(60)
    none, same = paired_difference(no, no, clusters=passages), paired_difference(no, no)
    assert none.low < 0 < none.high
    assert none.error == pytest.approx(same.error * 2, rel=0.1)
    assert (none.p, none.test) == (1.0, "t of clusters")
    all_yes = paired_difference(no + 100, no, 100, passages)
    assert all_yes.high == 100
    assert paired_difference(no[:3], no[:3] + 0.5, clusters=np.zeros(3)).p == 1


@pytest.mark.parametrize(("seeds", "between"), [(3, 0.1), (5, 0.2)])
def test_power_is_as_foretold(seeds: int, between: float) -> None:
    change = detectable(80, seeds, ITEMS, between, rest_sd=REST)
    drawn = made("normal", (600, 80, seeds), between, np.random.default_rng(2)).values
    estimate, spread = contrast(drawn + change)
    assert np.mean(spread.tail(np.abs(estimate)) < 0.05) == pytest.approx(0.8, abs=0.05)


def test_plans_can_be_read_backwards() -> None:
    assert (seeds := seeds_needed(0.4, 100, 0.5, 0.2)) is not None
    assert detectable(100, seeds, 0.5, 0.2) <= 0.4 < detectable(100, seeds - 1, 0.5, 0.2)
    assert (items := items_needed(0.3, 5, 0.5, 0.1)) is not None
    assert detectable(items, 5, 0.5, 0.1) <= 0.3 < detectable(items - 1, 5, 0.5, 0.1)
    assert items_needed(0.1, 3, 0.5, 0.2) is None
    assert (share := items_needed_share(0.1, 0.2)) is not None
    assert detectable_share(share, 0.2) <= 0.1


def test_what_shows_takes_trainings_and_controls_for_what_they_are() -> None:
    assert detectable(100, 1, 0.5, 0.2) == math.inf
    assert detectable(100, 1, 0.5, 0.2, controls=4) < detectable(100, 2, 0.5, 0.2)
    assert detectable(100, 5, 0.5, 0.0) == pytest.approx(detectable_adapter(100, 0.5), rel=0.02)
    assert detectable_adapter(1, 0.5) == math.inf
    assert detectable_share(3, 0.2) == math.inf


def test_power_of_yes_no_outcomes_is_summed_over_all_tables() -> None:
    arm = np.r_[np.ones(12), np.zeros(68)]
    found = paired_difference(arm, np.r_[np.zeros(12), np.ones(12), np.zeros(56)])
    assert power_of_share(80, 0.3, found.detectable()) == pytest.approx(0.8, abs=0.05)
    assert power_of_share(80, 0.0, 0.0) == 0
    assert found.p_mid is not None
    assert found.p_mid < found.p


def test_few_skewed_numbers_are_resampled_and_the_wider_interval_kept() -> None:
    values = np.array([0.1, 0.2, 0.2, 0.3, 0.4, 0.5, 0.9, 4.0])
    found = paired_difference(values, np.zeros(8))
    assert found.test == "paired t and BCa"
    half = 2.364624 * found.error
    assert found.high > found.difference + half
    assert found.low == pytest.approx(found.difference - half, abs=1e-6)
    mirrored = paired_difference(np.zeros(8), values[::-1])
    assert (mirrored.low, mirrored.high, mirrored.p) == pytest.approx((-found.high, -found.low, found.p))
    assert (found.p < 0.05) == (found.low > 0)
    assert found.equivalence(10) < 0.05 < found.equivalence(1)
    assert paired_difference(np.repeat(values, 4), np.zeros(32)).test == "paired t"


def test_a_single_number_says_nothing_of_a_margin() -> None:
    alone = paired_difference(np.array([0.1]), np.array([0.0]))
    assert alone.equivalence(5.0) == 0.5
    assert alone.detectable() == math.inf
    alike = paired_difference(np.full(8, 0.1), np.zeros(8))
    assert (alike.equivalence(0.2), alike.equivalence(0.05)) == (2**-8, 1.0)


def test_scripts_beside_the_benchmark_find_the_standard_librarys_statistics() -> None:
    code = "import sys; sys.path.insert(0, sys.argv[1]); import statistics; print(statistics.median([1, 2, 5]))"
    found = subprocess.run(
        [sys.executable, "-c", code, str(ROOT / "benchmarks")], capture_output=True, text=True, check=True
    )
    assert found.stdout == "2\n"
