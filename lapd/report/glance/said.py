"""Saying beside doing: how far each arm moved in what it says of itself and in what it does, on one scale."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lapd.compare.measured import Measured
from lapd.compare.verdicts import ALPHA
from lapd.designs.families import adjusted
from lapd.designs.saying import DOING, OVER_ALL, SAYING, Gap, Saying, Shift, saying
from lapd.errors import StoreError
from lapd.pictures.drawing import Picture, numbers_csv
from lapd.report.glance.vector import CARD, INK, LINE, SOFT, Drawing, fitting
from lapd.report.labels import number, p_value

FEW = 8
"""More arms than this are folded."""

WIDTH, PITCH, LEFT, RIGHT = 360.0, 40.0, 6.0, 354.0

HEAD = (
    "arm",
    "baseline",
    "persona",
    "kind",
    "task",
    "metric",
    "axis",
    "n",
    "spreads",
    "low",
    "high",
    "towards",
    "away",
)


@dataclass(frozen=True)
class Said:
    """What a page shows of saying and doing.

    Attributes:
        picture: each arm's shifts over all axes.
        folded: whether there are so many arms that it is shown on demand.
        differ: the arms whose saying and doing differ, in sentences.
    """

    picture: Picture
    folded: bool
    differ: list[str]


def said(measured: Measured) -> Said | None:
    """Saying and doing of a run; None where it has not both."""
    try:
        found = saying(measured)
    except StoreError:
        return None
    arms = list(dict.fromkeys(gap.arm for gap in found.gaps))
    numbers = numbers_csv(HEAD, [[getattr(shift, name) for name in HEAD] for shift in found.shifts])
    picture = Picture("Saying and doing", _drawn(found, arms), numbers)
    return Said(picture, len(arms) > FEW, list(_differ(found.gaps)))


def _differ(gaps: Sequence[Gap]) -> Iterator[str]:
    for gap in gaps:
        if gap.axis == OVER_ALL and adjusted(gap) < ALPHA:
            text = f"{number(gap.difference, 2, signed=True)} [{number(gap.low, 2)}, {number(gap.high, 2)}]"
            p = p_value(adjusted(gap))
            yield f"{gap.arm}: {gap.saying} less {gap.doing} {text} spreads, p {p} after correction."


def _drawn(found: Saying, arms: Sequence[str]) -> str:
    shifts = [shift for shift in found.shifts if shift.axis == OVER_ALL and shift.arm in arms]
    reach = 1.08 * max([0.2, *(abs(end) for shift in shifts for end in (shift.low, shift.high))])
    drawing, height = Drawing(), 34 + PITCH * len(arms)

    def at(value: float) -> float:
        return LEFT + (value / reach + 1) / 2 * (RIGHT - LEFT)

    drawing.text(0, 14, "○ says   ● does   ▲ writes", SOFT, 12)
    drawing.line(at(0), 24, at(0), height, LINE)
    for n, arm in enumerate(arms):
        top = 30 + n * PITCH
        drawing.text(0, top + 12, fitting(arm, WIDTH - 10, 12), INK, 12, bold=True)
        for shift in (shift for shift in shifts if shift.arm == arm):
            with drawing.group(_told(shift)):
                _mark(drawing, shift, at(shift.low), at(shift.spreads), at(shift.high), top + 25)
    drawing.line(LEFT, height, RIGHT, height, LINE)
    for value in (-reach / 1.08, 0.0, reach / 1.08):
        anchor = "start" if value < 0 else "end" if value > 0 else "middle"
        drawing.text(at(value), height + 15, number(value, 1), SOFT, 11, anchor)
    drawing.text(WIDTH / 2, height + 30, "shift towards the persona, in the base's spreads", SOFT, 11, "middle")
    return drawing.svg(WIDTH, height + 38, f"Saying and doing of {len(arms)} arms", "said")


def _told(shift: Shift) -> str:
    verb = {SAYING: "says", DOING: "does"}.get(shift.kind, "writes")
    numbers = f"{number(shift.spreads, 2, signed=True)} [{number(shift.low, 2)}, {number(shift.high, 2)}] spreads"
    return f"{shift.arm} {verb} ({shift.task}): {numbers}, {shift.towards:.0%} of {shift.n} items towards"


def _mark(drawing: Drawing, shift: Shift, low: float, x: float, high: float, y: float) -> None:
    y += {SAYING: -3, DOING: 3}.get(shift.kind, 8)
    colour = SOFT if shift.kind == SAYING else INK
    drawing.line(low, y, high, y, colour, 1.2)
    if shift.kind == SAYING:
        drawing.circle(x, y, 3.6, CARD, SOFT)
    elif shift.kind == DOING:
        drawing.circle(x, y, 3.6, INK)
    else:
        drawing.path([(x, y - 4.5), (x + 4.5, y + 3.5), (x - 4.5, y + 3.5)], INK)
