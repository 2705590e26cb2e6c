"""What a result says of its making, and whether it comes out the same again; on a tiny Llama with random weights."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lora import make_lora

from lapd.adapters.adapter import resolve_adapter
from lapd.evaluate.provenance import command_line, prompts_digest
from lapd.experiment.arms import evaluate_arms
from lapd.experiment.reproduce import compare
from lapd.files.whole import read_json, read_jsonl, write_json, write_jsonl
from lapd.models.base import resolve_base
from lapd.names import get_persona
from lapd.record.cells import Arm, Settings
from lapd.record.store import Store
from lapd.testing import make_tiny_base

QUESTIONS = "text,axis,key\n" + "".join(f"Statement {n} is about me.,E/I,{'EI'[n % 2]}\n" for n in range(12))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a base, an adapter, a questionnaire and a run of an adapter with a prompt on it."""
    folder = tmp_path_factory.mktemp("reproduce")
    base = resolve_base(str(make_tiny_base(folder / "base")))
    make_lora(folder / "INFP", base, seed=1)
    (folder / "own.csv").write_text(QUESTIONS)
    adapter = resolve_adapter(folder / "INFP").at(0.5)
    arms = [Arm(), Arm(adapter, get_persona("INFP"))]
    settings = Settings(limit=64, questionnaire=str(folder / "own.csv"))
    evaluate_arms(base, arms, ["mbti"], folder / "run", settings, batch_size=1, quiet=True)
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """The adapter's cell, copied, so that a test may change it."""
    store = Store(made / "run")
    name = next(entry["cell"] for entry in store.finished() if entry["arm"] != "base")
    shutil.copytree(made / "run", tmp_path / "run")
    return tmp_path / "run" / "cells" / name


def test_a_result_says_what_it_was_made_of(folder: Path, made: Path) -> None:
    record = read_json(folder / "result.json")
    noted = record["provenance"]
    assert {"lapd", "torch", "lm-eval", "python", "machine", "cores", "threads", "git", "started"} <= noted.keys()
    assert noted["hardware"]["cores"] == noted["cores"]
    assert noted["digests"]["base"] == resolve_base(str(made / "base")).digest
    assert noted["digests"]["adapter"] == resolve_adapter(made / "INFP").digest
    assert noted["digests"]["strength"] == 0.5
    assert {noted["digests"][what] is None for what in ("task", "data", "questionnaire")} == {False}
    samples = Store(folder.parent.parent).samples(folder.name)
    assert noted["digests"]["prompts"] == prompts_digest(samples)
    assert get_persona("INFP").system_prompt in samples[0]["arguments"][0][0]
    assert noted["work"]["computed"] == noted["work"]["batches"] > 1
    assert noted["work"]["requests"] == sum(len(s["arguments"]) for s in samples)
    assert noted["work"]["tokens"] > noted["work"]["requests"]
    assert noted["started"] <= record["finished"]
    assert record["inputs"]["batch_size"] == 1
    assert record["inputs"]["adapter"] == {"name": "INFP", "path": str(made / "INFP"), "strength": 0.5}


def test_two_arms_that_were_asked_the_same_have_one_prompts_digest(made: Path) -> None:
    base = resolve_base(str(made / "base"))
    adapter = resolve_adapter(made / "INFP")
    arms = [Arm(), Arm(adapter), Arm(None, get_persona("INFP"))]
    store = evaluate_arms(base, arms, ["situations"], made / "asked", Settings(limit=2), quiet=True)
    found = {e["arm"]: store.result(e["cell"])["provenance"]["digests"]["prompts"] for e in store.finished()}
    assert found["base"] == found["INFP"] != found["base+prompt(INFP)"]


def test_a_cell_comes_out_the_same_again(folder: Path, invoke: Callable[..., Any]) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.parent.parent.rglob("*")}
    result = invoke("reproduce", folder.name, "--run", folder.parent.parent, "--json")
    assert result.exit_code == 0, result.stderr
    record = json.loads(result.stdout)
    assert record["agrees"] is True
    assert (record["verdict"], record["largest_difference"], record["differing"]) == ("identical", 0.0, [])
    assert {path: path.stat().st_mtime_ns for path in folder.parent.parent.rglob("*")} == before


def test_an_answer_that_is_not_the_models_is_found_out(folder: Path, invoke: Callable[..., Any]) -> None:
    samples = [row for _, row in read_jsonl(folder / "samples.jsonl")]
    samples[1]["responses"][0][0][0] -= 0.25
    write_jsonl(folder / "samples.jsonl", samples)
    result = invoke("reproduce", folder, "--json")
    assert result.exit_code == 1
    record = json.loads(result.stdout)
    assert record["verdict"] == "differs"
    assert record["differing"] == [samples[1]["item"]]
    assert record["largest_difference"] == pytest.approx(0.25)
    assert invoke("reproduce", folder, "--tolerance", 0.3).stdout.startswith(f"{folder.name}: equal within 0.25 (")


