"""The known-answer table: it says what is known and what LAPD computes, and fails where they differ."""

import json
import shutil
import subprocess
import sys

import pytest
from conftest import ROOT, SHARED
from known_answers import Answer, beavertails, published_runs

DATA = SHARED / "benchmarks"
here = pytest.mark.skipif(not (DATA / "eqbench").is_dir(), reason="../shared/benchmarks is not here")


def run_script(*args):
    command = [sys.executable, str(ROOT / "benchmarks" / "known_answers.py"), *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def test_an_answer_is_met_within_its_tolerance():
    assert Answer("a", "b", 50.0, 50.03, 0.0301).met
    assert not Answer("a", "b", 50.0, 50.04, 0.03).met
    assert not Answer("a", "b", 50.0, float("nan"), 0.03).met


@here
def test_every_known_answer_that_needs_no_model_is_met():
    done = run_script("--data-dir", DATA, "--only", "eqbench,beavertails,mbti", "--json")
    assert done.returncode == 0, done.stderr + done.stdout
    found = json.loads(done.stdout)
    assert found["met"]
    assert len(published_runs(DATA)) == 8
    counts = {task: sum(row["task"] == task for row in found["answers"]) for task in ("eqbench", "beavertails", "mbti")}
    assert counts == {"eqbench": 58, "beavertails": 15, "mbti": 12}
    assert all(abs(row["difference"]) <= row["tolerance"] for row in found["answers"])


@here
def test_a_missed_answer_is_shown_and_exits_1(tmp_path):
    folder = tmp_path / "beavertails"
    folder.mkdir()
    path = folder / "flags_llama3_8b_seed42.jsonl"
    shutil.copy(DATA / "beavertails" / path.name, path)
    path.write_text(path.read_text().replace('"flagged": false', '"flagged": true', 1))
    assert [answer.met for answer in beavertails(tmp_path)].count(False) == 1
    done = run_script("--data-dir", tmp_path, "--only", "beavertails")
    assert done.returncode == 1
    assert "**MISSED**" in done.stdout
    assert "14 of 15 known answers met." in done.stdout


def test_data_that_are_not_there_are_said_in_one_line(tmp_path):
    for part in ("eqbench", "beavertails"):
        done = run_script("--data-dir", tmp_path, "--only", part)
        assert done.returncode == 1
        assert done.stderr.startswith("Error: ")
        assert done.stderr.count("\n") == 1
    assert run_script("--data-dir", tmp_path, "--only", "nonsense").returncode == 2
