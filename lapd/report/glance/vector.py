"""SVG by hand: shapes, text that can be selected, and scales; its colours are the page's own variables."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from lapd.items.visible import visible

INK, SOFT, LINE, CARD, TINT = "var(--ink)", "var(--soft)", "var(--line)", "var(--card)", "var(--tint)"
BETTER, WORSE = "var(--c2)", "var(--c1)"
"""Blue and vermilion of Okabe and Ito's palette, which colour-blind readers tell apart."""

FAR = 6.0
"""A picture that reaches further than so many units is drawn on a logarithmic scale beyond 1."""

WIDE = 0.56
"""A letter's mean width, in font sizes: to cut names that would run into the next column."""


class Drawing:
    """An SVG element that is drawn piece by piece; y grows downwards."""

    def __init__(self) -> None:
        self._made: list[str] = []

    def svg(self, width: float, height: float, label: str, name: str) -> str:
        """The element, as wide as its place; `name` is its class."""
        head = f'<svg class="{name}" viewBox="0 0 {_short(width)} {_short(height)}" role="group"'
        return f'{head} aria-label="{_safe(label)}" font-size="14">{"".join(self._made)}</svg>'

    @contextmanager
    def group(self, title: str) -> Iterator[None]:
        """A part with a title, which is read out and shown where a pointer rests."""
        self._made.append(f"<g><title>{_safe(title)}</title>")
        yield
        self._made.append("</g>")

    def line(
        self, x: float, y: float, to_x: float, to_y: float, colour: str, width: float = 1.0, dash: str = ""
    ) -> None:
        """A straight line."""
        dashes = f' stroke-dasharray="{dash}"' if dash else ""
        ends = f'x1="{_short(x)}" y1="{_short(y)}" x2="{_short(to_x)}" y2="{_short(to_y)}"'
        self._made.append(f'<line {ends} style="stroke:{colour}" stroke-width="{_short(width)}"{dashes}/>')

    def rect(self, x: float, y: float, width: float, height: float, colour: str, opacity: float = 1.0) -> None:
        """A filled rectangle."""
        size = f'x="{_short(x)}" y="{_short(y)}" width="{_short(width)}" height="{_short(height)}"'
        self._made.append(f'<rect {size} rx="2" style="fill:{colour}" fill-opacity="{_short(opacity)}"/>')

    def path(self, points: Sequence[tuple[float, float]], fill: str, stroke: str = "none", width: float = 1.5) -> None:
        """A closed shape; open ones have no fill."""
        steps = " ".join(f"{_short(x)},{_short(y)}" for x, y in points)
        kind = "polyline" if fill == "none" and stroke != "none" and len(points) == 2 else "polygon"
        style = f'style="fill:{fill};stroke:{stroke}" stroke-width="{_short(width)}"'
        self._made.append(f'<{kind} points="{steps}" {style}/>')

    def circle(self, x: float, y: float, radius: float, fill: str, stroke: str = "none") -> None:
        """A circle."""
        place = f'cx="{_short(x)}" cy="{_short(y)}" r="{_short(radius)}"'
        self._made.append(f'<circle {place} style="fill:{fill};stroke:{stroke}" stroke-width="1.6"/>')

    def text(
        self,
        x: float,
        y: float,
        words: str,
        colour: str = INK,
        size: float = 14,
        anchor: str = "start",
        bold: bool = False,
    ) -> None:
        """A line of text; `anchor` is "start", "middle" or "end"."""
        more = f' text-anchor="{anchor}"' if anchor != "start" else ""
        more += ' font-weight="600"' if bold else ""
        place = f'x="{_short(x)}" y="{_short(y)}" font-size="{_short(size)}"'
        self._made.append(f'<text {place} style="fill:{colour}"{more}>{_safe(words)}</text>')

    def mark(self, outcome: str, x: float, y: float, size: float = 5.0) -> None:
        """A verdict's mark: a filled diamond for a change, a bar for none, a hollow circle where it cannot be told."""
        if outcome in ("up", "down"):
            around = [(x, y - size), (x + size, y), (x, y + size), (x - size, y)]
            self.path(around, colour_of(outcome), CARD, 1)
        elif outcome == "same":
            self.rect(x - size + 1, y - size + 1, 2 * size - 2, 2 * size - 2, INK)
        else:
            self.circle(x, y, size - 1, CARD, SOFT)


def colour_of(outcome: str) -> str:
    """A verdict's colour."""
    return {"up": BETTER, "down": WORSE, "same": INK}.get(outcome, SOFT)


@dataclass(frozen=True)
class Scale:
    """Where values lie, 0 in the middle: linear, or beyond 1 logarithmic where they reach far.

    Attributes:
        left: x of the left end.
        right: x of the right end.
        reach: the largest value, either way.
    """

    left: float
    right: float
    reach: float

    @property
    def is_far(self) -> bool:
        """Whether it is logarithmic beyond 1."""
        return self.reach > FAR

    def at(self, value: float) -> float:
        """x of a value; what lies beyond an end is at the end."""
        part = max(-1.0, min(1.0, self._bent(value) / self._bent(self.reach)))
        return (self.left + self.right) / 2 + part * (self.right - self.left) / 2

    def ticks(self) -> list[float]:
        """Round values, 0 among them."""
        if self.is_far:
            steps = [1.0, *(10.0**k for k in range(1, 7) if 10.0**k <= self.reach)]
        else:
            step = next(s for s in (0.5, 1.0, 2.0, 3.0) if self.reach / s <= 4)
            steps = [step * k for k in range(1, int(self.reach / step) + 1)]
        return [*(-s for s in reversed(steps)), 0.0, *steps]

    def _bent(self, value: float) -> float:
        return math.copysign(math.log10(1 + abs(value)), value) if self.is_far else value


def fitting(words: str, width: float, size: float = 14) -> str:
    """A text that fits into a width, its end left out where it must be."""
    most = max(4, int(width / (size * WIDE)))
    return words if len(words) <= most else f"{words[: most - 1]}…"


def _safe(text: str) -> str:
    from markupsafe import escape

    return str(escape(visible(text)))


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
