"""The axis profile: every arm on every axis, as a PNG and as SVG for the page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from lapd.errors import StoreError
from lapd.items.visible import named
from lapd.names import axis_ends
from lapd.pictures.drawing import COLOURS, FAINT, FONT_SIZE, INK, MARKERS, Picture, numbers_csv, plain, svg, write_png
from lapd.report.contents import RunContents, read_run
from lapd.report.profile import Panel, panels

ROW = 0.42
"""Inches for one axis in a panel; more arms need more."""


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


def profile_pictures(run: RunContents) -> tuple[str, list[Picture]]:
    """The axis profile for a page: the legend's SVG, and each panel."""
    arms = run.arms
    pictures = [
        Picture(
            panel.title,
            svg(
                partial(_draw_panel, panel=panel, arms=arms),
                (4.6, _height(panel, arms)),
                f"profile{n}",
                f"{panel.title}: the mean of each arm on each axis",
            ),
            numbers_csv(
                ["arm", "axis", f"mean ({panel.unit})", "low", "high"],
                [(arm, axis, mean.value, mean.low, mean.high) for (arm, axis), mean in panel.means.items()],
            ),
        )
        for n, panel in enumerate(panels(run))
    ]
    size = (4.6, 0.24 * math.ceil(len(arms) / 2) + 0.1)
    legend = svg(partial(_draw_legend, arms=arms), size, "legend", "Legend: " + ", ".join(map(named, arms)))
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
        side.set_yticks(range(len(panel.axes)), [axis_ends(axis)[pole] for axis in panel.axes])
        side.tick_params(axis="y", length=0, labelsize=FONT_SIZE + 1)
        plain(side)
    axes.set_xlabel(f"{panel.unit}; {panel.middle:g} is at neither pole")


def _limits(axes: Any, panel: Panel) -> None:
    if panel.unit == "points":
        axes.set_xlim(-2, 102)
        return
    reach = max(max(-m.low, m.high) for m in panel.means.values()) or 1.0
    axes.set_xlim(-1.08 * reach, 1.08 * reach)


def _draw_legend(axes: Any, arms: Sequence[str]) -> None:
    axes.set_axis_off()
    _legend(axes, arms, columns=2, loc="center left")


def _legend(owner: Any, arms: Sequence[str], columns: int, loc: str) -> None:
    """A legend of all arms on a figure or on axes."""
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], linestyle="none", markersize=5, label=named(arm), **_style(n)) for n, arm in enumerate(arms)
    ]
    owner.legend(handles=handles, ncols=columns, loc=loc, frameon=False, labelcolor=INK, handletextpad=0.2)
