"""Reading and writing files so that a killed process leaves nothing half-written, and digests of what is in them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from lapd.errors import DataError, StoreError, UsageError, first_line
from lapd.files.text import open_text


def cache_dir() -> Path:
    """LAPD's cache: `$LAPD_CACHE`, else `$XDG_CACHE_HOME/lapd`, else `~/.cache/lapd`.

    Where there is no home directory, or nothing can be written there, it is a temporary folder of the user's, which is
    said once on standard error.
    """
    if own := os.environ.get("LAPD_CACHE"):
        return Path(own)
    return _home_cache() or _temporary_cache()


def _home_cache() -> Path | None:
    """The cache below the home directory; None where it is not there and cannot be made."""
    try:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "lapd"
        folder.mkdir(parents=True, exist_ok=True)
    except (RuntimeError, OSError):  # RuntimeError is pathlib's, of a user without a home
        return None
    return folder


def find_a_home() -> None:
    """Let Hugging Face's libraries keep their files beside LAPD's cache where that is a temporary folder."""
    if not os.environ.keys() & {"LAPD_CACHE", "HF_HOME"} and _home_cache() is None:
        os.environ["HF_HOME"] = str(_temporary_cache() / "huggingface")


@cache
def _temporary_cache() -> Path:
    """A folder of the user's that lasts as long as temporary files do.

    Raises:
        StoreError: it is somebody else's.
    """
    folder = Path(tempfile.gettempdir()) / f"lapd-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    hint = "Set LAPD_CACHE to a folder of your own."
    if folder.stat().st_uid != os.getuid():
        raise StoreError(f"{folder}, which would be the cache, is another user's.", hint)
    print(f"There is no home directory that can be written: LAPD's cache is {folder}. {hint}", file=sys.stderr)
    return folder


def canonical_json(value: Any) -> str:
    """The one spelling of `value` as JSON: sorted keys, no spaces, ASCII. What digests are taken over."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def digest_json(value: Any) -> str:
    """SHA-256 of `value`'s canonical JSON, as 64 hex digits."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def digest_file(path: Path) -> str:
    """SHA-256 of a file's bytes, as 64 hex digits."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def digest_files(folder: Path, paths: Iterable[Path]) -> str:
    """SHA-256 over the names (relative to `folder`) and contents of `paths`, whatever their order."""
    return digest_json(sorted((p.relative_to(folder).as_posix(), digest_file(p)) for p in paths))


LONGEST_NAME = 200
"""Bytes of a file's name that LAPD makes up: file systems take 255, and what is beside it has longer ones."""


def fitting_name(text: str) -> str:
    """A name made of others, cut where it is too long for a file system; a digest then tells it from its like."""
    if len(os.fsencode(text)) <= LONGEST_NAME:
        return text
    return f"{_cut(text, LONGEST_NAME - 9)}-{digest_json(text)[:8]}"


