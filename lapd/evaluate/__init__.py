"""Evaluating: arms x tasks are planned as cells, an executor runs those that are not done, results are kept.

Any number of processes may be at the same run: each takes cells that no other holds, and returns when all are done.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lapd.adapters import check_base
from lapd.errors import PluginError, UsageError
from lapd.evaluate.catalog import TaskInfo, find_task
from lapd.evaluate.plan import Arm, Cell, Settings, make_cells
from lapd.evaluate.served import ServedModel, check_tasks_generate
from lapd.evaluate.store import Store
from lapd.hookspecs import Executor, Judge
from lapd.judges import choose_judge
from lapd.models import BaseModel
from lapd.options import configured
from lapd.progress import bar
from lapd.questionnaires import read_questionnaire

if TYPE_CHECKING:
    from lapd.evaluate.engine import Engine

BUSY_SECONDS = 0.5
"""So long is waited before looking again whether another process has finished or left a cell."""

PATIENCE = 3
"""So many times in a row an executor may leave cells that nobody holds; once can be a process that has just died."""


def evaluate_arms(
    base: BaseModel,
    arms: Sequence[Arm],
    task_names: Sequence[str],
    run_folder: Path,
    settings: Settings | None = None,
    *,
    executor: str = "local",
    executor_options: Mapping[str, Any] | None = None,
    batch_size: int | None = None,
    judge: Judge | None = None,
    quiet: bool = False,
) -> Store:
    """Evaluate every arm on every task, skipping the cells that are done, and return the run's store.

    Args:
        base: from `resolve_base`, or from `lapd.evaluate.served.served_model`.
        arms: from `make_arms`.
        task_names: registered tasks or lm-eval's own.
        run_folder: where the run is kept; the same call again goes on where a killed one stopped.
        settings: seed, limit, precision, data folder and questionnaire.
        executor: which executor runs the cells.
        executor_options: what it takes, such as how many workers; not part of a cell's identity.
        batch_size: rows computed at once; not part of a cell's identity.
        judge: decides on the responses of judged tasks; by default the environment's, else one that needs no key.
        quiet: show no progress.

    Raises:
        UnknownNameError: no such task, executor or judge.
        BaseMismatchError: an adapter was trained on another base.
        StoreError: the folder belongs to another base or a newer LAPD.
        DataError: the questionnaire has no key, or is none.
        UsageError: there is a questionnaire, but no task that takes one; or an option that the executor does not take.
        LapdError: a cell failed.
    """
    cells = plan_cells(base, arms, task_names, settings or Settings(), judge, quiet=quiet)
    executing: Executor = configured("executors", executor, executor_options)
    store = Store(run_folder)
    store.enter(cells)
    todo = [cell for cell in cells if not store.is_done(cell.name)]
    if not quiet and any(cell.folds for cell in cells):
        print("The personas' prompts are put before the user's words (--fold-system-prompt).", file=sys.stderr)
    if not quiet:
        print(f"{len(cells)} cells, {len(cells) - len(todo)} of them done ({run_folder}).", file=sys.stderr)
    _run_cells(store, todo, executing, batch_size, quiet)
    for cell in cells:
        store.tidy(cell.name)
    return store


def plan_cells(
    base: BaseModel,
    arms: Sequence[Arm],
    task_names: Sequence[str],
    settings: Settings,
    judge: Judge | None = None,
    *,
    quiet: bool = False,
) -> list[Cell]:
    """The cells of `evaluate_arms`, checked; nothing is loaded or written.

    Raises:
        UnknownNameError, BaseMismatchError, DataError, UsageError: as `evaluate_arms`.
    """
    infos = [find_task(name, quiet=quiet) for name in dict.fromkeys(task_names)]
    if settings.questionnaire:
        _check_questionnaire(settings.questionnaire, infos, quiet)
    if isinstance(base, ServedModel):  # which weights it has is between the server and whoever started it
        check_tasks_generate(infos)
    else:
        for adapter in dict.fromkeys(arm.adapter for arm in arms if arm.adapter):
            check_base(adapter, base)
    if any(info.judged for info in infos):
        judge = judge or choose_judge()
    return make_cells(base, arms, infos, settings, judge)


def _check_questionnaire(path: str, infos: Sequence[TaskInfo], quiet: bool) -> None:
    """Refuse a questionnaire that cannot be used before any model is loaded; say what an unbalanced key does."""
    if not any(info.questionnaire for info in infos):
        names = ", ".join(info.name for info in infos)
        raise UsageError(f"None of the tasks takes a questionnaire: {names}.", "Ask for the task mbti.")
    warning = read_questionnaire(Path(path).expanduser()).warning
    if warning and not quiet:
        print(f"Warning: {path}: {warning}", file=sys.stderr)


def _run_cells(store: Store, todo: list[Cell], executor: Executor, batch_size: int | None, quiet: bool) -> None:
    """Have the executor run the cells, again and again until all are done: it passes over those that others hold."""
    run = _CellRunner(store, todo, batch_size, quiet)
    said, idle, free = quiet, 0, run.left()
    try:
        while left := run.left():
            if free:  # an executor may start machines: not for nothing
                executor.run(free, run)
            still = run.left()
            free = [cell for cell in still if not store.is_held(cell.name)]
            if len(still) < len(left):
                idle = 0
                continue
            held = len(free) < len(still)
            idle = 0 if held else idle + 1
            if idle == PATIENCE:
                raise PluginError(f"The executor {executor.name} leaves cells undone: {still[0].label()}.")
            if held and not said:
                print(f"Another process is at the cells that are left ({len(still)}): waiting for it.", file=sys.stderr)
                said = True
            time.sleep(BUSY_SECONDS)
    finally:
        run.close()


class _CellRunner:
    """Runs a cell, unless another process holds it, on an engine that is made when the first cell needs it.

    A copy in another process, which `pickle` makes, has an engine of its own and shows nothing; see
    `lapd.hookspecs.RunCell`.

    Args:
        store: where the cells are kept.
        todo: the cells to be run, of one base model and with the same settings.
        batch_size: rows computed at once; None for the engine's own.
        quiet: show no progress.
    """

    def __init__(self, store: Store, todo: Sequence[Cell], batch_size: int | None, quiet: bool) -> None:
        self.store, self.batch_size, self.quiet = store, batch_size, quiet
        self.folder = store.folder
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

    def __call__(self, cell: Cell) -> None:
        with self.store.claim(cell.name) as mine:
            if not mine:
                return
            if not self.store.is_done(cell.name):
                self._run(cell)
            self._finished(cell.name)

    def _run(self, cell: Cell) -> None:
        engine = self._engine or self._start()
        self._bar.set_description(f"evaluate {cell.label()} ({len(self._left)} cells left)")
        before = self._bar.n
        engine.run(cell, self.store, self._bar.update)
        self._bar.n = before  # what is done counts as planned, once

    def _start(self) -> Engine:
        """Load everything, and survey the work there is."""
        from lapd.evaluate.engine import BATCH_SIZE, Engine

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
