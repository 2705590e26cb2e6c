"""What each arm has on a group of tasks, such as mmlu, as lm-eval puts its tasks together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lapd.compare.values import RunValues, Values


def group_values(groups: Mapping[str, Any], values: RunValues) -> RunValues:
    """Each (arm, group)'s values, for the arms that have all of the group's tasks.

    A group that weights its tasks by their documents has the items of all of them; one that does not has its tasks for
    items, each with its mean.

    Args:
        groups: of the run's record.
        values: each (arm, task)'s.
    """
    found: RunValues = {}
    for name, group in groups.items():
        for arm in dict.fromkeys(arm for arm, _ in values):
            theirs = {task: values[arm, task] for task in group["tasks"] if (arm, task) in values}
            if len(theirs) == len(group["tasks"]) and (together := _together(group, theirs)):
                found[arm, name] = together
    return found


def _together(group: Mapping[str, Any], tasks: Mapping[str, Values]) -> Values:
    found: Values = {}
    for wanted in group["metrics"]:
        for task, by_metric in tasks.items():
            for metric, items in by_metric.items():
                plain, _, name = metric.partition(",")
                asked = not name or wanted["filters"] is None or name in wanted["filters"]
                if plain != wanted["metric"] or not asked or not items:
                    continue
                means = {task: float(np.mean(list(items.values())))}
                own = {f"{task} {item}": value for item, value in items.items()} if wanted["weighted"] else means
                found.setdefault(metric, {}).update(own)
    return found
