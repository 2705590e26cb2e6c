"""Executors: their options, and Ray and Slurm (submitit's local mode) for real, on a tiny model with an adapter."""

from __future__ import annotations

import json
import os
import pickle
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from lora import make_lora

from lapd.adapters.adapter import resolve_adapter
from lapd.errors import BaseMismatchError, DataError, LapdError, ModelError, UnknownNameError, UsageError
from lapd.evaluate.plan import make_arms
from lapd.experiment.arms import _run_cells, evaluate_arms, plan_cells
from lapd.experiment.file import Executing, read_experiment
from lapd.experiment.runner import CellRunner
from lapd.judges.choosing import make_judge
from lapd.models.base import BaseModel, resolve_base
from lapd.options import configured
from lapd.record.cells import Arm, Settings
from lapd.record.store import Store
from lapd.testing import make_tiny_base

TASKS, LIMIT = ["situations", "mbti"], 40

ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}


# Options


@pytest.mark.parametrize(
    ("executor", "options", "message"),
    [
        ("local", ["gpus=2"], "executor local: There is no option 'gpus'. Did you mean cpus? Known: cpus, workers."),
        (
            "ray",
            ["wokers=2"],
            "executor ray: There is no option 'wokers'. Did you mean workers? Known: address, ",
        ),
        ("ray", ["workers=many"], "executor ray: workers: 'many' is not int or nothing."),
        ("ray", ["workers=["], "executor ray: workers: '[' is not int or nothing."),
        ("ray", ["cpus=0"], "executor ray: cpus must be at least 1, not 0."),
        ("slurm", ["cluster=pbs"], "executor slurm: there is no cluster 'pbs'. Known: slurm, local, debug."),
        ("slurm", ["memory=0"], "executor slurm: memory must be above 0, not 0.0."),
        ("ray", ["workers"], "--executor-option 'workers' is no key=value."),
        ("rai", [], "There is no executor 'rai'. Did you mean ray? Known: local, ray, slurm."),
    ],
)
def test_a_wrong_option_of_an_executor_is_one_line(invoke, base_folder, tmp_path, executor, options, message):
    given = [word for option in options for word in ("--executor-option", option)]
    done = invoke(
        "eval", "--base", base_folder, "--tasks", "mbti", "-o", tmp_path / "run", "--executor", executor, *given
    )
    assert done.exit_code == 2
    assert done.stderr.startswith(f"Error: {message}")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("executor", "package"), [("ray", "ray"), ("slurm", "submitit")])
