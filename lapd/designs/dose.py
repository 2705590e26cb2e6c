"""Dose and response: what a persona's strength buys of the trait, and what it costs.

Strength 0 is the base, on the same items. A slope is that of the least-squares line through the base and all strengths,
item by item, so that its error is that of items (and, with replicates, of trainings) as any other difference's is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from lapd.compare.gaps import unfinished
from lapd.compare.measured import Measured
from lapd.compare.verdicts import Margins
from lapd.designs.curves import Curve, Point, curve
from lapd.designs.effects import settle
from lapd.designs.equal import AtEqual, at_equal
from lapd.designs.families import correct
from lapd.designs.prices import Price, price
from lapd.designs.series import PROMPT, Response, Series, all_series, responses
from lapd.errors import StoreError


@dataclass(frozen=True)
class Bought:
    """A point of the frontier: what one arm, or its replicates, bought of the trait, and what it paid.

    Attributes:
        series: the way in which the persona is moved.
        kind: "adapter", "steering" or "prompt".
        persona: whose trait it is.
        trait_task: what the trait is measured by.
        trait_unit: what that is counted in.
        cost_task: what the cost is measured by.
        cost_metric: its metric.
        cost_unit: what that is counted in.
        trait: the shift of the trait.
        cost: the shift of the cost's metric.
    """

    series: str
    kind: str
    persona: str
    trait_task: str
    trait_unit: str
    cost_task: str
    cost_metric: str
    cost_unit: str
    trait: Point
    cost: Point


@dataclass(frozen=True)
class Dose:
    """A run's strengths.

    Attributes:
        curves: each way of moving a persona on each metric that sums up a task of a trait or a cost.
        prices: each way's costs for a unit of the trait.
        equal: for each persona and cost, what its ways cost at one and the same shift of the trait.
        frontier: the points of a picture of trait against cost.
        notes: what is left out and why, in sentences.
    """

    curves: list[Curve]
    prices: list[Price]
    equal: list[AtEqual]
    frontier: list[Bought]
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Way:
    """A series, its responses, and their curves in the same order."""

    series: Series
    responses: list[Response]
    curves: list[Curve]

    def trait(self, task: str) -> tuple[Response, Curve] | None:
        """What it does to the trait that a task measures."""
        both = zip(self.responses, self.curves, strict=True)
        return next((pair for pair in both if _is_trait(pair[0]) and pair[0].outcome.row.task == task), None)

    def costs(self) -> Iterator[tuple[Response, Curve]]:
        """What it does to each cost."""
        for response, drawn in zip(self.responses, self.curves, strict=True):
            if response.outcome.row.side == "cost":
                yield response, drawn


def dose(measured: Measured, margins: Margins | None = None) -> Dose:
    """What a run's strengths bought of the trait and what they cost.

    The trait is what the first task of the run shows of it that does not ask the model about itself.

    Args:
        measured: the run.
        margins: instead of those of the tasks' metadata.

    Raises:
        StoreError: there is no adapter at several strengths, and no persona that is moved in two ways.
    """
    ways = [_way(measured, series, margins) for series in all_series(measured)]
    ways = [way for way in ways if way.responses]
    _check(measured, ways)
    settle(effect for way in ways for drawn in way.curves for effect in (drawn.slope, drawn.bend) if effect)
    found = Dose([drawn for way in ways for drawn in way.curves], [], [], [], unfinished(measured.store))
    for code in dict.fromkeys(way.series.persona.code for way in ways):
        _exchange(found, code, [way for way in ways if way.series.persona.code == code])
    correct(gap for each in found.equal for gap in each.gaps)
    return found


def _way(measured: Measured, series: Series, margins: Margins | None) -> _Way:
    found = list(responses(measured, series, margins))
    return _Way(series, found, [curve(response) for response in found])


def _exchange(found: Dose, code: str, ways: Sequence[_Way]) -> None:
    """Add what one persona's ways cost: by unit of the trait, at one shift of it, and as points of the frontier."""
    task = _task_of_trait([response for way in ways for response in way.responses])
    if task is None:
        found.notes.append(f"No cost for a unit of the trait of {code}: no task of a trait is finished.")
        return
    able = dict[str, list[tuple[Response, Response]]]()
    for way in ways:
        if (bought := way.trait(task)) is None:
            found.notes.append(f"{way.series.name} is not set against other ways: it has not finished {task}.")
            continue
        found.frontier.extend(_frontier(bought[1], way))
        if not any(point.low > 0 for point in bought[1].points if point.strength > 0):
            why = f"its shift towards {code} in {task} is not told from zero"
            found.notes.append(f"{way.series.name} is not set against other ways: {why}.")
            continue
        for cost, _ in way.costs():
            found.prices.extend(made for made in [price(bought[0], cost)] if made)
            able.setdefault(f"{cost.outcome.row.task} {cost.outcome.row.metric}", []).append((bought[0], cost))
    found.equal.extend(made for rivals in able.values() if (made := at_equal(rivals)))


def _frontier(trait: Curve, way: _Way) -> Iterator[Bought]:
    for _, drawn in way.costs():
        for point, paid in zip(trait.points, drawn.points, strict=True):
            yield Bought(
                series=way.series.name,
                kind=way.series.kind,
                persona=way.series.persona.code,
                trait_task=trait.task,
                trait_unit=trait.unit,
                cost_task=drawn.task,
                cost_metric=drawn.metric,
                cost_unit=drawn.unit,
                trait=point,
                cost=paid,
            )


def _is_trait(response: Response) -> bool:
    """Whether a metric counts towards the persona."""
    return response.outcome.row.side == "trait" and response.outcome.row.persona is not None


def _task_of_trait(found: Sequence[Response]) -> str | None:
    """The first task that shows a trait, one that does not ask the model about itself before one that does."""
    traits = sorted(filter(_is_trait, found), key=lambda response: response.outcome.row.self_report)
    return traits[0].outcome.row.task if traits else None


def _check(measured: Measured, ways: Sequence[_Way]) -> None:
    """Refuse a run in which nothing is moved at two strengths or in two ways."""
    codes = [way.series.persona.code for way in ways]
    if any(len(way.series.strengths) > 1 for way in ways) or len(set(codes)) < len(codes):
        return
    where = f"{measured.store.folder}: there are no strengths to compare"
    if not ways:
        hint = "Evaluate an adapter at several, as in `lapd eval --adapter out/INFP@0.5,1,2`, and its base."
        raise StoreError(f"{where}: no arm of a persona is finished beside its base.", hint)
    adapters = [way.series.name for way in ways if way.series.kind != PROMPT]
    name = adapters[0] if adapters else codes[0]
    hint = f"Add them to it: `lapd eval --adapter FOLDER/{name}@0.5,1,2`; or the arm base+prompt."
    raise StoreError(f"{where}: {name} is there at one strength, and alone.", hint)
