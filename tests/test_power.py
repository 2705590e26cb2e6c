"""Power: how far a run's values vary, what so many items and trainings would show, and what a smaller change needs."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_up import adapter, make_run

from lapd.designs.outcomes import Shifts
from lapd.planning.power import Assumed, Plan, plans, power_of_run
from lapd.planning.variances import Spreads, in_units, spreads
from lapd.statistics.clusters import variance_of_mean
from lapd.statistics.paired import paired_difference
from lapd.statistics.power import detectable, detectable_adapter, detectable_share

ITEMS, TRAININGS, REST = 2.0, 1.0, 0.5


def value(arm: str, task: str, item: int) -> dict[str, float]:
    """A base of 0; trainings with a part of their own, of each item's, and of both; yes or no on the other task."""
    draw = np.random.default_rng([item, sum(map(ord, arm))])
    if task == "knowledge_mini":
        return {"acc": float(item % 2 == 0) if arm == "base" else float(item % 2 == 0 or item % 10 == 1)}
    if arm == "base":
        return {"log_odds_EI": 0.0}
    of_item = np.random.default_rng(item).normal(0, ITEMS)
    of_arm = np.random.default_rng(sum(map(ord, arm)) + 7).normal(0, TRAININGS)
    return {"log_odds_EI": of_item + of_arm + draw.normal(0, REST)}


def trained(*names: str) -> list[Any]:
    return [adapter(name.partition(".")[0], name=name, seed=int(name.partition(".")[2])) for name in names]


def test_a_runs_variances_are_told_apart(tmp_path: Path) -> None:
    items = {"situations": range(400), "knowledge_mini": range(400)}
    adapters = trained(*(f"INFP.{seed}" for seed in range(12)))
    found = {one.task: one for one in spreads(make_run(tmp_path / "run", adapters, items, value))}
    odds = found["situations"]
    assert (odds.condition, odds.items, odds.units, odds.seeds) == ("adapter", 400, 400, 12)
    assert odds.items_sd == pytest.approx(ITEMS, rel=0.1)
    assert odds.rest_sd == pytest.approx(REST, rel=0.1)
    assert odds.trainings_sd == pytest.approx(TRAININGS, rel=0.5)  # of twelve
    assert odds.sd == pytest.approx((ITEMS**2 + REST**2) ** 0.5, rel=0.1)
    assert odds.discordant is None
    shares = found["knowledge_mini"]
    assert shares.discordant == pytest.approx(41 / 402)
    assert shares.trainings_sd == pytest.approx(0, abs=1e-9)


def test_clusters_stand_for_their_items() -> None:
    rng, clusters = np.random.default_rng(0), np.array([0, 0, 0, 1, 1, 2, 3, 3, 3, 3])
    changes = rng.normal(size=(10, 2)) + 2 * rng.normal(size=4)[clusters][:, None]
    values = in_units(Shifts([str(n) for n in range(10)], changes, clusters, 0))
    assert values.mean(axis=0) == pytest.approx(changes.mean(axis=0))
    # One cluster is as large as the others on average only: what sizes add is small beside what clusters differ by.
    whole = Shifts([str(n) for n in range(8)], changes[:8], np.repeat(np.arange(4), 2), 0)
    expected = variance_of_mean(changes[:8], np.repeat(np.arange(4), 2))
    assert in_units(whole).var(axis=0, ddof=1) / 4 == pytest.approx(expected)


def test_a_run_tells_what_it_would_have_shown_and_what_half_of_that_needs(tmp_path: Path, invoke: Any) -> None:
    items = {"situations": range(40), "knowledge_mini": range(60)}
    make_run(tmp_path / "run", trained("INFP.0", "INFP.1", "INFP.2"), items, value)
    result = invoke("power", tmp_path / "run", "--json")
    assert result.exit_code == 0, result.stderr
    rows = {(row["task"], row["scope"]): row for row in json.loads(result.stdout)["rows"]}
    assert set(rows) == {(task, scope) for task in items for scope in ("adapter", "training")}
    for row in rows.values():
        assert (row["family"], row["family_size"], row["against"]) == ("confirmatory", 2, "base")
        assert row["detectable"] > row["detectable_alone"] > 0
        assert row["change"] == row["detectable"] / 2
    alone, odds = rows["knowledge_mini", "adapter"], rows["situations", "training"]
    assert alone["detectable"] == detectable_share(60, alone["discordant"], 0.025)
    assert detectable_share(alone["items_needed"], alone["discordant"], 0.025) <= alone["change"] + 1e-9
    assert odds["seeds"] == 3
    assert alone["seeds"] is None

    measured = make_run(tmp_path / "again", trained("INFP.0", "INFP.1", "INFP.2"), items, value)
    of_items = next(one.items_sd for one in spreads(measured) if one.task == "situations")
    assert of_items is not None
    shows = detectable(40, 3, of_items, odds["trainings_sd"], 0.025, rest_sd=odds["rest_sd"])
    assert odds["detectable"] == pytest.approx(shows)
    table = invoke("power", tmp_path / "run")
    lines = table.stdout.splitlines()
    assert [line.split()[0] for line in lines[1:3]] == ["situations", "knowledge_mini"]
    assert "in a family of 2" in lines[0]
    assert "not known" not in table.stdout


