"""What the report reads from a run folder: its cells with their documents, and its adapters' run cards."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lapd.adapters.adapter import resolve_adapter
from lapd.adapters.whole import WHOLE
from lapd.catalog.task import TaskInfo
from lapd.compare.known import known_tasks
from lapd.errors import LapdError
from lapd.record.reading import ReadCell, read_cells
from lapd.record.store import Store


@dataclass(frozen=True)
class UsedAdapter:
    """An adapter of the run, or a whole model.

    Attributes:
        name: its name in the run.
        digest: of the weights that were evaluated.
        card: its run card; None if it has none, or is gone.
        problem: why there is no card, or why it may not tell of these weights; "" if all is well.
    """

    name: str
    digest: str
    card: dict[str, Any] | None
    problem: str


@dataclass(frozen=True)
class RunContents:
    """A run as the report needs it.

    Attributes:
        record: its run.json.
        cells: the finished cells.
        waiting: the arm and task of each cell that has no result yet.
        adapters: every adapter that an arm uses, once.
        infos: the tasks that are known, by name.
    """

    record: dict[str, Any]
    cells: list[ReadCell]
    waiting: list[tuple[str, str]]
    adapters: list[UsedAdapter]
    infos: dict[str, TaskInfo]

    @property
    def unfinished(self) -> int:
        """How many cells have no result yet."""
        return len(self.waiting)

    @property
    def arms(self) -> list[str]:
        """The names of the arms with a finished cell, in the run's order."""
        finished = {cell.arm for cell in self.cells}
        return [arm for arm in self.record["arms"] if arm in finished]

    @property
    def task_names(self) -> list[str]:
        """The names of the tasks with a finished cell."""
        return list(dict.fromkeys(cell.task for cell in self.cells))


def read_run(folder: Path, judge: str | None = None) -> RunContents:
    """Read a run folder.

    Args:
        folder: the run's.
        judge: whose verdicts judged tasks are scored by; see `lapd.compare.comparisons.compare_run`.

    Raises:
        StoreError: it is no run folder, a newer LAPD wrote it, or it has no verdicts called `judge`.
    """
    record = Store(folder).run()
    cells = read_cells(folder, judge)
    done = {cell.entry["cell"] for cell in cells}
    waiting = [(entry["arm"], entry["task"]) for entry in record["cells"].values() if entry["cell"] not in done]
    adapters = {a["digest"]: a for arm in record["arms"].values() if (a := arm["adapter"])}
    used = [_used_adapter(adapter, folder) for adapter in adapters.values()]
    infos = known_tasks(folder, cells, record.get("groups", {}))
    return RunContents(record, cells, waiting, used, infos)


def adapter_folder(entry: dict[str, Any], run_folder: Path) -> Path:
    """Where an adapter of a run's record lies: a run folder that was moved has taken its own adapters along."""
    path = Path(entry["path"])
    return path if path.is_dir() else run_folder / "adapters" / str(entry["name"])


def _used_adapter(entry: dict[str, Any], run_folder: Path) -> UsedAdapter:
    name, path, digest = entry["name"], adapter_folder(entry, run_folder), entry["digest"]
    if entry.get("kind") == WHOLE:
        return UsedAdapter(name, digest, None, f"A {WHOLE}, compared with the base as it is: {path}")
    if not path.is_dir():
        return UsedAdapter(name, digest, None, f"{path} is gone: how it was trained cannot be shown.")
    try:
        found = resolve_adapter(path)
    except LapdError as error:
        return UsedAdapter(name, digest, None, f"How it was trained cannot be shown: {error}")
    if found.digest != digest:
        # Another training's curves beside these numbers would be worse than none.
        return UsedAdapter(name, digest, None, f"{path} holds other weights than the ones that were evaluated.")
    return UsedAdapter(name, digest, found.card, "" if found.card else f"{path} has no run card.")


def item_values(run: RunContents) -> dict[tuple[str, str, str], list[float]]:
    """Each (arm, task, metric)'s values, one an item; an item's documents and seeds are averaged."""
    collected: dict[tuple[str, str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for cell in run.cells:
        for sample in cell.samples:
            for metric, value in sample["metrics"].items():
                if not math.isnan(value):
                    collected[cell.arm, cell.task, metric][sample["item"]].append(value)
    return {key: [sum(v) / len(v) for v in items.values()] for key, items in collected.items()}
