"""The pictures: the axis profile and the training curves, as PNG files and as SVG for the page.

Figures are made without pyplot, which keeps global state and may look for a screen. In the page, the SVG's colours
are CSS variables, so that one picture serves the light and the dark page.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from lapd.errors import StoreError
from lapd.files import atomic_path
from lapd.report.contents import RunContents, read_run
from lapd.report.profile import Panel, panels

INK, FAINT = "#1f2937", "#cbd2da"
# Okabe and Ito's palette (jfly.uni-koeln.de/color), told apart by colour-blind readers; markers differ as well.
COLOURS = ("#6b7280", "#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
CSS = {INK: "var(--ink)", FAINT: "var(--line)", **{c: f"var(--c{n})" for n, c in enumerate(COLOURS)}}

DPI = 160
FONT_SIZE = 9
PLAIN = {"font.size": FONT_SIZE, "text.parse_math": False}
"""Settings of every picture: a dollar sign in an adapter's name is no formula."""

ROW = 0.42
"""Inches for one axis in a panel; more arms need more."""

CURVES = (("loss", "loss (nats)", math.log(2)), ("margin", "reward margin (nats)", 0.0))
"""What is drawn of a training: the log's key, its label, and the value that an untrained adapter has."""

HELDOUT = ("heldout_margin", "held-out margin (nats)", 0.0)
"""Drawn as well where held-out pairs were scored; `heldout_accuracy` is written beside the points."""


def training_curves(log: list[dict[str, float]], path: Path, title: str) -> None:
    """Write a PNG of loss and margin against step, and of the held-out margin where it was scored.

    Args:
        log: entries with `step` and any of `loss`, `margin` and `heldout_margin`, in nats.
        path: the PNG.
        title: above all.
    """
    curves = _curves(log)

    def draw(figure: Any) -> None:
        for axes, curve in zip(figure.subplots(1, len(curves)), curves, strict=True):
            _draw_curve(axes, log, curve)
        figure.suptitle(title, fontsize=FONT_SIZE + 2, color=INK)

    write_png(draw, (3.8 * len(curves), 2.9), path)


def _curves(log: list[dict[str, float]]) -> list[tuple[str, str, float]]:
    return [*CURVES, *([HELDOUT] if any(HELDOUT[0] in entry for entry in log) else [])]


def training_svgs(log: list[dict[str, float]], name: str) -> list[str]:
    """The curves of `training_curves` as SVG elements; `name` keeps their ids apart within a page."""
    return [
        _svg(
            partial(_draw_curve, log=log, curve=curve),
            (4.4, 2.3),
            f"{name}-{curve[0]}",
            f"{curve[1]} against optimizer step",
        )
        for curve in _curves(log)
    ]


def axis_profile(folder: Path, path: Path) -> None:
    """Write a PNG of a run's axis profile: every arm on every axis, one panel for each family of metrics.

    Raises:
        StoreError: the folder is no run, or none of its finished tasks has axes.
    """
    run = read_run(folder)
    made = panels(run)
    if not made:
        raise StoreError(f"{folder}: no finished task of this run has axes, so there is no profile to draw.")
    columns = min(2, len(made))
    lines = math.ceil(len(made) / columns)
    height = sum(max(_height(p, run.arms) for p in made[i : i + columns]) for i in range(0, len(made), columns))

    def draw(figure: Any) -> None:
        figure.get_layout_engine().set(w_pad=0.12, h_pad=0.08)
        grid = list(figure.subplots(lines, columns, squeeze=False).flat)
        for axes, panel in zip(grid, made, strict=False):
            _draw_panel(axes, panel, run.arms)
            axes.set_title(panel.title, fontsize=FONT_SIZE + 1, color=INK)
        for axes in grid[len(made) :]:
            axes.remove()
        _legend(figure, run.arms, columns=2 * columns, loc="outside lower center")

    write_png(draw, (4.6 * columns, height + 0.3 * math.ceil(len(run.arms) / (2 * columns)) + 0.3), path)


def profile_svgs(run: RunContents) -> tuple[str, list[tuple[str, str]]]:
    """The axis profile for a page: the legend's SVG, and each panel's title and SVG."""
    arms = run.arms
    pictures = [
        (
            panel.title,
            _svg(
                partial(_draw_panel, panel=panel, arms=arms),
                (4.6, _height(panel, arms)),
                f"profile{n}",
                f"{panel.title}: the mean of each arm on each axis",
            ),
        )
        for n, panel in enumerate(panels(run))
    ]
    size = (4.6, 0.24 * math.ceil(len(arms) / 2) + 0.1)
    legend = _svg(partial(_draw_legend, arms=arms), size, "legend", "Legend: " + ", ".join(arms))
    return legend, pictures


def _height(panel: Panel, arms: Sequence[str]) -> float:
    return len(panel.axes) * max(ROW, 0.12 * len(arms)) + 0.6


