"""The built wheel, in a virtual environment of its own: the command line works, and a stock lm_eval finds the tasks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from lapd.testing import make_tiny_base

pytestmark = pytest.mark.slow


def run(python: Path, script: str, *args: str) -> str:
    """What a script of the new environment prints."""
    command = [str(python.with_name(script)), *args]
    result = subprocess.run(command, capture_output=True, text=True, cwd="/", timeout=300)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_the_wheel_brings_the_command_line_its_data_and_its_plugins(wheel_python: Path) -> None:
    from lapd import __version__

    assert run(wheel_python, "lapd", "--version").strip().endswith(__version__)
    tasks = run(wheel_python, "lapd", "tasks")
    for name in ("mbti", "situations", "situations_open", "socialiqa", "socialiqa_mini"):
        assert f"\n{name} " in tasks
    assert str(wheel_python.parent.parent) in run(wheel_python, "lapd", "tasks", "--path")
    assert "contrast" in run(wheel_python, "lapd", "plugins")
    assert "INFP" in run(wheel_python, "lapd", "personas")


def test_a_stock_lm_eval_lists_the_tasks_by_name(wheel_python: Path) -> None:
    listed = run(wheel_python, "python", "-m", "lm_eval", "ls", "tasks")
    for name in ("mbti", "situations", "socialiqa", "socialiqa_mini"):
        assert f"|{name} " in listed or f" {name} " in listed or f"\n{name}" in listed, name


def test_a_stock_lm_eval_knows_the_model_lapd(wheel_python: Path, tmp_path: Path) -> None:
    folder = make_tiny_base(tmp_path / "tiny")
    arguments = ("run", "--model", "lapd", "--model_args", f"pretrained={folder}", "--tasks", "socialiqa_mini",
                 "--limit", "3", "--apply_chat_template", "--device", "cpu")  # fmt: skip
    printed = run(wheel_python, "python", "-m", "lm_eval", *arguments)
    assert "lapd ({'pretrained'" in printed
    assert "|socialiqa_mini|" in printed


def test_torch_alone_brings_neither_lm_eval_nor_lapds_heavy_parts_in(wheel_python: Path) -> None:
    code = "import sys, torch; print([m for m in ('lm_eval', 'lapd.evaluate', 'transformers') if m in sys.modules])"
    assert run(wheel_python, "python", "-c", code).strip() == "[]"


def test_installing_from_the_folder_works_too(tmp_path: Path) -> None:
    """`pip install .` into an empty folder brings the packages under their installed names."""
    pip = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps")
    command = [sys.executable, *pip, "--target", str(tmp_path), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    for path in ("lapd/cli/__init__.py", "lapd/tasks/mbti/mbti.yaml", "lapd/data/traits/mbti/contrast/en/ei.jsonl",
                 "lapd/plugins/trl.py", "lm_eval/tasks/lapd/mbti/mbti.yaml", "lapd/report/page.html.j2",
                 "lapd/testing/fault_server.py"):  # fmt: skip
        assert (tmp_path / path).is_file(), path
    template = "data/templates/plugin"
    listed = ["git", "ls-files", template]
    files = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    assert files and [file for file in files if not (tmp_path / "lapd" / file).is_file()] == []
