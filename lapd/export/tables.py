"""A run's comparisons as tables of a paper, in LaTeX (with booktabs) and in Markdown."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from lapd.compare.comparisons import Comparison
from lapd.report.labels import MINUS, SIDES, comparisons, short_label, shown
from lapd.report.summary import family_lines
from lapd.report.table import about, by_side, told_of

HEADINGS = ("task", "metric", "baseline", "arm", "difference", "95 % interval", "p", "adjusted", "n", "verdict")
ALIGNED = "llrrrlrrrl"

LATEX = {
    **{mark: rf"\{mark}" for mark in "{}$&#_%"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
    **{MINUS: "$-$", "<": "$<$", ">": "$>$", "→": r"$\rightarrow$", "|": r"\textbar{}"},
}
"""What stands for a character that LaTeX reads as something else, or has no letter for."""

MARKDOWN = re.compile(r"([\\`*_|<~])")


def latex(rows: list[Comparison], notes: Sequence[str] = ()) -> str:
    r"""The headline rows as `table` environments, one for each arm and what it is compared with, then the notes.

    Args:
        rows: of `compare_run`.
        notes: of `compare`: what is not in the rows.
    """
    parts = [r"% Put \usepackage{booktabs,graphicx} into the preamble."]
    for title, lines in _tables(rows):
        label = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
        parts += [r"\begin{table}", r"\centering", rf"\caption{{{_latex(title)}}}", rf"\label{{tab:{label}}}"]
        # Ten columns are wider than most text blocks: they are scaled to it.
        parts += [r"\resizebox{\linewidth}{!}{%", rf"\begin{{tabular}}{{{ALIGNED}}}"]
        parts += [r"\toprule", _latex_line(HEADINGS), r"\midrule"]
        for line in lines:
            if len(line) == 1:
                parts.append(rf"\multicolumn{{{len(HEADINGS)}}}{{l}}{{\emph{{{_latex(line[0])}}}}} \\")
            else:
                parts.append(_latex_line(line))
        parts += [r"\bottomrule", r"\end{tabular}}", r"\end{table}", ""]
    parts += [rf"\noindent {_latex(' '.join(_notes(rows, notes)))}"]
    return "\n".join(parts) + "\n"


def markdown(rows: list[Comparison], notes: Sequence[str] = ()) -> str:
    """The same as Markdown's tables, with a heading each."""
    parts = []
    for title, lines in _tables(rows):
        parts += [f"### {_markdown(title)}", "", _markdown_line(HEADINGS)]
        parts.append("|" + "|".join("---:" if kind == "r" else "---" for kind in ALIGNED) + "|")
        for line in lines:
            parts.append(_markdown_line((*line, *[""] * (len(HEADINGS) - len(line))), strong=len(line) == 1))
        parts.append("")
    return "\n".join([*parts, *(f"{_markdown(note)}\n" for note in _notes(rows, notes))]).rstrip() + "\n"


def _tables(rows: list[Comparison]) -> Iterator[tuple[str, list[tuple[str, ...]]]]:
    """Each comparison's title and lines; a line of one cell is a heading within."""
    for (arm, baseline), group in comparisons(told_of(rows)).items():
        lines: list[tuple[str, ...]] = []
        side = ""
        for row in by_side(group):
            if row.side != side and row.side in SIDES:
                lines.append((SIDES[row.side],))
            side = row.side
            text = shown(row)
            numbers = (text.baseline, text.arm, text.difference, text.interval, text.p, text.adjusted, str(row.n))
            lines.append((row.task, short_label(row), *numbers, text.verdict))
        yield f"{arm} against {baseline}{about(group)}", lines


def _notes(rows: list[Comparison], notes: Sequence[str]) -> list[str]:
    headline = told_of(rows)
    return [*dict.fromkeys(row.note for row in headline if row.note), *notes, *family_lines(rows)]


def _latex(text: str) -> str:
    return "".join(LATEX.get(mark, mark) for mark in " ".join(text.split()))


def _latex_line(cells: Sequence[str]) -> str:
    line = " & ".join(map(_latex, cells))
    # What stands before it ends in \\, which would take these for its argument.
    return ("{}" if line[:1] in "[*" else "") + rf"{line} \\"


def _markdown(text: str) -> str:
    return MARKDOWN.sub(r"\\\1", " ".join(text.split()))


def _markdown_line(cells: Sequence[str], *, strong: bool = False) -> str:
    wrap: Callable[[str], str] = (lambda text: f"**{text}**" if text else "") if strong else str
    return "| " + " | ".join(wrap(_markdown(cell)) for cell in cells) + " |"
