"""Trainings as units of work: spread over workers of the executors, on a tiny model."""

from __future__ import annotations

import pickle
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from click.testing import Result

from lapd.adapters.adapter import Adapter
from lapd.errors import LapdError, UsageError
from lapd.train.config import TrainConfig
from lapd.train.runner import Training, TrainingRunner
from lapd.train.training import train_adapter, train_adapters
from lapd.units import Bench

PERSONAS = ("INFP", "ESTJ", "ENTP")


def configs(tiny: Path, **settings: Any) -> list[TrainConfig]:
    given = {"pairs": 6, "batch_size": 2, "epochs": 2, "eval_pairs": 0, "save_steps": 1, "precision": "float32"}
    return [TrainConfig(p, base=str(tiny), **{**given, **settings}) for p in PERSONAS]


@pytest.fixture(scope="module")
def alone(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The weights of each adapter, trained by itself on one thread."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        folder = tmp_path_factory.mktemp("alone")
        return {config.name: weights(train_adapter(config, folder / config.name)) for config in configs(tiny)}
    finally:
        torch.set_num_threads(threads)


def weights(adapter: Adapter) -> bytes:
    return (adapter.path / "adapter_model.safetensors").read_bytes()


class KillOne(threading.Thread):
    """Kills a worker that has written a checkpoint of a training into `folder`, and keeps what had been written."""

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True)
        self.folder, self.killed, self.adapter = folder, 0, ""
        self.start()

    def run(self) -> None:
        deadline = time.monotonic() + 400
        while time.monotonic() < deadline and not self.killed:
            for mark in self.folder.glob("*.partial/checkpoints/checkpoint-*/lapd_complete"):
                partial = mark.parents[2]
                for process in psutil.Process().children(recursive=True):
                    if not self.killed and holds(process, partial / ".lock"):
                        process.kill()
                        self.killed, self.adapter = process.pid, partial.name.removesuffix(".partial")
            time.sleep(0.002)


def holds(process: psutil.Process, lock: Path) -> bool:
    try:
        return str(lock) in [file.path for file in process.open_files()]
    except psutil.Error:
        return False


def test_a_worker_that_is_killed_is_replaced_and_its_training_goes_on_from_the_checkpoint(
    tiny: Path, alone: dict[str, bytes], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    killer, done = KillOne(tmp_path), dict[str, bool]()
    adapters = train_adapters(
        configs(tiny),
        tmp_path,
        executor_options={"workers": 2, "cpus": 1},
        done=lambda adapter, trained: done.update({adapter.name: trained}),
    )
    assert killer.killed
    assert (
        f"A worker died and was replaced; the new one goes on with training {killer.adapter}." in capfd.readouterr().err
    )
    assert {adapter.name: weights(adapter) for adapter in adapters} == alone
    assert done == dict.fromkeys(PERSONAS, True)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(PERSONAS)


@pytest.mark.slow
def test_slurm_in_local_mode_trains_the_same_and_its_logs_lie_beside_the_adapters(
    tiny: Path, alone: dict[str, bytes], tmp_path: Path
) -> None:
    options = {"workers": 2, "cluster": "local"}
    adapters = train_adapters(configs(tiny), tmp_path, executor="slurm", executor_options=options)
    assert {adapter.name: weights(adapter) for adapter in adapters} == alone
    assert list((tmp_path / ".workers" / "slurm").glob("*_log.err"))
    assert not list(tmp_path.glob(".workers/here-*"))


@pytest.mark.slow
@pytest.mark.thorough
def test_ray_trains_the_same_though_a_worker_is_killed(tiny: Path, alone: dict[str, bytes], tmp_path: Path) -> None:
    killer = KillOne(tmp_path)
    options = {"workers": 2, "cpus": 1, "address": "local"}
    adapters = train_adapters(configs(tiny), tmp_path, executor="ray", executor_options=options)
    assert killer.killed
    assert {adapter.name: weights(adapter) for adapter in adapters} == alone


def test_an_executor_of_one_who_knows_cells_alone_runs_trainings(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parameters' names are the plugin's own."""

    class Older:
        name = "older"
        description = "written when there were cells alone"

        def run(self, cells: Any, run_cell: Any) -> None:
            for cell in cells:
                assert (run_cell.folder, run_cell.quiet, run_cell.left()) == (tmp_path, False, [cell])
                assert cell.label() == "training INFP"
                run_cell(cell)

    monkeypatch.setattr("lapd.train.training.configured", lambda kind, name, options: Older())
    assert [adapter.name for adapter in train_adapters(configs(tiny)[:1], tmp_path, executor="older")] == ["INFP"]


def test_a_machine_that_does_not_share_the_adapters_folder_says_so(tiny: Path, tmp_path: Path) -> None:
    run = TrainingRunner([Training(configs(tiny)[0], tmp_path / "INFP")], False, lambda adapter, trained: None)
    run.folder.mkdir(exist_ok=True)  # there is one of that name, but not the one with the marker
    with pytest.raises(LapdError, match=rf"adapters' folder {tmp_path} is not there on .*shared file system"):
        Bench(pickle.loads(pickle.dumps(run)), Path.cwd(), 1).take()


def test_workers_replace_nothing(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"Several workers .* Use one with --force\."):
        train_adapters(configs(tiny), tmp_path, executor_options={"workers": 2}, force=True)


def test_workers_for_one_persona_are_refused(invoke: Any) -> None:
    result: Result = invoke("train", "INFP", "--workers", 2)
    assert result.exit_code == 2
    assert "--workers shares out several adapters, and this is one." in result.stderr