def _style(n: int) -> dict[str, Any]:
    # The two lists have one length: after each round the marker moves on by one, so that pairs repeat after 49 arms.
    return {"color": COLOURS[n % len(COLOURS)], "marker": MARKERS[(n + n // len(MARKERS)) % len(MARKERS)]}


def _draw_panel(axes: Any, panel: Panel, arms: Sequence[str]) -> None:
    """Axes as rows between their two poles; the arms of a row stand below each other, so that none hides another."""
    step = 0.72 / max(4, len(arms))
    for n, arm in enumerate(arms):
        offset = (n - (len(arms) - 1) / 2) * step
        here = [(i, mean) for i, axis in enumerate(panel.axes) if (mean := panel.means.get((arm, axis)))]
        axes.errorbar(
            [m.value for _, m in here],
            [i + offset for i, _ in here],
            xerr=[[m.value - m.low for _, m in here], [m.high - m.value for _, m in here]],
            linestyle="none",
            markersize=4.5,
            elinewidth=1.1,
            zorder=3,
            **_style(n),
        )
    axes.axvline(panel.middle, color=INK, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
    for i in range(1, len(panel.axes)):
        axes.axhline(i - 0.5, color=FAINT, linewidth=0.7, zorder=0)
    _limits(axes, panel)
    # Scores count towards the first pole, so it stands at the right-hand end.
    right = axes.twinx()
    for side, pole in ((axes, 1), (right, 0)):
        side.set_ylim(len(panel.axes) - 0.5, -0.5)
        side.set_yticks(range(len(panel.axes)), [axis.split("/")[pole] for axis in panel.axes])
        side.tick_params(axis="y", length=0, labelsize=FONT_SIZE + 1)
        plain(side)
    axes.set_xlabel(f"{panel.unit}; {panel.middle:g} is at neither pole")


def _limits(axes: Any, panel: Panel) -> None:
    if panel.unit == "points":
        axes.set_xlim(-2, 102)
        return
    reach = max(max(-m.low, m.high) for m in panel.means.values()) or 1.0
    axes.set_xlim(-1.08 * reach, 1.08 * reach)


def _draw_curve(axes: Any, log: list[dict[str, float]], curve: tuple[str, str, float]) -> None:
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
        label += "; % of pairs moved"
    if not points:
        axes.text(0.5, 0.6, "not logged", transform=axes.transAxes, ha="center", color=INK)
    axes.set_title(label, fontsize=FONT_SIZE, color=INK, loc="left")
    axes.set_xlabel("optimizer step")
    axes.grid(color=FAINT, linewidth=0.5)
    plain(axes)


def plain(axes: Any) -> None:
    """No box around the plot, and everything in the ink's colour."""
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(colors=INK)
    axes.xaxis.label.set_color(INK)


def _draw_legend(axes: Any, arms: Sequence[str]) -> None:
    axes.set_axis_off()
    _legend(axes, arms, columns=2, loc="center left")


def _legend(owner: Any, arms: Sequence[str], columns: int, loc: str) -> None:
    """A legend of all arms on a figure or on axes."""
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], linestyle="none", markersize=5, label=arm, **_style(n)) for n, arm in enumerate(arms)]
    owner.legend(handles=handles, ncols=columns, loc=loc, frameon=False, labelcolor=INK, handletextpad=0.2)


def write_png(draw: Callable[[Any], None], size: tuple[float, float], path: Path) -> None:
    """Write what `draw` puts on a figure of `size` (inches) as a PNG: whole or not at all."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with rc_context(PLAIN):
        figure = Figure(figsize=size, layout="constrained", facecolor="white")
        FigureCanvasAgg(figure)
        draw(figure)
        with atomic_path(path) as temporary:
            figure.savefig(temporary, format="png", dpi=DPI, metadata={"Software": None})


def _svg(draw: Callable[[Any], None], size: tuple[float, float], name: str, label: str) -> str:
    """What `draw` puts on one axes, as an element for a page: the same bytes for the same data, and ids of its own."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    settings = {**PLAIN, "svg.hashsalt": name, "svg.fonttype": "none", "axes.facecolor": "none"}
    with rc_context(settings):
        figure = Figure(figsize=size, layout="constrained", facecolor="none")
        FigureCanvasSVG(figure)
        draw(figure.subplots())
        stream = io.StringIO()
        figure.savefig(stream, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    return _for_page(stream.getvalue(), name, label)


def _for_page(svg: str, name: str, label: str) -> str:
    from markupsafe import escape

    svg = svg[svg.index("<svg") :]
    svg = re.sub(r'\b(id="|xlink:href="#|url\(#)', rf"\g<1>{name}-", svg)
    for colour, variable in CSS.items():
        svg = svg.replace(colour, variable)
    view = re.search(r'viewBox="[^"]+"', svg)
    assert view is not None, "matplotlib writes a viewBox"
    head = f'<svg xmlns:xlink="http://www.w3.org/1999/xlink" {view[0]} role="img" aria-label="{escape(label)}">'
    return head + svg[svg.index(">") + 1 :]
