"""`lapd compare --design`: what several arms of a run tell together, as a sentence and a table, or as JSON."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lapd.cli.common import echo_json, echo_table

if TYPE_CHECKING:
    from lapd.designs.dose import Dose
    from lapd.designs.effects import Effect
    from lapd.designs.equal import AtEqual
    from lapd.designs.factorial import Factorial
    from lapd.designs.opposites import Opposites
    from lapd.designs.saying import Gap, Saying, Shift

DESIGNS = ("factorial", "opposites", "dose", "saying")

WIDTH = 110

Lines = Iterator[tuple[Sequence[str], Sequence[Sequence[object]]]]
"""A table's header and its rows."""


def show_design(
    run: Path, design: str, judge: str | None, persona: str | None, margins: Mapping[str, float], as_json: bool
) -> None:
    """Print one design of a run.

    Args:
        run: its folder.
        design: one of `DESIGNS`.
        judge: whose verdicts judged tasks are scored by.
        persona: whose poles adapters count towards that have no persona of their own.
        margins: differences that make no odds, in place of the tasks' own.
        as_json: as JSON on standard output, notes on standard error.

    Raises:
        StoreError: the run has not what the design needs; the message says what, and how to get it.
    """
    from lapd.compare.measured import read_measured
    from lapd.designs.dose import dose
    from lapd.designs.effects import as_json as jsonable
    from lapd.designs.factorial import factorial
    from lapd.designs.opposites import opposites
    from lapd.designs.saying import saying

    measured = read_measured(run, judge, persona)
    make: Any = {"factorial": factorial, "opposites": opposites, "dose": dose}
    found = saying(measured) if design == "saying" else make[design](measured, margins)
    if as_json:
        echo_json({"design": design, **jsonable(found)})
        for note in found.notes:
            click.echo(note, err=True)
        return
    sentences: Any = {"factorial": _of_factorial, "opposites": _of_opposites, "dose": _of_dose, "saying": _of_saying}
    tables: Any = {"factorial": _factorial, "opposites": _opposites, "dose": _dose, "saying": _saying}
    _echo(sentences[design](found))
    for header, rows in tables[design](found):
        click.echo()
        echo_table(header, rows)
    if found.notes:
        click.echo()
        _echo(found.notes)


def _echo(sentences: Iterable[str]) -> None:
    for sentence in sentences:
        click.echo("\n".join(textwrap.wrap(sentence, WIDTH)))


def _interval(estimate: float, low: float, high: float, unit: str = "") -> str:
    """Such as "+0.80 [0.73, 0.87]"; shares in percentage points."""
    from lapd.report.labels import number

    scale = 100 if unit == "share" else 1
    half = scale * (high - low) / 2
    size = half if 0 < half < math.inf else scale * abs(estimate)
    decimals = min(3, max(1, -math.floor(math.log10(size / 2)))) if size > 0 else 1
    ends = f"[{number(scale * low, decimals)}, {number(scale * high, decimals)}]"
    return f"{number(scale * estimate, decimals, signed=True)} {ends if math.isfinite(half) else 'unbounded'}"


def _counted(unit: str) -> str:
    """The unit of a difference: that of shares is in percentage points."""
    return {"share": "percentage points", "percent": "percentage points"}.get(unit, unit)


def _metric(metric: str, axis: str | None = None) -> str:
    """A metric in words: "log-odds" for log_odds_towards, "log-odds on E/I" for log_odds_EI."""
    from lapd.personas import axis_tag
    from lapd.report.labels import phrase

    if axis:
        return f"{phrase(metric.removesuffix('_' + axis_tag(axis)))} on {axis}"
    return phrase(metric.removesuffix("_towards"))


def _said(effect: Effect) -> str:
    """Such as "accuracy in socialiqa_mini by −3.1 percentage points [−5.9, −0.3]"."""
    estimate, _, ends = _interval(effect.estimate, effect.low, effect.high, effect.unit).partition(" ")
    return f"{_metric(effect.metric, effect.axis)} in {effect.task} by {estimate} {_counted(effect.unit)} {ends}"


