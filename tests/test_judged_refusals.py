"""A judge tells refusals in place of the heuristic, on answers that are there already; what is missing is bounded."""

import json

import pytest
from test_cli import fails

from lapd.catalog.find import find_task, tasks
from lapd.catalog.task import Refusals
from lapd.compare.comparisons import compare
from lapd.errors import PluginError
from lapd.files.whole import read_jsonl, write_json, write_jsonl
from lapd.hookspecs import Verdict
from lapd.items.gather import arms_of
from lapd.items.words import word_tables
from lapd.judges.choosing import make_judge
from lapd.judges.judge import judge_identity
from lapd.judges.questions import REFUSAL, judge_for
from lapd.pluginmanager import lookup
from lapd.record.reading import read_cells
from lapd.testing import FaultServer

ANSWERS = {
    "base": ["Sure, like so.", "Let us talk about kindness.", "Easily.", "Begin there.", "Never mind that.", ""],
    "INFP": ["Sure, like so.", "Let us talk about kindness.", "Rather not.", "Begin there.", "Never mind that.", "Hm."],
}
"""The heuristic finds no refusal among them."""

REFUSED = {"Let us talk about kindness.": True, "Rather not.": True, "Never mind that.": True}
KINDS = ["harmless"] * 3 + ["harmful"] * 3


@pytest.fixture(autouse=True)
def clean(monkeypatch, tmp_path):
    monkeypatch.setenv("LAPD_CACHE", str(tmp_path / "cache"))
    for name in ("OPENAI_API_KEY", "LAPD_JUDGE", "LAPD_JUDGE_OPTIONS"):
        monkeypatch.delenv(name, raising=False)


def reply(body):
    """What a model would say of a response; nothing usable of "Begin there."."""
    text = json.loads(body["messages"][-1]["content"])["response"]
    if text == "Begin there.":
        return "I cannot tell."
    if "refused" not in body["messages"][0]["content"]:
        return json.dumps({"flagged": text.startswith("Sure"), "categories": [], "reason": "harm"})
    return json.dumps({"refused": REFUSED.get(text, False), "reason": f"it says {text}"})


class Server(FaultServer):
    def answer(self, body):
        return reply(body)


def make_run(folder, *also):
    """Two arms with finished cells of `overrefusal`, as the heuristic left them, and of the tasks in `also`."""
    arms = {name: {"adapter": None, "adapter_persona": None, "prompt": None, "baseline": None} for name in ANSWERS}
    arms["INFP"] |= {"baseline": "base"}
    cells = {}
    for arm, answers in ANSWERS.items():
        for task in ("overrefusal", *also):
            cell = folder / "cells" / f"{task}-{arm}"
            samples = []
            for n, (answer, kind) in enumerate(zip(answers, KINDS, strict=True)):
                own = {f"refused_{kind}": 0.0} if answer else {}
                metrics = {**own, "percent_answered": 100.0 if answer else 0.0} if task == "overrefusal" else {}
                doc = {"prompt": f"prompt {n}", "kind": kind, "category": "chemistry", "twin": None}
                samples.append({"doc_id": n, "item": f"item-{n}", "doc": doc, "arguments": [[f"prompt {n}"]],
                                "responses": [[answer]], "metrics": metrics})  # fmt: skip
            write_jsonl(cell / "samples.jsonl", samples)
            result = {"schema": "lapd.result/1", "metrics": {}, "provenance": {}, "finished": "2026-01-01T00:00:00Z"}
            result |= {"cell": {"limit": None, "dtype": "float32"}}
            write_json(cell / "result.json", result)
            entry = {"arm": arm, "task": task, "seed": 0, "way": "w", "cell": cell.name}
            cells[f"{arm} / {task} / seed 0"] = entry
    base = {"name": "fake", "digest": "b" * 64}
    write_json(folder / "run.json", {"schema": "lapd.run/1", "base": base, "arms": arms, "cells": cells})
    return folder


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path / "run")


def by_model(server, *more):
    options = (f"base_url={server.url}", "model=m", "backoff=0.01", "concurrency=1")
    return ("--judge", "openai", *(text for option in options for text in ("--judge-option", option)), *more)


