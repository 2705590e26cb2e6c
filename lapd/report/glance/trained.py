"""What training on each axis did: to each cost, and to each axis that is measured, from the factorial."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from lapd.compare.measured import Measured
from lapd.designs.effects import Effect
from lapd.designs.factorial import COMMON, Factorial, factorial
from lapd.errors import StoreError
from lapd.report.glance.matrix import step_of
from lapd.report.glance.subjects import Infos
from lapd.report.labels import number, phrase

ANY = "any training"
"""What the adapters have in common, whatever they were trained on."""


@dataclass(frozen=True)
class Cell:
    """One effect.

    Attributes:
        text: the estimate.
        interval: its 95 % interval.
        step: -3 to 3, as in the matrix.
        open: whether it cannot be told.
        own: whether it is of an axis on itself.
    """

    text: str
    interval: str
    step: int
    open: bool
    own: bool


@dataclass(frozen=True)
class Table:
    """Effects, the axes that were trained by what was measured.

    Attributes:
        columns: what was measured, in two lines: task, metric or axis with its unit.
        rows: each trained axis with a cell for each column.
    """

    columns: list[tuple[str, str]]
    rows: list[tuple[str, list[Cell | None]]]


@dataclass(frozen=True)
class Trained:
    """The factorial of a run.

    Attributes:
        costs: each axis's effect on each cost; None where no cost was measured.
        axes: its effect on each axis that was measured; None where none was.
        error: what the error is taken from.
        notes: what is left out and why.
    """

    costs: Table | None
    axes: Table | None
    error: str
    notes: list[str] = field(default_factory=list)


def trained(measured: Measured) -> Trained | None:
    """The factorial of a run; None where its adapters allow none."""
    try:
        found = factorial(measured)
    except StoreError:
        return None
    costs = [e for e in _all(found) if e.side == "cost"]
    axes = [e for e in _all(found) if e.side == "trait" and e.axis]
    return Trained(_table(costs, measured.infos), _table(axes, measured.infos), found.error, found.notes)


def _all(found: Factorial) -> list[Effect]:
    return [*found.effects, *found.training]


def _table(effects: Sequence[Effect], infos: Infos) -> Table | None:
    columns = {(e.task, e.metric): _head(e) for e in effects}
    rows = dict.fromkeys(e.of for e in effects)
    by = {(e.of, e.task, e.metric): e for e in effects}
    if not columns:
        return None
    cells = [(ANY if of == COMMON else of, [_cell(by.get((of, *key)), infos) for key in columns]) for of in rows]
    return Table(list(columns.values()), cells)


def _head(effect: Effect) -> tuple[str, str]:
    unit = "points" if effect.unit in ("share", "percent") else effect.unit
    return effect.task, ", ".join(filter(None, [effect.axis or phrase(effect.metric), unit]))


def _cell(effect: Effect | None, infos: Infos) -> Cell | None:
    if effect is None:
        return None
    scale = 100 if effect.unit == "share" else 1
    info = infos.get(effect.task)
    way = -1 if info and effect.metric.partition(",")[0] in info.lower else 1
    width = scale * (effect.high - effect.low) / 2
    decimals = 2 if width < 1 else 1
    return Cell(
        text=number(scale * effect.estimate, decimals, signed=True),
        interval=f"[{number(scale * effect.low, decimals)}, {number(scale * effect.high, decimals)}]",
        step=step_of(way * effect.estimate / effect.margin) if effect.margin else 0,
        open=effect.verdict == "cannot tell",
        own=effect.of == effect.axis,
    )
