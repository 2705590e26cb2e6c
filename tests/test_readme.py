"""The README's commands, run as they are written, on fewer pairs and documents."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT

pytestmark = pytest.mark.slow

README = (ROOT / "README.md").read_text()

FEWER = {"train": ["--pairs", "4", "--epochs", "1", "--eval-pairs", "1"], "eval": ["--limit", "2"]}


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a little of SocialIQA's form in `benchmarks`, in which the blocks run one after another."""
    folder = tmp_path_factory.mktemp("readme")
    data = folder / "benchmarks/socialiqa"
    data.mkdir(parents=True)
    row = '{"context": "Ana waved.", "question": "Why", "answerA": "to greet", "answerB": "to go", "answerC": "so"}\n'
    (data / "dev.jsonl").write_text(row * 4)
    (data / "dev-labels.lst").write_text("1\n" * 4)
    return folder


def blocks(language: str) -> list[str]:
    """The README's fenced blocks of one language."""
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def commands() -> Iterator[list[str]]:
    """Each command of the shell blocks, as words."""
    for block in blocks("sh"):
        for line in block.splitlines():
            if words := shlex.split(line, comments=True):
                yield words


def smaller(words: list[str]) -> list[str]:
    """The same command with less to do: fewer pairs and documents, the embedded model for its copy on the Hub."""
    from lapd.models.base import resolve_base
    from lapd.models.embedded import EMBEDDED_UPSTREAM

    tool, *rest = words
    if tool == "make":
        return ["make", "--dry-run", "--directory", str(ROOT), *rest]
    script = str(Path(sys.executable).with_name(tool))
    local = str(resolve_base("smollm2").path)
    rest = [word.replace(EMBEDDED_UPSTREAM, local) for word in rest]
    rest = [str(ROOT / "tasks") if word == "$(lapd tasks --path)" else word for word in rest]
    return [script, *rest, *(FEWER.get(rest[0], []) if tool == "lapd" else ["--limit", "4"])]


def test_every_command_of_the_readme_works(workplace: Path) -> None:
    ran = []
    for words in commands():
        result = subprocess.run(
            smaller(words), cwd=workplace, input="Hello\n/quit\n", capture_output=True, text=True, timeout=300
        )
        assert result.returncode == 0, f"{shlex.join(words)}\n{result.stderr[-2000:]}"
        ran.append(words[1])
    assert {"demo", "test", "doctor", "train", "eval", "compare", "report", "chat", "generate", "run"} <= set(ran)
    assert (workplace / "runs/INFP/report.html").is_file()


def test_the_python_of_the_readme_works(workplace: Path) -> None:
    (code,) = blocks("python")
    assert "pairs=128" in code and '["situations"], Path("runs/ESTJ")' in code
    code = code.replace("pairs=128", "pairs=4").replace(
        'Path("runs/ESTJ"))\nfor', 'Path("runs/ESTJ"), lapd.Settings(limit=4))\nfor'
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=workplace, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    assert re.search(r"^ESTJ log_odds_towards [+-]\d", result.stdout, flags=re.MULTILINE)


def test_the_readme_links_to_what_is_there() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target
