"""What each task says of a model, and what it costs: scores with 95 % intervals, and wall time per 100 items.

    lapd eval --arms base --tasks situations,mbti,eqbench --data-dir ../shared/benchmarks -o runs/base
    python benchmarks/task_costs.py runs/base
    python benchmarks/task_costs.py runs/base --json

Nothing is evaluated: the run's finished cells are read. An item's documents (label orders, seeds) are averaged first.
The interval of a share of yes/no items is Clopper and Pearson's, that of any other mean Student's t over items. The
score that EQ-Bench's rule settles over a whole run (`final`) has the percentiles of 2,000 bootstrap samples of the
questions, each scored by the rule. Seconds are those of the process that finished the cell, without the loading of the
model: of a cell that was stopped and resumed they are too few, of one that shared its cores too many.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lapd.catalog.find import tasks
from lapd.catalog.task import TaskInfo
from lapd.errors import LapdError
from lapd.questionnaires.psychometrics import estimate
from lapd.record.reading import ReadCell, read_cells
from lapd.statistics.paired import CONFIDENCE
from lapd.statistics.shares import share_interval

RESAMPLES = 2000


@dataclass(frozen=True)
class Score:
    """One metric of one cell: its mean over `n` items and the ends of its 95 % interval (None for a single item)."""

    task: str
    arm: str
    metric: str
    unit: str
    value: float
    low: float | None
    high: float | None
    n: int
    diagnostic: bool
    part: bool


@dataclass(frozen=True)
class Cost:
    """What one cell took; `judge` says who judged it, "" for a task without a judge."""

    task: str
    arm: str
    documents: int
    items: int
    seconds: float
    seconds_per_100_items: float
    limit: int | None
    judge: str


def scores(cell: ReadCell, info: TaskInfo) -> list[Score]:
    """Every metric of a cell that its items have values for, and EQ-Bench's score of the whole run."""
    collected: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for sample in cell.samples:
        for metric, value in sample["metrics"].items():
            collected[metric][sample["item"]].append(value)
    parts = {metric for by_part in info.parts.values() for metric in by_part.values()}
    found = []
    for metric, items in collected.items():
        values = np.array([np.mean(v) for v in items.values()])
        ends = interval(values, 1.0 if info.unit(metric) == "share" else 100.0)
        kind = (metric in info.diagnostics and metric != info.parsed, metric in parts)
        found.append(_score(cell, info, metric, float(values.mean()), ends, len(values), *kind))
    if info.name == "eqbench_revised":
        found.append(_score(cell, info, "final", *final(cell.samples), False, False))
    return found


def _score(
    cell: ReadCell,
    info: TaskInfo,
    metric: str,
    value: float,
    ends: tuple[float | None, float | None],
    n: int,
    diagnostic: bool,
    part: bool,
) -> Score:
    return Score(info.name, cell.entry["arm"], metric, info.unit(metric), value, *ends, n, diagnostic, part)


def interval(values: np.ndarray, scale: float) -> tuple[float | None, float | None]:
    """The 95 % interval of a mean over items; exact where each value is 0 or `scale`."""
    if set(values) <= {0.0, scale}:
        low, high = share_interval(int((values > 0).sum()), len(values))
        return scale * low, scale * high
    if len(values) < 2:
        return None, None
    found = estimate(values)
    return float(found.low), float(found.high)


def final(samples: list[dict[str, Any]]) -> tuple[float, tuple[float | None, float | None], int]:
    """EQ-Bench's score by the official choice between the passes, its bootstrap interval, and the questions."""
    from lapd.tasks.eqbench import utils

    answers = [utils.score_passes(s["doc"], [s["responses"][0][0]])["final"] for s in samples]
    rng = np.random.default_rng(0)
    draws = rng.integers(len(answers), size=(RESAMPLES, len(answers)))
    resampled = [utils.final([answers[i] for i in draw]) for draw in draws]
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.nanpercentile(resampled, [tail, 100 - tail])
    return utils.final(answers), (float(low), float(high)), len(answers)


def cost(cell: ReadCell) -> Cost:
    """What a cell took."""
    items = len({sample["item"] for sample in cell.samples})
    seconds = cell.result["seconds"]
    judge = f"{cell.judge['name']}: {cell.judge.get('note', '')}".rstrip(": ") if cell.judge else ""
    limit = cell.result["cell"]["limit"]
    entry = (cell.entry["task"], cell.entry["arm"])
    return Cost(*entry, len(cell.samples), items, seconds, round(100 * seconds / items, 2), limit, judge)


def print_tables(rows: list[Score], costs: list[Cost]) -> None:
    """Markdown: the scores without diagnostics and categories, then the costs."""
    print("| task | arm | metric | score | 95 % interval | unit | items |\n|---|---|---|---|---|---|---|")
    for row in rows:
        if not (row.diagnostic or row.part):
            ends = "" if row.low is None or row.high is None else f"{row.low:.4g} to {row.high:.4g}"
            print(f"| {row.task} | {row.arm} | {row.metric} | {row.value:.4g} | {ends} | {row.unit} | {row.n} |")
    print(
        "\n| task | arm | documents | items | seconds | seconds per 100 items | judge |\n|---|---|---|---|---|---|---|"
    )
    for c in costs:
        numbers = f"{c.documents} | {c.items} | {c.seconds:.0f} | {c.seconds_per_100_items:.1f}"
        print(f"| {c.task} | {c.arm} | {numbers} | {c.judge} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="the run's folder")
    parser.add_argument("--judge", help="whose verdicts judged tasks are scored by")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    options = parser.parse_args()
    try:
        cells = read_cells(options.run, options.judge)
        if not cells:
            sys.exit(f"Error: {options.run} has no finished cell. Let `lapd eval` end at least one.")
        infos = tasks()
        known = [(cell, infos.get(cell.entry["task"], _unknown(cell))) for cell in cells]
        rows = [row for cell, info in known for row in scores(cell, info)]
    except (LapdError, OSError) as error:
        sys.exit(f"Error: {error}")
    costs = [cost(cell) for cell in cells]
    if options.json:
        record = {"run": str(options.run), "scores": [asdict(r) for r in rows], "costs": [asdict(c) for c in costs]}
        print(json.dumps(record, indent=1, ensure_ascii=False))
        return
    print_tables(rows, costs)


def _unknown(cell: ReadCell) -> TaskInfo:
    """One of lm-eval's own tasks, of which nothing is known but its name."""
    return TaskInfo(cell.entry["task"], Path(), None, "")


if __name__ == "__main__":
    main()
