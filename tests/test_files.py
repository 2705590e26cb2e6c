"""Files are written whole or not at all; digests depend on names and content alone; schemas are checked."""

import errno
import fcntl
import hashlib
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import listing

from lapd.errors import DataError, StoreError, UsageError
from lapd.files import whole as files
from lapd.files.locks import lock

HALF_WRITTEN = """
import sys, time
from pathlib import Path
from lapd.files.whole import atomic_path, atomic_folder
target = Path(sys.argv[2])
with (atomic_path if sys.argv[1] == "file" else atomic_folder)(target) as temporary:
    (temporary if sys.argv[1] == "file" else temporary / "part").write_text("half")
    print("half", flush=True)
    time.sleep(60)
"""


def interrupt_while_writing(kind, target, how):
    process = subprocess.Popen([sys.executable, "-c", HALF_WRITTEN, kind, str(target)], stdout=-1, stderr=-1)
    with process:
        assert process.stdout.readline() == b"half\n"
        process.send_signal(how)
        process.communicate()
    assert process.returncode != 0


def visible(folder):
    return sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_writer_leaves_the_old_file_and_nothing_else_under_its_name(tmp_path, how):
    target = tmp_path / "file.json"
    target.write_text("old")
    interrupt_while_writing("file", target, how)
    assert target.read_text() == "old"
    assert visible(tmp_path) == ["file.json"]
    if how == signal.SIGINT:
        assert listing(tmp_path) == ["file.json"]


def test_a_killed_writer_of_a_folder_leaves_no_folder(tmp_path):
    interrupt_while_writing("folder", tmp_path / "adapter", signal.SIGKILL)
    assert visible(tmp_path) == []


def test_a_write_that_fails_leaves_the_old_content_and_no_litter(tmp_path):
    target = tmp_path / "result.json"
    files.write_json(target, {"a": 1})
    with pytest.raises(ValueError, match=r"not JSON compliant"):
        files.write_json(target, {"a": float("nan")})
    with pytest.raises(ZeroDivisionError), files.atomic_path(target) as temporary:
        temporary.write_text("half")
        1 / 0  # noqa: B018
    assert files.read_json(target) == {"a": 1}
    assert listing(tmp_path) == ["result.json"]


def test_a_folder_appears_only_when_it_is_whole(tmp_path):
    with pytest.raises(ZeroDivisionError), files.atomic_folder(tmp_path / "out") as temporary:
        (temporary / "part").write_text("half")
        1 / 0  # noqa: B018
    assert listing(tmp_path) == []
    with files.atomic_folder(tmp_path / "out") as temporary:
        (temporary / "part").write_text("whole")
        assert not (tmp_path / "out").exists()
    assert (tmp_path / "out" / "part").read_text() == "whole"
    assert listing(tmp_path) == ["out"]


def test_a_folder_that_another_process_finished_first_stays(tmp_path):
    with files.atomic_folder(tmp_path / "out") as temporary:
        (temporary / "mine").touch()
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "theirs").touch()
    assert listing(tmp_path / "out") == ["theirs"]
    assert listing(tmp_path) == ["out"]


def test_what_is_written_is_as_readable_as_any_other_file(tmp_path):
    (tmp_path / "plain").touch()
    (tmp_path / "folder").mkdir()
    files.write_text(tmp_path / "ours", "x")
    with files.atomic_folder(tmp_path / "ours-too"):
        pass
    for ours, theirs in (("ours", "plain"), ("ours-too", "folder")):
        modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in (ours, theirs)]
        assert modes[0] == modes[1]


def test_json_and_json_lines_round_trip_with_any_text(tmp_path):
    rows = [{"text": "성격 \u2028 \n é", "n": 1}, {"text": "", "n": None}]
    files.write_jsonl(tmp_path / "deep" / "rows.jsonl", rows)
    assert list(files.read_jsonl(tmp_path / "deep" / "rows.jsonl")) == [(1, rows[0]), (2, rows[1])]
    files.write_json(tmp_path / "rows.json", rows)
    assert files.read_json(tmp_path / "rows.json") == rows
    assert "성격" in (tmp_path / "rows.json").read_text(encoding="utf-8")


