"""The trees in CONTRIBUTING.md and README.md are the repository's, and list the rooms in the order of the arrows."""

from __future__ import annotations

import configparser
import re
import subprocess

import pytest
from conftest import ROOT

ENTRY = re.compile(r"^( *)([\w./-]+)/ ")


def drawn(page: str) -> list[str]:
    """The folders that a page's tree names, in its order: `lapd`, `lapd/cli` ... Four spaces are one level."""
    (block,) = re.findall(r"^```text\n(lapd/ .*?)^```$", (ROOT / page).read_text(), flags=re.MULTILINE | re.DOTALL)
    path: list[str] = []
    folders = []
    for line in block.splitlines():
        if found := ENTRY.match(line):
            path = [*path[: len(found[1]) // 4], found[2]]
            folders.append("/".join(path))
    return folders


@pytest.fixture(scope="module")
def tracked() -> set[str]:
    """The folders that git tracks, two levels deep."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip("no git checkout: nothing says which folders belong to the repository")
    parents = [file.split("/")[:-1] for file in done.stdout.split("\0") if file]
    return {"/".join(parts[:depth]) for parts in parents for depth in range(1, min(len(parts), 2) + 1)}


def test_the_tree_for_contributors_names_every_folder_and_no_other(tracked: set[str]) -> None:
    named = drawn("CONTRIBUTING.md")
    assert sorted(tracked.difference(named)) == [], "not in the tree"
    assert sorted(tracked.intersection(named)) == sorted(named), "in the tree, and not in the repository"


def test_the_readmes_tree_names_every_room_and_every_folder_beside_the_core(tracked: set[str]) -> None:
    expected = {folder for folder in tracked if "/" not in folder or folder.startswith("lapd/")} - {".ci"}
    assert sorted(drawn("README.md")) == sorted(expected)


def layers() -> list[list[str]]:
    """The core's rooms and modules as setup.cfg's contract has them, from what uses to what is used."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    lines = setup["importlinter:contract:rooms"]["layers"].strip().splitlines()
    names = [[name for name in re.findall(r"\w+", line) if not name.startswith("_")] for line in lines]
    return [layer for layer in names if layer]


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "README.md"])
def test_the_trees_list_the_rooms_in_the_order_of_the_arrows(page: str) -> None:
    level = {name: i for i, layer in enumerate(layers()) for name in layer}
    rooms = [folder.removeprefix("lapd/") for folder in drawn(page) if folder.startswith("lapd/")]
    assert rooms == sorted(rooms, key=level.__getitem__)


def test_the_line_of_arrows_is_the_contract() -> None:
    (line,) = re.findall(r"^`cli` > .*?`errors`", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE | re.DOTALL)
    assert [sorted(re.findall(r"\w+", step)) for step in line.split(">")] == [sorted(layer) for layer in layers()]


def test_every_room_is_in_the_wheel(tracked: set[str]) -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    packages = setup["options"]["packages"].split()
    rooms = {folder.replace("/", ".") for folder in tracked if folder == "lapd" or folder.startswith("lapd/")}
    assert sorted(rooms.difference(packages)) == []
