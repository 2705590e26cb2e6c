"""`--plan`: what there is to do, without doing any of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from lapd.adapters.adapter import resolve_adapter
from lapd.evaluate.estimate import make_plan
from lapd.evaluate.plan import make_arms
from lapd.evaluate.provenance import hardware
from lapd.experiment.arms import plan_cells
from lapd.files.whole import write_json
from lapd.models.base import resolve_base
from lapd.record.cells import Cell, Settings
from lapd.record.store import Store
from lapd.train.config import TrainConfig
from lapd.train.job import finished_adapter, prepare


@pytest.fixture
def adapter(base_folder: Path, make_adapter: Callable[..., Path]) -> Path:
    return make_adapter(base_digest=resolve_base(str(base_folder)).digest)


@pytest.fixture
def cells(base_folder: Path, adapter: Path) -> list[Cell]:
    base = resolve_base(str(base_folder))
    return plan_cells(base, make_arms([resolve_adapter(adapter)]), ["situations", "mbti"], Settings())


def finish(store: Store, cell: Cell, seconds: float, batches: int = 10, computed: int = 10, **more: Any) -> None:
    """Write the result of a cell that took so long."""
    work = {"batches": batches, "computed": computed, "requests": 80, "tokens": 1000}
    provenance = {"hardware": hardware(), "work": work} | more
    record = {"schema": "lapd.result/1", "metrics": {}, "seconds": seconds, "provenance": provenance}
    write_json(store.cell_folder(cell.name) / "result.json", record)


def begin(store: Store, cell: Cell, batches: int) -> None:
    """Leave the journal of a cell that was cut off in the batch behind so many."""
    store.cell_folder(cell.name).mkdir(parents=True)
    lines = ['{"plan": "x"}\n', *("[1, 0, []]\n" for _ in range(batches)), "[1, 9"]
    (store.cell_folder(cell.name) / "journal.jsonl").write_text("".join(lines))


def everything(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def command(base: Path, adapter: Path, run: Path) -> list[object]:
    return ["eval", "--base", base, "--adapter", adapter, "--tasks", "situations,mbti", "-o", run, "--plan"]


def test_a_plan_lists_cells_and_says_that_nothing_was_measured(
    base_folder: Path, adapter: Path, tmp_path: Path, invoke: Callable[..., Any]
) -> None:
    resolve_base(str(base_folder))  # its digest is remembered in the cache
    before = everything(tmp_path)
    plan = json.loads(invoke(*command(base_folder, adapter, tmp_path / "run"), "--json").stdout)
    assert (plan["todo"], plan["done"], plan["seconds_left"], plan["trainings"]) == (8, 0, None, [])
    assert plan["cells"][0] == {
        "arm": "base", "task": "situations", "seed": 0, "cell": plan["cells"][0]["cell"], "done": False,
        "batches": 0, "seconds_left": None,
    }  # fmt: skip
    assert len({cell["cell"] for cell in plan["cells"]}) == 8
    text = invoke(*command(base_folder, adapter, tmp_path / "run")).stdout
    assert "8 cells, 0 of them done, 8 to do." in text
    assert "Time left: not known; nothing was measured here for situations, mbti." in text
    assert everything(tmp_path) == before


def test_a_plan_names_a_wrong_executor(
    base_folder: Path, adapter: Path, tmp_path: Path, invoke: Callable[..., Any]
) -> None:
    result = invoke(*command(base_folder, adapter, tmp_path / "run"), "--executor", "rai")
    assert result.exit_code != 0
    assert "There is no executor 'rai'. Did you mean ray?" in result.stderr


def test_the_time_left_comes_from_finished_cells_of_the_same_task(tmp_path: Path, cells: list[Cell]) -> None:
    store = Store(tmp_path / "run")
    situations = [cell for cell in cells if cell.task.name == "situations"]
    mbti = [cell for cell in cells if cell.task.name == "mbti"]
    finish(store, situations[0], 8.0)
    finish(store, situations[1], 6.0, computed=5)  # half of it was in the journal: 12 s for the whole
    begin(store, situations[2], 4)
    plan = make_plan(store, cells)
    assert {(c.arm, c.done, c.batches, c.seconds_left) for c in plan.cells if c.task == "situations"} == {
        ("base", True, 0, 0.0),
        ("base+prompt(INFP)", True, 0, 0.0),
        ("INFP", False, 4, 6.0),
        ("INFP+prompt(INFP)", False, 0, 10.0),
    }
    assert plan.seconds_left is None and plan.unmeasured == ["mbti"]
    finish(store, mbti[0], 2.0)
    assert make_plan(store, cells).seconds_left == 22.0
    for cell in cells:
        finish(store, cell, 1.0)
    assert make_plan(store, cells).as_json()["seconds_left"] == 0


@pytest.mark.parametrize(
    "other",
    [{"hardware": {"cpu": "another", "cores": 2, "gpus": []}}, {"hardware": None}, {"work": {}}],
    ids=["another machine", "an older LAPD", "no work noted"],
)
def test_what_was_measured_elsewhere_does_not_count(tmp_path: Path, cells: list[Cell], other: dict[str, Any]) -> None:
    store = Store(tmp_path / "run")
    finish(store, cells[0], 8.0, **other)
    assert set(make_plan(store, cells).unmeasured) == {"situations", "mbti"}


def test_a_run_on_another_base_is_refused(
    base_folder: Path, adapter: Path, tmp_path: Path, cells: list[Cell], invoke: Callable[..., Any]
) -> None:
    write_json(tmp_path / "run" / "run.json", {"schema": "lapd.run/1", "base": {"name": "other", "digest": "0"}})
    result = invoke(*command(base_folder, adapter, tmp_path / "run"))
    assert result.exit_code == 1
    assert "holds a run on other" in result.stderr


@pytest.fixture
def experiment(base_folder: Path, tmp_path: Path) -> Path:
    """An experiment of an adapter and its control at two strengths; nothing of it is done."""
    content = {
        "name": "planned",
        "base": str(base_folder),
        "personas": ["INFP"],
        "controls": ["shuffled"],
        "out": str(tmp_path / "run"),
        "train": {"pairs": 8, "trainer": "trl"},
        "evaluate": {"tasks": ["situations"], "strengths": [0.5, 1]},
    }
    path = tmp_path / "experiment.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_an_experiments_plan_names_the_trainings_that_come_first(
    experiment: Path, base_folder: Path, tmp_path: Path, invoke: Callable[..., Any]
) -> None:
    resolve_base(str(base_folder))
    before = everything(tmp_path)
    plan = json.loads(invoke("run", experiment, "--plan", "--json").stdout)
    assert plan["trainings"] == [
        {"adapter": "INFP", "persona": "INFP", "control": None, "seed": 0, "seconds_left": None},
        {"adapter": "shuffled-INFP", "persona": "INFP", "control": "shuffled", "seed": 0, "seconds_left": None},
    ]
    assert plan["another_seed"] == {"trainings": 2, "cells": 8, "seconds": None}
    arms = {cell["arm"]: cell["cell"] for cell in plan["cells"]}
    assert len(arms) == 10
    assert arms["base"] and arms["base+prompt(INFP)"]
    assert arms["INFP@0.5"] is None and arms["shuffled-INFP+prompt(INFP)"] is None
    text = invoke("run", experiment, "--plan").stdout
    assert "To be trained first: shuffled-INFP (how long is not known)" in text
    assert "waits for its adapter" in text
    assert everything(tmp_path) == before


def test_a_finished_training_tells_how_long_the_other_takes(
    experiment: Path, base_folder: Path, tmp_path: Path, make_adapter: Callable[..., Path], invoke: Callable[..., Any]
) -> None:
    config = TrainConfig("INFP", base=str(base_folder), pairs=8, trainer="trl")
    out = tmp_path / "run" / "adapters" / "INFP"
    assert finished_adapter(config, out) is None
    identity = prepare(config, out).identity
    digest = resolve_base(str(base_folder)).digest
    out.parent.mkdir(parents=True)
    make_adapter(base_digest=digest, identity=identity, seconds=90.0).rename(out)
    plan = json.loads(invoke("run", experiment, "--plan", "--json").stdout)
    assert [(t["adapter"], t["seconds_left"]) for t in plan["trainings"]] == [("shuffled-INFP", 90.0)]
    named = {cell["arm"]: cell["cell"] is not None for cell in plan["cells"]}
    assert named["INFP@0.5"] and named["INFP"] and not named["shuffled-INFP"]


def test_a_plan_imports_neither_torch_nor_lm_eval(base_folder: Path, adapter: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from lapd.cli import cli\n"
        "cli.main(sys.argv[1:], standalone_mode=False)\n"
        "assert not {'torch', 'transformers', 'lm_eval', 'peft'} & sys.modules.keys()"
    )
    words = [str(word) for word in command(base_folder, adapter, tmp_path / "run")]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