def spread(**more: Any) -> Spreads:
    return Spreads("task", "acc", "share", "adapter", True, 100, 100, 0.3, **more)


def only(*found: Plan) -> Plan:
    (plan,) = found
    return plan


def test_a_plans_numbers_take_the_place_of_the_runs() -> None:
    own = only(*plans(spread(), 1, Assumed()))
    assert own.detectable == pytest.approx(detectable_adapter(100, 0.3))
    more = only(*plans(spread(), 1, Assumed(items=400)))
    assert (more.items, more.detectable) == (400, pytest.approx(detectable_adapter(400, 0.3)))
    asked = only(*plans(spread(), 1, Assumed(changes={"": 3.0, "acc": 2.0})))
    assert asked.change == 0.02
    assert asked.items_needed is not None
    assert detectable_adapter(asked.items_needed, 0.3) <= 0.02 < detectable_adapter(asked.items_needed - 1, 0.3)
    _, training = plans(spread(), 1, Assumed(seeds=4, trainings={"": 2.0}))
    assert (training.scope, training.seeds, training.trainings_sd) == ("training", 4, 0.02)
    assert training.detectable == pytest.approx(detectable(100, 4, 0.3, 0.02))
    _, base, controls = plans(spread(items_sd=0.3, trainings_sd=0.1, seeds=2, controls=3), 1, Assumed())
    assert (base.controls, controls.controls, controls.against) == (0, 3, "controls")
    assert controls.detectable == pytest.approx(detectable(100, 2, 0.3, 0.1, controls=3))


def test_more_items_than_any_do_not_mend_trainings_that_differ() -> None:
    _, training = plans(spread(items_sd=0.3, trainings_sd=0.1, seeds=3), 1, Assumed(changes={"": 5.0}))
    assert training.items_needed is None
    _, training = plans(spread(items_sd=0.1, trainings_sd=0.1, seeds=3), 1, Assumed(changes={"": 5.0}))
    assert training.seeds_needed is not None
    few, enough = (detectable(100, training.seeds_needed - fewer, 0.1, 0.1) for fewer in (1, 0))
    assert enough <= 0.05 < few


def test_clustered_items_are_needed_in_whole_clusters() -> None:
    found = Spreads("task", "acc", "share", "adapter", True, 100, 25, 0.3)
    plan = only(*plans(found, 1, Assumed(changes={"": 5.0})))
    assert (plan.items, plan.clusters) == (100, 25)
    assert plan.detectable == pytest.approx(detectable_adapter(25, 0.3))
    assert plan.items_needed is not None
    assert plan.items_needed % 4 == 0


def test_what_is_told_of_one_adapter_is_what_simulated_pairs_show() -> None:
    rng, shown = np.random.default_rng(1), 0
    plan = only(*plans(Spreads("", "", "", "adapter", True, 40, 40, 1.5), 1, Assumed()))
    assert plan.detectable is not None
    for _ in range(400):
        shown += paired_difference(rng.normal(plan.detectable, 1.5, 40), np.zeros(40)).p < 0.05
    assert shown / 400 == pytest.approx(0.8, abs=0.06)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--items", "100"), "give --items, and either --sd or --discordant"),
        (("--items", "100", "--sd", "1", "--rate", ".3"), "give --items, and either --sd or --discordant"),
        (("--items", "100", "--rate", "1"), "No item would ever change"),
        (("--items", "100", "--sd", "1", "--seeds", "3"), "--seeds says nothing alone"),
        (("--items", "100", "--sd", "1", "--change", "0"), "--change must be above 0"),
        (("nowhere", "--sd", "1"), "for a plan without a run"),
    ],
)
def test_a_plan_that_says_too_little_is_refused(
    invoke: Callable[..., Any], arguments: tuple[str, ...], told: str
) -> None:
    result = invoke("power", *arguments)
    assert result.exit_code == 2
    assert told in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_plan_without_a_run_needs_but_its_numbers(invoke: Callable[..., Any]) -> None:
    row = only(
        *json.loads(invoke("power", "--items", 171, "--rate", 0.3, "--discordant", 0.1, "--json").stdout)["rows"]
    )
    assert row["detectable"] == detectable_share(171, 0.1)
    chance = only(*json.loads(invoke("power", "--items", 171, "--rate", 0.3, "--json").stdout)["rows"])
    assert chance["discordant"] == pytest.approx(0.42)
    table = invoke("power", "--items", 171, "--discordant", 0.1, "--seeds", 3, "--between-seeds", 2, "--change", 9)
    assert table.stdout.splitlines()[1].split()[:4] == ["-", "adapter", "training", "171"]
    assert "9 points" in table.stdout


def test_a_number_for_what_was_not_measured_is_refused(tmp_path: Path, invoke: Callable[..., Any]) -> None:
    make_run(tmp_path / "run", trained("INFP.0"), {"knowledge_mini": range(10)}, value)
    result = invoke("power", tmp_path / "run", "--change", "accc=3")
    assert result.exit_code == 2
    assert "'accc', which this run has not measured" in result.stderr
    with pytest.raises(Exception, match="is no run folder"):
        power_of_run(tmp_path)
