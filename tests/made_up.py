"""A run made by hand: arms of given adapters and prompts, with given values of each item, written through the store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

from lapd.adapters.adapter import Adapter
from lapd.catalog.find import tasks
from lapd.catalog.task import TaskInfo
from lapd.compare.measured import Measured
from lapd.compare.values import RunValues
from lapd.evaluate.plan import make_arms, make_cells
from lapd.files.whole import digest_json, write_json, write_jsonl
from lapd.models.base import BaseModel
from lapd.record.cells import Settings
from lapd.record.store import Store

BASE = BaseModel("fake", Path("/nowhere"), "b" * 64, "someone/fake")

AXES = ("E/I", "S/N", "T/F", "J/P")

SIXTEEN = ["".join(poles) for poles in product("EI", "SN", "TF", "JP")]

Value = Callable[[str, str, int], Mapping[str, float]]
"""Of an arm, a task and an item: its metrics; none where it has no value."""


def adapter(
    persona: str, *, name: str = "", control: str | None = None, seed: int | None = None, strength: float = 1.0
) -> Adapter:
    """A persona's adapter; with a training seed it has replicates."""
    name = name or (persona if seed is None else f"{persona}.{seed}")
    settings = {} if seed is None else {"seed": seed}
    card = {"persona": persona, "control": control, "settings": settings}
    return Adapter(name, Path("/nowhere") / name, digest_json(name), card, strength)


def sign(persona: str, axis: str) -> int:
    """+1 if the persona has the axis's first pole, -1 if it has the second."""
    return 1 if axis[0] in persona else -1


@cache
def known() -> dict[str, TaskInfo]:
    """The tasks, read once: that takes longer than all else here."""
    return tasks()


def make_run(
    folder: Path,
    adapters: Sequence[Adapter],
    items: Mapping[str, Iterable[int]],
    value: Value,
    kinds: Sequence[str] = ("base", "adapter"),
) -> Measured:
    """A finished run of every adapter on every task, whose items are numbers: what it measured.

    It lies in `folder`, too, for the command line; what is returned is not read from there.
    """
    store = Store(folder)
    cells = make_cells(BASE, make_arms(adapters, kinds), [known()[task] for task in items], Settings())
    store.enter(cells)
    values: RunValues = {}
    for cell in cells:
        arm, task = cell.arm.name, cell.task.name
        found = {f"{task}-{n}": dict(metrics) for n in items[task] if (metrics := value(arm, task, n))}
        rows: list[dict[str, Any]] = [{"item": item, "metrics": metrics} for item, metrics in found.items()]
        write_jsonl(store.cell_folder(cell.name) / "samples.jsonl", rows)
        result = {"schema": "lapd.result/1", "cell": cell.identity(), "arm": arm, "metrics": {}}
        write_json(store.cell_folder(cell.name) / "result.json", result)
        for item, metrics in found.items():
            for metric, number in metrics.items():
                values.setdefault((arm, task), {}).setdefault(metric, {})[item] = number
    return Measured(store, store.run()["arms"], [], values, known(), {}, {}, {})
