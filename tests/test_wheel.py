"""The built wheel, in a virtual environment of its own: the command line works, and a stock lm_eval finds the tasks."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from conftest import ROOT

pytestmark = pytest.mark.slow

PIP = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps")


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new environment with the wheel and lm-eval; what else they need is lent by this environment."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder / "dist"), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True, text=True)
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
    python = folder / "venv/bin/python"
    wheel = next((folder / "dist").glob("*.whl"))
    subprocess.run([str(python), *PIP, str(wheel), "lm-eval==0.4.13"], check=True, capture_output=True, text=True)
    site = next((folder / "venv/lib").glob("python*/site-packages"))
    # A path file adds this environment's packages behind the new one's own; its editable install stays out.
    (site / "lender.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return python


def run(python: Path, script: str, *args: str) -> str:
    """What a console script of the new environment prints."""
    command = [str(python.with_name(script)), *args]
    result = subprocess.run(command, capture_output=True, text=True, cwd="/", timeout=300)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_the_wheel_brings_the_command_line_its_data_and_its_plugins(python: Path) -> None:
    from lapd import __version__

    assert run(python, "lapd", "--version").strip().endswith(__version__)
    tasks = run(python, "lapd", "tasks")
    for name in ("mbti", "situations", "situations_open", "socialiqa", "socialiqa_mini"):
        assert f"\n{name} " in tasks
    assert str(python.parent.parent) in run(python, "lapd", "tasks", "--path")
    assert "contrast" in run(python, "lapd", "plugins")
    assert "INFP" in run(python, "lapd", "personas")


def test_a_stock_lm_eval_lists_the_tasks_by_name(python: Path) -> None:
    listed = run(python, "lm_eval", "ls", "tasks")
    for name in ("mbti", "situations", "socialiqa", "socialiqa_mini"):
        assert f"|{name} " in listed or f" {name} " in listed or f"\n{name}" in listed, name


def test_installing_from_the_folder_works_too(tmp_path: Path) -> None:
    """`pip install .` into an empty folder brings the packages under their installed names."""
    command = [sys.executable, *PIP, "--target", str(tmp_path), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    for path in ("lapd/cli/__init__.py", "lapd/tasks/mbti/mbti.yaml", "lapd/data/traits/mbti/contrast/en/ei.jsonl",
                 "lapd/plugins/trl.py", "lm_eval/tasks/lapd/mbti/mbti.yaml", "lapd/report/page.html.j2",
                 "lapd/testing/fault_server.py"):  # fmt: skip
        assert (tmp_path / path).is_file(), path
    template = "data/templates/plugin"
    listed = ["git", "ls-files", template]
    files = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    assert files and [file for file in files if not (tmp_path / "lapd" / file).is_file()] == []
