"""Processes at one run: they share the cells, no cell is worked on twice, and a dead one's is taken over."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import SCRIPT, listing
from warm import Fork, Warm

from lapd.errors import PluginError
from lapd.experiment.arms import evaluate_arms
from lapd.models.base import BaseModel
from lapd.record.cells import Arm
from lapd.record.store import Store
from lapd.testing import make_tiny_base

WORKER = """
import os, sys, time
from pathlib import Path

import lapd.answering.engine
from lapd.experiment.arms import evaluate_arms
from lapd.record.cells import Arm
from lapd.files.whole import write_json
from lapd.models.base import BaseModel
from lapd.names import all_personas

class SleepingEngine:
    "What the real one does to the store, with a nap instead of a model; two batches a cell."
    def __init__(self, *args):
        pass

    def work(self, cell):
        return 2

    def run(self, cell, store, on_progress):
        folder = store.cell_folder(cell.name)
        journal = folder / "journal.jsonl"
        for batch in range(len(journal.read_text().splitlines()) if journal.exists() else 0, 2):
            time.sleep(float(sys.argv[2]))
            with journal.open("a") as stream:
                stream.write(f"{os.getpid()} {batch}\\n")
            on_progress(1)
        write_json(folder / "result.json", {"schema": "lapd.result/1", "metrics": {}, "log": journal.read_text()})
        journal.unlink()

