"""The console's table of a run's headline comparisons."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from lapd.compare.comparisons import Comparison
from lapd.report.labels import comparisons, moved, short_label, shown
from lapd.report.summary import closing_sentence, coherence_line, contradiction, family_line

WIDTH = 110
HEADINGS = ("task", "metric", "baseline", "arm", "difference", "95 % interval", "p (Holm)", "n")
TEXT_COLUMNS = 2
LONGEST_TASK = 18


def text_table(rows: list[Comparison], notes: Sequence[str] = ()) -> str:
    """The headline rows as text, at most 110 characters wide, `*` before those that moved.

    Args:
        rows: of `compare_run`.
        notes: of `compare`: what is not in the rows.

    Returns:
        The table by comparison, what a reader has to know of it, a line for each comparison in which the answers are
        written otherwise, or saying is not doing, and one closing sentence.
    """
    headline = [row for row in rows if row.headline]
    groups = comparisons(headline)
    lines = {key: _cells(group) for key, group in groups.items()}
    widths = _widths([cells for group in lines.values() for cells in group])
    out: list[str] = []
    for (arm, baseline), group in groups.items():
        persona = next((f", counted towards {row.persona}" for row in group if row.persona), "")
        out += [_cut(f"{arm} against {baseline}{persona}", WIDTH), "  " + _line(HEADINGS, widths)]
        for row, cells in zip(group, lines[arm, baseline], strict=True):
            out.append(("* " if moved(row) else "  ") + _line(cells, widths))
        out.append("")
    for note in [*dict.fromkeys(row.note for row in headline if row.note), *notes, family_line(rows)]:
        out += textwrap.wrap(note, WIDTH)
    for sentence in [*map(coherence_line, comparisons(rows).values()), *map(contradiction, groups.values())]:
        out += textwrap.wrap(sentence, WIDTH)
    return "\n".join([*out, *textwrap.wrap(closing_sentence(rows), WIDTH)])


def _cells(rows: list[Comparison]) -> list[tuple[str, ...]]:
    """Each row's columns; a task is named on its first row only."""
    cells: list[tuple[str, ...]] = []
    last = ""
    for row in rows:
        text = shown(row)
        task = _cut(row.task, LONGEST_TASK) if row.task != last else ""
        numbers = (text.baseline, text.arm, text.difference, text.interval, text.p, str(row.n))
        cells.append((task, short_label(row), *numbers))
        last = row.task
    return cells


def _widths(cells: list[tuple[str, ...]]) -> list[int]:
    """Columns as wide as what is in them; the metric's name gives way where the line would be too long."""
    widths = [max(map(len, column)) for column in zip(HEADINGS, *cells, strict=True)]
    spare = WIDTH - 2 - (sum(widths) + 2 * (len(widths) - 1))
    widths[1] = max(len(HEADINGS[1]), widths[1] + min(0, spare))
    return widths


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    words = [_cut(c, w).ljust(w) for c, w in zip(cells[:TEXT_COLUMNS], widths, strict=False)]
    numbers = [c.rjust(w) for c, w in zip(cells[TEXT_COLUMNS:], widths[TEXT_COLUMNS:], strict=True)]
    return "  ".join(words + numbers).rstrip()


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 2] + ".."
