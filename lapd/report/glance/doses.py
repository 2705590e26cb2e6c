"""Dose and frontier: what each way of moving a persona bought of its trait, and what it cost, by strength."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from lapd.compare.measured import Measured
from lapd.designs.curves import Point
from lapd.designs.dose import Bought, Dose, dose
from lapd.designs.equal import AtEqual
from lapd.designs.families import adjusted
from lapd.designs.series import ADAPTER, STEERING
from lapd.errors import StoreError
from lapd.pictures.drawing import Picture, numbers_csv
from lapd.report.glance.frame import BOTTOM, HEIGHT, TOP, WIDTH, Frame, padded
from lapd.report.glance.vector import CARD, INK, SOFT, Drawing
from lapd.report.labels import number, p_value, phrase

SHOWN = 4
"""So many personas have pictures, those at the most strengths first; the table has all."""

HEAD = (
    *("way", "kind", "persona", "strength", "trait task", "trait", "trait low", "trait high"),
    *("cost task", "cost metric", "cost", "cost low", "cost high"),
)


@dataclass(frozen=True)
class Compared:
    """Two ways at one shift of the trait, in words.

    Attributes:
        persona: whose.
        cost: the cost's task and metric.
        shift: of the trait, at which they are compared.
        first: the one way, its strength and its cost.
        second: the other's.
        difference: the first's cost less the second's, with its interval.
        adjusted: its p after the correction.
    """

    persona: str
    cost: str
    shift: str
    first: str
    second: str
    difference: str
    adjusted: str


@dataclass(frozen=True)
class Doses:
    """What a page shows of a run's strengths.

    Attributes:
        pictures: by persona, one for each cost.
        left_out: personas without pictures.
        equal: the comparisons at one shift of the trait.
        notes: what is left out and why.
    """

    pictures: dict[str, list[Picture]]
    left_out: list[str]
    equal: list[Compared]
    notes: list[str] = field(default_factory=list)


def doses(measured: Measured) -> Doses | None:
    """A run's strengths; None where there is nothing to compare."""
    try:
        found = dose(measured)
    except StoreError:
        return None
    if not found.frontier:
        return None
    ranked = _by_strengths(found.frontier)
    pictures = {code: list(_pictures(found, code)) for code in ranked[:SHOWN]}
    return Doses(pictures, ranked[SHOWN:], list(_compared(found.equal)), found.notes)


def _by_strengths(frontier: Sequence[Bought]) -> list[str]:
    """The personas, those that are moved in the most ways and strengths first."""
    places: dict[str, set[tuple[str, float]]] = {}
    for point in frontier:
        places.setdefault(point.persona, set()).add((point.series, point.trait.strength))
    return sorted(places, key=lambda code: -len(places[code]))


def _pictures(found: Dose, code: str) -> Iterator[Picture]:
    mine = [point for point in found.frontier if point.persona == code]
    for task, metric in dict.fromkeys((point.cost_task, point.cost_metric) for point in mine):
        points = [point for point in mine if (point.cost_task, point.cost_metric) == (task, metric)]
        equal = [at for at in found.equal if (at.persona, at.cost_task, at.cost_metric) == (code, task, metric)]
        title = f"{code}: {task}, {phrase(metric)}"
        yield Picture(title, _drawn(points, equal, title), numbers_csv(HEAD, list(_numbers(points))))


def _scale(unit: str) -> float:
    return 100.0 if unit == "share" else 1.0


def _unit(unit: str) -> str:
    return "points" if unit in ("share", "percent") else unit


def _frame(points: Sequence[Bought], equal: Sequence[AtEqual]) -> Frame:
    traits = [v for p in points for v in _ends(p.trait, _scale(p.trait_unit))]
    costs = [v for p in points for v in _ends(p.cost, _scale(p.cost_unit))]
    costs += [_scale(at.cost_unit) * paid.cost for at in equal for paid in at.paid]
    return Frame(padded(traits), padded(costs))


def _ends(point: Point, scale: float) -> list[float]:
    return [scale * v for v in (point.shift, point.low, point.high)]


