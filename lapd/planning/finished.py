"""How far values vary by a run's finished cells, read in a moment: a few of them, and only what sums a task up.

`lapd.planning.variances.spreads` reads all that a run has and computes every row of it first: a minute where there are
hundreds of cells, and `--plan` has a second.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from lapd.catalog.task import GRADE, TaskInfo
from lapd.compare.controls import Arms, is_shuffled
from lapd.compare.measured import Measured
from lapd.compare.values import run_values, with_differences
from lapd.designs.outcomes import groups_of_arms, shifts_on, strength_of
from lapd.planning.variances import Group, Spreads, condition_of, in_units, spreads_of, whole
from lapd.record.reading import ReadCell
from lapd.record.store import Store

ENOUGH, OF_CONTROLS = 6, 2
"""So many arms of a task and condition are read, and so many with a control."""

Entries = Mapping[tuple[str, str], Mapping[str, Any]]
"""The finished cells' entries in the run's record, by arm and task."""


def spreads_of_finished(store: Store, cells: Collection[str], infos: Mapping[str, TaskInfo]) -> list[Spreads]:
    """How far the changes vary on what sums each task up, of adapters at their own strength and of prompts.

    Args:
        store: the run folder, which need not be there yet.
        cells: the names of those that count: others in the folder were made in another way.
        infos: the tasks; see `is_plain`.
    """
    if not (store.folder / "run.json").is_file():
        return []
    arms, tasks = store.run()["arms"], [name for name, info in infos.items() if is_plain(info)]
    entries = {
        (entry["arm"], entry["task"]): entry
        for entry in store.finished()
        if entry["cell"] in cells and entry["task"] in tasks
    }
    chosen = [group for task in tasks for group in _chosen(arms, entries, task)]
    wanted = {(arm, task) for task, group in chosen for name in group for arm in (name, arms[name]["baseline"])}
    found = [_read(store, entries[key], infos[key[1]]) for key in sorted(wanted)]
    measured = Measured(store, arms, found, with_differences(run_values(found), infos), infos, {}, {}, {})
    return list(spreads_of(arms, (made for task, group in chosen if (made := _group(measured, task, group)))))


def is_plain(info: TaskInfo) -> bool:
    """Whether a task says what sums it up, and its cells have that as they are: no judge or grader comes first."""
    return info.primary not in (None, GRADE) and not info.judged


def _chosen(arms: Arms, entries: Entries, task: str) -> Iterator[tuple[str, list[str]]]:
    """The task, with a few groups of replicates of each condition whose cells and baselines are finished."""
    counted: dict[tuple[str, bool], int] = {}
    for group in groups_of_arms(arms).values():
        entry = arms[group[0]]
        there = [arm for arm in group if (arm, task) in entries and (arms[arm]["baseline"], task) in entries]
        kind = condition_of(entry), bool(entry.get("adapter_control"))
        counts = not kind[1] or is_shuffled(entry)
        if there and counts and strength_of(entry) == 1 and counted.get(kind, 0) < (OF_CONTROLS if kind[1] else ENOUGH):
            counted[kind] = counted.get(kind, 0) + len(there)
            yield task, there


def _read(store: Store, entry: Mapping[str, Any], info: TaskInfo) -> ReadCell:
    """A cell with nothing in its samples but what is needed here."""
    names = _metrics(info)
    samples = [
        {
            **{key: sample[key] for key in ("item", "doc_id", "sample") if key in sample},
            "doc": {key: sample.get("doc", {}).get(key) for key in ("way", info.cluster) if key},
            "metrics": {name: value for name, value in sample["metrics"].items() if name in names},
        }
        for sample in store.samples(entry["cell"])
    ]
    return ReadCell(dict(entry), {}, samples, None)


def _metrics(info: TaskInfo) -> set[str]:
    """What sums a task up: one metric, or one of each axis; and what it is the difference of."""
    primary = str(info.primary)
    return {*info.axes.get(primary, {}).values(), primary, *info.differences.get(primary, ())}


def _group(measured: Measured, task: str, arms: Sequence[str]) -> Group | None:
    """A group's changes on what sums a task up; None where that has axes, and the arms have no persona's poles."""
    info, persona = measured.infos[task], measured.persona(arms[0])
    primary = str(info.primary)
    metric = f"{primary}_towards" if primary in info.axes else primary
    found = shifts_on(measured, arms, task, metric, persona)
    if found is None:
        return None
    values, unit, n = in_units(found), info.unit(primary), len(found.items)
    yes_or_no = len(values) == n and set(np.unique(found.values)) <= {-whole(unit), 0.0, whole(unit)}
    return Group(list(arms), task, metric, unit, yes_or_no, info.side in ("trait", "cost"), n, values)
