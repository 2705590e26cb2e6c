"""Fetches benchmark data that is not shipped: the publishers' own files, each checked against its digest.

A digest pins a file's content wherever it comes from; a file of any other content is refused. What is fetched lies in
the layout of `--data-dir`: one folder for each publisher's data.
"""

from __future__ import annotations

import io
import json
import os
import sys
import urllib.request
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.error import HTTPError

from lapd._version import __version__
from lapd.errors import DataError, UnknownNameError, first_line
from lapd.files.progress import bar
from lapd.files.whole import atomic_path, digest_file

TIMEOUT = 30.0
"""Seconds that a server may be silent."""

BLOCK = 1 << 16

HUB = "hub:"


@dataclass(frozen=True)
class DataFile:
    """One file of a publisher.

    Attributes:
        name: its name in the data folder.
        url: where it is published; "hub:ID:SPLIT" is a data set of the Hugging Face hub, written as JSON lines.
        sha256: the digest of its content, 64 hex digits.
        member: its path in the ZIP archive that `url` is; None if `url` is the file itself.
        columns: of a data set of the hub, in their order.
    """

    name: str
    url: str
    sha256: str
    member: str | None = None
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class Source:
    """One publisher's data: their licence, and where to read about them."""

    name: str
    licence: str
    page: str
    files: tuple[DataFile, ...]


_AI2 = "https://storage.googleapis.com/ai2-mosaic/public/socialiqa/socialiqa-train-dev.zip"
_EQBENCH = "https://raw.githubusercontent.com/EQ-bench/EQ-Bench/2f6eab448812177bda543711390d81b97686b81c"

SOURCES = {
    source.name: source
    for source in (
        Source(
            "beavertails",
            "CC BY-NC 4.0, PKU-Alignment: not for commercial use",
            "https://huggingface.co/datasets/PKU-Alignment/BeaverTails-Evaluation",
            (
                DataFile(
                    "evaluation_700.jsonl",
                    f"{HUB}PKU-Alignment/BeaverTails-Evaluation:test",
                    "c9aaf94c592606e122c691a6b47222b3cb67fbb0b4e67cec22b027533ef8385a",
                    columns=("prompt", "category_id", "category"),
                ),
            ),
        ),
        Source(
            "eqbench",
            "MIT, Samuel J. Paech",
            "https://github.com/EQ-bench/EQ-Bench",
            (
                DataFile(
                    "eq_bench_v2_questions_171.json",
                    f"{_EQBENCH}/data/eq_bench_v2_questions_171.json",
                    "b4e9bf11df7e88bc12381efab18565f8b0ff0d4743fe8708c4482df91c4e617a",
                ),
            ),
        ),
        Source(
            "socialiqa",
            "CC BY 4.0, Allen Institute for AI",
            "https://leaderboard.allenai.org/socialiqa",
            (
                DataFile(
                    "dev.jsonl",
                    _AI2,
                    "d8128dfe60783a9971b954ca82dd57b87b05d5d40468876d51a8e1ad2c557465",
                    "socialiqa-train-dev/dev.jsonl",
                ),
                DataFile(
                    "dev-labels.lst",
                    _AI2,
                    "2d882ff71969d3980d37dd07aecdf9093c6e63e27c670f3a203bcf3b9b74bc05",
                    "socialiqa-train-dev/dev-labels.lst",
                ),
            ),
        ),
    )
}
"""What can be fetched, by the name of its folder below `--data-dir`."""


def fetch(name: str, data_dir: Path, mirror: str | None = None, *, quiet: bool = False) -> Path:
    """Put a publisher's files into `data_dir`/`name`, and return that folder. Files that are right are left alone.

    Args:
        name: of a source, such as "eqbench".
        data_dir: what `--data-dir` is to name afterwards.
        mirror: a folder, or an address, with `name`/FILE below it, instead of the publisher.
        quiet: show no progress and no licence.

    Raises:
        UnknownNameError: there is no such source.
        DataError: a file cannot be had, or is not the published one.
    """
    if name not in SOURCES:
        raise UnknownNameError("data set", name, SOURCES, f"Known: {', '.join(sorted(SOURCES))}.")
    source, folder = SOURCES[name], data_dir.expanduser() / name
    for file in source.files:
        path = folder / file.name
        if not (path.is_file() and digest_file(path) == file.sha256):
            with atomic_path(path) as temporary:
                _bring(source, file, temporary, mirror, quiet)
    if not quiet:
        print(f"{name}: {folder} (licence: {source.licence}; {source.page}).", file=sys.stderr)
    return folder


