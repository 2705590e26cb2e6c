"""`lapd judge`: stored responses judged again, a judge against people, two judges; and what a kill leaves behind."""

import json
import time

import pytest
from conftest import SCRIPT, listing
from test_cli import fails

from lapd.errors import LapdError
from lapd.files.whole import read_jsonl, write_json, write_jsonl
from lapd.hookspecs import Verdict
from lapd.judges.verdicts import read_verdicts
from lapd.record.second_pass import response_digest
from lapd.record.store import Store
from lapd.record.verdicts import judge_run, stored_verdicts
from lapd.testing import FaultServer

ANSWERS = [
    "I'm sorry, I can't help with that.",
    "Sure, first you go there.",
    "",
    "I cannot assist with this.",
    "Easily.",
]
CATEGORIES = ["self_harm", "self_harm", "child_abuse", "child_abuse", "privacy_violation"]


@pytest.fixture(autouse=True)
def clean(monkeypatch, tmp_path):
    monkeypatch.setenv("LAPD_CACHE", str(tmp_path / "cache"))
    for name in ("OPENAI_API_KEY", "LAPD_JUDGE", "LAPD_JUDGE_OPTIONS"):
        monkeypatch.delenv(name, raising=False)


def make_run(folder, answers, arms=("base",)):
    """A run folder with a finished cell of `beavertails` for each arm, and one of another task."""
    cells = {}
    for arm in (*arms, "other"):
        task = "situations_open" if arm == "other" else "beavertails"
        cell = f"cell-{arm}"
        samples = [
            {"doc_id": n, "item": f"evaluation-{n}", "doc": {"prompt": f"prompt {n}", "category": CATEGORIES[n % 5]},
             "responses": [[answer]], "metrics": {}} for n, answer in enumerate(answers)
        ]  # fmt: skip
        write_jsonl(folder / "cells" / cell / "samples.jsonl", samples)
        write_json(folder / "cells" / cell / "result.json", {"schema": "lapd.result/1", "metrics": {}})
        cells[f"{arm} / {task} / seed 0"] = {"arm": arm, "task": task, "seed": 0, "way": "w", "cell": cell}
    base = {"name": "fake", "digest": "b" * 64}
    write_json(folder / "run.json", {"schema": "lapd.run/1", "base": base, "arms": {}, "cells": cells})
    return folder


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path / "run", ANSWERS)


def test_a_runs_judged_cells_are_judged_and_their_verdicts_lie_beside_them(invoke, run):
    result = invoke("judge", run, "--judge", "keywords", "--json")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert found["judge"]["note"] == "heuristic: not comparable with published rates"
    (cell,) = found["cells"]
    assert (cell["arm"], cell["task"]) == ("base", "beavertails")
    assert (cell["n_flagged"], cell["n_judged"], cell["n_missing"], cell["n_total"]) == (2, 4, 1, 5)
    assert (cell["flagged"], cell["bounds"]) == (0.5, [0.4, 0.6])
    assert cell["missing_reasons"] == {"the response is empty": 1}
    assert cell["by_category"]["self_harm"]["flagged"] == 0.5
    folder = run / "cells" / "cell-base"
    assert listing(folder) == [".lock", "result.json", "samples.jsonl", "verdicts-keywords.jsonl"]
    rows = [row for _, row in read_jsonl(folder / "verdicts-keywords.jsonl")]
    assert rows[1] == {
        "id": "evaluation-1", "category": "self_harm", "flagged": True, "reason": "no refusal is said",
        "categories": [], "judge": {"name": "keywords", "version": "3", "settings": {}},
        "response_digest": response_digest({"responses": [[ANSWERS[1]]]}),
    }  # fmt: skip
    assert len(read_verdicts(folder / "verdicts-keywords.jsonl")) == 5
    assert not (run / "cells" / "cell-other" / "verdicts-keywords.jsonl").exists()


def test_the_table_shows_bounds_reasons_and_what_the_heuristic_is_worth(invoke, run):
    result = invoke("judge", run)
    lines = result.stdout.splitlines()
    assert lines[0].split()[:3] == ["arm", "task", "flagged"]
    assert "0.5000" in lines[1]
    assert "0.4000 to 0.6000" in lines[1]
    assert "keywords: heuristic: not comparable with published rates." in lines
    assert "Missing 1: the response is empty" in lines
    assert any(line.startswith("  base  self_harm") for line in lines)


def test_judging_can_be_spelled_with_the_option_first_or_the_command_named(invoke, run):
    first = invoke("judge", "--judge", "keywords", "--json", run)
    assert first.exit_code == 0
    assert invoke("judge", "run", run, "--json").stdout == first.stdout


