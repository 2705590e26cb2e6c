"""Trait, cost and coherence over the steps of a training of which there are checkpoints: a panel for each metric."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from lapd.compare.comparisons import Comparison
from lapd.compare.controls import Arms
from lapd.pictures.drawing import Picture, numbers_csv
from lapd.report.glance.checkpoints import Training, first_changes, steps_of, trainings
from lapd.report.glance.forest import told
from lapd.report.glance.frame import HEIGHT, LEFT, RIGHT, WIDTH, Frame, padded
from lapd.report.glance.matrix import step_of
from lapd.report.glance.sentences import short_unit
from lapd.report.glance.subjects import Infos, Line, subjects
from lapd.report.glance.trained import Cell, Table
from lapd.report.glance.vector import INK, LINE, SOFT, Drawing, colour_of
from lapd.report.labels import metric_label, shown

Course = Mapping[int, Line]
"""One metric, by the step at which it was measured."""

HEAD = (
    *("step", "arm", "task", "metric", "unit", "side", "difference", "low", "high"),
    *("margin", "detectable", "verdict", "n"),
)


@dataclass(frozen=True)
class OverSteps:
    """What a page shows of one training's checkpoints.

    Attributes:
        training: its name; "" where it needs none.
        changes: from which step on something changed that stayed so, in sentences.
        pictures: each metric's difference from the base against the step.
        table: the same numbers.
    """

    training: str
    changes: list[str]
    pictures: list[Picture]
    table: Table


def over_steps(arms: Arms, rows: Sequence[Comparison], infos: Infos) -> list[OverSteps]:
    """Every training of which a run has two checkpoints or more.

    Args:
        arms: of the run's record.
        rows: its comparisons.
        infos: what is known of its tasks.
    """
    return [_of(training) for training in trainings(subjects(arms, rows, infos, every=True), arms, rows)]


def _of(training: Training) -> OverSteps:
    courses: dict[tuple[str, str], dict[int, Line]] = {}
    for step, lines in training.checkpoints.items():
        for line in lines:
            courses.setdefault((line.row.task, line.row.metric), {})[step] = line
    changes = first_changes(steps_of(training))
    pictures = [_picture(training.name, course) for course in courses.values()]
    return OverSteps(training.name, changes, pictures, _table(training, list(courses.values())))


def _picture(training: str, course: Course) -> Picture:
    task, what = _head(course)
    title = f"{training + ', ' if training else ''}{task}: {what}"
    return Picture(title, _drawn(course, title), numbers_csv(HEAD, list(_numbers(course))))


def _head(course: Course) -> tuple[str, str]:
    """What a course is of: the task, and the metric with its unit."""
    line = next(iter(course.values()))
    less = ", less is better" if line.way < 0 else ""
    return line.row.task, f"{metric_label(line.row)} ({short_unit(line.row)}){less}"


def _drawn(course: Course, title: str) -> str:
    rows = [line.row for line in course.values()]
    scale = 100 if rows[0].unit == "share" else 1
    margin = scale * (rows[0].margin or 0.0)
    ends = [scale * value for row in rows for value in (row.difference, row.low, row.high)]
    frame, drawing = Frame(padded(list(course)), padded([*ends, margin, -margin])), Drawing()
    (_, upper), (_, lower) = frame.at(0, margin), frame.at(0, -margin)
    drawing.rect(LEFT, upper, RIGHT - LEFT, lower - upper, LINE, 0.6)
    frame.draw(drawing, "steps of training", [0, *course])
    base = frame.at(0, 0)
    drawing.line(LEFT, base[1], RIGHT, base[1], SOFT)
    places = {step: frame.at(step, scale * line.row.difference) for step, line in course.items()}
    for before, here in pairwise([base, *places.values()]):
        drawing.line(*before, *here, INK, 1.2)
    for step, line in course.items():
        with drawing.group(f"Step {step}, {told(line)}"):
            if math.isfinite(line.row.low) and math.isfinite(line.row.high):
                drawing.line(*frame.at(step, scale * line.row.low), *frame.at(step, scale * line.row.high),
                             colour_of(line.outcome), 1.8)  # fmt: skip
            drawing.mark(line.outcome, *places[step])
    return drawing.svg(WIDTH, HEIGHT, f"{title}: difference from the base against the step", "dose")


def _numbers(course: Course) -> Iterator[list[object]]:
    for step, line in course.items():
        row = line.row
        numbers = [row.difference, row.low, row.high, row.margin, row.detectable]
        finite = ["" if value is None or not math.isfinite(value) else value for value in numbers]
        yield [step, row.arm, row.task, row.metric, row.unit, line.side, *finite, row.verdict, row.n]


def _table(training: Training, courses: Sequence[Course]) -> Table:
    rows = [
        (str(step), [_cell(course[step]) if step in course else None for course in courses])
        for step in training.checkpoints
    ]
    return Table([_head(course) for course in courses], rows)


def _cell(line: Line) -> Cell:
    change, text = line.in_margins(line.row.difference), shown(line.row)
    step = step_of(change) if math.isfinite(change) else 0
    return Cell(text.difference, text.interval, step, open=line.outcome == "untold", own=False)
