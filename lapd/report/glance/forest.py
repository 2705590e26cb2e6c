"""The forest plot: a line for each primary metric, what was bought above what it cost, all in margins.

A margin is the difference within which nothing that matters has changed, so that nats, points and shares stand on one
scale. To the right lies more of the persona, and what is better; raw numbers stand beside it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lapd.compare.comparisons import Comparison
from lapd.compare.rows import TRAINING
from lapd.pictures.drawing import numbers_csv
from lapd.report.glance.sentences import amount
from lapd.report.glance.subjects import Line, Subject
from lapd.report.glance.vector import CARD, INK, LINE, SOFT, Drawing, Scale, colour_of, fitting
from lapd.report.labels import SIDES, number, shown, verdict

THICK, THIN, HAIR = 4.5, 1.8, 1.0
"""Widths of an interval: a training's, an adapter's, those of single adapters behind a training."""

SINGLES = 4
"""So many single adapters are drawn beside their training; the numbers have all."""

HEAD = (
    *("task", "metric", "unit", "side", "of", "arm", "baseline", "difference", "low", "high"),
    *("margin", "detectable", "verdict", "n"),
)


@dataclass(frozen=True)
class Layout:
    """Where things stand in a picture, in its own units.

    Attributes:
        name: its class in the page.
        width: of the picture.
        left: x of the plot's left end.
        right: x of its right end.
        pitch: from line to line.
        middle: of a line's height, where its interval lies.
        stacked: whether names and numbers stand above the intervals, not beside them.
    """

    name: str
    width: float
    left: float
    right: float
    pitch: float
    middle: float
    stacked: bool


WIDE = Layout("wide", 1000, 232, 640, 46, 23, stacked=False)
NARROW = Layout("narrow", 360, 6, 354, 78, 53, stacked=True)


@dataclass(frozen=True)
class Forest:
    """A subject's forest plot.

    Attributes:
        title: what it is called.
        wide: the picture for a desk.
        narrow: the same for a phone.
        numbers: all that is drawn, as CSV.
    """

    title: str
    wide: str
    narrow: str
    numbers: str


def forest(subject: Subject) -> Forest:
    """The forest plot of a subject."""
    title = f"{subject.label} against {subject.baseline}"
    wide, narrow = (_drawn(subject, title, layout) for layout in (WIDE, NARROW))
    return Forest(title, wide, narrow, numbers_csv(HEAD, list(_numbers(subject))))


def _drawn(subject: Subject, title: str, layout: Layout) -> str:
    scale = Scale(layout.left, layout.right, _reach(subject.lines))
    drawing, top = Drawing(), 0.0
    parts = [(side, lines) for side, lines in (("trait", subject.bought), ("cost", subject.cost)) if lines]
    height = sum(30 + layout.pitch * len(lines) + 6 for _, lines in parts)
    _behind(drawing, scale, height)
    for side, lines in parts:
        _heading(drawing, layout, top, side, subject)
        top += 30
        for line in lines:
            with drawing.group(told(line)):
                _line(drawing, layout, scale, top, line)
            top += layout.pitch
        top += 6
    bottom = _below(drawing, layout, scale, height, subject)
    return drawing.svg(layout.width, bottom, f"Forest plot of {title}: {len(subject.lines)} metrics", layout.name)


def told(line: Line) -> str:
    """A line in words, for who cannot see it."""
    text = shown(line.row)
    return f"{line.row.task}, {line.name}: {amount(line)}, 95 % interval {text.interval}; {verdict_words(line)}."


def verdict_words(line: Line) -> str:
    """The verdict, and which way: "changed, worse"."""
    if line.outcome not in ("up", "down"):
        return "heuristic" if line.row.heuristic else verdict(line.row)
    if line.row.side == "trait":
        return "more of it" if line.outcome == "up" else "less of it"
    if not line.way:
        return "changed, up" if line.outcome == "up" else "changed, down"
    return "changed, better" if line.outcome == "up" else "changed, worse"


def _reach(lines: Sequence[Line]) -> float:
    """How far the picture reaches, in margins: to the end of all intervals, at least to 3."""
    ends = [
        abs(line.in_margins(value))
        for line in lines
        for row in (line.row, *line.singles, *line.controls)
        for value in (row.low, row.high, row.difference)
    ]
    finite = [end for end in ends if math.isfinite(end)]
    return 1.08 * max([3.0, *finite])


def _behind(drawing: Drawing, scale: Scale, height: float) -> None:
    """The margin's band, and 0."""
    drawing.rect(scale.at(-1), 26, scale.at(1) - scale.at(-1), height - 26, LINE, 0.6)
    drawing.line(scale.at(0), 26, scale.at(0), height, SOFT, 1)


def _heading(drawing: Drawing, layout: Layout, top: float, side: str, subject: Subject) -> None:
    drawing.text(0, top + 18, SIDES[side], SOFT, 13, bold=True)
    ends = (f"less {subject.towards}", f"more {subject.towards}") if side == "trait" else ("worse", "better")
    if not layout.stacked:
        drawing.text(layout.left, top + 18, f"← {fitting(ends[0], 150, 12)}", SOFT, 12)
    drawing.text(layout.right, top + 18, f"{fitting(ends[1], 150, 12)} →", SOFT, 12, "end")
    drawing.line(0, top + 26, layout.width, top + 26, LINE)


