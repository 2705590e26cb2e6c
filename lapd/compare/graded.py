"""Grades among the metrics of a task: which there are, towards which axes, and what is said of their graders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lapd.catalog.task import GRADE, TaskInfo
from lapd.errors import StoreError
from lapd.judges.grades import COHERENCE
from lapd.judges.known_checks import note_of_grades
from lapd.record.grades import grade_family, grade_metric
from lapd.record.reading import ReadCell

Graders = dict[str, dict[str, dict[str, Any]]]
"""For each task, whose grades there are, by what they are called."""


def graders_of_tasks(folder: Path, cells: Sequence[ReadCell]) -> Graders:
    """Whose grades a run has.

    Raises:
        StoreError: arms of a task were graded by graders of different settings under one name.
    """
    found: Graders = {}
    for cell in cells:
        of_task = found.setdefault(cell.entry["task"], {})
        for label, by in cell.graders.items():
            if of_task.setdefault(label, by) != by:
                hint = "Delete those of one of them, and have them graded again."
                raise StoreError(f"{folder}: the grades called {label!r} are of graders of different settings.", hint)
    return {task: graders for task, graders in found.items() if graders}


def with_graders(info: TaskInfo, graders: Mapping[str, Mapping[str, Any]]) -> TaskInfo:
    """A task with its grades among its metrics: a family of axes for each grader, and how coherent it finds answers."""
    axes, units = dict(info.axes), dict(info.units)
    for label, by in graders.items():
        names = [name for name in by.get("dimensions", {}) if name != COHERENCE.name]
        axes[grade_family(label)] = {name: grade_metric(label, name) for name in names}
        units |= {grade_family(label): "points", grade_metric(label, COHERENCE.name): "points"}
    first = next(iter(graders), None)
    primary = grade_family(first) if first and info.primary == GRADE else info.primary
    return replace(info, axes=axes, units=units, primary=primary)


def grader_of(info: TaskInfo, metric: str, graders: Mapping[str, Any]) -> str | None:
    """Which grader's a row's metric is; None for one that is no grade."""
    family = info.family(metric)[0]
    for label in graders:
        own = grade_family(label)
        if family == own or metric in (grade_metric(label, COHERENCE.name), f"{own}_towards", f"{own}_moved"):
            return label
    return None


def graded_line(task: str, label: str, by: Mapping[str, Any]) -> str:
    """Who graded a task's answers, and what that grader says of its numbers."""
    name = str(by.get("name", label))
    remarks = [f"grades {label}" if label != name else "", note_of_grades(by)]
    said = "; ".join(filter(None, remarks))
    return f"{task} is graded by {name}" + (f" ({said})." if said else ".")
