"""The index: one page that puts several runs beside each other and links to each one's own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from lapd._version import __version__
from lapd.compare.comparisons import Comparison
from lapd.errors import UsageError
from lapd.files.whole import write_text
from lapd.report.fresh import is_stale
from lapd.report.labels import SIDES, in_words, moved, shown, unit
from lapd.report.page import page_name, write_report
from lapd.report.rendering import anchor, render
from lapd.report.several.runs import ShownRun, differences, read_runs, shared_tasks, side_by_side

TEMPLATE = "several/index.html.j2"


@dataclass(frozen=True)
class Index:
    """What was written.

    Attributes:
        page: the index.
        runs: what it shows.
        pages: each run's own page.
        differs: what the runs were made with that is not the same in all.
    """

    page: Path
    runs: list[ShownRun]
    pages: list[Path]
    differs: dict[str, list[str]]

    def as_json(self) -> dict[str, Any]:
        """What `lapd report RUN RUN2 --json` prints."""
        runs = [
            {
                "run": str(run.folder),
                "name": run.name,
                "report": str(page),
                "base": run.record["base"]["name"],
                "cells": len(run.cells),
                "unfinished": run.unfinished,
            }
            for run, page in zip(self.runs, self.pages, strict=True)
        ]
        size = self.page.stat().st_size
        return {
            "report": str(self.page),
            "bytes": size,
            "runs": runs,
            "differs": self.differs,
            "tasks": shared_tasks(self.runs),
        }


def write_index(
    folders: Sequence[Path],
    out: Path,
    judge: str | None = None,
    persona: str | None = None,
    samples: int | None = None,
) -> Index:
    """Write the index of several runs, and each run's own page where it is not there or older than the run.

    Args:
        folders: the runs', two or more.
        out: the index.
        judge, persona: as `lapd.report.page.write_report` takes them, of all runs.
        samples: of each run's own page, which is then written in any case.

    Raises:
        UsageError: a run is there twice; or as `write_report`.
        StoreError, OSError: as `write_report`.
    """
    places = [folder.resolve() for folder in folders]
    if twice := [str(f) for f, place in zip(folders, places, strict=True) if places.count(place) > 1]:
        raise UsageError(f"{twice[-1]} is there twice.", "Name each run once.")
    runs = read_runs(folders, judge, persona)
    pages = [folder / page_name(judge, persona) for folder in folders]
    if out.resolve() in [page.resolve() for page in pages]:
        raise UsageError(f"{out} is a run's own page.", "Give the index another name with -o.")
    for folder, page in zip(folders, pages, strict=True):
        if samples is not None or is_stale(page, folder):
            write_report(folder, page, judge, persona, samples)
    differs = differences(runs)
    write_text(out, render(_context(runs, [_link(page, out) for page in pages], differs), TEMPLATE, scripts=()))
    return Index(out, runs, pages, differs)


def _link(page: Path, out: Path) -> str:
    """From the index to a page; it begins with a dot, so that no folder's name is taken for a scheme."""
    way = os.path.relpath(page.resolve(), out.resolve().parent)
    return quote(way if way.startswith("..") else f"./{way}", errors="surrogateescape")


def _context(runs: Sequence[ShownRun], links: Sequence[str], differs: dict[str, list[str]]) -> dict[str, Any]:
    shared = shared_tasks(runs)
    alone = {run.name: [task for task in run.tasks if task not in shared] for run in runs}
    return {
        "runs": [{"run": run, "link": link} for run, link in zip(runs, links, strict=True)],
        "differs": differs,
        "tasks": [
            {
                "name": task,
                "anchor": anchor("task", task),
                "side": SIDES.get(first.side, ""),
                "metric": in_words(first),
                "unit": unit(first),
                "lines": [(arm, against, [row and _cell(row) for row in rows]) for arm, against, rows in lines],
            }
            for task in shared
            for lines in side_by_side(runs, task).values()
            for first in [next(row for _, _, rows in lines for row in rows if row)]
        ],
        "alone": {name: tasks for name, tasks in alone.items() if tasks},
        "lapd": __version__,
    }


def _cell(row: Comparison) -> dict[str, Any]:
    return {"row": row, "shown": shown(row), "moved": moved(row), "up": row.difference > 0}