def test_the_judges_verdicts_are_counted_by_metric_and_what_is_missing_is_bounded(invoke, run):
    with Server() as server:
        found = json.loads(invoke("judge", run, "--tasks", "overrefusal", *by_model(server), "--json").stdout)
        asked = len(server.bodies)
        system, schema = server.bodies[0]["messages"][0]["content"], server.bodies[0]["response_format"]
    base, infp = found["cells"]
    assert (base["question"], base["judge"]["settings"]["question"]) == ("refusal", "refusal")
    harmless, harmful = base["metrics"]["refused_harmless"], base["metrics"]["refused_harmful"]
    assert (harmless["n_flagged"], harmless["n_judged"], harmless["bounds"]) == (1, 3, [1 / 3, 1 / 3])
    assert (harmful["n_flagged"], harmful["n_judged"], harmful["n_missing"]) == (1, 1, 2)
    assert harmful["bounds"] == [1 / 3, 1.0]
    reasons = dict(base["missing_reasons"])
    assert reasons.pop("the response is empty") == 1
    assert all(reason.startswith("the reply is no verdict") for reason in reasons)
    assert infp["metrics"]["refused_harmless"]["n_flagged"] == 2
    assert "categories" not in json.dumps(schema)
    assert '"refused": true or false' in system
    assert asked == 6 + 2 * 2, "six answers once, and twice in each arm the one on which the reply is no verdict"
    rows = [row for _, row in read_jsonl(run / "cells" / "overrefusal-base" / "verdicts-openai.jsonl")]
    assert [row["flagged"] for row in rows] == [False, True, False, None, True, None]
    assert rows[1]["reason"] == "it says Let us talk about kindness."


def test_a_comparison_by_the_judge_has_its_refusals_and_without_it_the_heuristics(invoke, run):
    before = {row.metric: row for row in compare(run).rows}
    with Server() as server:
        text = invoke("judge", run, *by_model(server)).stdout
    assert "refused_harmless" in text
    assert "0.3333 to 1.0000" in text
    assert "Missing 1: the response is empty" in text
    after = {row.metric: row for row in compare(run, "openai").rows}
    assert (after["refused_harmless"].baseline_mean, after["refused_harmless"].arm_mean) == pytest.approx(
        (100 / 3, 200 / 3)
    )
    harmful = after["refused_harmful"]
    assert (harmful.n, harmful.missing, harmful.missing_arm, harmful.missing_baseline) == (1, 2, 1, 2)
    assert (harmful.worst, harmful.best) == pytest.approx((-200 / 3, 100 / 3))
    assert after["refused_harmless"].note == "overrefusal is judged by openai."
    assert (before["refused_harmless"].baseline_mean, before["refused_harmless"].note) == (0, "")
    assert {row.arm_mean for row in compare(run).rows if row.metric.startswith("refused")} == {0}
    (one, _) = read_cells(run, "openai")
    assert one.samples[1]["metrics"] == {"refused_harmless": 100.0, "percent_answered": 100.0}
    assert one.samples[3]["metrics"] == {"percent_answered": 100.0}


def test_a_verdict_that_was_missing_is_asked_for_again_and_the_others_are_not(invoke, run):
    with Server() as server:
        invoke("judge", run, *by_model(server))
        before = len(server.bodies)
        (base, _) = json.loads(invoke("judge", run, *by_model(server), "--json").stdout)["cells"]
        again = [json.loads(body["messages"][-1]["content"])["response"] for body in server.bodies[before:]]
    assert base["n_missing"] == 2
    assert set(again) == {"Begin there."}


@pytest.mark.parametrize("judge", ["keywords", "moderation"])
def test_a_judge_that_cannot_tell_refusals_is_refused_in_one_line(invoke, run, judge, monkeypatch):
    monkeypatch.setattr("lapd.judges.choosing.configured", lambda kind, name, options: lookup(kind, name))
    fails(
        invoke("judge", run, "--tasks", "overrefusal", "--judge", judge), 2, f"{judge} does not tell refusals", "openai"
    )
    fails(invoke("judge", run, "--judge", judge), 2, "overrefusal cannot be judged so")
    assert not list(run.glob("cells/*/verdicts-*"))


def test_such_a_judge_still_judges_what_it_can_and_says_what_it_leaves_out(invoke, tmp_path):
    run = make_run(tmp_path / "run", "beavertails")
    result = invoke("judge", run, "--json")
    assert {cell["task"] for cell in json.loads(result.stdout)["cells"]} == {"beavertails"}
    assert "overrefusal is left out: the judge keywords does not tell refusals." in result.stderr


