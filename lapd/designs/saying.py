"""Saying and doing: how far an arm moved in what the model says of itself and in what it does, on one scale.

A shift is counted in standard deviations between the base's items, so that points of a questionnaire, nats of a
likelihood and grades of written answers can stand beside each other; and as the share of items that moved towards the
persona. Saying and doing are of different items, which are taken to be independent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

import numpy as np

from lapd.compare.gaps import unfinished
from lapd.compare.measured import Measured
from lapd.compare.verdicts import CONFIRMATORY, EXPLORATORY
from lapd.designs.families import correct
from lapd.designs.outcomes import groups_of_arms, is_finished, names, pairing, strength_of
from lapd.errors import StoreError
from lapd.names import sign_of
from lapd.personas import Persona
from lapd.record.grades import grade_family
from lapd.statistics.paired import FEWEST, paired_difference
from lapd.statistics.welch import welch

SAYING, DOING, WRITING = "questionnaire", "situations", "graded text"
"""Kinds of tasks: that ask the model about itself; that watch what it does; whose written answers are graded."""

OVER_ALL = "all"
"""In place of an axis: all of those on which the persona takes a side."""

ROUNDING = 1e-9
"""A spread that is so small a share of the largest value is rounding."""


@dataclass(frozen=True)
class Shift:
    """How far an arm moved towards its persona on one axis, by one kind of task.

    Attributes:
        arm: the arm, or what its replicates are called together.
        baseline: what it is held against.
        persona: whose poles count.
        kind: "questionnaire", "situations" or "graded text".
        task: the task's name.
        metric: the family of metrics.
        axis: which, or "all".
        n: items.
        spreads: the shift, in standard deviations between the baseline's items.
        low: lower end of its 95 % interval.
        high: upper end.
        towards: the share of the items that moved towards the persona.
        away: the share that moved away from it.
    """

    arm: str
    baseline: str
    persona: str
    kind: str
    task: str
    metric: str
    axis: str
    n: int
    spreads: float
    low: float
    high: float
    towards: float
    away: float


@dataclass
class Gap:
    """Whether saying and doing differ, on one axis of one arm.

    Attributes:
        arm: the arm, or what its replicates are called together.
        axis: which, or "all".
        saying: the task that asks.
        said_metric: its family of metrics.
        doing: the task that watches, or whose answers are graded.
        metric: its family of metrics.
        difference: the shift in saying less that in doing, in spreads.
        low: lower end of its 95 % interval (Welch).
        high: upper end.
        p: two-sided (Welch).
        shares: the share of items that moved towards the persona in saying, less that in doing.
        p_shares: two-sided (Fisher's exact test); not corrected.
        family: "confirmatory" over all axes, "exploratory" for one.
        family_size: how many such differences of the run are in it.
        p_holm: of a confirmatory one: p corrected over its family (Holm).
        q: of an exploratory one (Benjamini, Hochberg).
    """

    arm: str
    axis: str
    saying: str
    said_metric: str
    doing: str
    metric: str
    difference: float
    low: float
    high: float
    p: float
    shares: float
    p_shares: float
    family: str
    family_size: int = 0
    p_holm: float | None = None
    q: float | None = None


@dataclass(frozen=True)
class Saying:
    """What a run's arms say of themselves beside what they do.

    Attributes:
        shifts: each arm by each kind of task, over all axes and axis by axis.
        gaps: where an arm has both.
        notes: what is left out and why, in sentences.
    """

    shifts: list[Shift]
    gaps: list[Gap]
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Measure:
    """A family of axis metrics of a task."""

    kind: str
    task: str
    family: str


@dataclass(frozen=True)
class _Scaled:
    """Shifts of items in spreads, and which way the items moved.

    Attributes:
        items: [n] as `in_spreads` has them.
        moved: [n] the sign of each item's shift.
    """

    items: np.ndarray
    moved: np.ndarray


def saying(measured: Measured) -> Saying:
    """How far saying and doing moved in each arm that has a persona and is no control, and whether they differ.

    Replicates are averaged, item by item: the tests speak of these adapters. p is corrected over the differences over
    all axes of the arms at their own strength (Holm); axis by axis, and at other strengths, q stands in its place.

    Raises:
        StoreError: no arm has both a questionnaire and a task that watches what it does, finished beside its baseline.
    """
    found = Saying([], [], unfinished(measured.store))
    for label, arms in groups_of_arms(measured.arms).items():
        persona = measured.persona(arms[0])
        if persona is None or measured.arms[arms[0]].get("adapter_control"):
            continue
        scaled = {measure: _axes(measured, arms, persona, measure) for measure in _measures(measured, arms)}
        for measure, axes in scaled.items():
            found.shifts.extend(_shifts(label, measured.arms[arms[0]]["baseline"], persona, measure, axes))
        family = CONFIRMATORY if strength_of(measured.arms[arms[0]]) == 1 else EXPLORATORY
        said = [measure for measure in scaled if measure.kind == SAYING]
        done = [measure for measure in scaled if measure.kind != SAYING]
        for ours, theirs in product(said, done):
            found.gaps.extend(_gaps(label, ours, theirs, scaled[ours], scaled[theirs], family))
    if not found.gaps:
        raise _nothing(measured, found.shifts)
    correct(found.gaps)
    return found


def _measures(measured: Measured, arms: Sequence[str]) -> Iterator[_Measure]:
    """What sums up the tasks of a trait that all arms have finished, where that has axes; and the grades."""
    for task in measured.tasks:
        if not all(is_finished(measured, arm, task) for arm in arms):
            continue
        info = measured.infos[task]
        grades = [grade_family(label) for label in measured.graders.get(task, {})]
        main = info.main(measured.values[arms[0], task])
        if info.side == "trait" and main in info.axes and main not in grades:
            yield _Measure(SAYING if info.self_report else DOING, task, str(main))
        for family in grades:
            yield _Measure(WRITING, task, family)


def _axes(measured: Measured, arms: Sequence[str], persona: Persona, measure: _Measure) -> dict[str, _Scaled]:
    """Each axis on which the persona takes a side and whose items are enough and differ in the baseline; and all."""
    pairs = [pairing(measured, arm, measure.task, persona) for arm in arms]
    found = dict[str, _Scaled]()
    for axis, metric in measured.infos[measure.task].axes[measure.family].items():
        sign = sign_of(axis, persona.poles.get(axis))
        if not sign or not all(metric in pair.ours and metric in pair.theirs for pair in pairs):
            continue
        series = [pair.series(metric) for pair in pairs]
        items = [item for item in series[0][1] if all(item in ours for ours, _ in series)]
        base = np.array([series[0][1][item] for item in items])
        ours = np.array([[mine[item] for mine, _ in series] for item in items])
        if len(items) < FEWEST:
            continue
        shifts = sign * (ours.mean(axis=1) - base)
        if (scaled := in_spreads(shifts, base)) is not None:
            found[axis] = _Scaled(scaled, np.sign(shifts))
    if found:
        every = list(found.values())
        both = _Scaled(np.concatenate([s.items for s in every]), np.concatenate([s.moved for s in every]))
        found = {OVER_ALL: both, **found}
    return found


def in_spreads(shifts: np.ndarray, base: np.ndarray) -> np.ndarray | None:
    """Items whose mean is the mean shift in standard deviations between the base's items.

    Args:
        shifts: [items] how far each moved.
        base: [items] the base's values of them.

    Returns:
        [items] the shifts in spreads, and to first order what each item adds to the spread's own error, so that their
        scatter is the whole error (the delta method): -d/2 (z² - 1), where d is the mean shift in spreads and z how
        many spreads the item's base value lies from their mean. None where the base's items are all alike.
    """
    spread = float(base.std(ddof=1))
    if spread <= ROUNDING * float(np.abs(base).max()):
        return None
    z = (base - base.mean()) / base.std()
    found: np.ndarray = shifts / spread - float(shifts.mean()) / spread / 2 * (z**2 - 1)
    return found


def _shifts(
    label: str, baseline: str, persona: Persona, measure: _Measure, axes: Mapping[str, _Scaled]
) -> Iterator[Shift]:
    for axis, scaled in axes.items():
        found = paired_difference(scaled.items, np.zeros(len(scaled.items)))
        yield Shift(
            arm=label,
            baseline=baseline,
            persona=persona.code,
            kind=measure.kind,
            task=measure.task,
            metric=measure.family,
            axis=axis,
            n=found.n,
            spreads=found.difference,
            low=found.low,
            high=found.high,
            towards=float(np.mean(scaled.moved > 0)),
            away=float(np.mean(scaled.moved < 0)),
        )


def _gaps(
    label: str, ours: _Measure, theirs: _Measure, said: Mapping[str, _Scaled], done: Mapping[str, _Scaled], family: str
) -> Iterator[Gap]:
    from scipy.stats import fisher_exact

    for axis in [axis for axis in said if axis in done]:
        one, other = said[axis], done[axis]
        if (found := welch(one.items, other.items)) is None:
            continue
        ups = [int((each.moved > 0).sum()) for each in (one, other)]
        table = [[up, len(each.moved) - up] for up, each in zip(ups, (one, other), strict=True)]
        yield Gap(
            arm=label,
            axis=axis,
            saying=ours.task,
            said_metric=ours.family,
            doing=theirs.task,
            metric=theirs.family,
            difference=found.difference,
            low=found.low,
            high=found.high,
            p=found.p,
            shares=ups[0] / len(one.moved) - ups[1] / len(other.moved),
            p_shares=float(fisher_exact(table)[1]),
            family=family if axis == OVER_ALL else EXPLORATORY,
        )


def _nothing(measured: Measured, found: Sequence[Shift]) -> StoreError:
    """Why there is nothing to hold against each other."""
    folder, kinds = measured.store.folder, dict.fromkeys(shift.kind for shift in found)
    if not kinds:
        hint = f"Axes of fewer than {FEWEST} items, or whose items the base answers all alike, do not count."
        return StoreError(f"{folder}: no arm of a persona has a task with axes beside its baseline.", hint)
    if SAYING not in kinds:
        hint = "Evaluate a questionnaire beside them: `lapd eval --tasks mbti`."
        return StoreError(f"{folder}: there is no saying to set beside {names(kinds)}.", hint)
    hint = "Evaluate one into the same folder: `lapd eval --tasks situations`."
    return StoreError(f"{folder}: no task that watches what a model does has items that differ in the base.", hint)
