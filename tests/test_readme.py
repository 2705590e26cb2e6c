"""The README's commands, word for word: in a clone, and with what an installed wheel brings.

A tiny model stands where the embedded one is unpacked, and a training whose pairs are not counted takes a few, so that
all takes minutes; the commands are as they stand.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT, SCRIPT
from warm import Warm

pytestmark = pytest.mark.slow

README = (ROOT / "README.md").read_text()

MADE = ("out", "runs", "whole", "pairs.jsonl")
"""What the commands leave behind."""

FEW_PAIRS = """
from lapd.train.config import TrainConfig

whole = TrainConfig.__init__
TrainConfig.__init__ = lambda self, *args, **settings: whole(self, *args, **{"pairs": 16, **settings})
"""
"""What Python runs first in the commands' processes."""


def blocks(language: str) -> list[str]:
    """The README's fenced blocks of one language."""
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def commands() -> Iterator[list[str]]:
    """Each command of the shell blocks, as words."""
    for block in blocks("sh"):
        for line in block.splitlines():
            if words := shlex.split(line, comments=True):
                yield words


@pytest.fixture(scope="module")
def surroundings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment without a network, in which the unpacked embedded model is a tiny one of a small vocabulary."""
    from lapd.models.embedded import embedded_folder
    from lapd.testing import make_tiny_base

    cache, first = tmp_path_factory.mktemp("cache"), tmp_path_factory.mktemp("first")
    make_tiny_base(cache / embedded_folder().name)
    (first / "sitecustomize.py").write_text(FEW_PAIRS)
    network = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    return {**os.environ, **network, "LAPD_CACHE": str(cache), "PYTHONPATH": str(first)}


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository's files, as a clone has them."""
    folder = tmp_path_factory.mktemp("clone")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def ran_in_clone(warm: Warm, clone: Path, surroundings: dict[str, str]) -> Path:
    """The clone, in which every command of the README was given."""
    assert run_all(warm, clone, surroundings) > 15
    return clone


def run_all(warm: Warm, place: Path, surroundings: dict[str, str]) -> int:
    """Give every command in `place`, and return how many there were; of `make` it is only seen what it would do."""
    given = [words for words in commands() if words[0] != "make" or (place / "Makefile").is_file()]
    for words in given:
        if words[0] == "make":
            command = ["make", "--dry-run", *words[1:]]
            result = subprocess.run(command, cwd=place, env=surroundings, capture_output=True, text=True)
        else:
            said = "Hello\n/quit\n" if "chat" in words else ""
            script = SCRIPT.with_name(words[0])
            result = warm.run(script, *words[1:], cwd=place, env=surroundings, said=said, timeout=600)
        assert "|situations" in result.stdout or words[0] != "lm_eval", result.stdout
        assert result.returncode == 0, f"{shlex.join(words)}\n{result.stderr[-2000:]}"
        assert "Warning" not in result.stderr or words[0] == "lm_eval", f"{shlex.join(words)}\n{result.stderr[-2000:]}"
    return len(given)


def test_every_command_of_the_readme_works_in_a_clone(ran_in_clone: Path) -> None:
    assert (ran_in_clone / "runs/INFP/report.html").is_file()
    assert (ran_in_clone / "whole/INFP/model.safetensors").is_file()


def test_every_command_of_the_readme_works_from_a_wheel(
    ran_in_clone: Path, wheel_python: Path, surroundings: dict[str, str], tmp_path: Path
) -> None:
    for name in MADE:  # what is there is not made again: it is the commands that are tried
        copy = shutil.copytree if (ran_in_clone / name).is_dir() else shutil.copyfile
        copy(ran_in_clone / name, tmp_path / name)
    with Warm(wheel_python) as of_wheel:
        assert run_all(of_wheel, tmp_path, surroundings) > 12


def test_the_python_of_the_readme_works(warm: Warm, surroundings: dict[str, str], tmp_path: Path) -> None:
    (code,) = blocks("python")
    (tmp_path / "readme.py").write_text(code)
    result = warm.run(tmp_path / "readme.py", cwd=tmp_path, env=surroundings, timeout=600)
    assert result.returncode == 0, result.stderr
    assert re.search(r"^ESTJ log_odds_towards [+-]\d", result.stdout, flags=re.MULTILINE)


def test_the_readme_tells_of_every_verb_that_a_first_day_needs() -> None:
    given = {tuple(words[:2]) for words in commands()}
    verbs = ("doctor", "train", "eval", "compare", "report", "chat", "generate", "merge")
    assert {("lapd", verb) for verb in verbs} | {("lm_eval", "run"), ("make", "demo"), ("make", "test")} <= given
    assert any("--model lapd" in block for block in blocks("sh"))


def test_the_readme_links_to_what_is_there() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target
