"""The curves of a training, as a PNG beside the adapter and as SVG for the page."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

from lapd.pictures.drawing import COLOURS, FAINT, FONT_SIZE, INK, MARKERS, plain, svg, write_png

CURVES = (("loss", "loss (nats)", math.log(2)), ("margin", "reward margin (nats)", 0.0))
"""What is drawn of a training: the log's key, its label, and the value that an untrained adapter has."""


HELDOUT = ("heldout_margin", "held-out margin (nats)", 0.0)
"""Drawn as well where held-out pairs were scored; `heldout_accuracy` is written beside the points."""


def training_curves(log: list[dict[str, float]], path: Path, title: str, heldout: int | None = None) -> None:
    """Write a PNG of loss and margin against step, and of the held-out margin where it was scored.

    Args:
        log: entries with `step` and any of `loss`, `margin` and `heldout_margin`, in nats.
        path: the PNG.
        title: above all.
        heldout: how many held-out pairs there are, where it is known.
    """
    curves = _curves(log)

    def draw(figure: Any) -> None:
        for axes, curve in zip(figure.subplots(1, len(curves)), curves, strict=True):
            _draw_curve(axes, log, curve, heldout)
        figure.suptitle(title, fontsize=FONT_SIZE + 2, color=INK)

    write_png(draw, (3.8 * len(curves), 2.9), path)


def _curves(log: list[dict[str, float]]) -> list[tuple[str, str, float]]:
    return [*CURVES, *([HELDOUT] if any(HELDOUT[0] in entry for entry in log) else [])]


def training_svgs(log: list[dict[str, float]], name: str, heldout: int | None = None) -> list[str]:
    """The curves of `training_curves` as SVG elements; `name` keeps their ids apart within a page."""
    return [
        svg(
            partial(_draw_curve, log=log, curve=curve, heldout=heldout),
            (4.4, 2.3),
            f"{name}-{curve[0]}",
            f"{curve[1]} against optimizer step",
        )
        for curve in _curves(log)
    ]


def _draw_curve(axes: Any, log: list[dict[str, float]], curve: tuple[str, str, float], heldout: int | None) -> None:
    """One quantity against step: every step thin, and where there are many a running mean over it."""
    key, label, start = curve
    points = [(e["step"], e[key]) for e in log if "step" in e and math.isfinite(e.get(key, math.nan))]
    steps, values = [p[0] for p in points], [p[1] for p in points]
    window = len(values) // 12
    smooth = window >= 2
    axes.axhline(start, color=INK, linewidth=0.8, linestyle=(0, (1, 2)), zorder=1)
    axes.plot(steps, values, color=COLOURS[2], linewidth=0.7 if smooth else 1.6, alpha=0.5 if smooth else 1, zorder=2)
    if smooth:
        means = [sum(values[i - window : i]) / window for i in range(window, len(values) + 1)]
        axes.plot(steps[window - 1 :], means, color=COLOURS[1], linewidth=1.8, zorder=3)
        label += f"; thick: mean of {window} steps"
    if key == HELDOUT[0]:
        axes.plot(steps, values, color=COLOURS[2], marker=MARKERS[0], markersize=4, linestyle="none", zorder=3)
        shares = [(e["step"], e[key], f"{e['heldout_accuracy']:.0%}") for e in log if "heldout_accuracy" in e]
        # More would run into each other.
        for step, value, share in shares if len(shares) <= 8 else shares[-1:]:
            axes.annotate(share, (step, value), (0, 5), textcoords="offset points", ha="center", color=INK)
        axes.margins(y=0.2)
        axes.set_xlim(left=0)
        label += f"; % of {heldout} pairs moved" if heldout else "; % of pairs moved"
    if not points:
        axes.text(0.5, 0.6, "not logged", transform=axes.transAxes, ha="center", color=INK)
    axes.set_title(label, fontsize=FONT_SIZE, color=INK, loc="left")
    axes.set_xlabel("optimizer step")
    axes.grid(color=FAINT, linewidth=0.5)
    plain(axes)
