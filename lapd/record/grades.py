"""Grades on stored responses: a grader's second pass over a run (`lapd.record.second_pass`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from lapd.catalog.find import tasks
from lapd.catalog.task import TaskInfo
from lapd.errors import StoreError
from lapd.hookspecs import Dimension, Grade, Grader
from lapd.judges.grades import COHERENCE, dimension, grade_record, grader_identity, grades_of, read_grade, refusal
from lapd.personas import axis_tag
from lapd.record.second_pass import Asked, CellPass, Form, Samples, run_passes
from lapd.record.store import Store


def _more(sample: Mapping[str, Any], asked: Asked) -> dict[str, Any]:
    return {"document": asked.document, "dimension": asked.about}


GRADES = Form(
    "grades",
    "grader",
    "graded",
    read_grade,
    grade_record,
    _more,
    is_missing=lambda grade: grade.value is None,
    without=lambda reason: Grade(None, reason),
)
"""How grades are kept."""


@dataclass(frozen=True)
class GradedCell:
    """A cell's grades.

    Attributes:
        entry: which cell: `arm`, `task`, `seed`, `cell`.
        grader: whose they are, as `grader_identity` gives it.
        dimensions: of each grade.
        grades: in the same order.
    """

    entry: dict[str, Any]
    grader: dict[str, Any]
    dimensions: list[str]
    grades: list[Grade]

    def by_dimension(self) -> dict[str, dict[str, Any]]:
        """For each dimension: `mean` (0 to 100; None without any), `n_graded`, `n_missing`, `missing_reasons`."""
        found = {}
        for name in dict.fromkeys(self.dimensions):
            here = [grade for grade, about in zip(self.grades, self.dimensions, strict=True) if about == name]
            values = [grade.value for grade in here if grade.value is not None]
            reasons = Counter(grade.reason for grade in here if grade.value is None)
            found[name] = {
                "mean": float(np.mean(values)) if values else None,
                "n_graded": len(values),
                "n_missing": len(here) - len(values),
                "missing_reasons": dict(reasons.most_common()),
            }
        return found


def graded_cells(store: Store) -> list[tuple[dict[str, Any], TaskInfo]]:
    """The run's finished cells whose responses can be graded.

    Raises:
        StoreError: there are none.
    """
    infos = {name: info for name, info in tasks().items() if info.graded}
    found = [(entry, infos[entry["task"]]) for entry in store.finished() if entry["task"] in infos]
    if not found:
        known = ", ".join(sorted(infos))
        raise StoreError(f"{store.folder} has no finished cell that can be graded.", f"Graded tasks: {known}.")
    return found


def grade_run(folder: Path, grader: Grader, label: str, *, quiet: bool = False) -> list[GradedCell]:
    """Have the stored responses of a run's graded cells graded, where they are not yet.

    A response is graded on the axis that its document is about, and on coherence where the grader can tell it.

    Args:
        folder: the run's.
        grader: who grades.
        label: what the grades are called, `grades-<label>.jsonl`.
        quiet: show no progress.

    Raises:
        StoreError: this is no run, it has nothing to grade, another process is at it, or the grades of that name are
            another grader's.
        LapdError: the grader cannot be used. What was graded is kept.
    """
    store = Store(folder)
    cells = graded_cells(store)
    infos = {entry["cell"]: info for entry, info in cells}
    known: dict[str, Dimension] = {}

    def decide(asked: Sequence[Asked]) -> Iterator[Grade]:
        for about, some in groupby(asked, key=lambda one: one.about):
            yield from grades_of(grader, [(one.prompt, one.response) for one in some], known[about])

    def make(cell: str) -> CellPass[Grade]:
        samples = store.samples(cell)
        asked = _asked(samples, infos[cell].graded or "", grader, known)
        by = grader_identity(grader, [known[name] for name in dict.fromkeys(one.about for one in asked)])
        return CellPass(GRADES, GRADES.path(store.cell_folder(cell), label), samples, asked, by, decide)

    passes = run_passes(store, list(infos), make, f"grade {label}", quiet)
    return [
        GradedCell(entry, one.by, [asked.about for asked in one.asked], one.made)
        for (entry, _), one in zip(cells, passes, strict=True)
    ]


def _asked(samples: Samples, field: str, grader: Grader, known: dict[str, Dimension]) -> list[Asked]:
    """What a cell's documents are graded on, dimension by dimension; what is met of those goes into `known`."""
    about = dict.fromkeys(str(sample["doc"]["axis"]) for sample in samples if sample["doc"].get("axis"))
    for name in (*about, COHERENCE.name):
        known.setdefault(name, dimension(name))
    graded = [name for name in (*about, COHERENCE.name) if refusal(grader, known[name]) is None]
    return [
        Asked(n, str(sample["doc"][field]), str(sample["responses"][0][0]), name)
        for name in graded
        for n, sample in enumerate(samples)
        if name == COHERENCE.name or sample["doc"].get("axis") == name
    ]


