"""Comparisons: two arms on the same items, paired by item, over everything that a run measured.

An adapter is compared with its own base under the same prompt and with its control adapters, and a prompt with no
prompt, so that what the training did is never mixed with what the prompt did. Metrics with an axis are also pooled over
the axes, counted towards the persona's poles; `<family>_moved` is the share of items on which the arm lies further that
way than its baseline.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lapd.catalog.find import tasks
from lapd.catalog.task import TaskInfo
from lapd.errors import StoreError
from lapd.evaluate.reading import ReadCell, read_cells
from lapd.evaluate.store import Store
from lapd.judges.choosing import judged_line
from lapd.names import get_persona, sign_of
from lapd.personas import Persona
from lapd.statistics.paired import paired_difference, smallest_majority
from lapd.statistics.shares import share_interval
from lapd.statistics.tests import holm, sign_test

Values = dict[str, dict[str, float]]
"""One arm on one task: for each metric, each item's value."""


@dataclass
class Comparison:
    """One row: an arm and its baseline on one metric.

    Attributes:
        task: the task's name.
        metric: the metric; `<family>_towards` and `<family>_moved` are pooled over axes, towards the persona.
        axis: such as "E/I" (the score counts towards the first pole), or None.
        arm: the arm's name.
        baseline: what it is compared with.
        persona: whose poles a pooled row counts towards, or None.
        n: items in both arms.
        missing: items in only one of the two, left out.
        arm_mean: the arm's mean over those items.
        baseline_mean: the baseline's.
        difference: arm_mean − baseline_mean.
        low: lower end of the difference's 95 % interval.
        high: upper end.
        p: two-sided, for this row alone.
        p_holm: corrected over all rows of the run.
        smallest: the smallest difference that would have shown (80 % power, 5 %).
        test: what gave p.
        unit: what the metric is counted in.
        self_report: whether the task asks the model about itself.
        headline: whether the row belongs in a short table: pooled over axes, or without axes, and no diagnostic.
        note: who judged the responses, and what that judge says of its numbers; "" for a task without a judge.
    """

    task: str
    metric: str
    axis: str | None
    arm: str
    baseline: str
    persona: str | None
    n: int
    missing: int
    arm_mean: float
    baseline_mean: float
    difference: float
    low: float
    high: float
    p: float
    p_holm: float
    smallest: float
    test: str
    unit: str
    self_report: bool
    headline: bool
    note: str = ""


def compare_run(folder: Path, judge: str | None = None) -> list[Comparison]:
    """Every comparison that a run's finished cells allow.

    Args:
        folder: the run's.
        judge: whose verdicts judged tasks are scored by: a judge's name, or what `lapd judge --as` called them; None
            for the judge that the run was evaluated with.

    Raises:
        StoreError: the folder is no run, none of its arms has a finished baseline, or it has no verdicts called
            `judge`.
        DataError: verdicts are damaged.
    """
    record = Store(folder).run()
    cells = read_cells(folder, judge)
    values = _values(cells)
    infos = tasks()
    rows: list[Comparison] = []
    for arm, entry in record["arms"].items():
        code = entry["adapter_persona"] or (entry["prompt"] or {}).get("code")
        for baseline in _baselines(record["arms"], arm):
            for task in {task: None for _, task in values}:
                if (arm, task) in values and (baseline, task) in values:
                    info = infos.get(task) or TaskInfo(task, folder, None, "")
                    rows += _rows(info, arm, baseline, code, values[arm, task], values[baseline, task])
    if not rows:
        raise StoreError(
            f"{folder}: no arm has a finished baseline to be compared with.", "Run the evaluation to its end."
        )
    notes = {cell.entry["task"]: judged_line(cell.entry["task"], cell.judge) for cell in cells if cell.judge}
    for row in rows:
        row.note = notes.get(row.task, "")
    for row, adjusted in zip(rows, holm([row.p for row in rows]), strict=True):
        row.p_holm = adjusted
    return rows


def _baselines(arms: dict[str, Any], arm: str) -> list[str]:
    """What an arm is compared with: its baseline, and its persona's controls at its strength, under the same prompt.

    What an adapter has moved beyond its shuffled control can be put down to the persona, not to training as such.
    """
    entry = arms[arm]
    found = [entry["baseline"]] if entry["baseline"] else []
    if entry["adapter"] and not entry.get("adapter_control"):
        found += [
            name
            for name, other in arms.items()
            if other.get("adapter_control")
            and other["adapter_persona"] == entry["adapter_persona"]
            and other["adapter"].get("strength", 1) == entry["adapter"].get("strength", 1)
            and other["baseline"] == entry["baseline"]
        ]
    return found


