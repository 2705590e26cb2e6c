"""Scores, types and reliabilities: known answers, simulated respondents, and a run's own questionnaires."""

import json
from pathlib import Path

import numpy as np
import pytest
from known_answers import ITEMS, RESPONDENTS, constant_answers, coverage, keyed, simulate
from lapd.data import mbti
from lapd.tasks.mbti import generated

from lapd.adapters.adapter import Adapter
from lapd.catalog.find import find_task
from lapd.compare.self_report import read_self_report
from lapd.errors import StoreError
from lapd.evaluate.plan import make_arms, make_cells
from lapd.files.whole import write_json, write_jsonl
from lapd.questionnaires.psychometrics import (
    correlation,
    cronbach_alpha,
    estimate,
    first_pole,
    split_half,
    type_probabilities,
)
from lapd.record.cells import Settings
from lapd.record.store import Store

AXES = mbti().ends

# Known answers


def test_an_estimate_is_the_mean_with_students_interval():
    found = estimate(np.array([[40.0, 50, 60], [50, 50, 50]]))
    assert found.mean.tolist() == [50, 50]
    # t(.975, 2) = 4.3027, standard error 10 / sqrt(3)
    assert found.high[0] - 50 == pytest.approx(4.302653 * 10 / np.sqrt(3))
    assert (found.low[1], found.high[1]) == (50, 50)


def test_a_single_item_has_no_interval_and_no_items_are_refused():
    found = estimate(np.array([70.0]))
    assert (found.mean, found.low, found.high) == (70, -np.inf, np.inf)
    with pytest.raises(ValueError, match="there are no items"):
        estimate(np.array([]))


@pytest.mark.parametrize(
    ("values", "probability"),
    [([50, 50, 50], 0.5), ([51, 51, 51], 1), ([49, 49, 49], 0), ([40, 50, 60], 0.5), ([60, 60 + 1e-13, 60], 1)],
)
def test_the_probability_of_a_pole_where_it_is_plain(values, probability):
    assert first_pole(estimate(np.array(values, float))) == pytest.approx(probability)


def test_the_probability_of_a_pole_is_where_the_interval_ends():
    """The middle at the lower end of the 95 % interval leaves 2.5 % below it."""
    values = np.array([60.0, 70, 50, 65, 55])
    shifted = values - (estimate(values).low - 50)
    assert first_pole(estimate(shifted)) == pytest.approx(0.975)


def test_sixteen_types_come_to_one_and_the_clear_one_wins():
    plain = {axis: estimate(np.array([20.0, 25, 30])) for axis in AXES}
    found = type_probabilities(plain, AXES)
    assert len(found) == 16
    assert sum(found.values()) == pytest.approx(1)
    assert max(found, key=found.get) == "INFP"
    undecided = type_probabilities({axis: estimate(np.full(4, 50.0)) for axis in AXES}, AXES)
    assert set(undecided.values()) == {1 / 16}


def test_there_is_no_type_without_every_axis():
    assert type_probabilities({"E/I": estimate(np.array([20.0, 30]))}, AXES) == {}
    assert type_probabilities({axis: estimate(np.array([20.0])) for axis in AXES}, AXES) == {}


def test_alpha_and_split_half_of_a_table_by_hand():
    scores = np.array([[2.0, 4, 3], [4, 5, 5], [1, 2, 1], [5, 5, 6]])
    # Item variances 10/3, 2, 59/12; variance of the totals 9, 14, 4, 16: 28.916667.
    alpha = 3 / 2 * (1 - (10 / 3 + 2 + 59 / 12) / 28.9166667)
    assert cronbach_alpha(scores) == pytest.approx(alpha)
    odd, even = scores[:, [0, 2]].mean(1), scores[:, 1]
    r = np.corrcoef(odd, even)[0, 1]
    assert split_half(scores) == pytest.approx(2 * r / (1 + r))


def test_parallel_items_have_the_alpha_that_spearman_and_brown_foretell():
    """k items with error variance e each and a trait of variance 1: alpha = k / (k + e)."""
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(20_000, 1)) + rng.normal(scale=2, size=(20_000, ITEMS))
    assert cronbach_alpha(scores) == pytest.approx(16 / 20, abs=0.01)
    assert split_half(scores) == pytest.approx(16 / 20, abs=0.01)


