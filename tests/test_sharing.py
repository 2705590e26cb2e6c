"""Processes at one run: they share the cells, no cell is worked on twice, and a dead one's is taken over."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from conftest import listing
from tiny import make_tiny_base

from lapd.errors import PluginError
from lapd.experiment.arms import evaluate_arms
from lapd.models.base import BaseModel
from lapd.record.cells import Arm
from lapd.record.store import Store

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


def start(folder: Path, nap: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WORKER, str(folder), str(nap)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> str:
    """What the process writes on standard error until it ends well."""
    out, error = process.communicate(timeout=300)
    assert (process.returncode, out) == (0, "complete\n"), error
    return error


def batches(folder: Path) -> list[tuple[str, list[int]]]:
    """For each finished cell, the processes that computed its batches, and which batches."""
    store = Store(folder)
    logs = [store.result(entry["cell"])["log"].split() for entry in store.finished()]
    return [(" ".join(sorted(set(log[::2]))), [int(batch) for batch in log[1::2]]) for log in logs]


def wait_for(found: Any, *processes: subprocess.Popen[str]) -> Any:
    """What `found` returns once it is true; the processes must live until then."""
    deadline = time.monotonic() + 120
    while not (value := found()):
        assert time.monotonic() < deadline
        for process in processes:
            assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    return value


def test_two_processes_share_the_cells_and_both_end_with_all_of_them(tmp_path: Path) -> None:
    running = [start(tmp_path / "run", 0.1) for _ in range(2)]
    for process in running:
        finish(process)
    done = batches(tmp_path / "run")
    assert [numbers for _, numbers in done] == [[0, 1]] * N_CELLS
    # Each of the two did a good part, and no cell was done by both.
    shares = Counter(process for process, _ in done)
    assert set(shares) == {str(process.pid) for process in running}
    assert min(shares.values()) >= 3


def test_the_cell_of_a_dead_process_is_taken_over_from_its_journal(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    first = start(folder, 0.4)
    journal = wait_for(lambda: list(folder.glob("cells/*/journal.jsonl")), first)[0]
    second = start(folder, 0.02)
    wait_for(lambda: len(list(folder.glob("cells/*/result.json"))) >= 2, first, second)
    journal = wait_for(lambda: [p for p in folder.glob("cells/*/journal.jsonl") if owner(p) == first.pid], first)[0]
    first.send_signal(signal.SIGKILL)
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


def test_a_process_that_can_only_wait_says_so_and_loads_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    finish(start(folder, 0))
    left = next(folder.glob("cells/*/result.json"))
    left.unlink()
    with Store(folder).claim(left.parent.name) as mine:
        assert mine
        process = start(folder, 0)
        assert process.stderr is not None
        lines = [process.stderr.readline() for _ in range(2)]
        assert lines[1] == "Another process is at the cells that are left (1): waiting for it.\n"
        left.write_text(json.dumps({"schema": "lapd.result/1", "metrics": {}}))
    assert finish(process) == ""


def test_an_executor_that_does_nothing_is_named(tmp_path: Path, base: BaseModel, monkeypatch: Any) -> None:
    class Idle:
        name = "idle"

        def run(self, cells: Any, run_cell: Any) -> None:
            pass

    monkeypatch.setattr("lapd.options.lookup", lambda kind, name: Idle())
    monkeypatch.setattr("lapd.units.BUSY_SECONDS", 0)
    with pytest.raises(PluginError, match="executor idle leaves cells undone: base on situations"):
        evaluate_arms(base, [Arm()], ["situations"], tmp_path / "run", quiet=True)


def test_what_a_killed_process_leaves_beside_its_results_is_removed(tmp_path: Path, base: BaseModel) -> None:
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
def test_two_commands_on_a_real_model_end_in_the_store_of_one(tmp_path: Path) -> None:
    """The one that holds a cell is killed with `kill -9`; the other takes it over and finishes."""
    base = make_tiny_base(tmp_path / "base")

    def command(folder: Path) -> subprocess.Popen[str]:
        script = Path(sys.executable).with_name("lapd")
        line = [script, "eval", "--base", base, "--persona", "INFP", "--tasks", "mbti,situations", "-o", folder]
        line += ["--batch-size", 1, "--limit", 24]
        return subprocess.Popen(
            [str(word) for word in line], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip

    whole = command(tmp_path / "whole")
    assert (whole.communicate(timeout=300), whole.returncode)[1] == 0
    folder = tmp_path / "shared"
    first = command(folder)
    wait_for(lambda: any(p.stat().st_size > 200 for p in folder.glob("cells/*/journal.jsonl")), first)
    second = command(folder)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    _, error = second.communicate(timeout=300)
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
