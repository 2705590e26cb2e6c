"""What a run's groups of tasks, such as mmlu, come to over all of their tasks: the means that lm-eval gives.

A group's number is there for an arm and seed once every task of the group is finished.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lapd.record.store import Store


@dataclass(frozen=True)
class GroupTotal:
    """A group's metrics for one arm and seed.

    Attributes:
        group: its name.
        arm: the arm's name.
        seed: the cells'.
        metrics: by name.
        tasks: how many tasks are in it.
    """

    group: str
    arm: str
    seed: int
    metrics: dict[str, float]
    tasks: int


def group_totals(store: Store) -> list[GroupTotal]:
    """The groups of a run that are finished and have a number over all of their tasks.

    Raises:
        StoreError: the folder is no run, or a newer LAPD wrote it.
    """
    groups = {name: group for name, group in store.run().get("groups", {}).items() if group["metrics"]}
    if not groups:
        return []
    results: dict[tuple[str, int], dict[str, dict[str, Any]]] = {}
    for entry in store.finished():
        results.setdefault((entry["arm"], entry["seed"]), {})[entry["task"]] = store.result(entry["cell"])
    return [
        GroupTotal(name, arm, seed, metrics, len(group["tasks"]))
        for name, group in groups.items()
        for (arm, seed), by_task in results.items()
        if by_task.keys() >= set(group["tasks"]) and (metrics := _totals(group, [by_task[t] for t in group["tasks"]]))
    ]


def _totals(group: Mapping[str, Any], results: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    found: dict[str, float] = {}
    for wanted in group["metrics"]:
        values: dict[str, list[tuple[float, int]]] = {}
        for result in results:
            for name, value in _of_metric(result["metrics"], wanted["metric"], wanted["filters"]).items():
                values.setdefault(name, []).append((value, result["n_documents"] if wanted["weighted"] else 1))
        for name, weighed in values.items():
            shown = f"{wanted['metric']},{name}" if name and len(values) > 1 else wanted["metric"]
            found[shown] = sum(value * weight for value, weight in weighed) / sum(weight for _, weight in weighed)
    return found


def _of_metric(metrics: Mapping[str, float], metric: str, filters: Sequence[str] | None) -> dict[str, float]:
    """A task's values of a metric by filter, those of `filters` alone; a single filter goes without a name."""
    found = {name.partition(",")[2]: value for name, value in metrics.items() if name.partition(",")[0] == metric}
    return {name: value for name, value in found.items() if not name or filters is None or name in filters}
