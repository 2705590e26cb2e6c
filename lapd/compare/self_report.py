"""What each arm of a run says of itself: the questionnaires' cells, read as a psychologist would.

Read are the tasks with `self_report: true` whose documents name their `item`, `axis` and `way` of asking. An item
counts only where all of its questions were answered, because only then do its statements and label orders cancel.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lapd.catalog.find import tasks
from lapd.catalog.task import TaskInfo
from lapd.compare.items import in_its_ways, whole_items
from lapd.errors import StoreError
from lapd.names import axis_ends
from lapd.questionnaires.psychometrics import (
    Estimate,
    correlation,
    cronbach_alpha,
    estimate,
    split_half,
    type_probabilities,
)
from lapd.record.store import Store

METHOD = (
    "Intervals are 95 %, Student's t over items. A type's probability is the product over its axes of the probability "
    "that the mean over all such items lies on that side of 50 (t with n - 1 degrees of freedom). Respondents are arms."
)


@dataclass(frozen=True)
class AxisScore:
    """An arm's score on an axis, 0 to 100 towards the first pole.

    Attributes:
        score: mean over the items that count; None if there is none.
        low: lower end of the 95 % interval, None for fewer than two items.
        high: upper end.
        items: how many count.
        incomplete: how many do not, because an answer is missing.
        lowest: the score if each incomplete item had 0.
        highest: the score if each incomplete item had 100.
    """

    score: float | None
    low: float | None
    high: float | None
    items: int
    incomplete: int
    lowest: float
    highest: float


@dataclass(frozen=True)
class Answers:
    """An arm's answers to one task, asked in one way.

    Attributes:
        arm: the arm's name.
        task: the task's name.
        way: such as "agreement".
        questions: documents.
        missing: documents without an answer that could be read.
        axes: the score on each axis.
        types: the probability of each of the sixteen types; empty if an axis has fewer than two items.
    """

    arm: str
    task: str
    way: str
    questions: int
    missing: int
    axes: dict[str, AxisScore]
    types: dict[str, float]


@dataclass(frozen=True)
class Diagnostic:
    """An arm's mean over items of what tells how far its scores can be trusted: 50 points of bias are none."""

    arm: str
    task: str
    name: str
    unit: str
    mean: float
    low: float | None
    high: float | None
    items: int


@dataclass(frozen=True)
class Reliability:
    """How well the items of an axis agree over the arms; None where it is not defined."""

    task: str
    way: str
    axis: str
    respondents: int
    items: int
    alpha: float | None
    split_half: float | None


@dataclass(frozen=True)
class ParallelForms:
    """How well two forms' axis scores agree over the arms; None where it is not defined."""

    task: str
    parallel: str
    way: str
    axis: str
    respondents: int
    r: float | None


@dataclass(frozen=True)
class SelfReport:
    """Everything that a run's questionnaires say."""

    answers: list[Answers]
    diagnostics: list[Diagnostic]
    reliability: list[Reliability]
    parallel_forms: list[ParallelForms]

    def as_json(self) -> dict[str, Any]:
        """As a JSON object, with the method in words."""
        return {"method": METHOD, **asdict(self)}


ItemScores = dict[tuple[str, str, str, str], dict[str, float]]
"""For each (task, way, axis, arm), the score of each item that counts."""


def read_self_report(folder: Path) -> SelfReport:
    """What a run's finished questionnaire cells say of each arm.

    Raises:
        StoreError: the folder is no run, or no cell of a questionnaire is finished.
    """
    samples = _samples(Store(folder))
    infos = tasks()
    answers: list[Answers] = []
    diagnostics: list[Diagnostic] = []
    scores: ItemScores = {}
    for (task, arm), rows in samples.items():
        for way in _ways(infos[task]):
            if asked := [row for row in rows if row["doc"]["way"] == way]:
                found, by_axis = _answers(infos[task], arm, way, asked)
                answers.append(found)
                scores |= {(task, way, axis, arm): items for axis, items in by_axis.items()}
        diagnostics += _diagnostics(infos[task], arm, rows)
    if not answers:
        raise StoreError(f"{folder}: no questionnaire is finished in this run.", "lapd eval --tasks mbti,mbti_b")
    return SelfReport(answers, diagnostics, _reliability(scores), _parallel_forms(scores, infos))


