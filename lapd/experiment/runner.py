"""Runs cells: what an executor is given (`lapd.hookspecs.RunUnit`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lapd.files.progress import bar
from lapd.record.cells import Cell
from lapd.record.store import Store

if TYPE_CHECKING:
    from lapd.answering.engine import Engine


class CellRunner:
    """Runs a cell, unless another process holds it, on an engine that is made when the first cell needs it.

    A copy in another process, which `pickle` makes, has an engine of its own and shows nothing; see
    `lapd.hookspecs.RunUnit`.

    Args:
        store: where the cells are kept.
        todo: the cells to be run, of one base model and with the same settings.
        batch_size: rows computed at once; None for the engine's own.
        quiet: show no progress.
    """

    unit, verb = "cell", "evaluate"

    def __init__(self, store: Store, todo: Sequence[Cell], batch_size: int | None, quiet: bool) -> None:
        self.store, self.batch_size, self.quiet = store, batch_size, quiet
        self.folder = self.logs = store.folder
        self.marker = store.folder / "run.json"
        self._left = {cell.name: cell for cell in todo}
        self._engine: Engine | None = None
        self._work: dict[str, int] = {}
        self._bar: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"quiet": True, "_engine": None, "_work": {}, "_bar": None}

    def left(self) -> list[Cell]:
        """The cells that are not done yet, whoever is at them."""
        for name in [name for name in self._left if self.store.is_done(name)]:
            self._finished(name)
        return list(self._left.values())

    def is_held(self, unit: Cell) -> bool:
        """Whether a process is at work on the cell."""
        return self.store.is_held(unit.name)

    def __call__(self, unit: Cell) -> None:
        with self.store.claim(unit.name) as mine:
            if not mine:
                return
            if not self.store.is_done(unit.name):
                self._run(unit)
            self._finished(unit.name)

    def _run(self, cell: Cell) -> None:
        engine = self._engine or self._start()
        self._bar.set_description(f"evaluate {cell.label()} ({len(self._left)} cells left)")
        before = self._bar.n
        engine.run(cell, self.store, self._bar.update)
        self._bar.n = before  # what is done counts as planned, once

    def _start(self) -> Engine:
        """Load everything, and survey the work there is."""
        from lapd.answering.engine import BATCH_SIZE, Engine

        todo = list(self._left.values())
        settings = todo[0].settings
        self._engine = Engine(
            todo[0].base,
            list(dict.fromkeys(cell.arm.adapter for cell in todo if cell.arm.adapter)),
            settings.dtype,
            settings.data_dir,
            self.batch_size or BATCH_SIZE,
            settings.questionnaire,
            self.quiet,
            self.store.date(),
        )
        # A prompt is a shared prefix and costs next to nothing, so one arm's work stands for every arm's.
        by_task = {cell.task.name: cell for cell in todo}
        self._work = {name: self._engine.work(cell) for name, cell in by_task.items()}
        self._bar = bar(sum(self._work[cell.task.name] for cell in todo), "evaluate", "token", self.quiet)
        return self._engine

    def _finished(self, name: str) -> None:
        if (cell := self._left.pop(name, None)) and self._bar is not None:
            self._bar.update(self._work[cell.task.name])

    def close(self) -> None:
        """End the progress bar."""
        if self._bar is not None:
            self._bar.close()