def _values(cells: Sequence[ReadCell]) -> dict[tuple[str, str], Values]:
    """Each arm's and task's values by metric and item; an item's documents (label orders, seeds) are averaged."""
    collected: dict[tuple[str, str], Any] = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for cell in cells:
        by_metric = collected[cell.entry["arm"], cell.entry["task"]]
        for sample in cell.samples:
            for metric, value in sample["metrics"].items():
                if not math.isnan(value):
                    by_metric[metric][sample["item"]].append(value)
    return {
        key: {m: {i: float(np.mean(v)) for i, v in items.items()} for m, items in by_metric.items()}
        for key, by_metric in collected.items()
    }


def _rows(
    info: TaskInfo, arm: str, baseline: str, code: str | None, ours: Values, theirs: Values
) -> Iterator[Comparison]:
    def row(metric: str, a: dict[str, float], b: dict[str, float], axis: str | None, **more: Any) -> Comparison:
        items = [item for item in a if item in b]
        x, y = np.array([a[i] for i in items]), np.array([b[i] for i in items])
        unit = more.get("unit", info.unit(metric))
        result = paired_difference(x, y, 100.0 if unit in ("points", "percent") else 1.0)
        return Comparison(
            task=info.name,
            metric=metric,
            axis=axis,
            arm=arm,
            baseline=baseline,
            missing=len(a.keys() ^ b.keys()),
            arm_mean=float(x.mean()),
            baseline_mean=float(y.mean()),
            p_holm=result.p,
            self_report=info.self_report,
            **(
                asdict(result)
                | {
                    "persona": None,
                    "unit": unit,
                    "headline": axis is None and metric not in info.diagnostics,
                }
                | more
            ),
        )

    for metric in ours:
        if metric in theirs and ours[metric].keys() & theirs[metric].keys():
            yield row(metric, ours[metric], theirs[metric], info.family(metric)[1])
    persona = get_persona(code) if code else None
    for family, by_axis in info.axes.items():
        if persona is None:
            continue
        a, b = (_towards(persona, by_axis, values, info.unit(family)) for values in (ours, theirs))
        if a.keys() & b.keys():
            pooled = row(f"{family}_towards", a, b, None, persona=persona.code, unit=info.unit(family))
            yield pooled
            if pooled.test != "McNemar exact":  # of yes/no outcomes that is the same question already
                yield _moved(pooled, family, a, b)


def _towards(persona: Persona, by_axis: Any, values: Values, unit: str) -> dict[str, float]:
    """The values of a family of metrics over all axes, counted towards the persona's poles."""
    pooled = {}
    for axis, metric in by_axis.items():
        sign = sign_of(axis, persona.poles.get(axis))
        for item, value in values.get(metric, {}).items():
            if sign:
                # Points run from 0 to 100, so the other pole's share is the rest; nats are odds and change sign.
                pooled[item] = value if sign > 0 else (100 - value if unit == "points" else -value)
    return pooled


def _moved(pooled: Comparison, family: str, a: dict[str, float], b: dict[str, float]) -> Comparison:
    """The share of the items that changed at all on which the arm moved towards the persona; 50 % is chance."""
    changes = [a[item] - b[item] for item in a if item in b]
    ups, downs = sum(c > 0 for c in changes), sum(c < 0 for c in changes)
    n = ups + downs
    low, high = share_interval(ups, n) if n else (0.0, 1.0)
    share = ups / n if n else 0.5
    return Comparison(
        **asdict(pooled)
        | {
            "metric": f"{family}_moved",
            "n": n,
            "missing": pooled.missing,
            "arm_mean": share,
            "baseline_mean": 0.5,
            "difference": share - 0.5,
            "low": low - 0.5,
            "high": high - 0.5,
            "p": sign_test(ups, downs),
            "smallest": smallest_majority(n),
            "test": "sign test",
            "unit": "share",
        }
    )


def as_json(rows: list[Comparison]) -> list[dict[str, Any]]:
    """The rows as JSON objects; what has no bound (an interval of one item) is null."""
    return [
        {k: (None if isinstance(v, float) and not math.isfinite(v) else v) for k, v in asdict(row).items()}
        for row in rows
    ]
