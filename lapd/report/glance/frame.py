"""A small panel: two linear scales with 0 in both, their round values, and where a point lies."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lapd.report.glance.vector import LINE, SOFT, Drawing
from lapd.report.labels import number

WIDTH, HEIGHT = 320.0, 236.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 306.0, 14.0, 190.0

CLOSE = 22.0
"""Numbers below a panel that would stand closer than so are left out."""


@dataclass(frozen=True)
class Frame:
    """A panel's two scales.

    Attributes:
        x: the least and the largest value to the right, from `padded`.
        y: those upwards.
    """

    x: tuple[float, float]
    y: tuple[float, float]

    def at(self, right: float, up: float) -> tuple[float, float]:
        """Where a point lies; what is outside lies at the edge."""
        return _between(right, self.x, LEFT, RIGHT), _between(up, self.y, BOTTOM, TOP)

    def draw(self, drawing: Drawing, label: str, told: Sequence[int] = ()) -> None:
        """The lines at 0, round values beside them (to the right those that are told), and what is to the right."""
        x, y = self.at(0, 0)
        drawing.line(LEFT, y, RIGHT, y, LINE)
        drawing.line(x, TOP, x, BOTTOM, LINE)
        last = -math.inf
        for value, words in ((n, str(n)) for n in told) if told else _round(self.x):
            if (place := self.at(value, 0)[0]) - last > CLOSE:
                drawing.text(place, BOTTOM + 16, words, SOFT, 11, "middle")
                last = place
        for value, words in _round(self.y):
            drawing.text(LEFT - 6, self.at(0, value)[1] + 4, words, SOFT, 11, "end")
        drawing.text((LEFT + RIGHT) / 2, HEIGHT - 10, label, SOFT, 11, "middle")


def padded(values: Sequence[float]) -> tuple[float, float]:
    """The ends of a scale on which these values lie, and 0; those that are no finite numbers do not count."""
    finite = [value for value in values if math.isfinite(value)]
    low, high = min([0.0, *finite]), max([0.0, *finite])
    spare = 0.06 * (high - low) or 1.0
    return low - spare, high + spare


def _between(value: float, ends: tuple[float, float], start: float, end: float) -> float:
    part = (value - ends[0]) / (ends[1] - ends[0])
    return start + max(0.0, min(1.0, part)) * (end - start)


def _round(ends: tuple[float, float]) -> Iterator[tuple[float, str]]:
    """Some three round values between two ends, 0 among them, and how they are written."""
    rough = (ends[1] - ends[0]) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough)
    decimals = max(0, -math.floor(math.log10(step)))
    for k in range(math.ceil(ends[0] / step), math.floor(ends[1] / step) + 1):
        yield k * step, number(k * step, decimals)