def _samples(store: Store) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """The documents of each self-report task and arm, over all seeds."""
    known = {name for name, info in tasks().items() if info.self_report}
    found: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for entry in store.run()["cells"].values():
        if entry["task"] in known and store.is_done(entry["cell"]):
            store.result(entry["cell"])  # refuses a record of another schema
            rows = store.samples(entry["cell"])
            found[entry["task"], entry["arm"]] += [row for row in rows if {"axis", "way"} <= row["doc"].keys()]
    return found


def _ways(info: TaskInfo) -> list[str]:
    """The task's ways of asking whose scores are points, 0 to 100."""
    return [family for family in info.axes if info.unit(family) == "points"]


def _answers(
    info: TaskInfo, arm: str, way: str, rows: list[dict[str, Any]]
) -> tuple[Answers, dict[str, dict[str, float]]]:
    """An arm's answers in one way of asking, and its items' scores by axis."""
    metrics = info.axes[way]
    by_axis: dict[str, dict[str, float]] = {}
    axes: dict[str, AxisScore] = {}
    estimates: dict[str, Estimate] = {}
    for axis in metrics:
        mine = [row for row in rows if row["doc"]["axis"] == axis]
        if not mine:
            continue
        whole = by_axis[axis] = whole_items(mine, metrics[axis])
        incomplete = len({row["item"] for row in mine}) - len(whole)
        if whole:
            estimates[axis] = estimate(np.array(list(whole.values())))
        axes[axis] = _axis_score(estimates.get(axis), incomplete)
    missing = sum(metrics[row["doc"]["axis"]] not in row["metrics"] for row in rows)
    types = type_probabilities(estimates, {axis: axis_ends(axis) for axis in metrics})
    return Answers(arm, info.name, way, len(rows), missing, axes, types), by_axis


def _axis_score(found: Estimate | None, incomplete: int) -> AxisScore:
    if found is None:
        return AxisScore(None, None, None, 0, incomplete, 0.0, 100.0)
    mean, low, high = _shown(found, 0.0, 100.0)
    lowest = mean * found.n / (found.n + incomplete)
    highest = lowest + 100 * incomplete / (found.n + incomplete)
    return AxisScore(mean, low, high, found.n, incomplete, lowest, highest)


def _shown(found: Estimate, least: float = -np.inf, most: float = np.inf) -> tuple[float, float | None, float | None]:
    """Mean, lower and upper end, kept within `least` and `most`; no ends for a single item."""
    if found.n < 2:
        return float(found.mean), None, None
    return float(found.mean), max(least, float(found.low)), min(most, float(found.high))


def _diagnostics(info: TaskInfo, arm: str, rows: list[dict[str, Any]]) -> list[Diagnostic]:
    made = []
    for name in info.diagnostics:
        items = whole_items(in_its_ways(rows, name), name)
        if items:
            found = estimate(np.array(list(items.values())))
            made.append(Diagnostic(arm, info.name, name, info.unit(name), *_shown(found), found.n))
    return made


def _by_arm(scores: ItemScores) -> dict[tuple[str, str, str], dict[str, dict[str, float]]]:
    """For each (task, way, axis), every arm's items."""
    grouped: dict[tuple[str, str, str], dict[str, dict[str, float]]] = defaultdict(dict)
    for (task, way, axis, arm), items in scores.items():
        grouped[task, way, axis][arm] = items
    return grouped


def _reliability(scores: ItemScores) -> list[Reliability]:
    """For each axis, over the items that count in every arm."""
    rows = []
    for (task, way, axis), arms in _by_arm(scores).items():
        first, *others = arms.values()
        common = [item for item in first if all(item in other for other in others)]
        matrix = np.array([[items[item] for item in common] for items in arms.values()])
        alpha, halves = (cronbach_alpha(matrix), split_half(matrix)) if common else (None, None)
        rows.append(Reliability(task, way, axis, len(arms), len(common), alpha, halves))
    return rows


def _parallel_forms(scores: ItemScores, infos: Mapping[str, TaskInfo]) -> list[ParallelForms]:
    """For each task that is another's parallel form, over the arms that answered both."""
    grouped = _by_arm(scores)
    rows = []
    for (task, way, axis), arms in grouped.items():
        other = infos[task].parallel
        if other is None or (other, way, axis) not in grouped:
            continue
        theirs = grouped[other, way, axis]
        both = [arm for arm in arms if arms[arm] and theirs.get(arm)]
        ours, others = (np.array([np.mean(list(form[arm].values())) for arm in both]) for form in (arms, theirs))
        rows.append(ParallelForms(task, other, way, axis, len(both), correlation(ours, others)))
    return rows
