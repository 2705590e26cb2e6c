"""The curves of a training, as a PNG beside the adapter and as SVG for the page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from lapd.pictures.drawing import (
    COLOURS,
    FAINT,
    FONT_SIZE,
    INK,
    MARKERS,
    Picture,
    numbers_csv,
    plain,
    svg,
    write_png,
)

Log = Sequence[dict[str, float]]


@dataclass(frozen=True)
class Curve:
    """What is drawn of a training, in one panel.

    Attributes:
        keys: the log's, a line each, with what the line is called where there are several.
        label: of the panel.
        start: the value that an untrained adapter has; None where it has none of its own.
    """

    keys: dict[str, str]
    label: str
    start: float | None = None

    @property
    def name(self) -> str:
        """Tells its ids from another panel's."""
        return next(iter(self.keys))


CURVES = (Curve({"loss": ""}, "loss (nats)", math.log(2)), Curve({"margin": ""}, "reward margin (nats)", 0.0))
"""Drawn of every training."""

HELDOUT = Curve({"heldout_margin": ""}, "held-out margin (nats)", 0.0)
"""Drawn as well where held-out pairs were scored; `heldout_accuracy` is written beside the points."""

APART = Curve({"chosen_reward": "chosen", "rejected_reward": "rejected"}, "reward of each response (nats)", 0.0)
"""A margin rises too where both fall, the rejected one further. A reward is beta times the log-probability gained."""

GRADIENT = Curve({"grad_norm": ""}, "gradient norm")

IN_A_LINE = 3
"""Panels beside each other in a PNG."""


def training_curves(log: Log, path: Path, title: str, heldout: int | None = None) -> None:
    """Write a PNG of loss and margin against step, and of what else was logged.

    Args:
        log: entries with `step` and any of the keys of the curves, in nats.
        path: the PNG.
        title: above all.
        heldout: how many held-out pairs there are, where it is known.
    """
    curves = _curves(log)
    columns = min(IN_A_LINE, len(curves))
    lines = math.ceil(len(curves) / columns)

    def draw(figure: Any) -> None:
        grid = list(figure.subplots(lines, columns, squeeze=False).flat)
        for axes, curve in zip(grid, curves, strict=False):
            _draw_curve(axes, log, curve, heldout)
        for axes in grid[len(curves) :]:
            axes.remove()
        figure.suptitle(title, fontsize=FONT_SIZE + 2, color=INK)

    write_png(draw, (3.8 * columns, 2.5 * lines + 0.4), path)


def training_pictures(log: Log, name: str, heldout: int | None = None) -> list[Picture]:
    """The curves of `training_curves` for a page; `name` keeps their ids apart within it."""
    return [
        Picture(
            curve.label,
            svg(
                partial(_draw_curve, log=log, curve=curve, heldout=heldout),
                (4.4, 2.3),
                f"{name}-{curve.name}",
                f"{curve.label} against optimizer step",
            ),
            _numbers(log, curve),
        )
        for curve in _curves(log)
    ]


def _curves(log: Log) -> list[Curve]:
    more = [curve for curve in (HELDOUT, APART, GRADIENT) if any(curve.name in entry for entry in log)]
    return [*CURVES, *more]


def _numbers(log: Log, curve: Curve) -> str:
    keys = [*curve.keys, *(["heldout_accuracy"] if curve is HELDOUT else [])]
    rows = [[entry["step"], *(entry.get(key, "") for key in keys)] for entry in log if keys[0] in entry]
    return numbers_csv(["step", *keys], rows)


def _draw_curve(axes: Any, log: Log, curve: Curve, heldout: int | None) -> None:
    """One panel against step: every step thin, and where there are many a running mean over it."""
    label = curve.label
    if curve.start is not None:
        axes.axhline(curve.start, color=INK, linewidth=0.8, linestyle=(0, (1, 2)), zorder=1)
    for place, (key, name) in enumerate(curve.keys.items()):
        points = [(e["step"], e[key]) for e in log if "step" in e and math.isfinite(e.get(key, math.nan))]
        window = _draw_line(axes, points, place, name, alone=len(curve.keys) == 1)
    if window:
        label += f"; thick: mean of {window} steps"
    if curve is HELDOUT:
        _draw_shares(axes, log)
        label += f"; % of {heldout} pairs moved" if heldout else "; % of pairs moved"
    if not points:
        axes.text(0.5, 0.6, "not logged", transform=axes.transAxes, ha="center", color=INK)
    if len(curve.keys) > 1:
        axes.legend(frameon=False, labelcolor=INK, fontsize=FONT_SIZE)
    axes.set_title(label, fontsize=FONT_SIZE, color=INK, loc="left")
    axes.set_xlabel("optimizer step")
    axes.grid(color=FAINT, linewidth=0.5)
    plain(axes)


def _draw_line(axes: Any, points: Sequence[tuple[float, float]], place: int, name: str, alone: bool) -> int:
    """One line of a panel; returns over how many steps its running mean goes, 0 where it has none."""
    steps, values = [p[0] for p in points], [p[1] for p in points]
    thin, thick = (COLOURS[2], COLOURS[1]) if alone else (COLOURS[1 + place],) * 2
    window = len(values) // 12
    smooth = window >= 2
    look = {"linewidth": 0.7, "alpha": 0.5} if smooth else {"linewidth": 1.6, "label": name}
    dashes = ("-", "--")[place]
    axes.plot(steps, values, color=thin, zorder=2, linestyle=dashes, **look)
    if not smooth:
        return 0
    means = [sum(values[i - window : i]) / window for i in range(window, len(values) + 1)]
    axes.plot(steps[window - 1 :], means, color=thick, linewidth=1.8, zorder=3, linestyle=dashes, label=name)
    return window


def _draw_shares(axes: Any, log: Log) -> None:
    """Points on the held-out curve, with the share of pairs that moved."""
    scored = [entry for entry in log if HELDOUT.name in entry]
    steps, values = [e["step"] for e in scored], [e[HELDOUT.name] for e in scored]
    axes.plot(steps, values, color=COLOURS[2], marker=MARKERS[0], markersize=4, linestyle="none", zorder=3)
    shares = [(e["step"], e[HELDOUT.name], f"{e['heldout_accuracy']:.0%}") for e in scored if "heldout_accuracy" in e]
    # More would run into each other.
    for step, value, share in shares if len(shares) <= 8 else shares[-1:]:
        axes.annotate(share, (step, value), (0, 5), textcoords="offset points", ha="center", color=INK)
    axes.margins(y=0.2)
    axes.set_xlim(left=0)