def grade_family(label: str) -> str:
    """What the grades called so are called among a task's families of metrics."""
    return f"grade_{label}"


def grade_metric(label: str, about: str) -> str:
    """What they are called on one dimension, among a document's metrics: "grade_reader_EI"."""
    return f"{grade_family(label)}_{axis_tag(about)}"


def with_grades(folder: Path, samples: list[dict[str, Any]]) -> tuple[dict[str, dict[str, Any]], list[dict[str, Any]]]:
    """A cell's documents with the grades beside their responses, and whose these are, by label.

    Args:
        folder: the cell's.
        samples: its documents.

    Returns:
        The graders, and the documents: the grades are among their metrics, and with their reasons under `grades`,
        whose rows are {grader: label, dimension, value, reason}.

    Raises:
        DataError: a file is damaged, or on other documents.
    """
    graders: dict[str, dict[str, Any]] = {}
    values: dict[int, dict[str, float]] = {}
    rows: dict[int, list[dict[str, Any]]] = {}
    for path in sorted(folder.glob(f"{GRADES.prefix}-*.jsonl")):
        label = path.stem.removeprefix(f"{GRADES.prefix}-")
        graders[label], found = GRADES.stored(path, samples)
        for asked, grade in found:
            row = {"grader": label, "dimension": asked.about, **grade_record(grade)}
            rows.setdefault(asked.document, []).append(row)
            if grade.value is not None:
                values.setdefault(asked.document, {})[grade_metric(label, asked.about)] = grade.value
    if not graders:
        return graders, samples
    return graders, [
        {**s, "metrics": {**s["metrics"], **values.get(n, {})}, "grades": rows.get(n, [])}
        for n, s in enumerate(samples)
    ]


def both_graded(folder: Path, first: str, second: str) -> dict[str, tuple[list[Grade], list[Grade]]]:
    """Two graders' grades of a run's answers, side by side, for each dimension that both grade.

    Args:
        folder: the run's.
        first: what the one's are called.
        second: and the other's.

    Raises:
        StoreError: this is no run, or it has no grades of one of these names.
        DataError: they are damaged, or on other documents.
    """
    store, found = Store(folder), dict[str, tuple[list[Grade], list[Grade]]]()
    for entry, _ in graded_cells(store):
        cell, samples = store.cell_folder(entry["cell"]), store.samples(entry["cell"])
        sides = []
        for label in (first, second):
            if not (path := GRADES.path(cell, label)).is_file():
                hint = f"`lapd judge {folder} --grader NAME --as {label}` makes them."
                raise StoreError(f"{entry['arm']} on {entry['task']} has no grades called {label!r}.", hint)
            sides.append({(asked.document, asked.about): grade for asked, grade in GRADES.stored(path, samples)[1]})
        for place in [place for place in sides[0] if place in sides[1]]:
            one, other = found.setdefault(place[1], ([], []))
            one.append(sides[0][place])
            other.append(sides[1][place])
    return found