def change_digest(record: dict[str, Any], what: str) -> None:
    record["provenance"]["digests"][what] = "0" * 64


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda r: change_digest(r, "base"),
            r"the base \(.*/base\) is not what it was: digest \w{12}, then digest 0+\.",
        ),
        (lambda r: change_digest(r, "adapter"), r"the adapter \(.*/INFP\) is not what it was"),
        (lambda r: change_digest(r, "task"), r"the task mbti is not what it was"),
        (lambda r: change_digest(r, "data"), r"the data of mbti is not what it was"),
        (lambda r: change_digest(r, "questionnaire"), r"the questionnaire \(.*own.csv\) is not what it was"),
        (lambda r: r["cell"].update(dtype="bfloat16", task_digest="0"), r"task_digest is not what it was"),
        (lambda r: r["inputs"]["persona"].update(system_prompt="Be somebody else."), r"system_prompt is not what it"),
        (lambda r: r.pop("inputs"), r"made by a LAPD that did not note what is needed to reproduce it. Evaluate it"),
        (lambda r: r["inputs"]["adapter"].update(path="/nowhere"), r"/nowhere: there is no such adapter folder"),
        (lambda r: r.update(schema="lapd.result/9"), r"written by a newer LAPD"),
    ],
    ids=["base", "adapter", "task", "data", "questionnaire", "task_digest", "prompt", "older", "gone", "newer"],
)
def test_a_cell_whose_makings_have_changed_is_refused_in_a_line(
    folder: Path, invoke: Callable[..., Any], change: Callable[[dict[str, Any]], None], message: str
) -> None:
    record = read_json(folder / "result.json")
    change(record)
    write_json(folder / "result.json", record)
    result = invoke("reproduce", folder)
    assert result.exit_code == 1
    assert re.search(message, result.stderr), result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_what_is_no_finished_cell_is_refused(folder: Path, invoke: Callable[..., Any]) -> None:
    assert "there is no such cell. Give the cell's folder" in invoke("reproduce", "nonsense").stderr
    assert "there is no such cell" in invoke("reproduce", "nonsense", "--run", folder.parent.parent).stderr
    (folder / "result.json").unlink()
    result = invoke("reproduce", folder)
    assert result.exit_code == 1
    assert "is no finished cell: it has no result.json" in result.stderr


def sample(item: str, *responses: Any, **metrics: float) -> dict[str, Any]:
    return {"doc_id": item, "item": item, "arguments": ["?"], "responses": [list(responses)], "metrics": metrics}


OLD = [sample("a", [-1.0, False], acc=1.0), sample("b", "text", acc=0.0)]


@pytest.mark.parametrize(
    ("new", "differing", "largest"),
    [
        (OLD, [], 0.0),
        ([sample("a", [-1.0005, False], acc=1.0), OLD[1]], [], 0.0005),
        ([sample("a", [-1.002, False], acc=1.0), OLD[1]], ["a"], 0.002),
        ([sample("a", [-1.0, True], acc=1.0), OLD[1]], ["a"], None),
        ([sample("a", [-1.0, False], acc=0.0), OLD[1]], ["a"], 0.0),
        ([OLD[0], sample("b", "another text", acc=0.0)], ["b"], None),
        ([OLD[0]], ["b"], None),
        ([*OLD, sample("c", "text")], ["c"], None),
        ([{**OLD[0], "arguments": ["!"]}, OLD[1]], ["a"], None),
        ([sample("a", [-1.0, False], [-2.0, False], acc=1.0), OLD[1]], ["a"], None),
    ],
    ids=["same", "near", "far", "greedy", "metric", "text", "less", "more", "other request", "more responses"],
)
def test_documents_are_compared_by_what_was_asked_answered_and_scored(
    new: list[dict[str, Any]], differing: list[str], largest: float | None
) -> None:
    found = compare(OLD, new, {"metrics": {"acc": 0.5}}, {"metrics": {"acc": 0.5}})
    assert found.differing == differing
    assert found.agrees is not bool(differing)
    assert found.largest_difference == (None if largest is None else pytest.approx(largest))
    assert found.identical is (new is OLD)


def test_other_metrics_over_the_same_documents_do_not_agree() -> None:
    assert compare(OLD, OLD, {"metrics": {"acc": 0.5}}, {"metrics": {"acc": 0.6}}).verdict == "differs"


def test_a_command_line_keeps_no_secret() -> None:
    assert command_line(["/usr/bin/lapd", "eval", "--judge-option", "api_key=abc", "-o", "a b"]) == (
        "lapd eval --judge-option api_key=... -o 'a b'"
    )


def test_the_repository_is_noted_where_there_is_one(tmp_path: Path) -> None:
    code = "from lapd.evaluate.provenance import git_state; print(git_state())"

    def state(folder: Path) -> str:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=folder, check=True)
        assert not done.stderr
        return done.stdout.strip()

    assert state(tmp_path) == "None"
    who = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    (tmp_path / "file").write_text("1")
    for words in (["init", "-q"], ["add", "file"], [*who, "commit", "-qm", "x"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    assert re.fullmatch(r"\{'commit': '[0-9a-f]{40}', 'dirty': False\}", state(tmp_path))
    (tmp_path / "file").write_text("2")
    assert "'dirty': True" in state(tmp_path)
