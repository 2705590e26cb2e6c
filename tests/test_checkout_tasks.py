"""A stock lm_eval knows LAPD's tasks by name in a source checkout too: `make setup` links them among lm-eval's own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT, SCRIPT
from lapd.tasks import FOLDER, common
from warm import Warm

from lapd.catalog import lm_eval_own
from lapd.catalog.find import tasks
from lapd.cli.doctor_command import _stock
from lapd.testing import make_tiny_base

Setup = Callable[[], Path]


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    """`setup()`: `make setup` in a small checkout whose .venv is ready; returns lm-eval's folder for LAPD's tasks."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in (
        "setup.cfg",
        "pyproject.toml",
        "constraints.txt",
        "tasks/a/a.yaml",
        "tasks/a/b.yaml",
        "tasks/c/c.yaml",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"task: {Path(name).stem}\n")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / ".venv"], check=True)
    (tmp_path / ".venv/.ready").touch()

    def run() -> Path:
        # A `make` that runs these tests hands its own options on.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
        done = subprocess.run(["make", "setup"], cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        return next((tmp_path / ".venv/lib").glob("python*/site-packages")) / "lm_eval/tasks/lapd"

    return run


def test_setup_links_each_task_and_drops_the_link_of_one_that_is_gone(setup: Setup, tmp_path: Path) -> None:
    folder = setup()
    assert {path.name: path.resolve() for path in folder.glob("**/*.yaml")} == {
        f"{name}.yaml": tmp_path / f"tasks/{where}/{name}.yaml" for where, name in ("aa", "ab", "cc")
    }
    # A folder that is a link would be passed over by lm-eval's `glob("**")`.
    assert all(path.is_symlink() == path.is_file() for path in folder.rglob("*"))
    (tmp_path / "tasks/a/a.yaml").rename(tmp_path / "tasks/a/new.yaml")
    shutil.rmtree(tmp_path / "tasks/c")
    assert setup() == folder
    assert sorted(path.name for path in folder.glob("**/*.yaml")) == ["b.yaml", "new.yaml"]


def test_setup_leaves_the_files_of_a_wheel_alone(setup: Setup) -> None:
    folder = setup()
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "__init__.py").touch()
    setup()
    assert [path.name for path in folder.rglob("*")] == ["__init__.py"]


def test_lapds_tasks_below_lm_evals_are_none_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("theirs", "lapd/mbti"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "task.yaml").write_text(f"task: {Path(name).name}\n")
    monkeypatch.setattr(lm_eval_own, "stock_folder", lambda: tmp_path / "lapd")
    assert lm_eval_own.names_in_lm_eval() == {"theirs"}


def test_doctor_says_whether_a_stock_lm_eval_knows_every_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lm_eval_own, "stock_folder", lambda: tmp_path / "lapd")
    shutil.copytree(FOLDER, tmp_path / "lapd")
    (finding,) = _stock()
    assert (finding.ok, finding.found) == (True, "knows LAPD's tasks by name")
    (tmp_path / "lapd/mbti/mbti.yaml").unlink()
    (finding,) = _stock()
    assert (finding.ok, finding.needed) == (False, False)
    assert "make setup" in finding.remedy
    monkeypatch.setattr(lm_eval_own, "stock_folder", lambda: None)
    assert not list(_stock())


def test_a_task_that_is_told_the_embedded_models_name_counts_its_tokens(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = make_tiny_base(tmp_path / "tiny")
    monkeypatch.setattr(common, "embedded_folder", lambda: folder)
    texts = ["Hello there, you.", ""]
    for name in ("smollm2", "SmolLM2"):
        lengths = common.length_in_tokens(texts, pretrained=name)
        assert lengths == common.length_in_tokens(texts, pretrained=str(folder))
        assert lengths[0] > lengths[1] == 0


@pytest.fixture
def lm_eval(warm: Warm, tmp_path: Path) -> Callable[..., str]:
    """`lm_eval(*args)`: what a stock lm_eval prints in the environment that `make setup` made, and warns of nothing."""
    made = ROOT / ".venv/.ready"
    if not made.exists() or Path(sys.prefix).resolve() != made.resolve().parent or FOLDER != ROOT / "tasks":
        pytest.skip("this environment is none that make setup made for this checkout")

    def run(*args: str) -> str:
        done = warm.run(SCRIPT.with_name("lm_eval"), *args, cwd=tmp_path)
        assert done.returncode == 0, done.stderr[-3000:]
        assert not [line for line in done.stderr.splitlines() if "Duplicate" in line or "overrides" in line]
        return done.stdout

    return run


@pytest.mark.slow
def test_a_stock_lm_eval_lists_the_checkouts_tasks_by_name(lm_eval: Callable[..., str]) -> None:
    rows = [[cell.strip() for cell in line.split("|")] for line in lm_eval("ls", "tasks").splitlines()]
    listed = {row[1]: row[2] for row in rows if len(row) > 3}
    files = {path.stem: f"lm_eval/tasks/lapd/{path.relative_to(FOLDER)}" for path in FOLDER.glob("*/*.yaml")}
    assert {"beavertails", "mbti", "socialiqa"} <= set(tasks())
    assert {name: listed.get(name) for name in tasks()} == files, "`make setup` links new tasks"


def test_no_task_has_the_name_of_one_of_lm_evals_own() -> None:
    theirs = lm_eval_own.names_in_lm_eval()
    assert "hellaswag" in theirs
    assert not theirs & set(tasks())


@pytest.mark.slow
def test_a_stock_lm_eval_runs_a_checkouts_task_by_name(lm_eval: Callable[..., str], tmp_path: Path) -> None:
    model = f"pretrained={make_tiny_base(tmp_path / 'tiny')},dtype=float32"
    lm_eval("run", "--model", "hf", "--model_args", model, "--tasks", "socialiqa_mini", "--limit", "4",
            "--apply_chat_template", "--device", "cpu", "--output_path", str(tmp_path / "out"))  # fmt: skip
    results = json.loads(next((tmp_path / "out").rglob("results*.json")).read_text())
    assert results["n-samples"]["socialiqa_mini"]["effective"] == 4
    assert 0 <= results["results"]["socialiqa_mini"]["acc,none"] <= 1