def test_a_broken_line_is_named_and_blank_lines_are_counted(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": 1}\n\n{"a": \n')
    with pytest.raises(DataError, match=r"rows\.jsonl:3: this line is not JSON"):
        list(files.read_jsonl(path))


@pytest.mark.parametrize("read", [files.read_json, lambda path: list(files.read_jsonl(path))])
def test_a_file_that_is_missing_or_no_text_is_a_data_error(tmp_path, read):
    with pytest.raises(DataError, match=r"gone\.json: there is no such file"):
        read(tmp_path / "gone.json")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"binary: this is not"):
        read(tmp_path / "binary")


def test_broken_json_is_named_by_line(tmp_path):
    (tmp_path / "x.json").write_text('{\n "a": 1,\n}')
    with pytest.raises(DataError, match=r"x\.json:3: this is not JSON"):
        files.read_json(tmp_path / "x.json")


def test_digests_are_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc" * 1_000_000)
    assert files.digest_file(tmp_path / "a") == hashlib.sha256(b"abc" * 1_000_000).hexdigest()
    assert files.digest_json({"b": [1, "é"], "a": None}) == hashlib.sha256(b'{"a":null,"b":[1,"\\u00e9"]}').hexdigest()


def test_a_json_digest_ignores_the_order_of_keys_but_not_of_lists():
    assert files.digest_json({"a": 1, "b": 2}) == files.digest_json({"b": 2, "a": 1})
    assert files.digest_json([1, 2]) != files.digest_json([2, 1])
    with pytest.raises(ValueError, match=r"not JSON compliant"):
        files.digest_json(float("inf"))


def test_a_folder_digest_depends_on_names_and_contents_and_not_on_order_or_place(tmp_path):
    def digest(place, **contents):
        folder = tmp_path / place
        folder.mkdir()
        for name, text in contents.items():
            (folder / name).write_text(text)
        paths = [folder / name for name in contents]
        assert files.digest_files(folder, paths) == files.digest_files(folder, paths[::-1])
        return files.digest_files(folder, paths)

    same = digest("one", a="1", b="2")
    assert digest("two", a="1", b="2") == same
    assert len({same, digest("three", a="2", b="1"), digest("four", a="12", b=""), digest("five", a="1", c="2")}) == 4


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ("lapd.result/2", "written by a newer LAPD .lapd.result/2; this one reads lapd.result/1.. Upgrade"),
        ("lapd.run/1", "this is not a lapd.result/1 record"),
        (None, "this is not a lapd.result/1 record"),
        ("lapd.result/new", "this is not a lapd.result/1 record"),
    ],
)
def test_another_schema_is_refused(found, message):
    with pytest.raises(StoreError, match=message):
        files.check_schema(Path("x.json"), found, "lapd.result/1")


def test_the_known_schema_is_taken():
    files.check_schema(Path("x.json"), "lapd.result/1", "lapd.result/1")


def test_an_older_schema_is_not_called_newer():
    with pytest.raises(StoreError) as caught:
        files.check_schema(Path("x.json"), "lapd.result/1", "lapd.result/2")
    assert "newer" not in str(caught.value)


def test_a_writable_folder_is_made_and_left_empty(tmp_path):
    assert files.writable_folder(tmp_path / "a" / "b") == tmp_path / "a" / "b"
    assert listing(tmp_path / "a" / "b") == []


def test_a_file_is_no_writable_folder(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"is a file, not a folder"):
        files.writable_folder(tmp_path / "file")
    with pytest.raises(OSError, match=r"Not a directory"):
        files.writable_folder(tmp_path / "file" / "below")


def test_a_folder_without_permission_is_refused(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    tmp_path.chmod(0o555)
    with pytest.raises(PermissionError):
        files.writable_folder(tmp_path)


def test_the_cache_is_where_the_environment_says(monkeypatch):
    monkeypatch.delenv("LAPD_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert files.cache_dir() == Path("/x/lapd")
    monkeypatch.setenv("LAPD_CACHE", "/y")
    assert files.cache_dir() == Path("/y")
    monkeypatch.delenv("LAPD_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert files.cache_dir() == Path.home() / ".cache" / "lapd"


def test_a_lock_keeps_others_out_until_its_file_is_closed(tmp_path: Path) -> None:
    with (tmp_path / ".lock").open("w") as first, (tmp_path / ".lock").open("w") as second:
        assert lock(first) and not lock(second, wait=False)
        first.close()
        assert lock(second, wait=False)


def test_a_file_system_without_locks_is_named_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    with (tmp_path / ".lock").open("w") as stream, pytest.raises(StoreError, match="No locks available"):
        lock(stream)
