"""A dose's curve: the shift at each strength, the line through all of them, and where it bends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from lapd.compare.verdicts import ALPHA
from lapd.designs.effects import Effect, weighted
from lapd.designs.series import Response
from lapd.statistics.departure import departure


@dataclass(frozen=True)
class Point:
    """A shift from the base.

    Attributes:
        strength: at which.
        arms: whose: replicates, or one.
        shift: mean over items, in the metric's unit.
        low: lower end of its 95 % interval.
        high: upper end.
        scope: "adapter" or "training".
    """

    strength: float
    arms: tuple[str, ...]
    shift: float
    low: float
    high: float
    scope: str


@dataclass(frozen=True)
class Step:
    """The slope between two neighbouring strengths, with its 95 % interval."""

    start: float
    end: float
    slope: float
    low: float
    high: float


@dataclass(frozen=True)
class Curve:
    """What a series does to one metric, strength by strength.

    Attributes:
        series: its name.
        kind: "adapter", "steering" or "prompt".
        persona: whose it is; a metric with axes counts towards its poles.
        task: the task's name.
        metric: the metric.
        unit: what it is counted in.
        side: "trait" or "cost".
        n: items.
        missing: items that were asked and that some arm lacks.
        points: the shifts, the weakest strength first; the base, at strength 0, has none.
        slope: of the line through the base and all points, by strength 1; None where there is one strength.
        bend: the coefficient of strength squared; None likewise.
        departure: p that all points lie on a line; None likewise.
        steps: the slopes between neighbours; empty likewise.
        bends_at: where `departure` is below 5 %, the strength at which the slope changes most; else None.
    """

    series: str
    kind: str
    persona: str
    task: str
    metric: str
    unit: str
    side: str
    n: int
    missing: int
    points: list[Point]
    slope: Effect | None
    bend: Effect | None
    departure: float | None
    steps: list[Step]
    bends_at: float | None


def curve(response: Response) -> Curve:
    """The curve of what a series does to a metric."""
    series, row = response.series, response.outcome.row
    at, _ = response.path
    several = len(series.strengths) > 1
    slope = _combined(response, "slope", line_weights(at)) if several else None
    bend = _combined(response, "bend", np.linalg.pinv(np.vander(at, 3, increasing=True))[2]) if several else None
    steps = list(_steps(response)) if several else []
    p = _departure(response, bend) if bend else None
    return Curve(
        series=series.name,
        kind=series.kind,
        persona=series.persona.code,
        task=row.task,
        metric=row.metric,
        unit=row.unit,
        side=row.side,
        n=len(response.items),
        missing=response.missing,
        points=list(_points(response)),
        slope=slope,
        bend=bend,
        departure=p,
        steps=steps,
        bends_at=_turn(steps) if p is not None and p < ALPHA else None,
    )


def line_weights(at: np.ndarray) -> np.ndarray:
    """[strengths] what each point counts in the slope of the least-squares line through all of them."""
    centred = at - at.mean()
    found: np.ndarray = centred / (centred @ centred)
    return found


def _combined(response: Response, of: str, weights: np.ndarray) -> Effect:
    """A linear combination of the points, the base's among them."""
    outcome = response.outcome
    if of != "slope":  # which is what a strength of 1 comes to, so that the margin of a shift is one of it
        outcome = replace(outcome, confirmatory=False, margin=None)
    values = np.einsum("isr,s->ir", response.path[1], weights)
    return weighted(outcome, of, [values], [1.0], response.clusters, response.missing)


def _points(response: Response) -> Iterator[Point]:
    at = response.path[0]
    for strength, arms in zip(response.series.strengths, response.series.arms, strict=True):
        found = _combined(response, "shift", (at == strength).astype(float))
        yield Point(strength, arms, found.estimate, found.low, found.high, found.scope)


def _steps(response: Response) -> Iterator[Step]:
    at = response.path[0]
    for start, end in pairwise(at):
        found = _combined(response, "step", ((at == end).astype(float) - (at == start)) / (end - start))
        yield Step(float(start), float(end), found.estimate, found.low, found.high)


def _departure(response: Response, bend: Effect) -> float:
    """p that all points lie on a line: with three points the bend's own."""
    at, values = response.path
    return bend.p if len(at) == 3 else departure(values.mean(axis=2), at, response.clusters)


def _turn(steps: list[Step]) -> float:
    changes = [abs(after.slope - before.slope) for before, after in pairwise(steps)]
    return steps[int(np.argmax(changes))].end