def _corrected(found: Any) -> str:
    """p after its family's correction: Holm's, or "q" and the false discovery rate."""
    from lapd.designs.families import adjusted
    from lapd.report.labels import p_value

    return ("q " if found.q is not None else "") + p_value(adjusted(found))


def _columns(effect: Effect) -> list[str]:
    """An effect's estimate, corrected p and verdict."""
    from lapd.report.labels import SHORT

    verdict = SHORT.get(effect.verdict, effect.verdict)
    return [_interval(effect.estimate, effect.low, effect.high, effect.unit), _corrected(effect), verdict]


def _changed(effects: Iterable[Effect]) -> list[Effect]:
    from lapd.compare.verdicts import CHANGED

    return [effect for effect in effects if effect.verdict == CHANGED]


def _scope(effects: Sequence[Effect]) -> str:
    if all(effect.scope == "training" for effect in effects):
        return "This is about such trainings: items and trainings vary in the intervals."
    return "This is about these adapters: items vary in the intervals, trainings do not."


def _poles(axis: str) -> str:
    """Such as "E less I"."""
    from lapd.names import axis_ends

    return " less ".join(axis_ends(axis))


def _of_factorial(found: Factorial) -> Iterator[str]:
    count = sum(map(len, found.adapters.values()))
    asked = [effect for effect in found.effects if effect.axis in (None, effect.of)]
    moved = _changed(asked)
    for effect in moved:
        yield f"{_poles(effect.of)}, over {count} adapters: {_said(effect)}."
    if rest := len(asked) - len(moved):
        yield f"{'No' if not moved else 'No other'} axis is told to change its task ({rest} of {len(asked)} effects)."
    as_such = _changed(found.training)
    what = "; ".join(map(_said, as_such)) or "nothing that could be told"
    yield f"Training as such, whatever the persona, changed {what}."
    yield f"{_scope(found.effects)} Error: {found.error}" + (f", {found.df} degrees of freedom." if found.df else ".")
    if found.interactions_told:
        both = _changed(found.interactions)
        yield f"Two-way interactions that are told: {len(both)} of {len(found.interactions)} (q; --json has them)."


def _factorial(found: Factorial) -> Lines:
    rows = [effect for effect in found.effects if effect.axis in (None, effect.of) or _changed([effect])]
    rows = sorted([*rows, *found.training], key=lambda effect: [e.task for e in found.training].index(effect.task))
    header = ("task", "metric", "effect of", "difference", "p", "verdict")
    yield (
        header,
        [(e.task, _metric(e.metric, e.axis), _poles(e.of) if e.of in found.axes else e.of, *_columns(e)) for e in rows],
    )


def _of_opposites(found: Opposites) -> Iterator[str]:
    for pair in found.pairs:
        trait = "; ".join(map(_said, _changed(pair.effects[::2]))) or "nothing that could be told"
        both = "; ".join(map(_said, _changed(pair.effects[1::2]))) or "nothing that could be told"
        yield f"{pair.label} against {pair.opposite}: the trait itself changed {trait}; what both share changed {both}."
    yield _scope([effect for pair in found.pairs for effect in pair.effects])


def _opposites(found: Opposites) -> Lines:
    for pair in found.pairs:
        header = (f"{pair.label} | {pair.opposite}", "metric", "trait", "p", "verdict", "training", "p", "verdict")
        both = zip(pair.effects[::2], pair.effects[1::2], strict=True)
        yield header, [(t.task, _metric(t.metric, t.axis), *_columns(t), *_columns(c)) for t, c in both]


