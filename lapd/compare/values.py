"""What each arm of a run has on each task: a value for each metric and item, and what those values are counted in."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lapd.catalog.task import TaskInfo
from lapd.compare.items import coherence_of_tasks, in_its_ways, whole_items
from lapd.record.reading import ReadCell

Values = dict[str, dict[str, float]]
"""One arm on one task: for each metric, each item's value."""

RunValues = dict[tuple[str, str], Values]
"""Each (arm, task)'s values."""


def run_values(cells: Sequence[ReadCell]) -> RunValues:
    """Each arm's and task's values by metric and item; an item's documents (label orders, seeds) are averaged.

    Where documents name their way of asking, as a questionnaire's do, an item counts only with all of them. What
    written answers are like is among the metrics.
    """
    measures = coherence_of_tasks(cells)
    collected: dict[tuple[str, str], Any] = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for cell in cells:
        by_metric = collected[cell.entry["arm"], cell.entry["task"]]
        for metric in {name: None for sample in cell.samples for name in sample["metrics"]}:
            for item, value in whole_items(in_its_ways(cell.samples, metric), metric).items():
                by_metric[metric][item].append(value)
        for measure in measures[cell.entry["task"]]:
            for item, value in whole_items(cell.samples, measure, "coherence").items():
                by_metric[measure][item].append(value)
    return {
        key: {m: {i: float(np.mean(v)) for i, v in items.items()} for m, items in by_metric.items()}
        for key, by_metric in collected.items()
    }


def with_differences(values: RunValues, infos: Mapping[str, TaskInfo]) -> RunValues:
    """The values, with a task's `differences` of the items that have both metrics, and of no others.

    What single documents have of such a metric is its part of it, and no value where the other part is not there.
    """
    found: RunValues = {}
    for (arm, task), by_metric in values.items():
        differences = infos[task].differences if task in infos else {}
        made = {metric: items for metric, items in by_metric.items() if metric not in differences}
        for metric, (first, second) in differences.items():
            above, below = made.get(first, {}), made.get(second, {})
            if items := {item: above[item] - below[item] for item in above if item in below}:
                made[metric] = items
        found[arm, task] = made
    return found


def unitless(values: RunValues, infos: Mapping[str, TaskInfo]) -> dict[str, frozenset[str]]:
    """For each task, the families that are no shares of 1, by some arm's value, though no unit is declared for them."""
    found: dict[str, set[str]] = defaultdict(set)
    for (_, task), by_metric in values.items():
        for metric, items in by_metric.items():
            info = infos.get(task)
            family = info.family(metric)[0] if info else metric.partition(",")[0]
            declared = info is not None and family in info.units
            if not declared and any(not 0 <= value <= 1 for value in items.values()):
                found[task].add(family)
    return {task: frozenset(families) for task, families in found.items()}
