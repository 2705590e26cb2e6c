"""What is known of each task and group of a run: it is registered, or it is one of lm-eval's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lapd.catalog.find import tasks
from lapd.catalog.lm_eval_own import OF_LM_EVAL, SIDE
from lapd.catalog.task import TaskInfo
from lapd.record.reading import ReadCell


def known_tasks(folder: Path, cells: Sequence[ReadCell], groups: Mapping[str, Any]) -> dict[str, TaskInfo]:
    """The registered tasks, and the run's others and its groups as far as its record tells, by name.

    lm-eval is not asked: indexing its tasks takes ten seconds, and a cell has its task's version. A group stands where
    all of its tasks stand, and is summed up by what sums up all of them.

    Args:
        folder: the run's.
        cells: its finished ones.
        groups: of its record.
    """
    found = tasks()
    for cell in cells:
        name, version = cell.entry["task"], str(cell.result.get("task_version") or "")
        side = SIDE if version.startswith(OF_LM_EVAL) else ""
        found.setdefault(name, TaskInfo(name, folder, None, version, side=side))
    for name, group in groups.items():
        members = [found[task] for task in group["tasks"] if task in found]
        of_all, primary = _common([info.side for info in members]), _common([info.primary for info in members])
        found.setdefault(name, TaskInfo(name, folder, None, "", side=of_all or "", primary=primary))
    return found


def _common(values: Sequence[str | None]) -> str | None:
    """The one value that all have; None where they differ, or there is none."""
    return values[0] if len(set(values)) == 1 else None