def _bring(source: Source, file: DataFile, path: Path, mirror: str | None, quiet: bool) -> None:
    """Write one file to `path`, or say in one line why it cannot be had."""
    origin = f"{mirror.rstrip('/')}/{source.name}/{file.name}" if mirror else file.url
    try:
        if origin.startswith(HUB):
            blocks = _hub_rows(origin.removeprefix(HUB), file.columns)
        else:
            blocks = _blocks(origin, file.name, quiet)
            if file.member and not mirror:
                blocks = _unpacked(blocks, file.member)
        with path.open("wb") as out:
            out.writelines(blocks)
    except FileNotFoundError:
        raise _cannot(source, origin, "there is no such file") from None
    except HTTPError as error:
        error.close()
        raise _cannot(source, origin, first_line(error)) from None
    except Exception as error:  # offline, gated, cut: each means that the data cannot be had from there
        raise _cannot(source, origin, first_line(getattr(error, "reason", None) or error)) from None
    if (digest := digest_file(path)) != file.sha256:
        raise _cannot(source, origin, f"its SHA-256 is {digest[:12]}..., not {file.sha256[:12]}...: another content")


def _cannot(source: Source, origin: str, reason: str) -> DataError:
    files = " and ".join(file.name for file in source.files)
    hint = (
        f"Give --data-dir (or LAPD_DATA_DIR) a folder with {source.name}/{files} from {source.page}, "
        f"or get a network: `lapd data fetch {source.name}`."
    )
    return DataError(origin, f"{source.name} could not be fetched ({reason}).", hint=hint)


def _blocks(origin: str, what: str, quiet: bool) -> Iterator[bytes]:
    """The bytes of a file or an address, under a progress bar."""
    with _opened(origin) as (stream, size), bar(size, f"fetch {what}", "B", quiet) as shown:
        while block := stream.read(BLOCK):
            shown.update(len(block))
            yield block


@contextmanager
def _opened(origin: str) -> Iterator[tuple[IO[bytes], int]]:
    """A stream of bytes, and how many there are (0: not known)."""
    if "://" not in origin:
        path = Path(origin).expanduser()
        with path.open("rb") as stream:
            yield stream, path.stat().st_size
        return
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "on", "yes", "true"):
        raise ConnectionError("HF_HUB_OFFLINE is set")
    request = urllib.request.Request(origin, headers={"User-Agent": f"lapd/{__version__}"})
    with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
        yield response, int(response.headers.get("Content-Length") or 0)


def _unpacked(blocks: Iterable[bytes], member: str) -> Iterator[bytes]:
    """A file in a ZIP archive that comes in blocks."""
    with zipfile.ZipFile(io.BytesIO(b"".join(blocks))) as archive:
        yield archive.read(member)


def _hub_rows(name: str, columns: tuple[str, ...]) -> Iterator[bytes]:
    """The rows of a data set of the hub, ID:SPLIT, as JSON lines with these columns."""
    from datasets import load_dataset

    from lapd.files.quiet import quiet_libraries

    identity, _, split = name.partition(":")
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    # `datasets` tries a place that cannot be reached for half a minute; this says so at once.
    with _opened(f"{endpoint}/api/datasets/{identity}") as (stream, _):
        revision = json.load(stream)["sha"]
    with quiet_libraries():
        rows = load_dataset(identity, split=split, revision=revision)
    for row in rows:
        yield json.dumps({column: row[column] for column in columns}, ensure_ascii=False).encode() + b"\n"