def test_where_respondents_do_not_differ_nothing_is_said():
    same = np.tile([1.0, 2, 3, 4], (5, 1))
    assert (cronbach_alpha(same), split_half(same)) == (None, None)
    assert (cronbach_alpha(np.eye(2)), split_half(np.eye(2))) == (None, None)
    assert (cronbach_alpha(np.eye(4)[:, :1]), split_half(np.eye(4)[:, :1])) == (None, None)
    assert correlation(np.array([1.0, 2]), np.array([1.0, 2])) is None
    assert correlation(np.array([1.0, 2, 3]), np.array([1.0, 2, 4])) == pytest.approx(0.9819805)


def test_halves_that_disagree_are_not_stepped_up():
    scores = np.array([[1.0, 3], [2, 2], [3, 1]])
    assert split_half(scores) == pytest.approx(-1)


# Simulated respondents


@pytest.fixture(scope="module")
def respondents():
    trait, yes, answers = simulate(np.random.default_rng(2026))
    return trait, yes, answers, *keyed(answers)


def test_the_simulation_is_keyed_as_the_task_is(respondents):
    _, _, answers, scores, agreement = respondents
    docs = [doc for doc in generated.documents()["test"] if doc["way"] == "agreement"]
    found, yes = {}, {}
    for doc in docs:
        axis = list(AXES).index(doc["axis"])
        number = int(doc["item"].rpartition("-")[2]) - 1
        pole = AXES[doc["axis"]].index(doc["pole"])
        metrics = generated.score(doc, [str(answers[0, axis, number, pole, int(doc["flipped"])])])
        found.setdefault((axis, number), []).append(metrics[f"agreement_{doc['axis'].replace('/', '')}"])
        yes.setdefault((axis, number), []).append(metrics["acquiescence"])
    for (axis, number), values in found.items():
        assert np.mean(values) == pytest.approx(scores[0, axis, number])
        assert np.mean(yes[axis, number]) == pytest.approx(agreement[0, axis, number])


def test_known_traits_lie_in_their_95_percent_intervals(respondents):
    trait, _, _, scores, _ = respondents
    covered = coverage(estimate(scores), trait)
    assert covered.shape == (4,)
    assert ((covered >= 0.92) & (covered <= 0.98)).all(), covered
    assert abs((estimate(scores).mean - trait).mean()) < 0.2


def test_known_acquiescence_lies_in_its_95_percent_interval_and_moves_no_score(respondents):
    trait, yes, _, scores, agreement = respondents
    covered = coverage(estimate(agreement.reshape(RESPONDENTS, -1)), yes)
    assert 0.92 <= covered <= 0.98
    errors = estimate(scores).mean - trait
    for axis in range(4):
        assert abs(np.corrcoef(errors[:, axis], yes)[0, 1]) < 0.1


def test_types_are_as_probable_as_they_say(respondents):
    """Of the poles that are given a probability of about 80 %, about 80 % are the true ones."""
    trait, _, _, scores, _ = respondents
    p = first_pole(estimate(scores))
    sure, right = np.maximum(p, 1 - p), (p > 0.5) == (trait > 50)
    band = (sure > 0.7) & (sure < 0.9)
    assert band.sum() > 100
    assert right[band].mean() == pytest.approx(sure[band].mean(), abs=0.08)


@pytest.mark.parametrize("form", ["A", "B"])
@pytest.mark.parametrize(("number", "letter"), [("1", "A"), ("4", "B"), ("7", "A")])
def test_an_answer_that_does_not_depend_on_the_question_is_50_on_every_axis(form, number, letter):
    found = constant_answers(form, number, letter)
    assert len(found) == 8
    assert set(found.values()) == {50.0}


# A run's own questionnaires


@pytest.fixture
def answered(tmp_path, base):
    """`answered(task, {arm: answer})`: a run whose arms wrote `answer(doc)` to each of the task's questions."""
    store = Store(tmp_path / "run")
    subject = Adapter("INFP", Path("/nowhere"), "a" * 64, {"persona": "INFP"})

    def run(task, by_arm):
        arms = [arm for arm in make_arms([subject]) if arm.name in by_arm]
        cells = make_cells(base, arms, [find_task(task)], Settings())
        store.enter(cells)
        docs = generated.documents(form="B" if task.endswith("_b") else "A")["test"]
        for cell in cells:
            answer = by_arm[cell.arm.name]
            rows = [{"item": d["item"], "doc": d, "metrics": generated.score(d, [answer(d)])} for d in docs]
            write_jsonl(store.cell_folder(cell.name) / "samples.jsonl", rows)
            write_json(store.cell_folder(cell.name) / "result.json", {"schema": "lapd.result/1", "metrics": {}})
        return store.folder

    return run


def constant(agreement, choice="A"):
    return lambda doc: agreement if doc["way"] == "agreement" else choice