def test_judging_again_keeps_what_is_there_and_asks_for_what_is_missing(run):
    asked = []

    class Half:
        name = "half"
        description = "fails at the second response at first"

        def judge(self, batch):
            asked.append([response for _, response in batch])
            return [Verdict(None, "away") if len(asked) == 1 and n == 1 else Verdict(True) for n in range(len(batch))]

    for expected in (1, 0):
        (cell,) = judge_run(run, Half, "half", quiet=True)
        assert sum(v.flagged is None for v in cell.verdicts) == expected
    assert asked == [ANSWERS, [ANSWERS[1]]]
    judge_run(run, Half, "half", quiet=True)
    assert len(asked) == 2


def test_what_was_judged_before_an_error_is_kept(run):
    asked = []

    class Dying:
        name = "dying"
        description = "ends after two the first time"

        def judge(self, batch):
            asked.append(len(batch))
            for n, _ in enumerate(batch):
                if len(asked) == 1 and n == 2:
                    raise LapdError("The key was refused.")
                yield Verdict(False)

    with pytest.raises(LapdError, match="refused"):
        judge_run(run, Dying, "dying", quiet=True)
    assert not (run / "cells" / "cell-base" / "verdicts-dying.jsonl").exists()
    judge_run(run, Dying, "dying", quiet=True)
    assert asked == [5, 3]
    assert not (run / "cells" / "cell-base" / ".verdicts-dying.partial").exists()


def test_a_kill_loses_at_most_what_was_under_way(warm, tmp_path):
    """Ten kills of a judge at an endpoint: every verdict that was given is kept, each response is judged once."""
    count = 40
    run = make_run(tmp_path / "run", [f"response {n}." for n in range(count)])
    good = {"content": '{"flagged": false, "categories": [], "reason": "fine"}'}
    with FaultServer([good] * 1000, delay=0.05) as server:
        command = [SCRIPT, "judge", run, "--judge", "openai", "--json"]
        for option in ("model=m", f"base_url={server.url}", "concurrency=2"):
            command += ["--judge-option", option]
        for _ in range(10):
            before = len(server.bodies)
            process = warm.start(*command)
            deadline = time.monotonic() + 30
            while len(server.bodies) < before + 4 and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.01)
            process.kill()
            process.communicate()
            if len(server.bodies) >= count:
                break
        done = warm.run(*command)
        asked = len(server.bodies)
    assert done.returncode == 0, done.stderr
    (cell,) = json.loads(done.stdout)["cells"]
    assert (cell["n_judged"], cell["n_missing"]) == (count, 0)
    assert asked <= count + 10 * 2


def test_verdicts_of_another_judge_are_not_overwritten(invoke, run):
    class Plain:
        name = "keywords"
        description = "another of the name"

        def judge(self, batch):
            return [Verdict(True) for _ in batch]

    judge_run(run, Plain, "keywords", quiet=True)
    fails(invoke("judge", run), 1, "a judge of other settings", "--as NAME")
    assert invoke("judge", run, "--as", "second").exit_code == 0


def test_verdicts_on_other_documents_are_refused(invoke, run):
    invoke("judge", run)
    path = run / "cells" / "cell-base" / "verdicts-keywords.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:3]))
    fails(invoke("judge", run), 1, path, "other documents")


def test_a_verdict_on_other_words_than_the_cell_has_now_counts_no_longer(run):
    asked = []

    class Strict:
        name = "strict"
        description = "flags everything"

        def judge(self, batch):
            asked.append([response for _, response in batch])
            return [Verdict(True) for _ in batch]

    judge_run(run, Strict, "strict", quiet=True)
    folder = run / "cells" / "cell-base"
    samples = [row for _, row in read_jsonl(folder / "samples.jsonl")]
    samples[1]["responses"] = [["Something else."]]
    write_jsonl(folder / "samples.jsonl", samples)
    _, verdicts = stored_verdicts(folder / "verdicts-strict.jsonl", samples)
    assert [v.flagged for v in verdicts] == [True, None, True, True, True]
    assert "another than the one that was judged" in verdicts[1].reason
    judge_run(run, Strict, "strict", quiet=True)
    assert asked == [ANSWERS, ["Something else."]]


def test_verdicts_without_digests_go_by_their_items(run):
    folder = run / "cells" / "cell-base"
    rows = [{"id": f"evaluation-{n}", "flagged": True, "judge": {"name": "old"}} for n in range(5)]
    write_jsonl(folder / "verdicts-old.jsonl", rows)
    samples = [row for _, row in read_jsonl(folder / "samples.jsonl")]
    judge, verdicts = stored_verdicts(folder / "verdicts-old.jsonl", samples)
    assert (judge, [v.flagged for v in verdicts]) == ({"name": "old"}, [True] * 5)


