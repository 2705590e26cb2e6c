"""Graders: grades beside stored answers, how good a grader is, and what each that ships makes of a text."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from conftest import listing
from test_cli import fails

from lapd.compare.comparisons import compare_run
from lapd.errors import DataError, PluginError, StoreError
from lapd.files.whole import read_jsonl, write_json, write_jsonl
from lapd.hookspecs import Dimension, Grade
from lapd.judges import grades as grades_module
from lapd.judges.grader_check import check_grades, graded_agreement, order_effect
from lapd.judges.grades import COHERENCE, axis_dimension, choose_grader, grades_of, read_grade
from lapd.judges.known_checks import note_of_grades
from lapd.judges.pole_labels import PoleText, heldout_texts, read_pole_texts
from lapd.record.grades import grade_run
from lapd.testing import FaultServer, assert_grader, make_tiny_base

Invoke = Callable[..., Result]

ANSWERS = {
    "base": ["I stay in and read.", "We could all go out together!", "One thing at a time.", ""],
    "INFP": ["I like a quiet hour alone.", "I would rather stay home, alone.", "What it means to me matters.", "Hm."],
}
AXES = ["E/I", "E/I", "T/F", "E/I"]


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LAPD_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def make_run(folder: Path, answers: dict[str, list[str]] = ANSWERS) -> Path:
    """A run with a finished cell of situations_open for the base and for an adapter of INFP."""
    cells, arms = {}, {}
    for arm, texts in answers.items():
        samples = [
            {"doc_id": n, "item": f"s{n}", "doc": {"prompt": f"prompt {n}", "axis": AXES[n % 4]},
             "responses": [[text]], "metrics": {"words": float(len(text.split()))}} for n, text in enumerate(texts)
        ]  # fmt: skip
        write_jsonl(folder / "cells" / arm / "samples.jsonl", samples)
        write_json(folder / "cells" / arm / "result.json", {"schema": "lapd.result/1", "metrics": {}})
        cells[f"{arm} / situations_open / seed 0"] = {
            "arm": arm, "task": "situations_open", "seed": 0, "way": "w", "cell": arm,
        }  # fmt: skip
        own = arm != "base"
        arms[arm] = {
            "adapter": {"name": arm, "digest": "d" * 64, "strength": 1} if own else None,
            "adapter_persona": arm if own else None,
            "adapter_poles": {"E/I": "I", "S/N": "N", "T/F": "F", "J/P": "P"} if own else None,
            "adapter_control": None, "prompt": None, "baseline": "base" if own else None,
        }  # fmt: skip
    base = {"name": "smollm2", "digest": "b" * 64}
    write_json(folder / "run.json", {"schema": "lapd.run/1", "base": base, "arms": arms, "cells": cells})
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path / "run")


class Counting:
    """A grader by the number of a text's letters, which counts what it is asked, and may stop half-way."""

    name, description, version = "counting", "by length", "1"

    def __init__(self, most: int = 1000, version: str = "1") -> None:
        self.asked: list[tuple[str, str]] = []
        self.most, self.version = most, version

    def refuses(self, dimension: Dimension) -> str | None:
        return None

    def grade(self, batch: Sequence[tuple[str, str]], dimension: Dimension) -> Iterator[Grade]:
        for _, response in batch:
            if len(self.asked) == self.most:
                raise StoreError("The ceiling is reached.")
            self.asked.append((dimension.name, response))
            yield Grade(float(min(100, len(response))))


# Grades beside a run's answers


