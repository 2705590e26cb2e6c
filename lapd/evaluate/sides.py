"""Sides as names for tasks: `--tasks trait,cost` is every task of theirs that can run here as things stand.

What cannot is left out, with the reason in one line: its data are not here, it needs a judge and none was named, its
pairs are nobody's, or the tokenizer of a served model is not at hand.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lapd.adapters.adapter import Adapter
from lapd.catalog.find import tasks
from lapd.catalog.gathered import OURS, task_folders
from lapd.catalog.groups import find_tasks
from lapd.catalog.live import load_task
from lapd.catalog.task import SIDES, Group, TaskInfo
from lapd.errors import LapdError, UsageError, first_line
from lapd.evaluate.own_pairs import with_pairs
from lapd.files.fetch import SOURCES
from lapd.files.whole import cache_dir
from lapd.judges.choosing import NAME_VARIABLE
from lapd.record.cells import Settings

NO_PAIRS = "there are no pairs that the training of every adapter here was kept from; --pairs FILE names some."


@dataclass(frozen=True)
class Means:
    """What there is to run tasks with.

    Attributes:
        settings: the evaluation's.
        adapters: the run's.
        judge: whether a judge was named.
        written: whether tasks can only be answered in writing: by a server whose tokenizer is not at hand.
    """

    settings: Settings
    adapters: Sequence[Adapter] = ()
    judge: bool = False
    written: bool = False


def chosen_tasks(names: Sequence[str], means: Means, *, quiet: bool = False) -> list[TaskInfo]:
    """The tasks that names of tasks, groups, tags and sides stand for, each once; a side is a group of its tasks.

    A task that is named itself is never left out: what it lacks is an error, as without sides.

    Args:
        names: as `find_tasks` takes them, and any of `SIDES`.
        means: what there is to run them with.
        quiet: do not say what is left out, nor that lm-eval's own tasks are being indexed.

    Raises:
        UnknownNameError, UsageError: as `find_tasks`; or no task of a side can run here.
    """
    found = {info.name: info for info in find_tasks([n for n in names if n not in SIDES], quiet=quiet)}
    for side in dict.fromkeys(name for name in names if name in SIDES):
        able = []
        for info in sorted((i for i in tasks().values() if i.side == side), key=lambda info: info.name):
            lack = None if info.name in found else _lack(info, means)
            if lack is None:
                able.append(found.get(info.name, info))
            elif not quiet:
                print(f"{info.name} is left out: {lack}", file=sys.stderr)
        if not able:
            raise UsageError(f"No task of the side {side} can run here.", "`lapd tasks` shows on which side each is.")
        group = Group(side, tuple(info.name for info in able))
        found |= {info.name: replace(info, groups=(*info.groups, group)) for info in able}
    return list(found.values())


def _lack(info: TaskInfo, means: Means) -> str | None:
    """What a task needs that is not here, in a sentence; None for nothing."""
    if means.written and info.kind != "generate_until":
        return "it needs log-likelihoods, and no tokenizer of the served model is at hand: name one with --tokenizer."
    if info.judged and not (means.judge or os.environ.get(NAME_VARIABLE)):
        return "it needs a judge: name one with --judge."
    if info.publisher and info.publisher in SOURCES:
        there = _data_are_there(info.publisher, means.settings.data_dir)
        return None if there else f"its data are not here: `lapd data fetch {info.publisher} --data-dir DIR`."
    if info.pairs:
        return _lacks(lambda: with_pairs([info], means.adapters, means.settings.pairs)) and NO_PAIRS
    if info.written or info.include_path == task_folders()[OURS]:
        return None
    # Where a plugin's task has its data, nothing else tells.
    return _lacks(lambda: load_task(info, means.settings.data_dir))


def _lacks(needed: Callable[[], object]) -> str | None:
    """Why something that a task needs cannot be had, in a sentence; None where it can."""
    try:
        needed()
    except LapdError as error:
        return first_line(error)
    return None


def _data_are_there(publisher: str, data_dir: str | None) -> bool:
    """Whether a publisher's files are in the data folder or, where none is named, were fetched before."""
    root = data_dir or os.environ.get("LAPD_DATA_DIR")
    folder = (Path(root).expanduser() if root else cache_dir() / "data") / publisher
    return all((folder / file.name).is_file() for file in SOURCES[publisher].files)