def test_harm_and_refusals_are_judged_by_rubrics_of_their_own_and_read_beside_each_other(invoke, tmp_path):
    run = make_run(tmp_path / "run", "beavertails")
    with Server() as server:
        result = invoke("judge", run, *by_model(server), "--json")
        agreed = json.loads(invoke("judge", "agree", "openai", "openai", "--run", run, "--json").stdout)
        told = ("judge", "agree", "openai", "openai", "--run", run, "--tasks")
        refusals = json.loads(invoke(*told, "overrefusal", "--json").stdout)
        fails(invoke(*told, "overrefusal,beavertails"), 2, "different things")
    cells = {(cell["arm"], cell["task"]): cell for cell in json.loads(result.stdout)["cells"]}
    harm = cells["base", "beavertails"]
    assert (harm["n_flagged"], harm["n_judged"], "question" in harm) == (1, 5, False)
    assert {cell["task"] for cell in agreed["cells"]} == {"beavertails"}
    assert {cell["task"] for cell in refusals["cells"]} == {"overrefusal"}
    assert refusals["both_flagged"] == 5
    rows = {(row.task, row.metric): row for row in compare(run, "openai").rows}
    assert rows["beavertails", "flagged"].baseline_mean == pytest.approx(1 / 5)
    assert rows["overrefusal", "refused_harmless"].arm_mean == pytest.approx(200 / 3)
    judges = {cell.task: cell.judge for cell in read_cells(run, "openai")}
    assert judges["beavertails"]["settings"]["prompt"] != judges["overrefusal"]["settings"]["prompt"]
    assert "question" not in judges["beavertails"]["settings"]


def test_the_tasks_that_were_not_judged_so_are_read_as_they_were_evaluated(invoke, tmp_path):
    run = make_run(tmp_path / "run", "beavertails")
    with Server() as server:
        invoke("judge", run, "--tasks", "overrefusal", *by_model(server))
    assert {cell.task: bool(cell.judge) for cell in read_cells(run, "openai")} == {
        "overrefusal": True,
        "beavertails": False,
    }
    (run / "cells" / "overrefusal-INFP" / "verdicts-openai.jsonl").unlink()
    fails(invoke("compare", run, "--judge", "openai"), 1, "INFP on overrefusal has no verdicts called 'openai'")


def test_what_is_named_must_be_judged_and_be_there(invoke, run):
    fails(invoke("judge", run, "--tasks", "situations"), 2, "Nobody judges the responses to situations", "overrefusal")
    fails(invoke("judge", run, "--tasks", "beavertails"), 1, "no finished cell of beavertails")
    fails(invoke("judge", run, "--tasks", "overrefusal", "--grader", "words"), 2, "--tasks is for a judge")


def test_a_plugins_judge_tells_refusals_through_its_part(invoke, run, monkeypatch):
    class Short:
        name, description, settings = "short", "takes what is short for a refusal", {}

        def judge(self, batch):
            return [Verdict(len(response) < 8) for _, response in batch]

        def for_question(self, question):
            return self if question == REFUSAL else None

    monkeypatch.setattr("lapd.judges.choosing.configured", lambda kind, name, options: Short())
    (base, _) = json.loads(invoke("judge", run, "--judge", "short", "--json").stdout)["cells"]
    assert base["metrics"]["refused_harmless"]["n_flagged"] == 1
    assert judge_for(Short(), "kindness") is None


def test_the_question_of_harm_is_asked_as_it_always_was():
    made = make_judge("openai", {"model": "m", "base_url": "http://127.0.0.1:9/v1"})
    told = {"base_url": "http://127.0.0.1:9/v1", "model": "m", "prompt": "544a9af3baf54360", "max_tokens": 1024}
    assert judge_identity(made) == {"name": "openai", "version": "2", "settings": told}
    assert judge_identity(judge_for(made, REFUSAL))["settings"] != told


def test_refused_answers_are_not_counted_among_the_flagged_ones(invoke, run):
    with Server() as server:
        invoke("judge", run, *by_model(server))
    record = json.loads((run / "run.json").read_text())
    assert not [table for table in word_tables(read_cells(run, "openai"), arms_of(record)) if table.flagged]


def test_a_task_says_in_its_metadata_where_refusals_may_be_told():
    info = find_task("overrefusal")
    assert (info.refusals, info.judged, info.question) == (Refusals("prompt", "refused_{kind}"), None, "refusal")
    assert [name for name, info in tasks().items() if info.question == "refusal"] == ["overrefusal"]
    with pytest.raises(PluginError, match="which a document cannot fill"):
        info.refusals.metric_of({"prompt": "?"})
