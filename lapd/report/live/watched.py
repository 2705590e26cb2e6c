"""A run that is watched while its cells are running: how far it is, and its page, made anew after each cell."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lapd.errors import LapdError
from lapd.record.store import Store
from lapd.report.fresh import state
from lapd.report.page import report_text
from lapd.report.rendering import SCRIPTS, render

MARK = "<!--how far-->"
"""Where a page says how far the run is; whatever else is in a page is escaped, so this stands in it once."""

SCRIPT = "live/live.js"

WAITING, PROGRESS = "live/waiting.html.j2", "live/progress.html.j2"

AT_WORK = 4
"""So many cells that are being computed are named."""

REST = 10
"""A page that took a second to make is not made again for so many: the cells need the processor more."""


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        done: cells with a result.
        total: all cells; 0 before any is planned, while adapters are trained.
        at_work: cells that are begun, with their batches.
        page: what the page says, as `state` has it; another once it says something else.
    """

    done: int
    total: int
    at_work: list[str]
    page: str

    @property
    def unfinished(self) -> bool:
        """Whether anything is still to come."""
        return self.done < self.total or not self.total

    @property
    def words(self) -> str:
        """One sentence of it."""
        if not self.total:
            return "No cell is planned yet: adapters come first."
        text = f"{self.done} of {self.total} cells are finished."
        return f"{text} At work: {'; '.join(self.at_work)}." if self.at_work else text

    def as_json(self) -> dict[str, Any]:
        """What the page asks for again and again."""
        return {**vars(self), "words": self.words, "unfinished": self.unfinished}


class Watched:
    """A run and the page that was last made of it. Nothing is written; threads may share it.

    Args:
        folder: the run's.
        reading: `judge`, `persona` and `samples`, as `lapd.report.page.report_text` takes them.

    Raises:
        StoreError: this is no run folder, or a newer LAPD wrote it.
    """

    def __init__(self, folder: Path, **reading: Any) -> None:
        self.folder, self._reading, self._store = folder, reading, Store(folder)
        if not (folder / "adapters").is_dir():  # where an experiment's are, before there is a run
            self._store.run()
        self._lock = threading.Lock()
        self._state, self._text, self._again = "", "", 0.0

    def progress(self, page: str | None = None) -> Progress:
        """How far the run is; `page` is what the page says to which this belongs, None for what one would say now."""
        cells = self._record()["cells"].values()
        waiting = [entry for entry in cells if not self._store.is_done(entry["cell"])]
        begun = {f"{e['arm']} on {e['task']}": self._store.batches(e["cell"]) for e in waiting}
        at_work = [f"{label} ({n} batch{'es' if n > 1 else ''})" for label, n in begun.items() if n]
        said = self._current() if page is None else page
        return Progress(len(cells) - len(waiting), len(cells), at_work[:AT_WORK], said)

    def page(self) -> str:
        """The report, or while nothing can be compared what there is, with how far the run is above it."""
        with self._lock:
            if (now := self._current()) != self._state:
                begun = time.monotonic()
                self._text = self._made()
                self._state, self._again = now, time.monotonic() + REST * (time.monotonic() - begun)
            text, said = self._text, self._state
        before, mark, behind = text.partition(MARK)
        assert mark, "every page of a watched run has a place for it"
        return before + render({"progress": self.progress(said)}, PROGRESS, scripts=()) + behind

    def _record(self) -> Mapping[str, Any]:
        return self._store.run() if (self.folder / "run.json").is_file() else {"cells": {}}

    def _current(self) -> str:
        """What a page would say now; what the last one says, as long as it is too early for another."""
        if self._state and time.monotonic() < self._again:
            return self._state
        return state(self.folder) if (self.folder / "run.json").is_file() else "none"

    def _made(self) -> str:
        why = ""
        if (self.folder / "run.json").is_file():
            try:
                return report_text(self.folder, **self._reading, live=MARK, scripts=(*SCRIPTS, SCRIPT))
            except LapdError as error:
                why = str(error)
        return render(self._first_numbers(why), WAITING, scripts=(SCRIPT,))

    def _first_numbers(self, why: str) -> dict[str, Any]:
        """What a page says before there is a comparison."""
        from markupsafe import Markup

        results = self._store.results() if self._record()["cells"] else []
        return {"title": self.folder.resolve().name, "why": why, "results": results, "live": Markup(MARK)}
