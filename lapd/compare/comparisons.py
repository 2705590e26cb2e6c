"""Comparisons: two arms on the same items, paired by item, over everything that a run measured.

An adapter is compared with its own base under the same prompt and with its control adapters, and a prompt with no
prompt, so that what the training did is never mixed with what the prompt did. Metrics with an axis are also pooled over
the axes, counted towards the persona's poles; `<family>_moved` is the share of items on which the arm lies further that
way than its baseline.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lapd.compare.controls import Arms, no_baseline
from lapd.compare.gaps import missing_apart, of_pairings, unfinished, without_baseline, without_poles, without_values
from lapd.compare.graded import graded_line, grader_of
from lapd.compare.held import held_rows, without_share
from lapd.compare.measured import Measured, read_measured
from lapd.compare.rows import Comparison
from lapd.compare.trainings import single_trainings, training_rows
from lapd.compare.verdicts import Margins, settle
from lapd.errors import StoreError
from lapd.judges.choosing import judged_line
from lapd.record.coherence import unmeasured
from lapd.record.endings import remarks
from lapd.record.likeness import averaged_filters, read_otherwise, version_differences, version_warnings

__all__ = ["Compared", "Comparison", "as_json", "compare", "compare_measured", "compare_run"]

HEURISTIC = "heuristic"
"""A judge whose note begins so is a heuristic."""


@dataclass(frozen=True)
class Compared:
    """What a run's finished cells allow to say.

    Attributes:
        rows: every comparison.
        notes: what is in none of them or not as it might be expected, each with its reason, in sentences.
        warnings: what differs between the arms that are compared and is no arm's own, in sentences.
    """

    rows: list[Comparison]
    notes: list[str]
    warnings: list[str] = field(default_factory=list)


def compare_run(folder: Path, judge: str | None = None, persona: str | None = None) -> list[Comparison]:
    """Every comparison that a run's finished cells allow; see `compare`."""
    return compare(folder, judge, persona).rows


def compare(
    folder: Path, judge: str | None = None, persona: str | None = None, margins: Margins | None = None
) -> Compared:
    """Every comparison that a run's finished cells allow, and what is left out of them and why.

    Args:
        folder: the run's.
        judge: whose verdicts judged tasks are scored by: a judge's name, or what `lapd judge --as` called them; None
            for the judge that the run was evaluated with.
        persona: whose poles adapters count towards that have no persona of their own.
        margins: differences that make no odds; see `lapd.compare.verdicts`.

    Raises:
        StoreError: the folder is no run, there is nothing to compare, arms were asked differently in more than the
            system prompt, or it has no verdicts called `judge`.
        DataError: verdicts are damaged.
        UsageError: there is no such persona, or no adapter without one.
    """
    return compare_measured(read_measured(folder, judge, persona), margins)


def compare_measured(measured: Measured, margins: Margins | None = None) -> Compared:
    """`compare` of a run that was read already.

    Raises:
        StoreError: there is nothing to compare.
        UsageError: a margin is of nothing that was measured.
    """
    values, cells, infos, coherence = measured.values, measured.cells, measured.infos, measured.coherence
    pairings, compared = list(measured.pairings()), measured.alike()
    rows = [row for pairing in pairings for row in (*pairing.rows(), *held_rows(pairing))]
    notes = [*unfinished(measured.store), *without_baseline(values, measured.baselines)]
    notes += [*without_values(values, coherence), *of_pairings(pairings)]
    if not rows:
        raise _nothing(measured.store.folder, measured.arms, notes)
    judges = {cell.entry["task"]: cell.judge for cell in cells if cell.judge}
    graders = measured.graders
    lines = {
        (task, label): graded_line(task, label, by) for task, some in graders.items() for label, by in some.items()
    }
    for row in rows:
        row.coherence = row.metric in coherence.get(row.task, ())
        if judge_of_task := judges.get(row.task):
            row.note = judged_line(row.task, judge_of_task)
            row.heuristic = not row.coherence and str(judge_of_task.get("note", "")).startswith(HEURISTIC)
        if label := grader_of(infos[row.task], row.metric, graders.get(row.task, {})):
            row.grader, row.note = label, lines[row.task, label]
    versions = {(a.entry["arm"], b.entry["arm"], a.entry["task"]): version_differences(a, b) for a, b in compared}
    for row in rows:
        row.versions = versions.get((row.arm, row.baseline, row.task), {})
    rows += list(training_rows(measured, rows))
    settle(rows, measured, margins)
    notes += [*single_trainings(measured), *missing_apart(rows)]
    notes += [*without_poles(pairings), *without_share(pairings), *remarks(cells)]
    notes += [*unmeasured(cells), *read_otherwise(cells)]
    return Compared(rows, notes, [*version_warnings(compared), *averaged_filters(cells)])


def _nothing(folder: Path, arms: Arms, notes: list[str]) -> StoreError:
    """Why a run has no row at all."""
    if no_baseline(arms):
        hint = "Evaluate an adapter or a prompt beside it, into the same folder."
        return StoreError(f"{folder}: there is nothing to compare: the only arm is {', '.join(arms)}.", hint)
    hint = " ".join(["Run the evaluation to its end.", *notes[:1]])
    return StoreError(f"{folder}: no arm has a finished baseline to be compared with.", hint)


def as_json(rows: list[Comparison]) -> list[dict[str, Any]]:
    """The rows as JSON objects; what has no bound (an interval of one item) is null."""
    return [
        {k: (None if isinstance(v, float) and not math.isfinite(v) else v) for k, v in vars(row).items() if k != "told"}
        for row in rows
    ]
