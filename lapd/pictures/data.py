"""The pictures of `lapd data stats`: how long the two kinds of response are, and how many rows each axis has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lapd.hygiene.counting import DataStats
from lapd.names import axes
from lapd.pictures.drawing import COLOURS, FAINT, INK, plain, write_png

LONGEST = 300
"""Words beyond which a response counts as this long, so that one of thousands does not flatten the picture."""

HATCHES = ("", "//", "..")


def data_pictures(stats: DataStats, folder: Path) -> list[Path]:
    """Write `lengths.png`, and `axes.png` where rows have an axis, into `folder`; returns what was written."""
    folder.mkdir(parents=True, exist_ok=True)
    written = [_lengths(stats, folder / "lengths.png")]
    if stats.splits:
        written.append(_axes(stats, folder / "axes.png"))
    return written


def _lengths(stats: DataStats, path: Path) -> Path:
    """Histograms of the words in a response: a row of panels a language, a panel for each two that are told apart."""
    told_apart = [*(axis.ends for axis in axes().values()), ("chosen", "rejected")]
    found = set().union(*stats.lengths.values())
    columns = [names for names in told_apart if found & set(names)]
    longest = min(LONGEST, max(max(found[name]) for found in stats.lengths.values() for name in found))

    def draw(figure: Any) -> None:
        grid = figure.subplots(len(stats.lengths), len(columns), squeeze=False, sharex=True, sharey="row")
        for line, (lang, lengths) in zip(grid, stats.lengths.items(), strict=True):
            for panel, names in zip(line, columns, strict=True):
                _histogram(panel, {name: lengths.get(name, []) for name in names}, longest)
            line[0].set_ylabel(f"responses ({lang})" if lang else "responses", color=INK)
        for panel in grid[-1]:
            panel.set_xlabel("words" + (f" (last bar: {LONGEST} or more)" if longest == LONGEST else ""))

    write_png(draw, (max(4.6, 2.6 * len(columns)), 0.4 + 2.4 * len(stats.lengths)), path)
    return path


def _histogram(axes: Any, lengths: dict[str, list[int]], longest: int) -> None:
    width = max(1, round(longest / 30))
    bins = [n - 0.5 for n in range(0, longest + width + 1, width)]
    for n, (name, counts) in enumerate(lengths.items()):
        look = {"color": COLOURS[n + 1], "linestyle": ("-", "--")[n], "linewidth": 1.4}
        mean = f", mean {sum(counts) / len(counts):.1f}" if counts else ""
        axes.hist([min(count, longest) for count in counts], bins, histtype="step", label=name + mean, **look)
    axes.legend(frameon=False, labelcolor=INK, loc="lower left", bbox_to_anchor=(0, 1))
    axes.grid(axis="y", color=FAINT, linewidth=0.5)
    plain(axes)


def _axes(stats: DataStats, path: Path) -> Path:
    """Rows an axis, its splits side by side in one bar."""
    axes_names = list(stats.splits)
    splits = sorted({split for found in stats.splits.values() for split in found}, key=lambda s: (s != "train", s))

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        start = [0] * len(axes_names)
        for n, split in enumerate(splits):
            counts = [stats.splits[axis].get(split, 0) for axis in axes_names]
            look = {"color": COLOURS[n + 1], "hatch": HATCHES[n % len(HATCHES)], "edgecolor": "white"}
            bars = axes.barh(axes_names, counts, 0.6, left=start, label=split, **look)
            axes.bar_label(bars, [str(c) if c else "" for c in counts], label_type="center", color=INK,
                           bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5})  # fmt: skip
            start = [a + b for a, b in zip(start, counts, strict=True)]
        axes.invert_yaxis()
        axes.set_xlabel("rows")
        if splits != ["all"]:
            figure.legend(loc="outside upper left", ncols=len(splits), frameon=False, labelcolor=INK)
        plain(axes)

    write_png(draw, (4.6, 0.5 * len(axes_names) + 1.1), path)
    return path
