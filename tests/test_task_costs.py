"""The table of scores and costs: means over items with intervals, from a run's finished cells alone."""

import json
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT
from task_costs import final, interval

from lapd.files.whole import write_json, write_jsonl
from lapd.statistics.shares import share_interval


def run_script(*args):
    command = [sys.executable, str(ROOT / "benchmarks" / "task_costs.py"), *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.fixture
def run(tmp_path):
    """Two finished cells of the bare base: 80 items of `socialiqa_mini`, and `mbti` with two documents an item."""
    right = [{"item": f"m{n}", "metrics": {"acc": float(n < 20)}} for n in range(80)]
    asked = [{"item": f"i{n // 2}", "metrics": {"agreement_EI": 50.0 + n, "label_bias": 10.0}} for n in range(8)]
    cells = {}
    for task, samples, seconds in (("socialiqa_mini", right, 4.0), ("mbti", asked, 2.0)):
        cell = tmp_path / "run" / "cells" / task
        write_jsonl(cell / "samples.jsonl", samples)
        result = {"schema": "lapd.result/1", "metrics": {}, "seconds": seconds, "cell": {"limit": None}}
        write_json(cell / "result.json", result)
        cells[f"base / {task} / seed 0"] = {"arm": "base", "task": task, "seed": 0, "way": "w", "cell": task}
    base = {"name": "fake", "digest": "b" * 64}
    write_json(tmp_path / "run" / "run.json", {"schema": "lapd.run/1", "base": base, "arms": {}, "cells": cells})
    return tmp_path / "run"


def test_scores_and_costs_are_those_of_the_cells(run):
    found = json.loads(run_script(run, "--json").stdout)
    scores = {row["metric"]: row for row in found["scores"]}
    assert (scores["acc"]["value"], scores["acc"]["n"]) == (0.25, 80)
    assert (scores["acc"]["low"], scores["acc"]["high"]) == share_interval(20, 80)
    agreement = scores["agreement_EI"]
    assert (agreement["value"], agreement["n"], agreement["unit"]) == (53.5, 4, "points")
    assert agreement["low"] == pytest.approx(53.5 - 3.182446 * np.std([50.5, 52.5, 54.5, 56.5], ddof=1) / 2, abs=1e-4)
    assert scores["label_bias"]["diagnostic"]
    costs = {row["task"]: row for row in found["costs"]}
    assert (costs["mbti"]["documents"], costs["mbti"]["items"], costs["mbti"]["seconds_per_100_items"]) == (8, 4, 50)
    assert costs["socialiqa_mini"]["seconds_per_100_items"] == 5


def test_the_tables_leave_diagnostics_out(run):
    lines = run_script(run).stdout.splitlines()
    assert "| socialiqa_mini | base | acc | 0.25 | 0.1599 to 0.3594 | share | 80 |" in lines
    assert "| mbti | base | 8 | 4 | 2 | 50.0 |  |" in lines
    assert not any("label_bias" in line for line in lines)


def test_what_cannot_be_read_is_said_in_one_line(tmp_path, run):
    for path in run.glob("cells/*/result.json"):
        path.unlink()
    for folder, says in ((tmp_path, "is no run folder"), (run, "has no finished cell")):
        done = run_script(folder)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert says in done.stderr


def test_an_interval_is_exact_for_yes_and_no_and_there_is_none_for_one_item():
    assert interval(np.array([0.0, 100, 100]), 100.0) == tuple(100 * end for end in share_interval(2, 3))
    assert interval(np.array([42.0]), 100.0) == (None, None)


def test_the_score_of_a_whole_run_is_resampled_by_the_rule():
    names, scores = ["Glad", "Sad", "Calm", "Cross"], [1.0, 6.0, 0.0, 9.0]
    doc = {"id": "1", "prompt": "p", "emotions": names, "intensities": scores}

    def answer(shift):
        lines = "\n".join(f"{name}: {abs(score - shift):.0f}" for name, score in zip(names, scores, strict=True))
        return f"First pass scores:\n{lines}\n\nRevised scores:\n{lines}\n"

    samples = [{"doc": doc, "responses": [[answer(shift)]]} for shift in (0, 1, 2, 3, 0, 0, 1, 2)]
    value, (low, high), n = final(samples)
    assert n == 8
    assert low < value < high <= 100
