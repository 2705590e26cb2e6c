"""The matrix of a run with many adapters: personas by primary metrics, each cell a change in margins."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from lapd.report.glance.forest import told
from lapd.report.glance.sentences import short_unit
from lapd.report.glance.subjects import Line, Subject
from lapd.report.labels import SIDES, shown
from lapd.report.rendering import anchor

STEPS = (1.0, 3.0, 10.0)
"""Where a change in margins becomes a step's darker."""

BLOCKS = {False: "does", True: "says"}
"""The page's block of results that a row stands in, by whether it is a self-report."""


@dataclass(frozen=True)
class Column:
    """A primary metric.

    Attributes:
        task: the task's name.
        metric: in words.
        unit: of its differences.
        side: "bought" or "cost".
    """

    task: str
    metric: str
    unit: str
    side: str


@dataclass(frozen=True)
class Cell:
    """What one subject did to one metric.

    Attributes:
        text: the difference.
        step: -3 to 3: how far, in steps of margins; above 0 is more of the persona, or better.
        open: whether it cannot be told.
        title: all of it in words.
        link: the place of its rows in the page.
        value: the change in margins, for sorting; None without a margin.
    """

    text: str
    step: int
    open: bool
    title: str
    link: str
    value: float | None


@dataclass(frozen=True)
class Matrix:
    """Subjects by metrics.

    Attributes:
        columns: the metrics, those that were bought first.
        rows: each subject with a cell for each column; None where it was not measured.
    """

    columns: list[Column]
    rows: list[tuple[Subject, list[Cell | None]]]


def matrix(every: Sequence[Subject]) -> Matrix:
    """The matrix of some subjects."""
    heads: dict[tuple[str, str, str], Column] = {}
    for side in ("trait", "cost"):
        for line in (line for subject in every for line in subject.lines if line.row.side == side):
            head = Column(line.row.task, line.name, short_unit(line.row), SIDES[side])
            heads.setdefault(_key(line), head)
    rows = []
    for subject in every:
        by = {_key(line): line for line in subject.lines}
        rows.append((subject, [_cell(by[key]) if key in by else None for key in heads]))
    return Matrix(list(heads.values()), rows)


def _key(line: Line) -> tuple[str, str, str]:
    return line.row.task, line.name, line.row.axis or ""


def _cell(line: Line) -> Cell:
    row, change = line.row, line.in_margins(line.row.difference)
    known = math.isfinite(change)
    return Cell(
        text=shown(row).difference,
        step=step_of(change) if known else 0,
        open=line.outcome == "untold",
        title=told(line),
        link=anchor(BLOCKS[row.self_report], row.arm, row.baseline),
        value=change if known else None,
    )


def step_of(change: float) -> int:
    """A change in margins as one of seven steps."""
    return int(math.copysign(sum(abs(change) >= step for step in STEPS), change))
