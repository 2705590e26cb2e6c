"""The run folder: one process a cell, nothing written twice, records of other versions refused."""

import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import listing

from lapd.adapters.adapter import Adapter
from lapd.catalog.find import find_task
from lapd.errors import DataError, LapdError, StoreError, UsageError
from lapd.evaluate.plan import make_arms, make_cells
from lapd.files.whole import write_json, write_jsonl
from lapd.record.cells import Settings
from lapd.record.store import Store

HOLD = """
import sys, time
from pathlib import Path
from lapd.record.store import Store
with Store(Path(sys.argv[1])).claim(sys.argv[2]) as mine:
    print(mine, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def cells(base):
    adapter = Adapter("INFP", Path("/nowhere"), "a" * 64, {"persona": "INFP"})
    return make_cells(base, make_arms([adapter]), [find_task("situations")], Settings())


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "run")


def state(folder):
    return {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.rglob("*") if p.is_file()}


def finish(store, cell, metrics=None, schema="lapd.result/1"):
    folder = store.cell_folder(cell.name)
    write_jsonl(folder / "samples.jsonl", [{"item": "a"}, {"item": "b"}])
    write_json(folder / "result.json", {"schema": schema, "metrics": metrics or {"acc": 0.5}})


def test_a_cell_is_claimed_once(store, cells):
    name, other = cells[0].name, cells[1].name
    with store.claim(name) as mine:
        assert mine
        with store.claim(name) as again, store.claim(other) as free:
            assert not again
            assert free
    with store.claim(name) as mine:
        assert mine


def test_a_claim_is_let_go_when_its_block_fails(store):
    with pytest.raises(ZeroDivisionError), store.claim("x"):
        1 / 0  # noqa: B018
    with store.claim("x") as mine:
        assert mine


def test_a_claim_dies_with_its_process(store):
    process = subprocess.Popen([sys.executable, "-c", HOLD, store.folder, "x"], stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout.readline() == "True\n"
        with store.claim("x") as mine:
            assert not mine
        process.send_signal(signal.SIGKILL)
    with store.claim("x") as mine:
        assert mine


def test_a_run_is_entered_with_its_arms_and_cells(store, cells):
    store.enter(cells)
    record = store.run()
    assert record["base"] == {"name": "fake", "digest": "b" * 64}
    assert list(record["arms"]) == ["base", "base+prompt(INFP)", "INFP", "INFP+prompt(INFP)"]
    assert record["arms"]["INFP+prompt(INFP)"]["baseline"] == "base+prompt(INFP)"
    assert record["arms"]["INFP"]["adapter"]["digest"] == "a" * 64
    assert record["arms"]["base+prompt(INFP)"]["prompt"]["code"] == "INFP"
    assert [entry["cell"] for entry in record["cells"].values()] == [cell.name for cell in cells]


def test_entering_again_changes_no_byte_and_no_time(store, cells):
    store.enter(cells)
    before = state(store.folder)
    assert before
    store.enter(cells)
    store.enter(cells[:1])
    assert state(store.folder) == before


def test_a_later_evaluation_is_added_and_takes_the_place_of_its_like(store, cells):
    store.enter(cells)
    mbti = [replace(c, task=find_task("mbti")) for c in cells]
    store.enter(mbti)
    assert len(store.run()["cells"]) == 8
    limited = [replace(c, settings=Settings(limit=3)) for c in cells]
    store.enter(limited)
    in_run = {entry["cell"] for entry in store.run()["cells"].values()}
    assert in_run == {c.name for c in limited + mbti}
    seeded = [replace(c, settings=Settings(seed=1, limit=3)) for c in cells]
    store.enter(seeded)
    assert len(store.run()["cells"]) == 12


def test_two_processes_that_enter_lose_nothing(store, cells):
    code = (
        "import sys; from pathlib import Path; from dataclasses import replace\n"
        "from lapd.catalog.task import TaskInfo; from lapd.record.cells import *\n"
        "from lapd.record.store import Store; from lapd.models.base import BaseModel\n"
        "base = BaseModel('fake', Path('/nowhere'), 'b' * 64, 'x')\n"
        "for n in range(20):\n"
        "    task = TaskInfo(f'{sys.argv[2]}-{n}', Path('/nowhere'), None, '1')\n"
        "    Store(Path(sys.argv[1])).enter([Cell(base, Arm(), task, 't', Settings())])"
    )
    running = [subprocess.Popen([sys.executable, "-c", code, store.folder, name]) for name in "xy"]
    assert [process.wait() for process in running] == [0, 0]
    assert len(store.run()["cells"]) == 40


def test_a_run_on_another_base_is_refused_and_left_alone(store, cells):
    store.enter(cells)
    before = state(store.folder)
    with pytest.raises(StoreError, match=r"holds a run on fake, not on other. Give another -o"):
        store.enter([replace(c, base=replace(c.base, name="other", digest="c" * 64)) for c in cells])
    assert state(store.folder) == before


def test_a_run_of_a_newer_version_is_refused_and_left_alone(store, cells):
    write_json(store.folder / "run.json", {"schema": "lapd.run/2", "cells": []})
    before = (store.folder / "run.json").read_bytes()
    for attempt in (store.run, store.results, lambda: store.enter(cells)):
        with pytest.raises(StoreError, match=r"run\.json: written by a newer LAPD \(lapd\.run/2"):
            attempt()
    assert (store.folder / "run.json").read_bytes() == before


def test_a_folder_that_is_no_run_is_refused(tmp_path, cells):
    with pytest.raises(StoreError, match=r"is no run folder: it has no run.json"):
        Store(tmp_path).run()
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"is a file, not a folder"):
        Store(tmp_path / "file").enter(cells)


@pytest.mark.parametrize("content", ["", "{", '{"schema": "lapd.run/1"'])
def test_a_damaged_record_is_named(store, content):
    store.folder.mkdir()
    (store.folder / "run.json").write_text(content)
    with pytest.raises(DataError, match=r"run\.json:1: this is not JSON"):
        store.run()


@pytest.mark.parametrize("content", ["[]", '"x"', "null"])
def test_a_record_that_is_no_object_is_refused(store, content):
    store.folder.mkdir()
    (store.folder / "run.json").write_text(content)
    with pytest.raises(LapdError):
        store.run()


def test_a_cell_is_done_once_it_has_a_result(store, cells):
    store.enter(cells)
    with store.claim(cells[0].name):
        assert not store.is_done(cells[0].name)
    finish(store, cells[0], {"acc": 0.25})
    assert [store.is_done(c.name) for c in cells] == [True, False, False, False]
    assert store.results() == [
        {"arm": "base", "task": "situations", "seed": 0, "cell": cells[0].name, "metrics": {"acc": 0.25}}
    ]
    assert [row["item"] for row in store.samples(cells[0].name)] == ["a", "b"]


def test_a_result_of_a_newer_version_is_refused(store, cells):
    store.enter(cells)
    finish(store, cells[0], schema="lapd.result/2")
    with pytest.raises(StoreError, match=r"result\.json: written by a newer LAPD"):
        store.results()


def test_the_record_is_json_that_names_its_schema(store, cells):
    store.enter(cells)
    assert json.loads((store.folder / "run.json").read_text())["schema"] == "lapd.run/1"
    assert listing(store.folder) == [".lock", "run.json"]


def test_entering_nothing_is_refused_in_a_line(store):
    with pytest.raises(LapdError):
        store.enter([])
