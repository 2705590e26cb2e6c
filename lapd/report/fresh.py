"""Whether a page still says what its run says: what has changed in a run folder, by its files' times."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from lapd.files.whole import digest_json
from lapd.record.store import Store


def state(folder: Path) -> str:
    """12 hex digits that are others once a cell has finished, was judged or graded, or the run has other cells."""
    return digest_json(list(_changes(folder)))[:12]


def is_stale(page: Path, folder: Path) -> bool:
    """Whether a run's page is not there, or older than a result, a verdict or a grade of the run."""
    if not page.is_file():
        return True
    return any(changed >= page.stat().st_mtime_ns for _, changed in _changes(folder))


def _changes(folder: Path) -> Iterator[tuple[str, int]]:
    """The run's record and its finished cells, each with when it last changed, in nanoseconds."""
    yield "", (folder / "run.json").stat().st_mtime_ns
    for entry in Store(folder).finished():
        # A file that is put into a folder whole, as results, verdicts and grades are, changes the folder's own time.
        yield entry["cell"], os.stat(f"{folder}/cells/{entry['cell']}").st_mtime_ns  # noqa: PTH116
