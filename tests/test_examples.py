"""The packages in examples/ install, keep what they promise, and pass tests of their own; `lapd plugins new`."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, SCRIPT, lean_lm_eval

from lapd.cli.plugin_template import new_plugin
from lapd.errors import UsageError
from lapd.testing import make_tiny_base

EXAMPLES = ROOT / "examples"
LEFT = shutil.ignore_patterns("build", "*.egg-info", "__pycache__", ".*_cache")

PIP = (
    "-m",
    "pip",
    "install",
    "--quiet",
    "--disable-pip-version-check",
    "--no-deps",
    "--no-index",
    "--no-build-isolation",
)
"""What is needed is here already; nothing is fetched."""

FEWER = {"train": ["--pairs", "4", "--epochs", "1", "--eval-pairs", "1"], "eval": ["--limit", "4"]}

Install = Callable[[Path], dict[str, str]]


@pytest.fixture
def install(tmp_path: Path) -> Install:
    """`install(package)`: the environment of a process in which the package in that folder is installed."""

    def run(package: Path) -> dict[str, str]:
        source, site = tmp_path / "source", tmp_path / "site"
        shutil.copytree(package, source, ignore=LEFT)  # building leaves files behind
        command = [sys.executable, *PIP, "--target", str(site), str(source)]
        subprocess.run(command, check=True, capture_output=True, text=True)
        return {**os.environ, "PYTHONPATH": str(site), "LAPD_STRICT_PLUGINS": "1", "PYTHONDONTWRITEBYTECODE": "1"}

    return run


@pytest.mark.parametrize("name", ["lapd-bigfive", "lapd-plugin-template"])
def test_an_example_passes_its_own_tests(name: str, install: Install, tmp_path: Path) -> None:
    environment = install(EXAMPLES / name)
    command = [str(SCRIPT.with_name("pytest")), "-p", "no:cacheprovider"]
    folder = tmp_path / "source"
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-6000:]


@pytest.mark.parametrize("name", ["lapd-bigfive", "lapd-plugin-template"])
def test_an_example_says_how_it_is_tested_and_under_which_names_it_registers(name: str) -> None:
    for file in ("README.md", "pyproject.toml", ".github/workflows/test.yml", "tests"):
        assert (EXAMPLES / name / file).exists(), file


@pytest.mark.slow
def test_a_stock_lm_eval_runs_the_bigfives_tasks_by_name(tmp_path: Path) -> None:
    """In an environment of its own, in which pip puts the YAML among lm-eval's own."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    python, lender = tmp_path / "venv/bin/python", sysconfig.get_paths()["purelib"]
    site = next((tmp_path / "venv/lib").glob("python*/site-packages"))
    (site / "lender.pth").write_text(f"import site; site.addsitedir({lender!r})\n")
    lean_lm_eval(site)
    shutil.copytree(EXAMPLES / "lapd-bigfive", tmp_path / "source", ignore=LEFT)
    subprocess.run([str(python), *PIP, str(tmp_path / "source")], check=True, capture_output=True, text=True)
    base = make_tiny_base(tmp_path / "base")
    done = subprocess.run(
        [python, "-m", "lm_eval", "run", "--model", "hf", "--model_args", f"pretrained={base},dtype=float32",
         "--tasks", "bigfive_situations", "--limit", "2", "--device", "cpu", "--output_path", tmp_path / "out"],
        cwd=tmp_path, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    results = json.loads(next((tmp_path / "out").rglob("results*.json")).read_text())
    assert isinstance(results["results"]["bigfive_situations"]["log_odds_openness,none"], float)


def test_a_new_plugin_has_its_name_everywhere(tmp_path: Path) -> None:
    new_plugin("lapd-Night-watch", tmp_path / "new")
    made = {str(path.relative_to(tmp_path / "new")): path for path in (tmp_path / "new").rglob("*") if path.is_file()}
    kept = {path.relative_to(EXAMPLES / "lapd-plugin-template") for path in _sources(EXAMPLES / "lapd-plugin-template")}
    assert sorted(made) == sorted(str(path).replace("plugin_template", "night_watch") for path in kept)
    texts = [path.read_text(encoding="utf-8") for path in made.values()]
    assert not re.search(r"plugin.?template", "".join([*made, *texts]), re.IGNORECASE)
    assert 'name = "lapd-night-watch"' in made["pyproject.toml"].read_text()
    assert "class NightWatchJudge:" in made["lapd_night_watch/judge.py"].read_text()


def _sources(folder: Path) -> list[Path]:
    """The files of a package, without what building and testing leave."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=folder, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return [folder / name for name in listed.stdout.splitlines()]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("two words", "cannot name a plugin"),
        ("9lives", "cannot name a plugin"),
        ("class", "cannot name a plugin"),
        ("lapd-", "cannot name a plugin"),
        ("Keywords", "There is a judge 'keywords' already"),
        ("lapd-contrast", "There is a generator 'contrast' already"),
        ("socialiqa-mini", "There is a task 'socialiqa_mini' already"),
        ("local", "There is a plugin 'local' already"),
    ],
)
def test_a_name_that_cannot_be_or_is_taken_is_refused(name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        new_plugin(name, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_the_command_writes_into_a_folder_of_the_name_and_never_over_one(lapd: Any, tmp_path: Path) -> None:
    done = lapd("plugins", "new", "harbour", "--json", cwd=tmp_path)
    assert json.loads(done.stdout) == {"plugin": "harbour", "folder": "harbour"}
    assert (tmp_path / "harbour/lapd_harbour/task/harbour.yaml").is_file()
    again = lapd("plugins", "new", "harbour", cwd=tmp_path)
    assert (again.returncode, again.stderr) == (2, "Error: harbour is there already. Give another -o.\n")
    assert "keywords" in lapd("plugins").stdout


@pytest.mark.slow
@pytest.mark.thorough
def test_the_templates_readme_can_be_followed(install: Install, tmp_path: Path) -> None:
    new_plugin("harbour", tmp_path / "new")
    readme = (tmp_path / "new/README.md").read_text(encoding="utf-8")
    section = readme[readme.index("## Try it") : readme.index("## What is where")]
    lines = [line for block in re.findall(r"```shell\n(.*?)```", section, re.DOTALL) for line in block.splitlines()]
    assert lines[0] == "pip install --editable ." and len(lines) == 9
    environment = install(tmp_path / "new")
    for line in lines[1:]:
        tool, verb, *rest = shlex.split(line)
        command = [str(Path(sys.executable).with_name(tool)), verb, *rest, *FEWER.get(verb, [])]
        done = subprocess.run(command, cwd=tmp_path / "source", env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{line}: {done.stderr}"
    assert (tmp_path / "source/runs/J/report.html").is_file()