@pytest.mark.parametrize("number", ["1", "4", "7"])
def test_a_constant_answer_is_50_on_every_axis_and_every_type_alike(answered, number):
    report = read_self_report(answered("mbti_text", {"base": constant(number)}))
    assert [a.way for a in report.answers] == ["agreement", "choice"]
    for answers in report.answers:
        assert {(s.score, s.low, s.high, s.items) for s in answers.axes.values()} == {(50, 50, 50, 16)}
        assert set(answers.types.values()) == {1 / 16}
        assert answers.missing == 0
    bias = {d.name: d.mean for d in report.diagnostics}
    assert bias["acquiescence"] == 50
    assert bias["position_bias"] == 100
    assert bias["label_bias"] == pytest.approx(100 * (int(number) - 1) / 6)


def of_type(code, noise=None):
    """Whoever agrees with the statements of a type's poles, and with the odd one of the others."""
    poles = dict(zip(AXES, code, strict=True))

    def answer(doc):
        if doc["way"] == "choice":
            return "no comment"
        mine = doc["pole"] == poles[doc["axis"]]
        if noise is not None and noise.random() < 0.2:
            mine = not mine
        return "6" if mine != doc["flipped"] else "2"

    return answer


def test_a_type_that_is_answered_is_found_and_missing_answers_are_counted_and_bounded(answered):
    report = read_self_report(answered("mbti_text", {"base": of_type("ENTP")}))
    agreement, choice = report.answers
    assert agreement.types["ENTP"] == pytest.approx(1)
    assert agreement.axes["S/N"].score == pytest.approx(100 / 6)
    assert (choice.missing, choice.questions, choice.types) == (128, 128, {})
    assert (choice.axes["E/I"].score, choice.axes["E/I"].lowest, choice.axes["E/I"].highest) == (None, 0, 100)


def test_an_item_with_one_answer_missing_does_not_count(answered):
    def answer(doc):
        skipped = doc["item"] == "a-ei-01" and doc["pole"] == "I"
        return "pass" if doc["way"] == "agreement" and skipped else "7"

    agreement = read_self_report(answered("mbti_text", {"base": answer})).answers[0]
    found = agreement.axes["E/I"]
    # The other statement of the item alone would be no balanced answer.
    assert (found.score, found.items, found.incomplete, agreement.missing) == (50, 15, 1, 2)
    assert (found.lowest, found.highest) == (pytest.approx(50 * 15 / 16), pytest.approx(50 * 15 / 16 + 100 / 16))


def test_reliability_and_parallel_forms_are_taken_over_the_arms(answered):
    rng = np.random.default_rng(1)
    arms = {
        "base": of_type("ESTJ", rng),
        "base+prompt(INFP)": of_type("INFP", rng),
        "INFP": constant("4"),
        "INFP+prompt(INFP)": of_type("INFJ", rng),
    }
    answered("mbti_text", arms)
    report = read_self_report(answered("mbti_text_b", arms))
    found = {(r.task, r.way, r.axis): r for r in report.reliability}
    row = found["mbti_text", "agreement", "E/I"]
    assert (row.respondents, row.items) == (4, 16)
    assert row.alpha > 0.9
    assert row.split_half > 0.9
    assert found["mbti_text_b", "choice", "E/I"].alpha is None
    forms = {(p.way, p.axis): p for p in report.parallel_forms}
    assert (forms["agreement", "E/I"].task, forms["agreement", "E/I"].parallel) == ("mbti_text_b", "mbti_text")
    assert forms["agreement", "E/I"].r > 0.9
    assert forms["choice", "E/I"].r is None


def test_the_command_prints_a_table_and_json(answered, invoke):
    folder = answered("mbti_text", {"base": of_type("ENTP"), "INFP": constant("4")})
    result = invoke("questionnaire", folder)
    assert result.exit_code == 0
    for part in ("mbti_text: points towards the first pole", "ENTP 100 %", "50.0 [50.0, 50.0]", "128 of 128", "alpha"):
        assert part in result.stdout
    record = json.loads(invoke("questionnaire", folder, "--json").stdout)
    assert {a["arm"] for a in record["answers"]} == {"base", "INFP"}
    assert len(record["answers"][0]["types"]) == 16
    assert "t with n - 1 degrees of freedom" in record["method"]


def test_a_run_without_a_questionnaire_is_refused(tmp_path, invoke):
    write_json(tmp_path / "run.json", {"schema": "lapd.run/1", "base": {}, "arms": {}, "cells": {}})
    with pytest.raises(StoreError, match="no questionnaire is finished"):
        read_self_report(tmp_path)
    result = invoke("questionnaire", tmp_path)
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