def _drawn(points: Sequence[Bought], equal: Sequence[AtEqual], title: str) -> str:
    frame, drawing = _frame(points, equal), Drawing()
    first = points[0]
    frame.draw(drawing, f"{first.trait_task}, {_unit(first.trait_unit)}")
    for at in equal:
        x, _ = frame.at(_scale(at.trait_unit) * at.shift, 0)
        with drawing.group(f"Compared at {number(_scale(at.trait_unit) * at.shift, 1, signed=True)}"):
            drawing.line(x, TOP, x, BOTTOM, SOFT, 1, "3 3")
    for name in dict.fromkeys(point.series for point in points):
        _series(drawing, frame, [point for point in points if point.series == name])
    for at in equal:
        for paid in at.paid:
            x, y = frame.at(_scale(at.trait_unit) * at.shift, _scale(at.cost_unit) * paid.cost)
            with drawing.group(f"{paid.series} at equal trait"):
                drawing.path([(x, y - 5), (x + 5, y), (x, y + 5), (x - 5, y)], CARD, INK, 1.4)
    return drawing.svg(WIDTH, HEIGHT, f"{title}: trait against cost", "dose")


def _series(drawing: Drawing, frame: Frame, points: Sequence[Bought]) -> None:
    """A way's path from the base on, its points with both intervals."""
    colour = {ADAPTER: INK, STEERING: "var(--accent)"}.get(points[0].kind, SOFT)
    before = frame.at(0, 0)
    for point in points:
        trait, cost = _scale(point.trait_unit), _scale(point.cost_unit)
        here = frame.at(trait * point.trait.shift, cost * point.cost.shift)
        what = f"trait {_told(point.trait, trait)}, cost {_told(point.cost, cost)}"
        with drawing.group(f"{point.series} at {point.trait.strength:g}: {what}"):
            drawing.line(*before, *here, colour, 1.2, "" if point.kind == ADAPTER else "4 3")
            left, right = (frame.at(trait * v, 0)[0] for v in (point.trait.low, point.trait.high))
            upper, lower = (frame.at(0, cost * v)[1] for v in (point.cost.high, point.cost.low))
            drawing.line(left, here[1], right, here[1], colour, 1)
            drawing.line(here[0], upper, here[0], lower, colour, 1)
            drawing.circle(*here, 3.6, CARD if point.kind not in (ADAPTER, STEERING) else colour, colour)
            label = "prompt" if point.kind not in (ADAPTER, STEERING) else f"{point.trait.strength:g}"
            drawing.text(here[0] + 6, here[1] - 6, label, colour, 11)
        before = here


def _told(point: Point, scale: float) -> str:
    low, high = number(scale * point.low, 1), number(scale * point.high, 1)
    return f"{number(scale * point.shift, 1, signed=True)} [{low}, {high}]"


def _numbers(points: Sequence[Bought]) -> Iterator[list[object]]:
    for p in points:
        names = [p.series, p.kind, p.persona, p.trait.strength, p.trait_task]
        trait = [p.trait.shift, p.trait.low, p.trait.high]
        yield [*names, *trait, p.cost_task, p.cost_metric, p.cost.shift, p.cost.low, p.cost.high]


def _compared(equal: Sequence[AtEqual]) -> Iterator[Compared]:
    for at in equal:
        scale, unit = _scale(at.cost_unit), _unit(at.cost_unit)
        paid = {p.series: f"{p.series} at {p.strength:.2g}: {number(scale * p.cost, 1, signed=True)}" for p in at.paid}
        for gap in at.gaps:
            low, high = number(scale * gap.low, 1), number(scale * gap.high, 1)
            yield Compared(
                persona=at.persona,
                cost=f"{at.cost_task}, {phrase(at.cost_metric)}",
                shift=f"{number(_scale(at.trait_unit) * at.shift, 1, signed=True)} {_unit(at.trait_unit)}",
                first=paid[gap.first],
                second=paid[gap.second],
                difference=f"{number(scale * gap.difference, 1, signed=True)} [{low}, {high}] {unit}".strip(),
                adjusted=p_value(adjusted(gap)),
            )
