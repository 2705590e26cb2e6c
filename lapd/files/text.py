"""Text files of whatever origin: compressed, with a byte-order mark, or something else that is refused by its name."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from lapd.errors import DataError, first_line

COMPRESSIONS: dict[bytes, tuple[str, Callable[..., IO[Any]]]] = {
    b"\x1f\x8b": (".gz", gzip.open),
    b"BZh": (".bz2", bz2.open),
    b"\xfd7zXZ\x00": (".xz", lzma.open),
}
"""What is unpacked while it is read: the first bytes, the usual end of the name, and how."""

NO_TEXT = (
    (b"\xff\xfe", "this is not UTF-8 text but UTF-16.", "Save it as UTF-8."),
    (b"\xfe\xff", "this is not UTF-8 text but UTF-16.", "Save it as UTF-8."),
    (b"PK\x03\x04", "this is not text but a ZIP archive or a spreadsheet.", "Unpack it, or save it as CSV in UTF-8."),
    (b"\x28\xb5\x2f\xfd", "this is not text but compressed with zstd.", "Unpack it first."),
    (b"version https://git-lfs", "this is not the file but a pointer of Git LFS.", "Fetch it: git lfs pull."),
)
"""What is refused by its first bytes, and what to do."""


@contextmanager
def open_text(path: Path, newline: str | None = None) -> Iterator[IO[str]]:
    """A file's text: UTF-8 without its byte-order mark, unpacked where it is compressed, whatever its name.

    Args:
        path: the file.
        newline: as in `open`.

    Raises:
        DataError: there is no such file, it is damaged, or it is plainly no UTF-8 text.
        UnicodeDecodeError: what is not UTF-8 further on.
    """
    head = first_bytes(path)
    opener = next((opener for start, (_, opener) in COMPRESSIONS.items() if head.startswith(start)), open)
    try:
        with opener(path, "rt", encoding="utf-8-sig", newline=newline) as stream:
            yield stream
    except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
        message = f"this compressed file is damaged, or not all of it is here ({first_line(error)})."
        raise DataError(path, message, hint="Copy it again.") from None


def first_bytes(path: Path) -> bytes:
    """The first bytes of a file that may well be what its name says.

    Raises:
        DataError: there is no such file, or it is one of `NO_TEXT`.
    """
    try:
        with path.open("rb") as stream:
            head = stream.read(64)
    except FileNotFoundError:
        raise DataError(path, "there is no such file.") from None
    except IsADirectoryError:
        raise DataError(path, "this is a folder, not a file.") from None
    for start, what, hint in NO_TEXT:
        if head.startswith(start):
            raise DataError(path, what, hint=hint)
    if len(head) > 3 and (head[1] == head[3] == 0 or head[0] == head[2] == 0):
        raise DataError(path, "this is not UTF-8 text but UTF-16.", hint="Save it as UTF-8.")
    return head


def is_whole(text: str) -> bool:
    """Whether a text can be written: no half of a character (a lone surrogate), as JSON's escapes can give."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