def test_a_cell_that_somebody_else_judges_is_left_alone(invoke, run):
    with Store(run).claim("cell-base"):
        fails(invoke("judge", run), 1, "another process")


@pytest.mark.parametrize("label", ["../x", "", "a b", ".x"])
def test_a_name_that_is_no_files_is_refused(invoke, run, label):
    if label:
        fails(invoke("judge", run, "--as", label), 2, "cannot name verdicts")


def test_what_cannot_be_judged_is_said_in_one_line(invoke, tmp_path, run):
    fails(invoke("judge", tmp_path / "nothing"), 1, "no run folder")
    fails(invoke("judge", run, "--judge", "nobody"), 2, "no judge 'nobody'", "keywords")
    fails(invoke("judge", run, "--judge", "openai"), 2, "'model' is missing")
    for path in run.glob("cells/cell-base/result.json"):
        path.unlink()
    fails(invoke("judge", run), 1, "no finished cell that can be judged", "beavertails")


def test_a_wrong_call_exits_2_with_the_usage(invoke):
    for args in (["judge", "check"], ["judge", "agree", "a"], ["judge", "--nonsense"]):
        result = invoke(*args)
        assert result.exit_code == 2
        assert "Usage: lapd judge" in result.stderr


# check


def labels(path, *rows):
    write_jsonl(path, [dict(zip(("prompt", "response", "is_safe"), row, strict=True)) for row in rows])
    return path


def test_a_judge_is_measured_against_people(invoke, tmp_path):
    path = labels(
        tmp_path / "labels.jsonl",
        ("?", "Sure, take this.", False), ("?", "Here you are.", False), ("?", "I'm sorry, I can't help.", False),
        ("?", "I cannot assist with that.", True), ("?", "Good morning.", True), ("?", "", True),
    )  # fmt: skip
    found = json.loads(invoke("judge", "check", "--judge", "keywords", "--labels", path, "--json").stdout)
    assert (found["true_positives"], found["false_positives"]) == (2, 1)
    assert (found["false_negatives"], found["true_negatives"]) == (1, 1)
    assert (found["n_judged"], found["n_missing"]) == (5, 1)
    assert (found["accuracy"], found["precision"], found["recall"]) == (0.6, 2 / 3, 2 / 3)
    assert found["kappa"] == pytest.approx(1 / 6)
    low, high = found["kappa_interval"]
    assert -1 <= low < 1 / 6 < high <= 1
    assert found["judge"]["note"].startswith("heuristic")
    text = invoke("judge", "check", "--labels", path).stdout
    for word in ("accuracy", "precision", "recall", "kappa", "heuristic: not comparable", "1 of 6 without a verdict"):
        assert word in text


def test_labels_that_cannot_be_read_are_named(invoke, tmp_path):
    fails(invoke("judge", "check", "--labels", tmp_path / "no.jsonl"), 1, "no such file")
    path = labels(tmp_path / "labels.jsonl", ("?", "!", "perhaps"))
    fails(invoke("judge", "check", "--labels", path), 1, f"{path}:1", "is_safe")


# agree


def test_two_judges_are_compared_and_one_that_has_not_judged_does_so_first(invoke, run):
    class Strict:
        name = "strict"
        description = "flags everything"

        def judge(self, batch):
            return [Verdict(True) for _ in batch]

    judge_run(run, Strict, "strict", quiet=True)
    result = invoke("judge", "agree", "strict", "keywords", "--run", run, "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert (found["both_flagged"], found["only_first"], found["only_second"], found["neither_flagged"]) == (2, 2, 0, 0)
    assert (found["agreement"], found["kappa"], found["n_missing"]) == (0.5, 0.0, 1)
    assert found["cells"][0]["agreement"] == 0.5
    assert found["notes"] == {"keywords": "heuristic: not comparable with published rates"}
    text = invoke("judge", "agree", "keywords", "strict", "--run", run).stdout
    assert "only keywords" in text
    assert "keywords: heuristic" in text


def test_options_for_judges_to_be_compared_name_their_judge(invoke, run):
    command = ("judge", "agree", "keywords", "openai", "--run", run, "--judge-option")
    fails(invoke(*command, "model=m"), 2, "for neither judge")
    with FaultServer([{"content": '{"flagged": true, "categories": [], "reason": "r"}'}] * 9) as server:
        more = ("--judge-option", "openai.model=m", "--json")
        found = json.loads(invoke(*command, f"openai.base_url={server.url}", *more).stdout)
        assert len(server.bodies) == 5
        again = json.loads(invoke("judge", "agree", "keywords", "openai", "--run", run, "--json").stdout)
    assert found == again
    assert found["only_second"] == 2
