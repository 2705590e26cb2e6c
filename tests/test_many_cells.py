"""A run of ten thousand cells: planning it, and finding that there is nothing to do, take seconds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lapd.adapters.adapter import resolve_adapters
from lapd.evaluate.plan import make_arms
from lapd.evaluate.provenance import hardware
from lapd.experiment.arms import plan_cells
from lapd.files.whole import canonical_json
from lapd.models.base import resolve_base
from lapd.names import all_personas
from lapd.record.cells import Settings
from lapd.record.store import Store

N_ADAPTERS, STRENGTHS = 250, "0.25,0.5,0.75,1,1.25,1.5"
"""1,500 arms with an adapter, as many with its persona's prompt too, and 17 of the base."""

TASKS = ("situations", "mbti", "socialiqa_mini", "situations_open")

N_CELLS = 12_068


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Adapters without weights to speak of, and a run in which all their cells are done."""
    root = tmp_path_factory.mktemp("many")
    (root / "base").mkdir()
    (root / "base" / "config.json").write_text('{"model_type": "none"}')
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAPD_CACHE", str(root / "cache"))
        base = resolve_base(str(root / "base"))
        make_adapters(root / "adapters", base.digest)
        arms = make_arms(resolve_adapters([f"{root}/adapters/*@{STRENGTHS}"]))
        cells = plan_cells(base, arms, TASKS, Settings())
    assert len(cells) == N_CELLS
    store = Store(root / "run")
    store.enter(cells)
    provenance = {"hardware": hardware(), "work": {"batches": 3, "computed": 3, "requests": 80, "tokens": 9000}}
    for cell in cells:
        folder = store.cell_folder(cell.name)
        folder.mkdir(parents=True)
        record = {"schema": "lapd.result/1", "cell": cell.identity(), "metrics": {"acc": 0.5}, "seconds": 2.0}
        # As long as a real one.
        record |= {"provenance": provenance, "filling": "x" * 2000}
        (folder / "result.json").write_text(canonical_json(record))
    return root


def make_adapters(folder: Path, base_digest: str) -> None:
    codes = list(all_personas())
    for n in range(N_ADAPTERS):
        own = folder / f"adapter{n:03}"
        own.mkdir(parents=True)
        (own / "adapter_config.json").write_text('{"peft_type": "LORA"}')
        (own / "adapter_model.safetensors").write_text(str(n))
        base = {"name": "base", "digest": base_digest, "upstream": "base"}
        card = {"schema": "lapd.run_card/1", "persona": codes[n % len(codes)], "base": base}
        (own / "run_card.json").write_text(json.dumps(card))


@pytest.fixture
def timed(many: Path) -> Callable[..., tuple[float, Any]]:
    """`timed(*more)`: seconds and JSON of `lapd eval` of the whole run, in a process of its own."""

    def run(*more: str) -> tuple[float, Any]:
        script = str(Path(sys.executable).with_name("lapd"))
        command = [script, "eval", "--base", str(many / "base"), "--adapter", f"{many}/adapters/*@{STRENGTHS}"]
        command += ["--tasks", ",".join(TASKS), "-o", str(many / "run"), "--json", *more]
        environment = {**os.environ, "LAPD_CACHE": str(many / "cache")}
        before = times(os.times())
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
        assert done.returncode == 0, done.stderr
        return times(os.times()) - before, json.loads(done.stdout)

    def times(now: os.times_result) -> float:
        # Processor time: what the computer beside it is busy with shall not fail a test.
        return now.children_user + now.children_system

    return run


def test_planning_ten_thousand_cells_takes_less_than_five_seconds(many: Path, timed: Any) -> None:
    seconds, plan = timed("--plan")
    assert (plan["done"], plan["todo"], plan["seconds_left"]) == (N_CELLS, 0, 0)
    assert seconds < 5
    for entry in list(Store(many / "run").run()["cells"].values())[5000:]:
        result = many / "run" / "cells" / entry["cell"] / "result.json"
        result.rename(result.with_name("away.json"))
    try:
        seconds, plan = timed("--plan")
        assert (plan["done"], plan["todo"], plan["seconds_left"]) == (5000, N_CELLS - 5000, 2.0 * (N_CELLS - 5000))
        assert seconds < 5
    finally:
        for away in (many / "run").glob("cells/*/away.json"):
            away.rename(away.with_name("result.json"))


def test_ten_thousand_finished_cells_are_passed_over_in_less_than_ten_seconds(many: Path, timed: Any) -> None:
    began = time.time_ns()
    seconds, record = timed()
    assert len(record["results"]) == N_CELLS
    assert seconds < 10
    changed = [path for path in (many / "run").rglob("*") if path.is_file() and path.stat().st_mtime_ns > began]
    assert [path.name for path in changed if path.name != ".lock"] == []
