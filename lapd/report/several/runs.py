"""What several runs have in common, and what not: their primary metrics side by side, and what they were made with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lapd.compare.comparisons import Comparison, compare_measured
from lapd.compare.measured import read_measured
from lapd.compare.rows import TRAINING
from lapd.record.reading import ReadCell
from lapd.report.page import versions


@dataclass(frozen=True)
class ShownRun:
    """One of the runs.

    Attributes:
        folder: the run's.
        name: what it is called beside the others.
        record: its run.json.
        cells: the finished ones.
        rows: those that sum up its tasks: about trainings where there are any, else about single adapters.
        warnings: what differs between its own arms.
    """

    folder: Path
    name: str
    record: Mapping[str, Any]
    cells: list[ReadCell]
    rows: list[Comparison]
    warnings: list[str]

    @property
    def unfinished(self) -> int:
        """How many of its cells have no result yet."""
        return len(self.record["cells"]) - len(self.cells)

    @property
    def tasks(self) -> list[str]:
        """The tasks on which it compares anything."""
        return list(dict.fromkeys(row.task for row in self.rows))

    def held_against(self, row: Comparison) -> str:
        """What a row's baseline is called, however many controls stand behind it: "base", "shuffled controls"."""
        control = self.record["arms"][row.baselines[0]].get("adapter_control")
        return f"{control.partition('-')[0]} controls" if control else row.baseline

    def is_control(self, row: Comparison) -> bool:
        """Whether the row is about a control itself."""
        return bool(self.record["arms"][row.arms[0]].get("adapter_control"))


def read_runs(folders: Sequence[Path], judge: str | None = None, persona: str | None = None) -> list[ShownRun]:
    """Read the runs; see `lapd.compare.comparisons.compare` for the arguments and errors."""
    plain = [folder.resolve().name for folder in folders]
    names = plain if len(set(plain)) == len(plain) else [str(folder) for folder in folders]
    found = []
    for folder, name in zip(folders, names, strict=True):
        measured = read_measured(folder, judge, persona)
        compared = compare_measured(measured)
        rows = _summing_up(compared.rows)
        found.append(ShownRun(folder, name, measured.store.run(), measured.cells, rows, compared.warnings))
    return found


def _summing_up(rows: Iterable[Comparison]) -> list[Comparison]:
    chosen = [row for row in rows if row.primary and not row.special]
    of_trainings = {
        (arm, baseline, row.task, row.metric)
        for row in chosen
        if row.scope == TRAINING
        for arm in row.arms
        for baseline in row.baselines
    }
    return [r for r in chosen if r.scope == TRAINING or (r.arm, r.baseline, r.task, r.metric) not in of_trainings]


def shared_tasks(runs: Sequence[ShownRun]) -> list[str]:
    """The tasks that two or more of the runs have, in the first one's order."""
    every = dict.fromkeys(task for run in runs for task in run.tasks)
    return [task for task in every if sum(task in run.tasks for run in runs) > 1]


Line = tuple[str, str, list[Comparison | None]]
"""An arm, what it is held against, and each run's row of it; None where a run has none."""


def side_by_side(runs: Sequence[ShownRun], task: str) -> dict[str, list[Line]]:
    """For each primary metric of a task, the arms with each run's row; controls last."""
    found: dict[str, dict[tuple[bool, str, str], list[Comparison | None]]] = {}
    for n, run in enumerate(runs):
        for row in run.rows:
            if row.task == task:
                key = run.is_control(row), row.arm, run.held_against(row)
                found.setdefault(row.metric, {}).setdefault(key, [None] * len(runs))[n] = row
    return {
        metric: [(arm, against, rows) for (_, arm, against), rows in sorted(lines.items(), key=lambda line: line[0][0])]
        for metric, lines in found.items()
    }


def differences(runs: Sequence[ShownRun]) -> dict[str, list[str]]:
    """What the runs were made with that is not the same in all: each run's, by what it is."""
    facts = [_facts(run, shared_tasks(runs)) for run in runs]
    names = dict.fromkeys(name for of_run in facts for name in of_run)
    table = {name: [of_run.get(name, "not noted") for of_run in facts] for name in names}
    return {name: values for name, values in table.items() if len(set(values)) > 1}


def _facts(run: ShownRun, tasks: Sequence[str]) -> dict[str, str]:
    base, cells = run.record["base"], [cell.result["cell"] for cell in run.cells]
    facts = {
        "base": base["name"],
        "base, digest": base["digest"][:12],
        "precision": _listed(cell.get("dtype") for cell in cells),
        "limit": _limits(run),
        "seeds of the evaluation": _listed(cell.seed for cell in run.cells),
        "judge": _listed(judge["name"] for cell in run.cells if (judge := cell.result.get("judge"))) or "none",
        "cells without a result": str(run.unfinished),
    }
    digests = {name: [c.result["cell"].get("task_digest") for c in run.cells if c.task == name] for name in tasks}
    versions_of_tasks = {
        f"files and data of {name}": _listed(str(digest)[:12] for digest in some)
        for name, some in digests.items()
        if some
    }
    return {**facts, **versions_of_tasks, **versions(run.cells)}


def _limits(run: ShownRun) -> str:
    limits = {cell.task: cell.result["cell"].get("limit") for cell in run.cells}
    if len(set(limits.values())) == 1:
        return "none" if (limit := next(iter(limits.values()))) is None else str(limit)
    return ", ".join(f"{task} {limit or 'none'}" for task, limit in sorted(limits.items()))


def _listed(values: Iterable[Any]) -> str:
    return ", ".join(sorted({str(value) for value in values}))