def _cut(text: str, most: int) -> str:
    """As much of a text as fits into so many bytes."""
    return os.fsencode(text)[:most].decode(errors="ignore")


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`; renamed to `path` when the block succeeds, removed when it fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{_cut(path.name, LONGEST_NAME)}.", suffix=".tmp", dir=path.parent)
    os.close(descriptor)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        _make_readable(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """A temporary folder beside `path`; renamed to `path` when the block succeeds, removed when it fails.

    If there is such a folder by then (another process was first), it stays, unless it is to be replaced.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{_cut(path.name, LONGEST_NAME)}.", suffix=".tmp", dir=path.parent))
    try:
        yield temporary
        make_folder_readable(temporary)
        old = temporary.with_suffix(".old")
        if replace and path.exists():
            path.replace(old)
        if not path.exists():
            temporary.replace(path)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _make_readable(path: Path) -> None:
    """Give a file or folder the permissions that any other of the user's has; temporary ones are made private."""
    mask = os.umask(0)
    os.umask(mask)
    path.chmod((0o777 if path.is_dir() else 0o666) & ~mask)


def make_folder_readable(folder: Path) -> None:
    """Undo what temporary files and safetensors do to permissions, in a whole folder."""
    for path in [folder, *folder.rglob("*")]:
        _make_readable(path)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path`, whole or not at all.

    Half a character, as names of files may have it that are no UTF-8, is written as an escape, which JSON reads again.
    """
    with atomic_path(path) as temporary:
        temporary.write_bytes(text.encode("utf-8", "backslashreplace"))


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, whole or not at all. Not-a-number is refused: JSON has none."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def write_jsonl(path: Path, rows: Iterable[Any]) -> None:
    """Write one JSON value a line, whole or not at all."""
    write_text(path, "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows))


def read_json(path: Path) -> Any:
    """The JSON value in `path`.

    Raises:
        DataError: the file is missing or is not JSON.
    """
    try:
        with open_text(path) as stream:
            return json.load(stream)
    except UnicodeDecodeError as error:
        raise DataError(path, f"this is not JSON in UTF-8 ({error.reason}).", hint="Save it as UTF-8.") from None
    except (ValueError, RecursionError) as error:
        raise DataError(path, f"this is not JSON ({first_line(error)}).", getattr(error, "lineno", None)) from None


def read_record(path: Path, schema: str) -> dict[str, Any]:
    """The record in `path`: a JSON object that names its schema, such as "lapd.run/1".

    Raises:
        DataError: the file is missing or is not a JSON object.
        StoreError: its schema is another, or of another version.
    """
    record = read_json(path)
    if not isinstance(record, dict):
        raise DataError(path, f"this is not a {schema} record but {type(record).__name__}.")
    check_schema(path, record.get("schema"), schema)
    return record


def read_jsonl(path: Path) -> Iterator[tuple[int, Any]]:
    """Each line's number (from 1) and JSON value; blank lines are skipped.

    Raises:
        DataError: the file is missing or a line is not JSON.
    """
    number = 0
    try:
        with open_text(path) as stream:
            for number, line in enumerate(stream, 1):
                if line.strip():
                    yield number, json.loads(line.lstrip("\ufeff"))  # where several such files were put together
    except UnicodeDecodeError as error:
        raise DataError(path, f"this is not UTF-8 text ({error.reason}).", hint="Save it as UTF-8.") from None
    except (ValueError, RecursionError) as error:
        what = getattr(error, "msg", first_line(error))
        raise DataError(path, f"this line is not JSON ({what}).", number, "Mend or delete it.") from None


def check_schema(path: Path, found: object, expected: str) -> None:
    """Refuse a record whose schema this LAPD does not know.

    Args:
        path: the file that the record came from, for the message.
        found: the record's `schema` field, such as "lapd.result/1".
        expected: what this LAPD writes, in the same form.

    Raises:
        StoreError: another kind of record, or one that a newer LAPD wrote.
    """
    if found == expected:
        return
    kind, _, version = str(found).rpartition("/")
    ours, _, our_version = expected.rpartition("/")
    if kind == ours and version.isdigit():
        newer = int(version) > int(our_version)
        advice = "Upgrade lapd." if newer else "Make it anew."
        age = "a newer" if newer else "an older"
        raise StoreError(f"{path}: written by {age} LAPD ({found}; this one reads {expected}).", advice)
    raise StoreError(f"{path}: this is not a {expected} record (schema: {found!r}).")


def writable_folder(path: Path) -> Path:
    """Make `path` if need be and check that files can be made in it, before hours of work are spent for it.

    Raises:
        UsageError: `path` is a file.
        OSError: no permission, read-only or no space; the command line turns these into one line.
    """
    if path.is_file():
        raise UsageError(f"{path} is a file, not a folder.", "Give another output folder.")
    path.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=path) as probe:
        probe.write(b"x" * 4096)
    return path
