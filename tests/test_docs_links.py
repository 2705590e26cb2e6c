"""The documentation's links and shell blocks point at things that are there."""

import importlib.util
import pkgutil
import re
import shlex
from contextlib import suppress
from pathlib import Path

import pytest

from lapd.cli import VERBS

ROOT = Path(__file__).resolve().parent.parent
PAGES = [page for folder in (".", "docs", "tasks/*", "data/templates/*") for page in ROOT.glob(f"{folder}/*.md")]
PAGES += ROOT.glob("examples/**/*.md")
NAME = re.compile(r"(?<![\w/.-])lapd(?:\.[A-Za-z]\w*)+(?![\w/])")
SOURCE = re.compile(r"(?<![\w/.-])(?:lapd|plugins|tasks|data|tests|benchmarks|examples)/[\w/-]+\.(?:py|ya?ml|jsonl?)\b")


def anchors(page: Path) -> set[str]:
    """What a page's headings are called in links: small letters, hyphens for spaces, no other signs."""
    prose = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", prose, flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def exists(name: str) -> bool:
    """Whether a dotted name is a module, which is found without importing it, or an attribute of one."""
    with suppress(ModuleNotFoundError):  # its parent is no package
        if importlib.util.find_spec(name):
            return True
    try:
        pkgutil.resolve_name(name)
    except (ImportError, AttributeError):
        return False
    return True


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_relative_links_lead_somewhere(page):
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [t for t in targets if not (page.parent / t).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_links_to_a_heading_lead_to_one(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]*)#([^)]+)\)", page.read_text(encoding="utf-8"))
    assert [(to, anchor) for to, anchor in links if anchor not in anchors(page.parent / to if to else page)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_modules_and_files_that_a_page_names_are_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert [name for name in sorted(set(NAME.findall(text))) if not exists(name)] == []
    assert [
        path
        for path in sorted(set(SOURCE.findall(text)))
        if not any((home / path).exists() for home in (ROOT, page.parent))
    ] == []


def test_the_index_has_one_line_for_each_page() -> None:
    text = (ROOT / "docs/index.md").read_text(encoding="utf-8")
    listed = re.findall(r"^- \[[^]]+\]\(([\w-]+\.md)\)", text, flags=re.MULTILINE)
    assert sorted(listed) == sorted(page.name for page in ROOT.glob("docs/*.md") if page.name != "index.md")


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_shell_blocks_call_verbs_that_there_are(page):
    blocks = re.findall(r"^```shell\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    calls = [shlex.split(line, comments=True) for line in lines if line.startswith("lapd ")]
    assert [call for call in calls if call[1] not in VERBS and not call[1].startswith("-")] == []


@pytest.mark.parametrize("folder", sorted(p.parent for p in ROOT.glob("tasks/*/utils.py")), ids=lambda p: p.name)
def test_every_task_folder_says_what_it_measures(folder):
    text = (folder / "README.md").read_text(encoding="utf-8")
    for heading in ("## Protocol", "## Source and licence", "## Pitfalls"):
        assert heading in text


def test_every_mended_fault_names_tests_that_are_there() -> None:
    rows = re.findall(r"^\| \d+ \|.*\| (.*) \|$", (ROOT / "docs/faults.md").read_text(), flags=re.MULTILINE)
    assert len(rows) == 53
    for row in rows:
        named = re.findall(r"`(\w+)`: ((?:`\w+`(?:, )?)+)", row)
        assert named, row
        for file, names in named:
            tests = (ROOT / f"tests/test_{file}.py").read_text()
            missing = [name for name in re.findall(r"\w+", names) if f"def test_{name}(" not in tests]
            assert not missing, f"{file}: {missing}"
