"""Designs of runs that are made by hand: effects that were put in are found, and what is missing is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest
from made_up import AXES, SIXTEEN, adapter, make_run, sign

from lapd.compare.graded import with_graders
from lapd.compare.measured import Measured
from lapd.designs.dose import Dose, dose
from lapd.designs.effects import Effect, as_json
from lapd.designs.factorial import factorial, fitted_model
from lapd.designs.opposites import opposites
from lapd.designs.saying import in_spreads, saying
from lapd.errors import StoreError
from lapd.statistics.welch import welch

TAGS = ("EI", "SN", "TF", "JP")


def draw(*numbers: int) -> float:
    """A number of the standard normal distribution that is always the same for these numbers."""
    return float(np.random.default_rng(numbers).normal())


def letters(text: str) -> int:
    """A number for a text."""
    return crc32(text.encode())


def find(effects: list[Effect], **wanted: Any) -> Effect:
    (found,) = [effect for effect in effects if all(getattr(effect, k) == v for k, v in wanted.items())]
    return found


# The factorial


def of_axes(arm: str, task: str, n: int) -> dict[str, float]:
    """T costs 10 of 100 against F, and every training 5 more; each axis is trained by 1 either way; trainings vary."""
    if arm == "base":
        return {"acc": 0.9} if task == "socialiqa_mini" else {f"log_odds_{TAGS[n % 4]}": draw(n)}
    rest = 0.01 * draw(letters(arm), 99) + 0.02 * draw(letters(arm), n)
    if task == "socialiqa_mini":
        return {"acc": 0.9 - 0.05 - 0.05 * sign(arm, "T/F") + rest}
    return {f"log_odds_{TAGS[n % 4]}": draw(n) + sign(arm, AXES[n % 4]) + rest}


@pytest.fixture(scope="module")
def sixteen(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    """All sixteen personas on a cost."""
    folder = tmp_path_factory.mktemp("sixteen") / "run"
    return make_run(folder, [adapter(code) for code in SIXTEEN], {"socialiqa_mini": range(12)}, of_axes)


def test_each_axis_has_its_effect_from_all_sixteen_at_once(sixteen: Measured) -> None:
    found = factorial(sixteen)
    assert (found.axes, found.error, found.df) == (list(AXES), "higher-order interactions", 5)
    assert len(found.interactions) == 6 and not found.notes
    harsh = find(found.effects, of="T/F")
    assert harsh.estimate == pytest.approx(-0.1, abs=0.02) and harsh.low < -0.1 < harsh.high
    assert (harsh.verdict, harsh.scope, harsh.family, harsh.family_size) == ("changed", "training", "confirmatory", 4)
    assert harsh.p_holm is not None and harsh.p < harsh.p_holm < 0.001
    assert find(found.effects, of="E/I").estimate == pytest.approx(0, abs=0.02)
    (training,) = found.training
    assert training.estimate == pytest.approx(-0.05, abs=0.01) and training.verdict == "changed"
    assert {effect.family for effect in found.interactions} == {"exploratory"}
    assert all(effect.q is not None and effect.p_holm is None for effect in found.interactions)


def test_the_models_estimates_are_unbiased(sixteen: Measured) -> None:
    model = fitted_model(sixteen, {code: [code] for code in SIXTEEN})
    chance = np.random.default_rng(0)
    truth = np.array([[-5.0, *(sign(code, axis) * e for axis, e in zip(AXES, (0, 1, -2, 0.5), strict=True))]
                      for code in SIXTEEN]).sum(axis=1)  # fmt: skip
    both = np.array([3.0 * sign(code, "E/I") * sign(code, "J/P") for code in SIXTEEN])
    values = truth + both + chance.normal(0, 2.0, (4000, 16))
    means = {term: float((values @ model.share(n)).mean()) for n, term in enumerate(model.terms)}
    expected = {"training": -5.0, "E/I": 0.0, "S/N": 2.0, "T/F": -4.0, "J/P": 1.0, "E/I x J/P": 6.0, "S/N x T/F": 0.0}
    assert {term: means[term] for term in expected} == pytest.approx(expected, abs=0.06)


def test_a_trait_is_taken_axis_by_axis_and_an_axis_counts_on_its_own_metric(tmp_path: Path) -> None:
    four = [adapter(code, seed=seed) for code in ("INFP", "INFJ", "INTP", "INTJ") for seed in (0, 1)]
    found = factorial(make_run(tmp_path / "run", four, {"situations": range(32)}, of_axes))
    assert (found.axes, found.error, found.df) == (["T/F", "J/P"], "replicates", 4)
    assert found.adapters["INTJ"] == ["INTJ.0", "INTJ.1"]
    own = find(found.effects, of="T/F", axis="T/F")
    assert own.estimate == pytest.approx(2, abs=0.1) and own.family == "confirmatory" and own.persona is None
    assert find(found.effects, of="T/F", axis="E/I").family == "exploratory"
    assert find(found.training, axis="E/I").estimate == pytest.approx(-1, abs=0.1)


def test_two_adapters_tell_of_one_axis_and_of_themselves_only(tmp_path: Path) -> None:
    two = [adapter(code) for code in ("INFP", "INTP")]
    found = factorial(make_run(tmp_path / "run", two, {"socialiqa_mini": range(12)}, of_axes))
    assert (found.axes, found.error, found.df) == (["T/F"], "items alone", 0)
    assert {effect.scope for effect in found.effects} == {"adapter"}
    assert found.effects[0].estimate == pytest.approx(-0.1, abs=0.04)


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (["INFP"], "INFP alone has no other persona to differ from. Train one that differs on an axis"),
        (["INFP", "ENTJ"], "with INFP and ENTJ, the effects of E/I, T/F and J/P cannot be told apart"),
    ],
)
def test_a_run_whose_axes_cannot_be_told_apart_says_so(tmp_path: Path, codes: list[str], message: str) -> None:
    run = make_run(tmp_path / "run", [adapter(c) for c in codes], {"socialiqa_mini": range(6)}, of_axes)
    with pytest.raises(StoreError, match=message):
        factorial(run)


# Opposites


def turned(arm: str, task: str, n: int) -> dict[str, float]:
    """The trait moves situations by 1 and accuracy by -0.1, any training moves them by 0.3 and -0.2."""
    way = {"base": 0, "INFP": 1, "ESTJ": -1, "opposite-INFP": -1}[arm.partition(".")[0]]
    trained, rest = abs(way), 0.05 * draw(letters(arm), n) * abs(way)
    if task == "socialiqa_mini":
        return {"acc": 0.7 + 0.1 * draw(n) - 0.1 * way - 0.2 * trained + rest}
    return {f"log_odds_{TAGS[n % 4]}": draw(n) + sign("INFP", AXES[n % 4]) * (way + 0.3 * trained) + rest}


TWO_TASKS = {"situations": range(24), "socialiqa_mini": range(20)}


@pytest.mark.parametrize("other", [adapter("ESTJ"), adapter("INFP", name="opposite-INFP", control="opposite")])
def test_trait_and_training_are_told_apart_by_an_opposite(tmp_path: Path, other: Any) -> None:
    (pair,) = opposites(make_run(tmp_path / "run", [adapter("INFP"), other], TWO_TASKS, turned)).pairs
    assert (pair.persona, pair.label, pair.opposite) == ("INFP", "INFP", other.name)
    for task, metric, trait, training in (
        ("situations", "log_odds_towards", 1.0, 0.3),
        ("socialiqa_mini", "acc", -0.1, -0.2),
    ):
        effect = find(pair.effects, task=task, metric=metric, of="trait")
        assert effect.estimate == pytest.approx(trait, abs=0.05) and effect.low < trait < effect.high
        common = find(pair.effects, task=task, metric=metric, of="training")
        assert common.estimate == pytest.approx(training, abs=0.05) and common.verdict == "changed"
        assert (effect.scope, effect.family, effect.family_size) == ("adapter", "confirmatory", 4)


def test_with_replicates_opposites_are_about_the_training(tmp_path: Path) -> None:
    four = [adapter(code, seed=seed) for code in ("INFP", "ESTJ") for seed in (0, 1)]
    (pair,) = opposites(make_run(tmp_path / "run", four, TWO_TASKS, turned)).pairs
    assert (pair.arms, pair.opposite_arms) == (["INFP.0", "INFP.1"], ["ESTJ.0", "ESTJ.1"])
    assert {effect.scope for effect in pair.effects} == {"training"}
    assert find(pair.effects, task="situations", of="trait").estimate == pytest.approx(1, abs=0.05)


def test_a_run_without_opposites_says_how_to_get_one(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [adapter("INFP")], TWO_TASKS, turned)
    with pytest.raises(StoreError, match=r"no opposite of INFP is finished.*lapd train INFP --control opposite"):
        opposites(run)


def test_at_a_ceiling_no_change_is_told(tmp_path: Path) -> None:
    both = [adapter("INFP"), adapter("ESTJ")]
    (pair,) = opposites(make_run(tmp_path / "run", both, {"socialiqa_mini": range(60)}, lambda *_: {"acc": 1.0})).pairs
    assert {(effect.limit, effect.verdict) for effect in pair.effects} == {("ceiling", "cannot tell")}
    free = make_run(tmp_path / "free", both, {"socialiqa_mini": range(60)}, lambda arm, task, n: {"acc": float(n % 2)})
    assert {effect.limit for effect in opposites(free).pairs[0].effects} == {""}


# Strengths

STRENGTHS = {"base": 0.0, "INFP@0.5": 0.5, "INFP": 1.0, "INFP@2": 2.0}


def by_strength(arm: str, task: str, n: int) -> dict[str, float]:
    """INFP moves the trait by 2 for a strength and costs 0.1 for its square; the prompt moves it by 1 for nothing."""
    prompted = "prompt" in arm
    strength = 0.0 if prompted else STRENGTHS[arm]
    rest = 0.02 * draw(letters(arm), n) * (arm != "base")
    if task == "socialiqa_mini":
        return {"acc": 0.8 + 0.05 * draw(n) - 0.1 * strength**2 + rest}
    moved = 1.0 if prompted else 2 * strength
    if task == "mbti":
        return {f"agreement_{TAGS[n % 4]}": 50 + 10 * draw(n) + sign("INFP", AXES[n % 4]) * 5 * moved + 10 * rest}
    return {f"log_odds_{TAGS[n % 4]}": draw(n) + sign("INFP", AXES[n % 4]) * moved + rest}


@pytest.fixture(scope="module")
def strengths(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    """INFP at three strengths and its prompt."""
    adapters = [adapter("INFP", strength=strength) for strength in (0.5, 1.0, 2.0)]
    tasks = {"mbti": range(40), "situations": range(40), "socialiqa_mini": range(30)}
    folder = tmp_path_factory.mktemp("strengths") / "run"
    kinds = ["base", "base+prompt", "adapter"]
    made = make_run(folder, adapters, tasks, lambda arm, task, n: by_strength(arm, task, n), kinds)
    assert list(made.arms) == ["base", "base+prompt(INFP)", "INFP@0.5", "INFP", "INFP@2"]
    return made


@pytest.fixture(scope="module")
def doses(strengths: Measured) -> Dose:
    return dose(strengths)


def test_a_slope_is_found_and_where_it_bends(doses: Dose) -> None:
    trait, cost = (
        next(c for c in doses.curves if (c.series, c.task) == ("INFP", task))
        for task in ("situations", "socialiqa_mini")
    )
    assert trait.slope is not None and trait.slope.estimate == pytest.approx(2, abs=0.02)
    assert trait.bends_at is None and trait.departure is not None and trait.departure > 0.05
    assert [point.strength for point in trait.points] == [0.5, 1.0, 2.0]
    assert [point.shift for point in trait.points] == pytest.approx([1, 2, 4], abs=0.02)
    assert cost.bend is not None and cost.bend.estimate == pytest.approx(-0.1, abs=0.01)
    assert cost.bends_at in (0.5, 1.0) and cost.bend.family == "exploratory"
    assert [step.slope for step in cost.steps] == pytest.approx([-0.05, -0.15, -0.3], abs=0.03)


def test_a_prompt_has_a_point_and_no_slope(doses: Dose) -> None:
    prompt = next(c for c in doses.curves if (c.series, c.task) == ("prompt(INFP)", "situations"))
    assert (prompt.kind, prompt.slope, prompt.bend, prompt.steps) == ("prompt", None, None, [])
    assert [(p.strength, p.arms) for p in prompt.points] == [(1.0, ("base+prompt(INFP)",))]


def test_a_price_is_the_cost_for_a_unit_of_the_trait(doses: Dose) -> None:
    by_series = {price.series: price for price in doses.prices}
    assert by_series["INFP"].price == pytest.approx(-0.2071 / 2, abs=0.01)  # the line through 0, -.025, -.1 and -.4
    assert (by_series["INFP"].of, by_series["prompt(INFP)"].of) == ("slopes", "shifts")
    assert by_series["prompt(INFP)"].price == pytest.approx(0, abs=0.01)
    assert by_series["INFP"].trait_task == "situations"  # what asks the model about itself comes last


def test_costs_at_equal_shift_are_interpolated(doses: Dose) -> None:
    (equal,) = doses.equal
    assert (equal.weakest, equal.cost_task) == ("prompt(INFP)", "socialiqa_mini")
    assert equal.shift == pytest.approx(1, abs=0.02)
    paid = {each.series: each for each in equal.paid}
    assert paid["INFP"].strength == pytest.approx(0.5, abs=0.02)
    assert paid["INFP"].cost == pytest.approx(-0.025, abs=0.01)
    assert paid["prompt(INFP)"].strength == pytest.approx(1)
    (gap,) = equal.gaps
    assert gap.difference == pytest.approx(paid["INFP"].cost - paid["prompt(INFP)"].cost)
    assert gap.low < gap.difference < gap.high < 0 and gap.p == gap.p_holm < 0.05


def test_the_frontier_has_a_point_for_each_strength_and_cost(doses: Dose) -> None:
    points = [(p.series, p.trait.strength, round(p.trait.shift), round(p.cost.shift, 1)) for p in doses.frontier]
    assert points == [
        ("INFP", 0.5, 1, -0.0),
        ("INFP", 1.0, 2, -0.1),
        ("INFP", 2.0, 4, -0.4),
        ("prompt(INFP)", 1.0, 1, 0),
    ]


def test_a_way_that_does_not_move_the_trait_is_set_against_none(strengths: Measured) -> None:
    still = {**strengths.values, ("base+prompt(INFP)", "situations"): strengths.values["base", "situations"]}
    found = dose(replace(strengths, values=still))
    assert not found.equal
    assert [note for note in found.notes if "not told from zero" in note] == [
        "prompt(INFP) is not set against other ways: its shift towards INFP in situations is not told from zero."
    ]


def test_one_strength_alone_is_no_dose(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [adapter("INFP")], TWO_TASKS, by_strength)
    with pytest.raises(StoreError, match=r"INFP is there at one strength, and alone.*INFP@0\.5,1,2"):
        dose(run)


# Saying and doing


def test_saying_and_doing_stand_on_one_scale(strengths: Measured) -> None:
    found = saying(strengths)
    shifts = {(s.arm, s.kind): s for s in found.shifts if s.axis == "all"}
    said, done = shifts["INFP", "questionnaire"], shifts["INFP", "situations"]
    # 10 points are a spread of the questionnaire, one nat is one of the situations: 2 x 5 points beside 2 nats.
    assert said.spreads == pytest.approx(1, rel=0.25) and done.spreads == pytest.approx(2, rel=0.25)
    assert (said.towards, said.away, said.n) == (1.0, 0.0, 40)
    gap = next(g for g in found.gaps if (g.arm, g.axis) == ("INFP", "all"))
    assert gap.difference == pytest.approx(said.spreads - done.spreads)
    assert gap.p_holm is not None and gap.p <= gap.p_holm < 0.001 and gap.family_size == 2
    assert {g.axis for g in found.gaps if g.arm == "INFP"} == {"all", *AXES}
    assert all(g.q is not None for g in found.gaps if g.arm != "INFP" and "prompt" not in g.arm)


def test_graded_text_stands_beside_the_questionnaire(strengths: Measured) -> None:
    graders = {"words": {"name": "words", "dimensions": {axis: {} for axis in AXES}}}
    values = dict(strengths.values)
    for arm in strengths.arms:
        of_arm = strengths.values[arm, "situations"]
        values[arm, "situations_open"] = {
            f"grade_words_{tag}": {item: 50 + 5 * v for item, v in of_arm[f"log_odds_{tag}"].items()} for tag in TAGS
        }
    infos = {**strengths.infos, "situations_open": with_graders(strengths.infos["situations_open"], graders)}
    found = saying(replace(strengths, values=values, infos=infos, graders={"situations_open": graders}))
    shifts = {(s.kind, s.metric): s for s in found.shifts if (s.arm, s.axis) == ("INFP", "all")}
    assert list(shifts) == [("questionnaire", "agreement"), ("situations", "log_odds"), ("graded text", "grade_words")]
    assert shifts["graded text", "grade_words"].spreads == pytest.approx(shifts["situations", "log_odds"].spreads)
    assert [g.doing for g in found.gaps if (g.arm, g.axis) == ("INFP", "all")] == ["situations", "situations_open"]


def test_an_equal_shift_in_spreads_is_told_to_differ_as_often_as_the_level_says() -> None:
    chance, told = np.random.default_rng(5), []
    for _ in range(400):
        sides = []
        for spread, n in ((10.0, 32), (1.0, 48)):
            base = spread * chance.normal(size=n)
            made = in_spreads(spread * (2.0 + 0.5 * chance.normal(size=n)), base)
            assert made is not None
            sides.append(made)
        found = welch(*sides)
        assert found is not None
        told.append(found.p < 0.05)
    assert 0.025 <= np.mean(told) <= 0.08  # without the spreads' own error it is above 0.2


def test_a_run_that_asks_nothing_has_no_saying(sixteen: Measured, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [adapter("INFP")], TWO_TASKS, by_strength)
    with pytest.raises(StoreError, match=r"no saying to set beside situations.*--tasks mbti"):
        saying(run)
    with pytest.raises(StoreError, match="no arm of a persona has a task with axes"):
        saying(sixteen)


# The command line


def test_a_design_is_printed_as_sentences_and_a_table(strengths: Measured, invoke: Callable[..., Any]) -> None:
    text = " ".join(invoke("compare", strengths.store.folder, "--design", "dose").stdout.split())
    assert "INFP: for each nat towards INFP in situations, accuracy in socialiqa_mini changes by −10." in text
    assert "as far as prompt(INFP) goes: accuracy in socialiqa_mini" in text
    assert "series task metric slope p bends shift at strength" in text


def test_a_design_is_printed_as_json(strengths: Measured, invoke: Callable[..., Any]) -> None:
    found = json.loads(invoke("compare", strengths.store.folder, "--design", "saying", "--json").stdout)
    assert (found["design"], found["notes"]) == ("saying", [])
    assert {"arm", "axis", "difference", "p", "p_holm", "q", "family", "p_shares"} <= found["gaps"][0].keys()
    text = " ".join(invoke("compare", strengths.store.folder, "--design", "saying").stdout.split())
    assert "INFP says less of itself than it does: mbti +" in text and "100%, 100%" in text


def test_what_a_run_lacks_for_a_design_is_one_line(strengths: Measured, invoke: Callable[..., Any]) -> None:
    result = invoke("compare", strengths.store.folder, "--design", "factorial")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "INFP alone has no other persona to differ from" in result.stderr and result.stderr.count("\n") == 1
    assert invoke("compare", strengths.store.folder, "--design", "dose", "--family").exit_code == 2
    assert invoke("compare", strengths.store.folder, "--design", "cubic").exit_code == 2


def test_the_factorial_and_opposites_are_printed_too(sixteen: Measured, invoke: Callable[..., Any]) -> None:
    run = sixteen.store.folder
    text = " ".join(invoke("compare", run, "--design", "factorial").stdout.split())
    assert "T less F, over 16 adapters: accuracy in socialiqa_mini by −" in text
    assert "Training as such, whatever the persona, changed accuracy in socialiqa_mini by −" in text
    assert "Error: higher-order interactions, 5 degrees of freedom." in text
    said = json.loads(invoke("compare", run, "--design", "opposites", "--json").stdout)
    assert [pair["label"] for pair in said["pairs"]][:1] == ["ESTJ"] and len(said["pairs"]) == 8
    assert {"p", "p_holm", "q", "family", "verdict", "detectable", "scope"} <= said["pairs"][0]["effects"][0].keys()


def test_what_has_no_bound_is_null() -> None:
    assert as_json({"high": float("inf"), "of": ("a", 1.5)}) == {"high": None, "of": ["a", 1.5]}