def test_an_executor_whose_package_is_missing_says_what_to_install(monkeypatch, executor, package):
    monkeypatch.setattr("lapd.units.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=rf"needs the package {package}, .* pip install 'lapd\[{executor}\]'"):
        configured("executors", executor)


def test_slurm_without_sbatch_says_how_to_try_it_here(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UsageError, match=r"has no sbatch.*--executor-option cluster=local"):
        configured("executors", "slurm")
    assert configured("executors", "slurm", {"cluster": "local"}).given.cluster == "local"


def test_the_command_lines_executor_comes_before_the_files(tmp_path, capsys):
    file = tmp_path / "x.yaml"
    evaluate = {"tasks": ["mbti"], "executor": "ray", "executor_options": {"workers": 2, "cpus": 3}}
    file.write_text(json.dumps({"name": "x", "out": "out", "personas": ["INFP"], "evaluate": evaluate}))

    def read(*args: Any) -> tuple[str, dict[str, Any]]:
        evaluation = read_experiment(file, Executing(*args))[2]
        return evaluation.executor, evaluation.executor_options

    assert read() == ("ray", {"workers": 2, "cpus": 3})
    assert read(None, {"cpus": "1"}) == ("ray", {"workers": 2, "cpus": "1"})
    assert read("local") == ("local", {})
    with pytest.raises(UsageError, match="executor local: There is no option 'gpus'"):
        read("local", {"gpus": "2"})


def test_lapd_run_takes_an_executor(invoke, tmp_path, base_folder):
    file = tmp_path / "x.yaml"
    content = {"name": "x", "out": str(tmp_path / "run"), "base": str(base_folder), "personas": ["INFP"]}
    file.write_text(json.dumps({**content, "evaluate": {"tasks": ["mbti"]}}))
    assert "4 to do" in invoke("run", file, "--plan", "--executor", "ray", "--executor-option", "workers=2").stdout
    done = invoke("run", file, "--executor", "ray", "--executor-option", "wokers=2")
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert "There is no option 'wokers'" in done.stderr


# What goes to workers and comes from them


def test_a_runner_goes_to_a_worker_without_its_model_and_without_secrets(monkeypatch, tmp_path, base):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    judge = make_judge("openai", {"model": "m"})
    cells = plan_cells(base, [Arm()], ["situations", "beavertails"], Settings(), judge)
    run = CellRunner(Store(tmp_path), cells, 4, quiet=False)
    run._engine, run._bar = sys, sys  # type: ignore[assignment]  # neither can be pickled
    sent = pickle.dumps(run)
    assert b"sk-very-secret" not in sent
    copy = pickle.loads(sent)
    assert (copy.quiet, copy.folder, copy.batch_size, copy._engine) == (True, tmp_path, 4, None)
    assert [cell.name for cell in copy.left()] == [cell.name for cell in cells]


@pytest.mark.parametrize(
    "error",
    [
        LapdError("What.", "Do."),
        UnknownNameError("task", "mbit", ["mbti"], "Known: mbti."),
        DataError("a.json", "wrong", line=3, hint="Mend it."),
        BaseMismatchError("other base"),
    ],
)
def test_every_error_survives_the_way_back(error):
    back = pickle.loads(pickle.dumps(error))
    assert (type(back), str(back), back.__dict__) == (type(error), str(error), error.__dict__)


def test_an_executor_is_not_called_for_cells_that_others_are_at(tmp_path, base, monkeypatch):
    """It may start a cluster; while it can only wait, it is left alone."""
    monkeypatch.setattr("lapd.units.BUSY_SECONDS", 0)
    store = Store(tmp_path)
    cells = plan_cells(base, [Arm()], TASKS, Settings())
    given: list[list[str]] = []

    class Counting:
        name = "counting"

        def run(self, cells: Any, run_cell: Any) -> None:
            given.append([cell.task.name for cell in cells])
            (store.cell_folder(cells[-1].name) / "result.json").write_text("{}")

    with store.claim(cells[0].name), store.claim(cells[1].name):
        pass
    held = store.claim(cells[0].name)
    held.__enter__()
    looks = 0

    def nap(seconds: float) -> None:
        nonlocal looks
        looks += 1
        if looks == 20:
            (store.cell_folder(cells[0].name) / "result.json").write_text("{}")
            held.__exit__(None, None, None)

    monkeypatch.setattr("lapd.units.time.sleep", nap)
    _run_cells(store, cells, Counting(), None, quiet=True)
    assert (given, looks) == ([TASKS], 20)


# The real thing


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> tuple[BaseModel, list[Arm]]:
    folder = tmp_path_factory.mktemp("models")
    base = resolve_base(str(make_tiny_base(folder / "base")))
    return base, make_arms([resolve_adapter(make_lora(folder / "INFP", base, seed=1))], ["base", "adapter"])


def evaluate(models: tuple[BaseModel, list[Arm]], folder: Path, **more: Any) -> None:
    """Four cells of small batches: long enough to be hit in the middle."""
    base, arms = models
    evaluate_arms(base, arms, TASKS, folder, Settings(limit=LIMIT), batch_size=1, **more)


@pytest.fixture(scope="module")
def whole(models, tmp_path_factory) -> dict[str, bytes]:
    """What the executor `local` computes on one thread."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        folder = tmp_path_factory.mktemp("whole")
        evaluate(models, folder, quiet=True)
    finally:
        torch.set_num_threads(threads)
    return samples(folder)


def samples(folder: Path) -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in folder.glob("cells/*/samples.jsonl")}


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    """A Ray of this process: the executor takes the one that is there."""
    import ray

    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield ray
    ray.shutdown()


class KillOne(threading.Thread):
    """Kills a worker that is in the middle of a cell of the run in `folder`."""

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True)
        self.folder, self.killed = folder, 0
        self.start()

    def run(self) -> None:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and not self.killed:
            time.sleep(0.01)
            begun = [path for path in self.folder.glob("cells/*/journal.jsonl") if size(path) > 200]
            for process in psutil.Process().children(recursive=True):
                if begun and not self.killed and holds(process, begun[0].with_name(".lock")):
                    process.kill()
                    self.killed = process.pid


def size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def holds(process: psutil.Process, lock: Path) -> bool:
    try:
        return str(lock) in [file.path for file in process.open_files()]
    except psutil.Error:
        return False


@pytest.mark.slow
@pytest.mark.thorough
def test_ray_ends_in_the_same_store_though_a_worker_is_killed(ray, models, whole, tmp_path, capsys):
    killer = KillOne(tmp_path)
    evaluate(models, tmp_path, executor="ray", executor_options={"workers": 2, "cpus": 1})
    assert samples(tmp_path) == whole
    assert killer.killed
    out, err = capsys.readouterr()
    assert out == ""
    assert "A worker died and was started anew" in err
    assert ray.is_initialized()


@pytest.mark.slow
def test_an_error_in_a_ray_worker_is_the_one_that_local_raises(ray, models, tmp_path):
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "config.json").write_text('{"model_type": "none"}')
    broken = resolve_base(str(tmp_path / "base"))
    errors = []
    for executor in ("local", "ray"):
        with pytest.raises(ModelError) as caught:
            evaluate_arms(broken, [Arm()], TASKS, tmp_path / executor, executor=executor, quiet=True)
        errors.append(str(caught.value))
    assert errors[0] == errors[1]


@pytest.mark.slow
@pytest.mark.thorough
def test_the_command_on_ray_prints_json_alone_and_leaves_nothing_behind(lapd, models, whole, tmp_path):
    base, arms = models
    adapter = next(arm.adapter.path for arm in arms if arm.adapter)
    before = {process.pid for process in psutil.process_iter()}
    done = lapd("eval", "--base", base.path, "--adapter", adapter, "--tasks", ",".join(TASKS), "--batch-size", 1,
                "--arms", "base,adapter", "--limit", LIMIT,
                "--executor", "ray", "--executor-option", "workers=1", "--executor-option", "address=local",
                "-o", "run", "--json", cwd=tmp_path, env=ONE_THREAD)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["results"]) == 4
    assert samples(tmp_path / "run") == whole
    assert "4/4" in done.stderr
    assert [line for line in done.stderr.splitlines() if "ray" in line.lower() and "evaluate (" not in line] == []
    left = [process for process in psutil.process_iter(["cmdline"]) if process.pid not in before]
    assert [process for process in left if "raylet" in " ".join(process.info["cmdline"] or [])] == []


@pytest.mark.slow
def test_slurm_in_local_mode_ends_in_the_same_store_though_a_job_is_killed(models, whole, tmp_path, capfd, monkeypatch):
    import submitit

    monkeypatch.setattr(submitit.Job, "_results_timeout_s", 1)  # so long a dead job's result is waited for
    killer = KillOne(tmp_path)
    evaluate(models, tmp_path, executor="slurm", executor_options={"workers": 2, "cluster": "local"})
    assert samples(tmp_path) == whole
    assert killer.killed
    assert "died" in capfd.readouterr().err
    assert list((tmp_path / "slurm").glob("*_log.err"))


@pytest.mark.slow
def test_an_error_in_a_job_is_one_line_and_stops_the_others(models, tmp_path):
    base, arms = models
    gone = BaseModel(base.name, tmp_path / "gone", base.digest, base.upstream)
    with pytest.raises(LapdError) as caught:
        evaluate_arms(gone, arms[:1], TASKS, tmp_path / "run", executor="slurm", quiet=True,
                      executor_options={"cluster": "local"})  # fmt: skip
    assert str(tmp_path / "gone") in str(caught.value)
    assert not list((tmp_path / "run" / "slurm").glob("stop-*"))


def test_a_worker_without_the_run_folder_says_that_it_must_be_shared(tmp_path, base, monkeypatch):
    from lapd.units import Bench

    monkeypatch.chdir(tmp_path)
    run = CellRunner(Store(Path("run")), plan_cells(base, [Arm()], TASKS, Settings()), None, quiet=True)
    with pytest.raises(LapdError, match=rf"run folder {tmp_path}/run is not there on .*shared file system"):
        Bench(run, tmp_path, 1).take()
