"""The axis profile: each arm's mean on each axis, for every family of metrics that has axes."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lapd.report.contents import RunContents, item_values
from lapd.report.labels import phrase
from lapd.statistics.paired import CONFIDENCE


@dataclass(frozen=True)
class Mean:
    """An arm's mean on one axis.

    Attributes:
        value: over items, in the panel's unit; higher lies towards the axis's first pole.
        low: lower end of its 95 % interval; the value itself for a single item, which has none.
        high: upper end.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Panel:
    """One family of metrics.

    Attributes:
        title: the family and its task.
        unit: "points" (0 to 100) or another, which is centred at 0.
        axes: from top to bottom, such as "E/I".
        means: by (arm, axis).
    """

    title: str
    unit: str
    axes: list[str]
    means: dict[tuple[str, str], Mean]

    @property
    def middle(self) -> float:
        """The value that is at neither pole."""
        return 50.0 if self.unit == "points" else 0.0


def panels(run: RunContents) -> list[Panel]:
    """A panel for every family with axes that an arm has values for."""
    values = item_values(run)
    made = []
    for task in run.task_names:
        if (info := run.infos.get(task)) is None:
            continue
        for family, by_axis in info.axes.items():
            means = {
                (arm, axis): _mean(values[arm, task, metric], info.unit(family))
                for axis, metric in by_axis.items()
                for arm in run.arms
                if (arm, task, metric) in values
            }
            if means:
                made.append(Panel(f"{phrase(family)} ({task})", info.unit(family), list(by_axis), means))
    return made


def _mean(values: list[float], unit: str) -> Mean:
    """The mean with Student's t interval, kept within what points can be."""
    import numpy as np
    from scipy.stats import t

    n, mean = len(values), float(np.mean(values))
    half = float(t.ppf((1 + CONFIDENCE) / 2, n - 1)) * float(np.std(values, ddof=1)) / math.sqrt(n) if n > 1 else 0.0
    least, most = (0.0, 100.0) if unit == "points" else (-math.inf, math.inf)
    return Mean(mean, max(least, mean - half), min(most, mean + half))