def _line(drawing: Drawing, layout: Layout, scale: Scale, top: float, line: Line) -> None:
    middle = top + layout.middle
    _words(drawing, layout, top, line)
    if not line.row.margin:
        drawing.text(scale.at(0), middle + 4, "no margin, no scale", SOFT, 12, "middle")
        return
    reach = abs(line.in_margins(line.row.detectable))
    if math.isfinite(reach):
        drawing.rect(scale.at(-reach), middle - 9, scale.at(reach) - scale.at(-reach), 18, LINE, 0.55)
    for row in line.controls:
        x = scale.at(line.in_margins(row.difference))
        drawing.line(x, middle - 8, x, middle + 8, SOFT, 2)
    for n, row in enumerate(line.singles[:SINGLES]):
        _interval(drawing, scale, line, row, middle + 8 + 4 * n, HAIR)
    _interval(drawing, scale, line, line.row, middle, THICK if line.row.scope == TRAINING else THIN)
    drawing.mark(line.outcome, scale.at(line.in_margins(line.row.difference)), middle, 6)


def _interval(drawing: Drawing, scale: Scale, line: Line, row: Comparison, y: float, width: float) -> None:
    low, high = (line.in_margins(value) for value in (row.low, row.high))
    if not math.isnan(low + high):
        colour = colour_of(line.outcome)
        drawing.line(scale.at(low), y, scale.at(high), y, colour, width)
        if width == HAIR:
            drawing.circle(scale.at(line.in_margins(row.difference)), y, 1.6, colour)


def _words(drawing: Drawing, layout: Layout, top: float, line: Line) -> None:
    """A line's name, raw numbers and verdict."""
    metric = line.name + (", less is better" if line.way < 0 else "")
    text, words = shown(line.row), verdict_words(line)
    colour, why = colour_of(line.outcome), _due(line)
    if layout.stacked:
        drawing.text(0, top + 18, fitting(line.row.task, 170, 13), INK, 13, bold=True)
        drawing.text(layout.width, top + 18, f"{amount(line)} {text.interval}", INK, 12, "end")
        drawing.text(0, top + 34, fitting(metric, 200, 12), SOFT, 12)
        drawing.text(layout.width, top + 34, words, colour, 12, "end", bold=True)
        return
    drawing.text(0, top + 20, fitting(line.row.task, layout.left - 12), INK, 14, bold=True)
    drawing.text(0, top + 36, fitting(metric, layout.left - 12, 12), SOFT, 12)
    drawing.text(808, top + 20, amount(line), INK, 14, "end")
    drawing.text(808, top + 36, text.interval, SOFT, 12, "end")
    lower = 20 if why else 28
    drawing.mark(line.outcome, 840, top + lower - 5, 6)
    drawing.text(854, top + lower, words, colour, 14, bold=line.outcome in ("up", "down"))
    if why:
        drawing.text(854, top + 36, why, SOFT, 12)


def _due(line: Line) -> str:
    """What else there is to say of a verdict in a word or two."""
    if line.outcome == "untold" and not line.row.why and not line.row.low <= 0 <= line.row.high:
        return "not after correction"
    if line.beyond is None or line.outcome not in ("up", "down"):
        return ""
    return {"persona": "beyond the controls", "training": "no more than controls"}.get(
        line.due, "controls: cannot tell"
    )


def _below(drawing: Drawing, layout: Layout, scale: Scale, top: float, subject: Subject) -> float:
    """The scale and the legend; where they end."""
    drawing.line(layout.left, top, layout.right, top, LINE)
    last = -math.inf
    for tick in scale.ticks():
        if (x := scale.at(tick)) - last > 24:
            drawing.line(x, top, x, top + 4, SOFT)
            drawing.text(x, top + 17, number(tick, 0 if tick == int(tick) else 1), SOFT, 12, "middle")
            last = x
    middle = (layout.left + layout.right) / 2
    unit = "change in margins" + (", logarithmic beyond 1" if scale.is_far else "")
    drawing.text(middle, top + 34, unit, SOFT, 12, "middle")
    return _legend(drawing, layout, top + 58, subject)


def _legend(drawing: Drawing, layout: Layout, top: float, subject: Subject) -> float:
    several = any(line.row.scope == TRAINING for line in subject.lines)
    entries = [("thick", "such trainings")] * several + [("thin", f"this {subject.what}")]
    entries += [("tick", "a shuffled control")] * any(line.controls for line in subject.lines)
    entries += [("margin", "within the margin"), ("shows", "too small to show here")]
    x, y = 0.0, top
    for kind, words in entries:
        width = 34 + 7 * len(words)
        if x + width > layout.width:
            x, y = 0.0, y + 20
        _sample(drawing, kind, x, y)
        drawing.text(x + 26, y + 4, words, SOFT, 12)
        x += width + 16
    return y + 12


def _sample(drawing: Drawing, kind: str, x: float, y: float) -> None:
    if kind in ("thick", "thin"):
        drawing.line(x, y, x + 20, y, INK, THICK if kind == "thick" else THIN)
    elif kind == "tick":
        drawing.line(x + 10, y - 7, x + 10, y + 7, SOFT, 2)
    else:
        drawing.rect(x, y - 7, 20, 14, CARD)
        drawing.rect(x, y - 7, 20, 14, LINE, 1.0 if kind == "margin" else 0.55)


def _numbers(subject: Subject) -> Iterator[list[object]]:
    for line in subject.lines:
        beyond = [line.beyond] if line.beyond else []
        for of, rows in (
            (line.row.scope, [line.row]),
            ("single adapter", line.singles),
            ("control", line.controls),
            ("beyond the controls", beyond),
        ):
            for row in rows:
                numbers = [row.difference, row.low, row.high, row.margin, row.detectable]
                finite = ["" if value is None or not math.isfinite(value) else value for value in numbers]
                names = [row.task, row.metric, row.unit, row.side, of, row.arm, row.baseline]
                yield [*names, *finite, row.verdict, row.n]