lapd.answering.engine.Engine = SleepingEngine
arms = [Arm(None, persona) for persona in all_personas().values()]
evaluate_arms(BaseModel("fake", Path("/nowhere"), "b" * 64, "x"), arms, ["situations", "mbti"], Path(sys.argv[1]))
print("complete")
"""

N_CELLS = 32


Start = Callable[[Path, float], Fork]


@pytest.fixture
def start(warm: Warm, tmp_path: Path) -> Start:
    """`start(folder, nap)`: a process at the run in `folder` that naps so many seconds a batch."""
    (tmp_path / "worker.py").write_text(WORKER)
    return lambda folder, nap: warm.start(tmp_path / "worker.py", folder, nap)


def finish(process: Fork) -> str:
    """What the process writes on standard error until it ends well."""
    out, error = process.communicate()
    assert (process.returncode, out) == (0, "complete\n"), error
    return error


def batches(folder: Path) -> list[tuple[str, list[int]]]:
    """For each finished cell, the processes that computed its batches, and which batches."""
    store = Store(folder)
    logs = [store.result(entry["cell"])["log"].split() for entry in store.finished()]
    return [(" ".join(sorted(set(log[::2]))), [int(batch) for batch in log[1::2]]) for log in logs]


def wait_for(found: Any, *processes: Fork) -> Any:
    """What `found` returns once it is true; the processes must live until then."""
    deadline = time.monotonic() + 120
    while not (value := found()):
        assert time.monotonic() < deadline
        for process in processes:
            assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    return value


def test_two_processes_share_the_cells_and_both_end_with_all_of_them(start: Start, tmp_path: Path) -> None:
    running = [start(tmp_path / "run", 0.1) for _ in range(2)]
    for process in running:
        finish(process)
    done = batches(tmp_path / "run")
    assert [numbers for _, numbers in done] == [[0, 1]] * N_CELLS
    # Each of the two did a good part, and no cell was done by both.
    shares = Counter(process for process, _ in done)
    assert set(shares) == {str(process.pid) for process in running}
    assert min(shares.values()) >= 3


def test_the_cell_of_a_dead_process_is_taken_over_from_its_journal(start: Start, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    first = start(folder, 0.4)
    journal = wait_for(lambda: list(folder.glob("cells/*/journal.jsonl")), first)[0]
    second = start(folder, 0.02)
    wait_for(lambda: len(list(folder.glob("cells/*/result.json"))) >= 2, first, second)
    journal = wait_for(lambda: [p for p in folder.glob("cells/*/journal.jsonl") if owner(p) == first.pid], first)[0]
    first.kill()
    first.communicate()
    finish(second)
    done = batches(folder)
    assert [numbers for _, numbers in done] == [[0, 1]] * N_CELLS
    log = Store(folder).result(journal.parent.name)["log"].split()
    assert log[0] == str(first.pid)
    assert log[2] in (str(first.pid), str(second.pid))


def owner(journal: Path) -> int:
    """The process that wrote the first batch of a journal."""
    try:
        words = journal.read_text().split()
    except FileNotFoundError:
        return 0
    return int(words[0]) if words else 0


def test_a_process_that_can_only_wait_says_so_and_loads_nothing(start: Start, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    finish(start(folder, 0))
    left = next(folder.glob("cells/*/result.json"))
    left.unlink()
    with Store(folder).claim(left.parent.name) as mine:
        assert mine
        process = start(folder, 0)
        said = "Another process is at the cells that are left (1): waiting for it.\n"
        wait_for(lambda: process.err.read_text().endswith(said), process)
        left.write_text(json.dumps({"schema": "lapd.result/1", "metrics": {}}))
    assert finish(process).endswith(said)


def test_an_executor_that_does_nothing_is_named(tmp_path: Path, base: BaseModel, monkeypatch: Any) -> None:
    class Idle:
        name = "idle"

        def run(self, cells: Any, run_cell: Any) -> None:
            pass

    monkeypatch.setattr("lapd.options.lookup", lambda kind, name: Idle())
    monkeypatch.setattr("lapd.units.BUSY_SECONDS", 0)
    with pytest.raises(PluginError, match="executor idle leaves cells undone: base on situations"):
        evaluate_arms(base, [Arm()], ["situations"], tmp_path / "run", quiet=True)


def test_what_a_killed_process_leaves_beside_its_results_is_removed(
    start: Start, tmp_path: Path, base: BaseModel
) -> None:
    folder = tmp_path / "run"
    finish(start(folder, 0))
    store = Store(folder)
    done, undone = sorted((folder / "cells").iterdir())[:2]
    (done / "journal.jsonl").write_text("killed after result.json was written\n")
    (undone / "result.json").unlink()
    (undone / ".result.json.x.tmp").write_text("killed while it was written")
    (folder / ".run.json.x.tmp").write_text("{")
    finish(start(folder, 0))
    assert listing(done) == listing(undone) == [".lock", "result.json"]
    assert ".run.json.x.tmp" not in listing(folder)
    assert len(store.finished()) == N_CELLS


@pytest.mark.slow
def test_two_commands_on_a_real_model_end_in_the_store_of_one(warm: Warm, tmp_path: Path) -> None:
    """The one that holds a cell is killed with `kill -9`; the other takes it over and finishes."""
    base = make_tiny_base(tmp_path / "base")

    def command(folder: Path) -> Fork:
        tasks = ("--persona", "INFP", "--tasks", "mbti,situations", "--batch-size", 1, "--limit", 24)
        return warm.start(SCRIPT, "eval", "--base", base, *tasks, "-o", folder)

    whole = command(tmp_path / "whole")
    assert (whole.communicate(), whole.returncode)[1] == 0
    folder = tmp_path / "shared"
    first = command(folder)
    wait_for(lambda: any(p.stat().st_size > 200 for p in folder.glob("cells/*/journal.jsonl")), first)
    second = command(folder)
    first.kill()
    first.communicate()
    _, error = second.communicate()
    assert second.returncode == 0, error
    assert contents(folder) == contents(tmp_path / "whole")


def contents(folder: Path) -> dict[str, Any]:
    """Everything in the cells but the times and what was noted of the machine and the process."""
    found: dict[str, Any] = {}
    for path in sorted(folder.glob("cells/*/*")):
        if path.name == "result.json":
            record = json.loads(path.read_text())
            found[str(path.relative_to(folder))] = {
                key: value for key, value in record.items() if key not in ("finished", "seconds", "provenance")
            }
        else:
            found[str(path.relative_to(folder))] = path.read_bytes()
    return found
