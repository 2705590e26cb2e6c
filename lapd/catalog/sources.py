"""Which files on this disk settle what a task asks and how it scores, and their digests."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from lapd.errors import PluginError
from lapd.files.whole import digest_file, digest_json

ABOUT = ("README", "LICENSE", "CHANGELOG", "CITATION")
"""Files whose names begin so are about a task, not of it."""

MADE = ("__pycache__", "node_modules")


def files_of(folder: Path) -> list[Path]:
    """Every file below a task's folder, whatever its form, but hidden ones, compiled ones and those about the task."""
    return sorted(path for path in _walk(folder, set()) if path.is_file() and _counts(path.relative_to(folder)))


def _walk(folder: Path, entered: set[Path]) -> Iterator[Path]:
    """Everything below a folder, also where a link leads; no folder twice."""
    if (real := folder.resolve()) in entered:
        return
    entered.add(real)
    for path in folder.iterdir():
        yield path
        if path.is_dir():
            yield from _walk(path, entered)


def _counts(path: Path) -> bool:
    hidden = any(part.startswith(".") or part in MADE for part in path.parts)
    return not hidden and path.suffix != ".pyc" and not path.stem.upper().startswith(ABOUT)


def shared_files(include_path: Path) -> list[Path]:
    """What the tasks below a registered folder share: its own files, and its subfolders without any task."""
    found = [path for path in include_path.iterdir() if path.is_file() and _counts(Path(path.name))]
    found = [path for path in found if path.suffix != ".yaml"]
    for folder in include_path.iterdir():
        if folder.is_dir() and _counts(Path(folder.name)) and not any(folder.rglob("*.yaml")):
            found += files_of(folder)
    return sorted(found)


def declared_files(folder: Path, patterns: Iterable[str]) -> list[Path]:
    """The files that a task declares as its own, by patterns from its YAML's folder.

    Raises:
        PluginError: a pattern matches none.
    """
    found: dict[Path, None] = {}
    for pattern in patterns:
        matching = sorted(glob.glob(pattern, root_dir=folder, recursive=True))  # noqa: PTH207
        files = [file for name in matching for file in _all_in(folder / name)]
        if not files:
            raise PluginError(f"A task in {folder} declares the files {pattern!r}, but there are none.")
        found |= dict.fromkeys(files)
    return list(found)


def named_files(names: Iterable[str]) -> list[Path]:
    """The files among what a YAML gives to `datasets` as `dataset_path` and `dataset_kwargs`; the rest is elsewhere."""
    found: dict[Path, None] = {}
    for name in names:
        places = glob.glob(name) if glob.has_magic(name) else [name]  # noqa: PTH207
        found |= dict.fromkeys(file for place in sorted(places) for file in _all_in(Path(place)))
    return list(found)


def names_in(config: Mapping[str, Any]) -> tuple[str, ...]:
    """What may be files in a task's `dataset_path` and `dataset_kwargs`."""
    path = str(config.get("dataset_path") or "")
    return tuple(filter(None, [path if "/" in path else "", *_texts(config.get("dataset_kwargs"))]))


def filters_in(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The names in a task's `filter_list`."""
    listed = config.get("filter_list") or []
    return tuple(str(one.get("name")) for one in listed if isinstance(one, dict)) if isinstance(listed, list) else ()


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from _texts(part)
    elif isinstance(value, list):
        for part in value:
            yield from _texts(part)


def _all_in(place: Path) -> list[Path]:
    """The file, or every file of the folder."""
    return files_of(place) if place.is_dir() else [place] if place.is_file() else []


def digest_tree(folder: Path, paths: Iterable[Path]) -> str:
    """SHA-256 over the names (relative to `folder`) and contents of files below it; each is read once a process."""
    return digest_json(sorted((path.relative_to(folder).as_posix(), digest_of(path)) for path in paths))


def digest_of(path: Path) -> str:
    """SHA-256 of a file's bytes, read once as long as its size and times stay."""
    stat = path.stat()
    return _remembered(path, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


@lru_cache(maxsize=4096)
def _remembered(path: Path, *stamp: int) -> str:
    return digest_file(path)
