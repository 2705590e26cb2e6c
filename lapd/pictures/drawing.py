"""Drawing with matplotlib: PNG files, and SVG for the page.

Figures are made without pyplot, which keeps global state and may look for a screen. In the page, the SVG's colours
are CSS variables, so that one picture serves the light and the dark page.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lapd.files.whole import atomic_path

INK, FAINT = "#1f2937", "#cbd2da"


# Okabe and Ito's palette (jfly.uni-koeln.de/color), told apart by colour-blind readers; markers differ as well.
COLOURS = ("#6b7280", "#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")


MARKERS = ("o", "s", "^", "D", "v", "P", "X")


CSS = {INK: "var(--ink)", FAINT: "var(--line)", **{c: f"var(--c{n})" for n, c in enumerate(COLOURS)}}


DPI = 160


FONT_SIZE = 9


PLAIN = {"font.size": FONT_SIZE, "text.parse_math": False}
"""Settings of every picture: a dollar sign in an adapter's name is no formula."""


@dataclass(frozen=True)
class Picture:
    """A picture for a page.

    Attributes:
        title: what it is called.
        svg: an element, from `svg`.
        numbers: all that is drawn, as CSV.
    """

    title: str
    svg: str
    numbers: str


def numbers_csv(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A picture's numbers as CSV (RFC 4180); what is missing is empty."""
    text = io.StringIO()
    csv.writer(text).writerows([head, *rows])
    return text.getvalue()


def plain(axes: Any) -> None:
    """No box around the plot, and everything in the ink's colour."""
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(colors=INK)
    axes.xaxis.label.set_color(INK)


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


def svg(draw: Callable[[Any], None], size: tuple[float, float], name: str, label: str) -> str:
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
