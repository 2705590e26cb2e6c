"""The items in the page: packed for the script, and a few of each task open, for whoever reads without it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lapd.items.gather import TaskItems, arms_of, items_of
from lapd.items.pack import most_changed, pack, task_record
from lapd.items.visible import visible
from lapd.report.contents import RunContents
from lapd.report.labels import phrase

MOST_ITEMS = 8
"""Items of each task that are shown without the script."""

MOST_ANSWERS = 80
"""Answers of each task that are shown without the script: with many arms there are fewer items."""


@dataclass(frozen=True)
class ShownTask:
    """The items of a task in the page.

    Attributes:
        name: the task's.
        description: what it says of itself; "" where it says nothing.
        arms: the names of the arms that have answered.
        total: how many items it has.
        record: what was packed, as `lapd.items.pack` has it.
        packed: for the script.
        few: the places in `record["items"]` of those that are shown without it.
    """

    name: str
    description: str
    arms: list[str]
    total: int
    record: dict[str, Any]
    packed: str
    few: list[int]

    @property
    def items(self) -> list[dict[str, Any]]:
        """The items in the page."""
        return list(self.record["items"])

    @property
    def folded(self) -> bool:
        """Whether any prompt waits behind its category."""
        return any(item["folded"] for item in self.items)


def shown_tasks(run: RunContents, samples: int | None = None, persona: str | None = None) -> list[ShownTask]:
    """The items of every task with a finished cell.

    Args:
        run: what the run holds.
        samples: so many items of a task at most, those that changed most; None for all.
        persona: whose poles adapters count towards that have no persona of their own.
    """
    arms = arms_of(run.record, persona)
    shown = []
    for task in items_of(run.cells, run.infos, arms):
        kept = most_changed(task.items, samples)
        record = task_record(task, arms, kept)
        record["metric"] = phrase(record["metric"])
        shown.append(_shown(task, record))
    return shown


def _shown(task: TaskItems, record: dict[str, Any]) -> ShownTask:
    few = max(2, min(MOST_ITEMS, MOST_ANSWERS // max(1, len(task.arms))))
    name, description = task.info.name, task.info.description
    places = list(range(min(few, len(record["items"]))))
    return ShownTask(name, description, record["arms"], len(task.items), record, pack(record), places)


def index(tasks: Sequence[ShownTask]) -> dict[str, Any]:
    """What the script knows before it unpacks a task: the tasks in the order of their packs, and the personas."""
    named = [{"name": visible(task.name), "total": task.total, "kept": len(task.record["items"])} for task in tasks]
    personas = dict.fromkeys(code for task in tasks for code in task.record["personas"] if code)
    return {"tasks": named, "personas": list(personas)}
