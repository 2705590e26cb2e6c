"""Evaluating: arms x tasks are planned as cells, an executor runs those that are not done, results are kept.

Any number of processes may be at the same run: each takes cells that no other holds, and returns when all are done.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lapd.adapters.adapter import check_base
from lapd.adapters.whole import WholeModel
from lapd.catalog.task import TaskInfo
from lapd.errors import PluginError, UsageError
from lapd.evaluate.own_pairs import with_pairs
from lapd.evaluate.plan import make_cells
from lapd.evaluate.served import ServedModel, check_tokenizer
from lapd.evaluate.sides import Means, chosen_tasks
from lapd.experiment.runner import CellRunner
from lapd.hookspecs import Executor, Judge
from lapd.judges.choosing import choose_judge
from lapd.models.base import BaseModel
from lapd.options import configured
from lapd.questionnaires.reading import read_questionnaire
from lapd.record.cells import Arm, Cell, Settings
from lapd.record.store import Store
from lapd.units import run_units


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
        task_names: registered tasks or lm-eval's own, groups of them, or sides ("trait", "cost", "check").
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
        print("System prompts are put before the user's words (--fold-system-prompt).", file=sys.stderr)
    if not quiet:
        for remark in dict.fromkeys(_remarks(cells)):
            print(remark, file=sys.stderr)
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
    adapters = list(dict.fromkeys(arm.adapter for arm in arms if arm.adapter))
    means = Means(settings, adapters, judge is not None, isinstance(base, ServedModel) and base.tokenizer is None)
    infos = chosen_tasks(task_names, means, quiet=quiet)
    infos = with_pairs(infos, adapters, settings.pairs)
    if settings.questionnaire:
        _check_questionnaire(settings.questionnaire, infos, quiet)
    if settings.temperature and not any(info.writes for info in infos):
        what = f"None of the tasks is answered in writing, so nothing can be drawn: {', '.join(i.name for i in infos)}."
        raise UsageError(what, "Leave --temperature and --samples out, or ask a task such as situations_open.")
    if settings.top_p < 1 and isinstance(base, ServedModel):
        raise UsageError("--top-p is the server's to settle.", "Leave it out.")
    if isinstance(base, ServedModel):  # which weights it has is between the server and whoever started it
        check_tokenizer(base, infos)
    else:
        for adapter in adapters:
            check_base(adapter, base)
    for info in infos:
        if info.judged and len(info.filters) > 1:
            what = f"The task {info.name} is judged and has several filters: {', '.join(info.filters)}."
            raise PluginError(what, "Leave it the one whose answers are judged.")
    if any(info.judged for info in infos):
        judge = judge or choose_judge()
    return make_cells(base, arms, infos, settings, judge)


def _remarks(cells: Sequence[Cell]) -> Iterator[str]:
    """What is to be known of whole models that read otherwise than the base."""
    for cell in cells:
        if isinstance(cell.arm.adapter, WholeModel) and (remark := cell.arm.adapter.remark()):
            yield remark


def _check_questionnaire(path: str, infos: Sequence[TaskInfo], quiet: bool) -> None:
    """Refuse a questionnaire that cannot be used before any model is loaded; say what an unbalanced key does."""
    if not any(info.questionnaire for info in infos):
        names = ", ".join(info.name for info in infos)
        raise UsageError(f"None of the tasks takes a questionnaire: {names}.", "Ask for the task mbti.")
    warning = read_questionnaire(Path(path).expanduser()).warning
    if warning and not quiet:
        print(f"Warning: {path}: {warning}", file=sys.stderr)


def _run_cells(store: Store, todo: list[Cell], executor: Executor, batch_size: int | None, quiet: bool) -> None:
    run = CellRunner(store, todo, batch_size, quiet)
    try:
        run_units(executor, run, quiet)
    finally:
        run.close()
