"""The executor `local` with workers: who gets what, what becomes of the dead, how it ends."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from conftest import ROOT
from made_up_units import RunUnit, Unit

from lapd.errors import DataError, PluginError
from lapd.options import configured
from lapd.units import run_units


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, list[str]]]:
    """Run units of these names in two workers of one thread; who has run each, and with how many threads."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests"))

    def run(*names: str) -> dict[str, list[str]]:
        units = RunUnit(tmp_path, [Unit(name) for name in names])
        run_units(configured("executors", "local", {"workers": 2, "cpus": 1}), units)
        return {name: (tmp_path / name).read_text().split() for name in names}

    return run


def test_a_worker_that_dies_is_replaced_and_its_unit_is_done(
    run: Callable[..., dict[str, list[str]]], capfd: pytest.CaptureFixture[str]
) -> None:
    found = run("one", "dies", "two", "three")
    assert [threads for _, threads in found.values()] == ["1"] * 4
    assert "A worker died and was replaced; the new one goes on with the unit 'dies'." in capfd.readouterr().err


def test_an_error_in_a_worker_is_the_commands_and_no_further_unit_is_begun(
    run: Callable[..., dict[str, list[str]]], tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"here:3: it fails\.") as caught:
        run("fails", "fails", "one")
    assert caught.value.exit_code == 1
    assert not (tmp_path / "one").exists()


def test_workers_that_die_of_a_unit_again_and_again_end_the_command(
    run: Callable[..., dict[str, list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lapd.plugins.local.RETRIES", 1)
    with pytest.raises(PluginError, match=r"Workers die of the unit 'dies on': 2 have \(exit code 9\)"):
        run("one", "dies on")


def test_workers_end_with_their_parent_in_the_middle_of_a_unit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests"))
    code = (
        "import sys; from pathlib import Path; from made_up_units import *; from lapd.options import configured;"
        "units = [Unit('naps')] * 2;"
        "configured('executors', 'local', {'workers': 2, 'cpus': 1}).run(units, RunUnit(Path(sys.argv[1]), units))"
    )
    with subprocess.Popen([sys.executable, "-c", code, tmp_path]) as parent:
        try:
            deadline = time.monotonic() + 300
            while not (tmp_path / "naps.begun").exists():
                assert time.monotonic() < deadline
                time.sleep(0.05)
            workers = psutil.Process(parent.pid).children()
        finally:
            parent.kill()
    assert len(workers) == 2
    assert psutil.wait_procs(workers, timeout=60)[1] == []
