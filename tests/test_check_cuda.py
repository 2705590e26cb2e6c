"""The check of a machine's GPU, at tiny sizes on this one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import check_cuda
import pytest
from conftest import ROOT
from cuda_place import Place, Skipped, make_place

COMMAND = [sys.executable, str(ROOT / "benchmarks" / "check_cuda.py")]
QUICK = [name for name in check_cuda.STAGES if name not in ("study", "large")]
"""`study` is `lapd run`, which has tests of its own, and `large` here is what `training` is."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return make_place(tmp_path_factory.mktemp("cuda"), None, tiny=True, minutes=9)


@pytest.fixture(scope="module")
def found(place: Place) -> dict[str, Any]:
    """What the quick stages find."""
    return check_cuda.run(place, QUICK, place.folder / "found.json")


def test_all_that_runs_here_is_right(found: dict[str, Any]) -> None:
    assert found["wrong"] == []
    assert list(found["stages"]) == QUICK
    scoring = found["stages"]["scoring"]
    assert scoring["max_difference_float32"] < 1e-3 < scoring["max_difference_bfloat16"]
    assert scoring["same_predictions_float32"] == [10, 10]
    assert found["stages"]["texts"]["equal"] == [2, 2]


def test_what_cannot_run_here_is_said_in_a_line(found: dict[str, Any]) -> None:
    skipped = [side["skipped"] for side in found["stages"]["training"]["sides"].values() if "skipped" in side]
    assert len(found["skipped"]) == len(skipped)
    assert all(reason and "\n" not in reason for reason in skipped)


def test_every_trainer_that_runs_learns_what_stock_trl_learns(found: dict[str, Any]) -> None:
    for name, side in found["stages"]["training"]["sides"].items():
        if "stock" not in name and "losses" in side:
            off = next(value for key, value in side.items() if key.startswith("loss_from"))
            assert 0 < off < 0.05 and side["tokens_per_second"] > 0, name


def test_each_stage_is_in_the_file_as_soon_as_it_has_ended(place: Place, found: dict[str, Any]) -> None:
    assert json.loads((place.folder / "found.json").read_text())["stages"].keys() == found["stages"].keys()


def test_the_table_has_every_stage(found: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    check_cuda.print_table(found)
    table = capsys.readouterr().out
    assert all(f"\n{name}  " in table for name in QUICK)
    assert table.count("of matmul") == 1 and "All that ran is right." in table


def test_a_stage_that_fails_or_has_no_time_left_does_not_end_the_others(place: Place) -> None:
    def fails(_: Place) -> dict[str, Any]:
        raise RuntimeError("CUDA error: an illegal memory access\nmore of it")

    def skips(_: Place) -> dict[str, Any]:
        raise Skipped("12 GiB of memory; it takes 40")

    failed, skipped = (check_cuda._stage(place, check, 5) for check in (fails, skips))
    late = check_cuda._stage(Place("cuda", place.base, False, place.folder, False, 80.0, 0.0), fails, 5)
    assert failed["wrong"] == ["RuntimeError: CUDA error: an illegal memory access"]
    assert skipped["skipped"] == "12 GiB of memory; it takes 40"
    assert "it takes some 5 (--minutes)" in late["skipped"]


@pytest.mark.thorough
def test_the_whole_command_prints_one_json_with_every_stage() -> None:
    done = subprocess.run([*COMMAND, "--tiny", "--json"], capture_output=True, text=True, check=False, cwd=Path("/"))
    assert done.returncode == 0, done.stderr
    stages = json.loads(done.stdout)["stages"]
    assert list(stages) == list(check_cuda.STAGES)
    assert stages["study"]["trainer"] in ("trl", "unsloth")
    unsloth = stages["large"]["sides"]["unsloth, 4 bit"]
    assert "seconds_a_step" in unsloth or "skipped" in unsloth


def test_without_a_gpu_it_says_so_and_ends_with_2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    done = subprocess.run([*COMMAND, "--json"], capture_output=True, text=True, check=False, cwd=Path("/"))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1 and "no CUDA GPU" in done.stderr
