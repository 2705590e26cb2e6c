"""The console's table of a run's headline comparisons: what was bought, what it cost, and how sure that is."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Sequence

from lapd.compare import verdicts
from lapd.compare.comparisons import Comparison
from lapd.compare.rows import TRAINING
from lapd.report.labels import SIDES, comparisons, moved, short_label, shown
from lapd.report.summary import closing_sentence, coherence_line, contradiction, family_lines

WIDTH = 126
HEADINGS = (
    *("task", "metric", "base", "arm", "change", "95 % interval"),
    *("p", "adjusted", "shows", "n", "verdict"),
)
FAMILY_HEADINGS = ("confirmatory", "task", "metric", "p", "Holm")
TEXT_COLUMNS = 2
LONGEST_TASK = 16


def text_table(rows: list[Comparison], notes: Sequence[str] = ()) -> str:
    """The headline rows as text, at most 126 characters wide, `*` before those that changed.

    Args:
        rows: of `compare_run`.
        notes: of `compare`: what is not in the rows.

    Returns:
        The table by comparison, in it what was bought before what it cost; what a reader has to know of it; a line for
        each comparison in which the answers are written otherwise, or saying is not doing; and one closing sentence.
        Single adapters of which the table has the training are left out.
    """
    headline = told_of(rows)
    groups = comparisons(headline)
    lines = {key: _cells(by_side(group)) for key, group in groups.items()}
    widths = _widths([cells for group in lines.values() for cells in group])
    out: list[str] = []
    for (arm, baseline), group in groups.items():
        out += [_cut(f"{arm} against {baseline}{about(group)}", WIDTH), "  " + _line(HEADINGS, widths)]
        side = None
        for row, cells in zip(by_side(group), lines[arm, baseline], strict=True):
            if row.side != side and row.side in SIDES:
                out.append(f"  {SIDES[row.side]}")
            side = row.side
            out.append(("* " if moved(row) else "  ") + _line(cells, widths))
        out.append("")
    left_out = _left_out(rows, headline)
    for note in [*dict.fromkeys(r.note for r in headline if r.note), *notes, *left_out, *family_lines(rows)]:
        out += textwrap.wrap(note, WIDTH)
    for sentence in [*map(coherence_line, comparisons(rows).values()), *map(contradiction, groups.values())]:
        out += textwrap.wrap(sentence, WIDTH)
    return "\n".join([*out, *textwrap.wrap(closing_sentence(headline), WIDTH)])


def family_table(rows: Sequence[Comparison]) -> str:
    """The rule of the families, and each confirmatory row with its p before and after the correction."""
    told = inspect.getdoc(verdicts) or ""
    confirmed = [row for row in rows if row.family == verdicts.CONFIRMATORY]
    cells = [
        (f"{row.arm} against {row.baseline}", row.task, short_label(row), shown(row).p, shown(row).adjusted)
        for row in sorted(confirmed, key=lambda row: row.p)
    ]
    widths = [max(map(len, column)) for column in zip(FAMILY_HEADINGS, *cells, strict=True)]
    table = [
        "  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in (FAMILY_HEADINGS, *cells)
    ]
    rule = told.partition("\n\n")[2].replace("\n", " ").replace("**", "")
    return "\n".join([*textwrap.wrap(rule, WIDTH), "", *table, "", *family_lines(rows)[:-1]])


def told_of(rows: Sequence[Comparison]) -> list[Comparison]:
    """The headline rows, without those of single adapters of which there is a row about their training."""
    trained = {arm for row in rows if row.scope == TRAINING and len(row.arms) > 1 for arm in row.arms}
    return [row for row in rows if row.headline and (row.scope == TRAINING or row.arm not in trained)]


def by_side(rows: Sequence[Comparison]) -> list[Comparison]:
    """The rows with what was bought first, then what it cost, then the checks, then what does not say."""
    order = {side: n for n, side in enumerate(SIDES)}
    return sorted(rows, key=lambda row: order.get(row.side, len(order)))


def about(rows: Sequence[Comparison]) -> str:
    """What the rows are about, and which way they count."""
    persona = next((f", counted towards {row.persona}" for row in rows if row.persona), "")
    first = rows[0]
    if first.scope != TRAINING:
        return persona
    trainings = f"{len(first.arms)} training{'s' if len(first.arms) > 1 else ''}"
    if len(first.baselines) > 1:
        trainings += f" against {len(first.baselines)}"
    return f" (about such a training: {trainings}){persona}"


def _left_out(rows: Sequence[Comparison], shown_rows: Sequence[Comparison]) -> list[str]:
    arms = {row.arm for row in rows if row.headline} - {row.arm for row in shown_rows}
    return [f"The {len(arms)} single adapters behind these trainings are in --json."] if arms else []


def _cells(rows: Sequence[Comparison]) -> list[tuple[str, ...]]:
    """Each row's columns; a task is named on its first row only."""
    cells: list[tuple[str, ...]] = []
    last = ""
    for row in rows:
        text = shown(row)
        task = _cut(row.task, LONGEST_TASK) if row.task != last else ""
        numbers = (text.baseline, text.arm, text.difference, text.interval)
        sure = (text.p, text.adjusted, text.detectable, str(row.n), text.verdict)
        cells.append((task, short_label(row), *numbers, *sure))
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
    numbers = [c.rjust(w) for c, w in zip(cells[TEXT_COLUMNS:-1], widths[TEXT_COLUMNS:-1], strict=True)]
    return "  ".join([*words, *numbers, cells[-1]]).rstrip()


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 2] + ".."