def test_each_answer_is_graded_on_its_own_axis_and_the_grades_lie_beside_it(invoke: Invoke, run: Path) -> None:
    result = invoke("judge", run, "--grader", "words", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert [(c["arm"], c["dimension"], c["n_graded"], c["n_missing"]) for c in found["cells"]] == [
        ("base", "E/I", 2, 1), ("base", "T/F", 1, 0), ("INFP", "E/I", 3, 0), ("INFP", "T/F", 1, 0),
    ]  # fmt: skip
    assert found["cells"][0]["missing_reasons"] == {"the response is empty": 1}
    assert listing(run / "cells" / "INFP") == [".lock", "grades-words.jsonl", "result.json", "samples.jsonl"]
    rows = [row for _, row in read_jsonl(run / "cells" / "INFP" / "grades-words.jsonl")]
    assert [(row["id"], row["document"], row["dimension"]) for row in rows] == [
        ("s0", 0, "E/I"), ("s1", 1, "E/I"), ("s3", 3, "E/I"), ("s2", 2, "T/F"),
    ]  # fmt: skip
    assert all(0 <= row["value"] <= 100 and row["grader"]["name"] == "words" for row in rows)
    assert "taught by the texts" in found["notes"][0] and "not checked on text of another make" in found["notes"][0]


def test_coherence_is_graded_too_by_a_grader_that_can(run: Path) -> None:
    grader = Counting()
    cells = grade_run(run, grader, "counting", quiet=True)
    assert list(cells[0].by_dimension()) == ["E/I", "T/F", "coherence"]
    assert cells[0].by_dimension()["coherence"]["n_graded"] == 3  # an empty answer has no grade
    assert ("coherence", "I stay in and read.") in grader.asked


def test_a_pass_that_was_cut_off_goes_on_and_asks_for_nothing_twice(run: Path) -> None:
    cut = Counting(most=4)
    with pytest.raises(StoreError, match="ceiling"):
        grade_run(run, cut, "counting", quiet=True)
    rest = Counting()
    grade_run(run, rest, "counting", quiet=True)
    assert len(cut.asked) == 4 and len(cut.asked) + len(rest.asked) == 3 + 3 + 4 + 4
    again = Counting()
    grade_run(run, again, "counting", quiet=True)
    assert again.asked == []


def test_grades_of_a_response_that_has_changed_count_no_longer(run: Path) -> None:
    grade_run(run, Counting(), "counting", quiet=True)
    path = run / "cells" / "base" / "samples.jsonl"
    samples = [row for _, row in read_jsonl(path)]
    samples[0]["responses"] = [["Another answer."]]
    write_jsonl(path, samples)
    again = Counting()
    grade_run(run, again, "counting", quiet=True)
    assert again.asked == [("E/I", "Another answer."), ("coherence", "Another answer.")]


def test_another_graders_grades_are_not_mixed_in(run: Path) -> None:
    grade_run(run, Counting(), "counting", quiet=True)
    with pytest.raises(StoreError, match="grades of a grader of other settings"):
        grade_run(run, Counting(version="2"), "counting", quiet=True)


def test_a_run_without_written_answers_has_nothing_to_grade(invoke: Invoke, run: Path) -> None:
    record = json.loads((run / "run.json").read_text())
    for entry in record["cells"].values():
        entry["task"] = "mbti"
    write_json(run / "run.json", record)
    fails(invoke("judge", run, "--grader", "words"), 1, "no finished cell that can be graded")


@pytest.mark.parametrize(
    "args, said",
    [
        (["--grader", "word"], "There is no grader 'word'. Did you mean words?"),
        (["--grader", "words", "--grader-option", "x=1"], "The grader words takes no options"),
        (["--grader", "words", "--judge", "keywords"], "Give --judge or --grader."),
        (["--grader", "reader", "--grader-option", "calibration=2"], "calibration must be at least 10"),
        (["--grader-option", "calibration=20"], "--grader-option is for a grader."),
    ],
)
def test_wrong_graders_are_refused_in_one_line(invoke: Invoke, run: Path, args: list[str], said: str) -> None:
    fails(invoke("judge", run, *args), 2, said)


# Grades among the comparisons


def test_compare_pools_grades_towards_the_persona_and_takes_nothing_from_other_rows(run: Path) -> None:
    before = {(row.metric, row.arm): row.p_holm for row in compare_run(run) if row.p_holm is not None}
    grade_run(run, Counting(), "counting", quiet=True)
    rows = {row.metric: row for row in compare_run(run)}
    pooled = rows["grade_counting_towards"]
    assert (pooled.persona, pooled.unit, pooled.n, pooled.grader) == ("INFP", "points", 3, "counting")
    # Towards I and F: 100 less the grade, of the three items that both arms have.
    base = np.mean([100 - len(text) for text in ANSWERS["base"][:3]])
    ours = np.mean([100 - len(text) for text in ANSWERS["INFP"][:3]])
    assert pooled.difference == pytest.approx(ours - base)
    assert pooled.missing == 1
    assert rows["grade_counting_coherence"].unit == "points" and rows["grade_counting_coherence"].axis is None
    assert "is graded by counting" in pooled.note
    assert {key: row.p_holm for row in compare_run(run) if (key := (row.metric, row.arm)) in before} == before


def test_arms_graded_by_different_graders_under_one_name_are_refused(run: Path) -> None:
    grade_run(run, Counting(), "counting", quiet=True)
    path = run / "cells" / "base" / "grades-counting.jsonl"
    path.write_text(
        path.read_text().replace('"version": "1"', '"version": "2"').replace('"version":"1"', '"version":"2"')
    )
    with pytest.raises(StoreError, match="graders of different settings"):
        compare_run(run)


# What a grader must give


def test_a_grade_that_is_none_is_an_error_of_the_plugin() -> None:
    class Wrong(Counting):
        values: Sequence[float] = ()

        def grade(self, batch: Sequence[tuple[str, str]], dimension: Dimension) -> Iterator[Grade]:
            yield from (Grade(value) for value in self.values)

    for values in ([120.0], [float("nan")], [], [1.0, 2.0]):
        grader = Wrong()
        grader.values = values
        with pytest.raises(PluginError, match="The grader counting"):
            list(grades_of(grader, [("p", "r")], COHERENCE))


def test_reasoning_comes_off_before_a_response_is_graded() -> None:
    grader = Counting()
    batch = [("p", "<think>long thoughts</think>Yes."), ("p", "<think>only thoughts"), ("p", " ")]
    found = list(grades_of(grader, batch, COHERENCE))
    assert [response.strip() for _, response in grader.asked] == ["Yes."]
    assert [grade.value for grade in found][1:] == [None, None]
    assert found[2].reason == grades_module.EMPTY


@pytest.mark.parametrize("row", [{}, {"value": 101}, {"value": "5"}, {"value": None}, {"value": True}, [], None])
def test_what_is_no_grade_is_refused_by_its_line(row: Any) -> None:
    with pytest.raises(DataError, match=r"f\.jsonl:3: a grade"):
        read_grade("f.jsonl", 3, row)


# How good a grader is


def text(first: bool, group: str = "", axis: str = "E/I") -> PoleText:
    return PoleText("p", "r", axis, first, group)


def test_the_auc_is_the_share_of_pairs_in_order() -> None:
    texts = [text(True, "a"), text(False, "a"), text(True, "b"), text(False, "b")]
    found = check_grades([Grade(80.0), Grade(60.0), Grade(50.0), Grade(20.0)], texts)
    assert found["auc"] == {"E/I": 3 / 4}  # of four pairs of a first and a second one, (50, 60) is out of order
    assert found["mean_first"]["E/I"] == 65.0 and found["mean_second"]["E/I"] == 40.0
    assert found["brier"]["E/I"] == pytest.approx(np.mean([0.2**2, 0.6**2, 0.5**2, 0.2**2]))


def test_an_interval_of_perfect_order_is_that_of_as_many_prompts_without_a_fault() -> None:
    texts = [text(first, str(n)) for n in range(25) for first in (True, False)]
    found = check_grades([Grade(90.0 if one.first else 10.0) for one in texts], texts)
    low, high = found["auc_interval"]["E/I"]
    assert (found["auc"]["E/I"], high) == (1.0, 1.0)
    assert low == pytest.approx(0.025 ** (1 / 25))


def test_the_interval_of_the_auc_covers_it_and_goes_by_prompts() -> None:
    generator = np.random.default_rng(1)
    covered = []
    for _ in range(60):
        texts = [text(first, str(n)) for n in range(40) for first in (True, False)]
        values = np.clip(50 + 10 * np.array([one.first for one in texts]) + 12 * generator.normal(size=80), 0, 100)
        low, high = check_grades([Grade(float(v)) for v in values], texts)["auc_interval"]["E/I"]
        covered.append(low <= 0.7221 <= high)  # the normal distribution's at 10 / (12 sqrt 2)
    assert np.mean(covered) >= 0.85


def test_grades_that_are_missing_are_counted_and_left_out() -> None:
    texts = [text(True), text(False), text(True)]
    found = check_grades([Grade(80.0), Grade(60.0), Grade(None, "timed out")], texts)
    assert (found["n_graded"]["E/I"], found["n_missing"]["E/I"]) == (2, 1)
    assert found["missing_reasons"]["E/I"] == {"timed out": 1}
    assert check_grades([Grade(1.0)], [text(True)])["auc"] == {"E/I": None}


def test_a_liking_for_a_place_shows() -> None:
    texts = [text(n % 2 == 0) for n in range(40)]
    turned = [n % 4 < 2 for n in range(40)]
    grades = [
        Grade(50.0 + 20 * one.first + 7 * turn + n % 3) for n, (one, turn) in enumerate(zip(texts, turned, strict=True))
    ]
    found = order_effect(grades, texts, turned)
    assert found["difference"] == pytest.approx(7, abs=0.5) and 0 < found["standard_error"] < 0.5


def test_two_graders_agree_by_rank() -> None:
    first = [Grade(float(n)) for n in range(10)]
    found = graded_agreement(first, [Grade(float(n) ** 2 / 9 + 1) for n in range(9)] + [Grade(None, "lost")])
    assert found["correlation"] == pytest.approx(1.0) and found["n_missing"] == 1
    assert graded_agreement(first, first[::-1])["correlation"] == pytest.approx(-1.0)


def test_agree_compares_two_graders_of_a_run(invoke: Invoke, run: Path) -> None:
    fails(invoke("judge", "agree", "words", "twin", "--graders", "--run", run), 1, "no grades called 'words'")
    for label in ("words", "twin"):
        assert invoke("judge", run, "--grader", "words", "--as", label).exit_code == 0
    found = json.loads(invoke("judge", "agree", "words", "twin", "--graders", "--run", run, "--json").stdout)
    assert found["dimensions"]["E/I"]["correlation"] == pytest.approx(1.0)
    assert found["dimensions"]["E/I"]["difference"] == 0


def test_options_that_would_do_nothing_are_refused(invoke: Invoke, run: Path, tmp_path: Path) -> None:
    check = ["judge", "check", "--labels", tmp_path / "labels.jsonl"]
    fails(invoke(*check, "--limit", "5"), 2, "--limit is for a grader.")
    agree = ["judge", "agree", "a", "b", "--graders", "--run", run]
    fails(invoke(*agree, "--judge-option", "a.model=m"), 2, "--judge-option is for judges")


# Texts whose pole is known


def test_labelled_texts_are_read_in_each_of_their_forms(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    rows = [
        {"prompt": "p", "response": "a", "axis": "E/I", "pole": "I"},
        {"situation": "s", "responses": {"T": "t", "F": "f"}, "axis": "T/F"},
        {"instruction": "i", "input": "more", "introversion": "in", "extraversion": "out"},
    ]
    write_jsonl(path, rows)
    found = [(one.prompt, one.response, one.axis, one.first) for one in read_pole_texts(path)]
    assert found == [
        ("p", "a", "E/I", False), ("s", "t", "T/F", True), ("s", "f", "T/F", False),
        ("i\n\nmore", "out", "E/I", True), ("i\n\nmore", "in", "E/I", False),
    ]  # fmt: skip


@pytest.mark.parametrize("row", [{"response": "a"}, {"prompt": "p"}, {"prompt": "p", "response": "a", "pole": "Q"}, 3])
def test_a_row_without_a_known_pole_is_refused_by_its_line(tmp_path: Path, row: Any) -> None:
    path = tmp_path / "labels.jsonl"
    path.write_text(json.dumps({"prompt": "p", "response": "a", "pole": "E"}) + "\n" + json.dumps(row) + "\n")
    with pytest.raises(DataError, match=r"labels\.jsonl:2"):
        read_pole_texts(path)


# The graders that ship


def test_words_tells_the_poles_of_held_out_situations_apart(invoke: Invoke) -> None:
    found = json.loads(invoke("judge", "check", "--grader", "words", "--json").stdout)
    assert set(found["auc"]) >= {"E/I", "S/N", "T/F", "J/P"}
    assert min(found["auc"].values()) > 0.9
    assert all(found["n_graded"][axis] == sum(t.axis == axis for t in heldout_texts()) for axis in found["auc"])


def test_a_weak_grader_on_foreign_text_says_so_wherever_its_numbers_appear(
    invoke: Invoke, run: Path, tmp_path: Path
) -> None:
    labels = tmp_path / "labels.jsonl"  # the poles' texts under each other's names, and some that say nothing
    turned = [{"prompt": t.prompt, "response": t.response, "axis": t.axis, "pole": "I" if t.first else "E"}
              for t in heldout_texts() if t.axis == "E/I"]  # fmt: skip
    write_jsonl(labels, turned)
    table = invoke("judge", "check", "--grader", "words", "--labels", labels)
    assert "hardly tells the poles apart on text of another make (AUC E/I 0.00; below 0.65)" in table.output
    assert "hardly tells" in invoke("judge", run, "--grader", "words").output
    notes = {row.note for row in compare_run(run) if row.grader == "words"}
    assert all("hardly tells" in note for note in notes) and notes


def test_words_keeps_the_contract_and_refuses_coherence() -> None:
    grader = choose_grader("words")
    loud, quiet, _ = assert_grader(grader)
    assert loud.value is not None and quiet.value is not None and loud.value > quiet.value
    assert grader.refuses(COHERENCE)


def test_what_words_is_worth_on_foreign_text_is_known_for_the_grader_as_it_is() -> None:
    by = grades_module.grader_identity(choose_grader("words"), [axis_dimension("E/I")])
    assert note_of_grades(by) == choose_grader("words").note, "check it again: `lapd judge check --labels`"


def test_a_graders_note_is_kept_for_what_was_checked_alone() -> None:
    by = {"name": "words", "version": "other", "settings": {}, "dimensions": {"E/I": {"texts": "x"}}}
    assert "not checked on text of another make for E/I" in note_of_grades(by)


@pytest.fixture
def tiny(tmp_path: Path) -> str:
    return str(make_tiny_base(tmp_path / "base"))


def test_reader_gives_each_response_its_grade_whatever_it_is_read_with(tiny: str) -> None:
    options = {"base": tiny, "calibration": 10}
    grades = assert_grader(choose_grader("reader", [f"{k}={v}" for k, v in options.items()]), axis_dimension("T/F"))
    assert all("nats a token" in grade.reason for grade in grades)


def test_reader_scores_are_differences_of_plain_log_likelihoods(tiny: str) -> None:
    import torch
    from lapd.plugins.reader_grader import Reader, framings

    from lapd.models import load_base, resolve_base

    base, about = resolve_base(tiny), axis_dimension("E/I")
    model, tokenizer = load_base(base)
    said = ("What now?", "We all go out and sing.")

    def nats(context: str, words: str) -> float:
        head, tail = (tokenizer(part, add_special_tokens=False)["input_ids"] for part in (context, words))
        with torch.inference_mode():
            logits = model(torch.tensor([head + tail])).logits[0].log_softmax(-1)
        return float(sum(logits[len(head) + n - 1, token] for n, token in enumerate(tail))) / len(tail)

    by_framing = [nats(*one) for one in framings(*said, about)]
    expected = np.mean(np.array(by_framing[::2]) - np.array(by_framing[1::2]))
    assert list(Reader(base, "1").scores([said], about)) == [pytest.approx(expected, abs=1e-4)]
    assert list(Reader(base, "1").scores([said], Dimension("E/I", about.low, about.high, "mbti"))) == [
        pytest.approx(-expected, abs=1e-4)
    ]


def test_reader_reads_with_the_runs_base(invoke: Invoke, run: Path, tiny: str) -> None:
    record = json.loads((run / "run.json").read_text())
    write_json(run / "run.json", {**record, "base": {"name": tiny, "digest": "b" * 64}})
    result = invoke("judge", run, "--grader", "reader", "--grader-option", "calibration=10", "--json")
    assert result.exit_code == 0, result.output
    from lapd.models import resolve_base

    assert json.loads(result.stdout)["grader"]["settings"] == {"base": resolve_base(tiny).digest, "calibration": 10}


class Reading(FaultServer):
    """A model that grades 90 for whichever description comes first, whatever it reads."""

    def answer(self, body: Any) -> str:
        return json.dumps({"grade": 90, "reason": "the first"})


def options(server: FaultServer) -> list[str]:
    return ["model=m", f"base_url={server.url}", "backoff=0.01", "attempts=2"]


def test_openai_asks_each_dimension_apart_and_turns_half_of_the_orders() -> None:
    batch = [(f"prompt {n}", f"response {n}") for n in range(40)]
    about = axis_dimension("E/I")
    with Reading() as server:
        grader: Any = choose_grader("openai", options(server))
        found = list(grades_of(grader, batch, about))
        turned = [grader.turned(*pair, about) for pair in batch]
        assert [grade.value for grade in found] == [10.0 if turn else 90.0 for turn in turned]
        assert 10 < sum(turned) < 30
        systems = [body["messages"][0]["content"] for body in server.bodies]
        first = [system.index(about.high.strip()) < system.index(about.low.strip()) for system in systems]
        assert sorted(first) == sorted(not turn for turn in turned)
        list(grades_of(grader, batch, COHERENCE))
        assert len(server.bodies) == 80
        list(grades_of(choose_grader("openai", options(server)), batch, about))
        assert len(server.bodies) == 80  # what was graded once is kept


def test_openai_grades_that_are_none_are_missing_with_their_reason() -> None:
    replies = ['{"grade": 140, "reason": ""}', "no idea", '{"grade": "high", "reason": ""}', '{"grade": 3']
    script = [{"content": reply} for reply in replies for _ in range(2)]
    with FaultServer(script) as server:
        grader = choose_grader("openai", [*options(server), "concurrency=1"])
        batch = [("p", f"r{n}") for n in range(len(replies))]
        found = list(grades_of(grader, batch, COHERENCE))
        assert [grade.value for grade in found] == [None] * 4
        assert all(grade.reason.startswith("the reply is no grade: ") for grade in found)


def test_openai_needs_a_model() -> None:
    from lapd.errors import UsageError

    with pytest.raises(UsageError, match="is missing"):
        list(grades_of(choose_grader("openai"), [("p", "r")], COHERENCE))


def test_grades_and_a_metric_of_the_graders_name_are_told_apart(run: Path) -> None:
    before = {row.metric: row for row in compare_run(run)}
    grade_run(run, choose_grader("words"), "words", quiet=True)
    rows = {row.metric: row for row in compare_run(run)}
    assert (rows["words"].unit, rows["words"].grader) == (before["words"].unit, "")
    assert (rows["grade_words_towards"].unit, rows["grade_words_towards"].grader) == ("points", "words")


def test_tables_and_sentences_call_a_grade_by_one_name(run: Path) -> None:
    from lapd.report.claims import claims
    from lapd.report.labels import short_label

    grade_run(run, Counting(), "counting", quiet=True)
    rows = compare_run(run)
    (pooled,) = (row for row in rows if row.metric == "grade_counting_towards")
    assert short_label(pooled) == "grade by counting, points"
    assert [claim.name for claim in claims(rows) if claim.row is pooled] == ["grade by counting"]