def _of_dose(found: Dose) -> Iterator[str]:
    for price in found.prices:
        per = price.trait_unit.removesuffix("s") or "unit"
        paid = _interval(price.price, price.low, price.high, price.cost_unit)
        what = f"{_metric(price.cost_metric)} in {price.cost_task} changes by {paid} {_counted(price.cost_unit)}"
        yield f"{price.series}: for each {per} towards {price.persona} in {price.trait_task}, {what}."
    for equal in found.equal:
        yield _at_equal(equal)
    slopes = [curve.slope for curve in found.curves if curve.slope]
    yield f"Of slopes: {_scope(slopes)}" if slopes else "There is one strength of each, and no slope."
    if found.prices:
        yield "Prices, and costs at equal shift, are about these adapters: replicates are averaged."


def _at_equal(equal: AtEqual) -> str:
    from lapd.report.labels import number

    scale = 100 if equal.trait_unit == "share" else 1
    at = f"At {number(scale * equal.shift, 2, signed=True)} {_counted(equal.trait_unit)} towards {equal.persona}"
    unit = equal.cost_unit
    paid = "; ".join(f"{w.series} at {w.strength:.2f} {_interval(w.cost, w.low, w.high, unit)}" for w in equal.paid)
    what = f"{_metric(equal.cost_metric)} in {equal.cost_task}, {_counted(unit)}"
    gaps = "; ".join(
        f"{gap.first} less {gap.second} {_interval(gap.difference, gap.low, gap.high, unit)}, p {_corrected(gap)}"
        for gap in equal.gaps
    )
    return f"{at} in {equal.trait_task}, as far as {equal.weakest} goes: {what}: {paid} ({gaps})."


def _dose(found: Dose) -> Lines:
    rows = []
    for curve in found.curves:
        shifts = ", ".join(f"{p.strength:g}: {_interval(p.shift, p.low, p.high, curve.unit)}" for p in curve.points)
        slope = _columns(curve.slope)[:2] if curve.slope else ["", ""]
        bend = "" if curve.bends_at is None else f"at {curve.bends_at:g}"
        rows.append((curve.series, curve.task, _metric(curve.metric), *slope, bend, shifts))
    yield ("series", "task", "metric", "slope", "p", "bends", "shift at strength"), rows


def _of_saying(found: Saying) -> Iterator[str]:
    from lapd.compare.verdicts import ALPHA
    from lapd.designs.families import adjusted
    from lapd.designs.saying import OVER_ALL

    for gap in [gap for gap in found.gaps if gap.axis == OVER_ALL]:
        if adjusted(gap) < ALPHA:
            told = f"says {'more' if gap.difference > 0 else 'less'} of itself than it does"
        else:
            told = "is not told to say more or less of itself than it does"
        said, done = [_interval(shift.spreads, shift.low, shift.high) for shift in _both(found, gap)]
        yield f"{gap.arm} {told}: {gap.saying} {said}, {gap.doing} {done} spreads of the base's items."
    yield "Items are taken to be independent; replicates are averaged: this is about these adapters."


def _both(found: Saying, gap: Gap) -> tuple[Shift, Shift]:
    """The shift in saying and the one in doing."""
    shifts = {(s.arm, s.task, s.metric, s.axis): s for s in found.shifts}
    said = shifts[gap.arm, gap.saying, gap.said_metric, gap.axis]
    return said, shifts[gap.arm, gap.doing, gap.metric, gap.axis]


def _saying(found: Saying) -> Lines:
    from lapd.report.labels import MINUS

    rows = []
    for gap in found.gaps:
        said, done = _both(found, gap)
        both = [_interval(shift.spreads, shift.low, shift.high) for shift in (said, done)]
        tasks = f"{gap.saying} {MINUS} {gap.doing}"
        shares = f"{said.towards:.0%}, {done.towards:.0%}"
        rows.append(
            (gap.arm, gap.axis, tasks, *both, _interval(gap.difference, gap.low, gap.high), _corrected(gap), shares)
        )
    yield ("arm", "axis", "tasks", "says", "does", "difference", "p", "items moved"), rows
