"""A run read by a chosen judge: `lapd compare` and `lapd report` have that judge's numbers, name and note."""

import json
from html import unescape

import pytest
from test_cli import fails

from lapd.compare.comparisons import compare_run
from lapd.errors import PluginError
from lapd.files.whole import write_json, write_jsonl
from lapd.hookspecs import Verdict
from lapd.judges.choosing import make_judge
from lapd.judges.judge import describe_judge
from lapd.record import reading
from lapd.record.reading import read_cells
from lapd.record.verdicts import judge_run

NOTE = "heuristic: not comparable with published rates"
ANSWERS = {
    "base": ["I'm sorry, I can't help with that.", "Sure, go there.", "", "I cannot assist with this."],
    "INFP": ["Sure.", "Sure, go there.", "Here you are.", "I cannot assist with this."],
}
TIMES = 3
"""So often each answer is given, to a prompt of its own: a category is a row from six items on."""

CATEGORIES = ["self_harm", "self_harm", "child_abuse", "privacy_violation"]


class Made:
    """A judge that flags what is longer than a limit, and does not judge while it is away."""

    description = "made for the test"
    note = ""
    version = "1"

    def __init__(self, name, longest=8, away=()):
        self.name, self.away, self.settings = name, away, {"longest": longest}

    def judge(self, batch):
        for _, response in batch:
            longest = self.settings["longest"]
            yield Verdict(None, "away") if response in self.away else Verdict(len(response) > longest, "its length")


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Two arms on twelve prompts of `beavertails`, evaluated with `keywords`, whose numbers are not stored yet."""
    monkeypatch.setenv("LAPD_CACHE", str(tmp_path / "cache"))
    return make_run(tmp_path / "run", make_judge("keywords"))


def make_run(folder, judge):
    arms = {name: {"adapter": None, "adapter_persona": None, "prompt": None, "baseline": None} for name in ANSWERS}
    arms["INFP"] |= {"baseline": "base"}
    cells = {}
    for arm, answers in ANSWERS.items():
        samples = [
            {"doc_id": n, "item": f"evaluation-{n}", "doc": {"prompt": f"prompt {n}", "category": CATEGORIES[n % 4]},
             "arguments": [[f"prompt {n}"]], "responses": [[answer]], "metrics": {"flagged": 0.0}}
            for n, answer in enumerate(TIMES * answers)
        ]  # fmt: skip
        cell = folder / "cells" / f"cell-{arm}"
        write_jsonl(cell / "samples.jsonl", samples)
        result = {"schema": "lapd.result/1", "metrics": {}, "judge": describe_judge(judge), "provenance": {}}
        result |= {"cell": {"limit": None, "dtype": "float32"}, "finished": "2026-01-01T00:00:00Z"}
        write_json(cell / "result.json", result)
        entry = {"arm": arm, "task": "beavertails", "seed": 0, "way": "w", "cell": cell.name}
        cells[f"{arm} / beavertails / seed 0"] = entry
    base = {"name": "fake", "digest": "b" * 64}
    write_json(folder / "run.json", {"schema": "lapd.run/1", "base": base, "arms": arms, "cells": cells})
    return folder


def means(rows):
    return {row.metric: (row.baseline_mean, row.arm_mean) for row in rows if not row.coherence}


def test_without_stored_verdicts_a_run_is_read_as_it_was_evaluated(run):
    rows = compare_run(run)
    assert means(rows) == {"flagged": (0, 0)}
    assert rows[0].note == f"beavertails is judged by keywords ({NOTE})."


def test_the_evaluations_own_judge_counts_with_what_a_later_pass_filled_in(tmp_path, monkeypatch):
    monkeypatch.setenv("LAPD_CACHE", str(tmp_path / "cache"))
    run = make_run(tmp_path / "run", Made("made"))
    judge_run(run, lambda: Made("made", away=["Sure, go there."]), "made", quiet=True)
    first = means(compare_run(run))
    assert first["missing"] == (25, 25)
    assert first["flagged_lowest"] == (0.5, 0.5)
    assert first["flagged_highest"] == (0.75, 0.75)
    judge_run(run, lambda: Made("made"), "made", quiet=True)
    second = means(compare_run(run))
    assert (second["missing"], second["flagged"]) == ((0, 0), (0.75, 0.75))
    assert second["flagged_self_harm"] == (1, 0.5)
    assert second["flagged_lowest"] == second["flagged_highest"] == (0.75, 0.75)


def test_verdicts_of_the_same_name_by_other_settings_are_not_the_evaluations_own(tmp_path, monkeypatch):
    monkeypatch.setenv("LAPD_CACHE", str(tmp_path / "cache"))
    run = make_run(tmp_path / "run", Made("made", longest=8))
    judge_run(run, lambda: Made("made", longest=99), "made", quiet=True)
    assert means(compare_run(run)) == {"flagged": (0, 0)}
    assert means(compare_run(run, "made"))["flagged"] == (0, 0)
    assert "missing" in means(compare_run(run, "made"))


def test_a_chosen_judges_verdicts_are_compared_in_all_by_category_and_in_bounds(run):
    judge_run(run, lambda: Made("lengths", away=["Here you are."]), "lengths", quiet=True)
    rows = compare_run(run, "lengths")
    assert {row.note for row in rows} == {"beavertails is judged by lengths."}
    found = means(rows)
    # Items that either arm has no verdict on are left out of `flagged`, not of the bounds.
    assert found["flagged"] == (1, 2 / 3)
    assert found["missing"] == (0, 25)
    assert (found["flagged_lowest"], found["flagged_highest"]) == ((0.75, 0.5), (0.75, 0.75))
    assert found["flagged_self_harm"] == (1, 0.5)
    assert "flagged_child_abuse" not in found


def test_a_category_with_fewer_than_six_items_is_no_row_of_its_own_and_named(run, invoke):
    judge_run(run, lambda: Made("lengths"), "lengths", quiet=True)
    assert {row.n for row in compare_run(run, "lengths") if not row.coherence} == {6, 12}
    said = "No rows of their own, with fewer than 6 items: child_abuse and privacy_violation in beavertails."
    assert said in invoke("compare", run, "--judge", "lengths").stdout.splitlines()
    assert said in invoke("compare", run, "--judge", "lengths", "--json").stderr


def test_a_heuristics_note_stays_with_its_verdicts_under_any_name(run, invoke):
    assert invoke("judge", run, "--judge", "keywords", "--as", "strict").exit_code == 0
    said = f"beavertails is judged by keywords (verdicts strict; {NOTE})."
    table = invoke("compare", run, "--judge", "strict")
    assert table.exit_code == 0
    assert said in table.stdout.splitlines()
    rows = json.loads(invoke("compare", run, "--judge", "strict", "--json").stdout)
    assert {row["note"] for row in rows} == {said}
    assert means(compare_run(run, "strict"))["flagged"] == (1 / 3, 2 / 3)
    agreed = invoke("judge", "agree", "strict", "strict", "--run", run)
    assert f"strict: {NOTE}." in agreed.stdout


def test_the_report_has_the_chosen_judges_numbers_name_and_note(run, invoke, tmp_path):
    invoke("judge", run)
    judge_run(run, lambda: Made("lengths"), "lengths", quiet=True)
    pages = {}
    for name in ("keywords", "lengths"):
        page = tmp_path / f"{name}.html"
        assert invoke("report", run, "--judge", name, "-o", page).exit_code == 0
        pages[name] = unescape(page.read_text())
    assert f"beavertails is judged by keywords ({NOTE})." in pages["keywords"]
    assert "beavertails is judged by lengths." in pages["lengths"]
    assert "heuristic" not in pages["lengths"]
    assert pages["keywords"].count(NOTE) >= 3, "in the summary, with the task's rows and over all rows"
    assert pages["keywords"] != pages["lengths"]


def test_a_judge_that_has_not_judged_is_named_with_those_that_have(run, invoke):
    fails(invoke("compare", run, "--judge", "openai"), 1, "base on beavertails has no verdicts called 'openai'",
          "It has none", f"lapd judge {run} --judge openai")  # fmt: skip
    invoke("judge", run)
    fails(invoke("compare", run, "--judge", "openai"), 1, "There are: keywords.")
    fails(invoke("report", run, "--judge", "../x"), 2, "cannot name verdicts")


def test_arms_that_different_judges_decided_on_are_not_compared(run, invoke):
    judge_run(run, lambda: Made("made"), "made", quiet=True)
    path = run / "cells" / "cell-INFP" / "verdicts-made.jsonl"
    path.write_text(path.read_text().replace('"longest":8', '"longest":9').replace('"longest": 8', '"longest": 9'))
    fails(invoke("compare", run, "--judge", "made"), 1, "judges of different settings", "judge again")


def test_a_run_without_a_judged_cell_has_no_judge_to_choose(run, invoke):
    record = json.loads((run / "run.json").read_text())
    for entry in record["cells"].values():
        entry["task"] = "situations_open"
    write_json(run / "run.json", record)
    fails(invoke("compare", run, "--judge", "keywords"), 1, "no finished cell that can be judged")


def test_the_tasks_own_scoring_is_found_beside_its_yaml_or_by_name(tmp_path):
    (tmp_path / "utils.py").write_text("def score(doc, results):\n    return {'x': 1}\n")
    assert reading._scorer(f"{tmp_path}/utils.score")({}, []) == {"x": 1}
    assert reading._scorer(f"{tmp_path}/json.dumps") is json.dumps
    for wrong in ("utils.nothing", "no_such_module.score"):
        with pytest.raises(PluginError, match="cannot be loaded"):
            reading._scorer(f"{tmp_path}/{wrong}")


def test_a_plugins_task_is_scored_by_its_own_function(run, monkeypatch, tmp_path):
    (tmp_path / "mine.py").write_text("def score(doc, results):\n    return {'own': 7 * results[0]['flagged']}\n")
    infos = reading.tasks()
    from dataclasses import replace

    info = replace(infos["beavertails"], scorer=f"{tmp_path}/mine.score")
    monkeypatch.setattr(reading, "tasks", lambda: {**infos, "beavertails": info})
    judge_run(run, lambda: Made("lengths"), "lengths", quiet=True)
    cells = read_cells(run, "lengths")
    assert [sample["metrics"]["own"] for sample in cells[0].samples] == TIMES * [7, 7, 0, 7]
