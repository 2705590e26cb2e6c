"""Whatever file settles what a task asks is in its digest, and nothing else is."""

from __future__ import annotations

from pathlib import Path

import pytest
from odd_tasks import CHOICE, register, write_tasks

from lapd.catalog.find import find_task
from lapd.errors import PluginError

LOCAL = CHOICE.replace(
    "custom_dataset: !function utils.sums", "dataset_path: json\ndataset_kwargs: {data_files: PLACE}"
)


def digest(name: str = "odd") -> str:
    return find_task(name).digest(None)


@pytest.mark.parametrize(
    "place",
    ["odd/items.jsonl", "odd/items.csv", "odd/deep/er/items.parquet", "odd/items", "odd/prompt.md", "odd/table.TXT",
     "odd/x.yaml.j2", "shared.jsonl", "data/items.csv", "data/deep/items.json"],
)  # fmt: skip
def test_a_tasks_own_data_of_any_form_are_in_its_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    folder = tmp_path / "tasks"
    write_tasks(folder / "odd", odd=CHOICE)
    register(monkeypatch, folder)
    (folder / place).parent.mkdir(parents=True, exist_ok=True)
    found = {digest()}
    for content in (b"one", b"two"):
        (folder / place).write_bytes(content)
        found.add(digest())
    assert len(found) == 3
    (folder / place).rename((folder / place).with_name(f"other{(folder / place).suffix}"))
    assert digest() not in found


@pytest.mark.parametrize(
    "place", ["odd/README.md", "odd/__pycache__/utils.pyc", "odd/.git/x", "odd/LICENSE", "other/items.jsonl", ".x.json"]
)
def test_what_settles_nothing_is_not_in_the_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    folder = tmp_path / "tasks"
    write_tasks(folder / "odd", odd=CHOICE)
    write_tasks(folder / "other", other=CHOICE)
    register(monkeypatch, folder)
    before = digest()
    (folder / place).parent.mkdir(parents=True, exist_ok=True)
    (folder / place).write_bytes(b"anything")
    assert digest() == before


def test_data_behind_links_are_followed_and_a_circle_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_tasks(tmp_path / "tasks" / "odd", odd=CHOICE)
    register(monkeypatch, tmp_path / "tasks")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "items.csv").write_text("one")
    (folder / "data").symlink_to(tmp_path / "elsewhere")
    (folder / "round").symlink_to(folder)
    before = digest()
    (tmp_path / "elsewhere" / "items.csv").write_text("two")
    assert digest() != before


def test_files_that_a_yaml_names_are_in_the_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for number, place in enumerate((f"{data}/items.jsonl", f"{{test: [{data}/*.jsonl]}}", f"{data}")):
        write_tasks(tmp_path / f"tasks{number}", odd=LOCAL.replace("PLACE", place))
        register(monkeypatch, tmp_path / f"tasks{number}")
        found = set()
        for text in ("one", "two"):
            (data / "items.jsonl").write_text(text)
            found.add(digest())
        assert len(found) == 2, place


def test_declared_files_are_in_the_digest_and_must_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    yaml = CHOICE.replace("item: id", "item: id, files: [../../beside/*.csv]")
    write_tasks(tmp_path / "tasks" / "odd", odd=yaml)
    register(monkeypatch, tmp_path / "tasks")
    with pytest.raises(PluginError, match=r"declares the files '\.\./\.\./beside/\*\.csv', but there are none"):
        digest()
    (tmp_path / "beside").mkdir()
    found = set()
    for text in ("one", "two"):
        (tmp_path / "beside" / "items.csv").write_text(text)
        found.add(digest())
    assert len(found) == 2


def test_what_a_yaml_includes_from_elsewhere_is_in_the_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tasks(tmp_path / "common", base=CHOICE.replace("task: NAME\n", ""))
    odd = tmp_path / "tasks" / "odd"
    odd.mkdir(parents=True)
    (odd / "odd.yaml").write_text("include: ../../common/base.yaml\ntask: odd\n")
    register(monkeypatch, tmp_path / "tasks")
    found = {digest()}
    for name in ("base.yaml", "utils.py"):
        with (tmp_path / "common" / name).open("a") as stream:
            stream.write("# changed\n")
        found.add(digest())
    assert len(found) == 3


def test_a_module_that_a_yaml_takes_functions_from_is_in_the_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path / "site")
    (tmp_path / "site").mkdir()
    write_tasks(tmp_path / "tasks", odd=CHOICE.replace("utils.sums", "odd_functions.sums"))
    register(monkeypatch, tmp_path / "tasks")
    found = set()
    for text in ("A = 1\n", "A = 2\n"):
        (tmp_path / "site" / "odd_functions.py").write_text(text)
        found.add(digest())
    assert len(found) == 2
