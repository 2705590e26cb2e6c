"""Comparisons: two arms on the same items, paired by item, over everything that a run measured.

An adapter is compared with its own base under the same prompt and with its control adapters, and a prompt with no
prompt, so that what the training did is never mixed with what the prompt did. Metrics with an axis are also pooled over
the axes, counted towards the persona's poles; `<family>_moved` is the share of items on which the arm lies further that
way than its baseline.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lapd.adapters.personas import persona_of_card
from lapd.catalog.task import TaskInfo
from lapd.compare.gaps import of_pairings, unfinished, without_baseline, without_poles, without_values
from lapd.compare.graded import graded_line, grader_of, graders_of_tasks, with_graders
from lapd.compare.group_values import group_values
from lapd.compare.held import held_rows, without_share
from lapd.compare.items import Asked, asked_in_either, asked_items, coherence_of_tasks
from lapd.compare.known import known_tasks
from lapd.compare.rows import Comparison, Pairing
from lapd.compare.values import RunValues, run_values, unitless, with_differences
from lapd.errors import StoreError, UsageError
from lapd.judges.choosing import judged_line
from lapd.names import get_persona
from lapd.personas import Persona
from lapd.record.coherence import among_diagnostics, unmeasured
from lapd.record.endings import remarks
from lapd.record.likeness import averaged_filters, check_prompts, pairs, version_differences, version_warnings
from lapd.record.reading import read_cells
from lapd.record.store import Store
from lapd.statistics.tests import holm

__all__ = ["Compared", "Comparison", "as_json", "compare", "compare_run"]

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


def compare(folder: Path, judge: str | None = None, persona: str | None = None) -> Compared:
    """Every comparison that a run's finished cells allow, and what is left out of them and why.

    Args:
        folder: the run's.
        judge: whose verdicts judged tasks are scored by: a judge's name, or what `lapd judge --as` called them; None
            for the judge that the run was evaluated with.
        persona: whose poles adapters count towards that have no persona of their own.

    Raises:
        StoreError: the folder is no run, there is nothing to compare, arms were asked differently in more than the
            system prompt, or it has no verdicts called `judge`.
        DataError: verdicts are damaged.
        UsageError: there is no such persona, or no adapter without one.
    """
    store = Store(folder)
    record = store.run()
    arms = _with_persona(record["arms"], persona)
    cells = read_cells(folder, judge)
    baselines = {arm: _baselines(arms, arm) for arm in arms}
    compared = pairs(cells, baselines)
    check_prompts(folder, compared)
    values = run_values(cells)
    values |= group_values(record.get("groups", {}), values)
    infos, coherence = known_tasks(folder, cells, record.get("groups", {})), coherence_of_tasks(cells)
    infos |= {task: among_diagnostics(infos[task], names) for task, names in coherence.items() if names}
    graders = graders_of_tasks(folder, cells)
    infos |= {task: with_graders(infos[task], of_task) for task, of_task in graders.items()}
    values = with_differences(values, infos)
    pairings = list(_pairings(arms, values, asked_items(cells), infos))
    rows = [row for pairing in pairings for row in (*pairing.rows(), *held_rows(pairing))]
    notes = [*unfinished(store), *without_baseline(values, baselines), *without_values(values, coherence)]
    notes += of_pairings(pairings)
    if not rows:
        raise _nothing(folder, arms, notes)
    judges = {cell.entry["task"]: cell.judge for cell in cells if cell.judge}
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
    # What is measured of answers beside a task's own scores, or later, takes nothing from what those can show.
    for kind in {(row.coherence, row.grader) for row in rows}:
        family = [row for row in rows if (row.coherence, row.grader) == kind]
        for row, adjusted in zip(family, holm([row.p for row in family]), strict=True):
            row.p_holm = adjusted
    notes += [*without_poles(pairings), *without_share(pairings), *remarks(cells), *unmeasured(cells)]
    return Compared(rows, notes, [*version_warnings(compared), *averaged_filters(cells)])


def _with_persona(arms: Mapping[str, Any], code: str | None) -> Mapping[str, Any]:
    """The arms, those of adapters without a persona with the one of that code."""
    if code is None:
        return arms
    persona = get_persona(code)
    foreign = [name for name, arm in arms.items() if arm["adapter"] and not arm["adapter_persona"]]
    if not foreign:
        hint = "Leave --persona out: it is for adapters that have none."
        raise UsageError("Every adapter of this run counts towards a persona of its own.", hint)
    theirs = {"adapter_persona": persona.code, "adapter_poles": persona.poles}
    return {name: {**arm, **theirs} if name in foreign else arm for name, arm in arms.items()}


def _pairings(
    arms: Mapping[str, Any], values: RunValues, asked: Asked, infos: Mapping[str, TaskInfo]
) -> Iterator[Pairing]:
    """Every arm with each of its baselines, on each task that both have finished."""
    numbers = unitless(values, infos)
    for arm, entry in arms.items():
        persona = _persona(entry)
        for baseline in _baselines(arms, arm):
            for task in {task: None for _, task in values}:
                if (arm, task) in values and (baseline, task) in values:
                    ours, theirs = values[arm, task], values[baseline, task]
                    either = asked_in_either(asked, (arm, task), (baseline, task))
                    unscaled = numbers.get(task, frozenset())
                    yield Pairing(infos[task], arm, baseline, persona, ours, theirs, unscaled, either)


def _nothing(folder: Path, arms: Mapping[str, Any], notes: list[str]) -> StoreError:
    """Why a run has no row at all."""
    if not any(_baselines(arms, arm) for arm in arms):
        hint = "Evaluate an adapter or a prompt beside it, into the same folder."
        return StoreError(f"{folder}: there is nothing to compare: the only arm is {', '.join(arms)}.", hint)
    hint = " ".join(["Run the evaluation to its end.", *notes[:1]])
    return StoreError(f"{folder}: no arm has a finished baseline to be compared with.", hint)


def _persona(arm: Mapping[str, Any]) -> Persona | None:
    """Whose poles an arm's rows count towards: its adapter's persona, else its prompt's; installed or not."""
    prompt = arm["prompt"] or {}
    code, poles = arm["adapter_persona"], arm.get("adapter_poles")
    return persona_of_card({"persona": code or prompt.get("code"), "poles": poles if code else prompt.get("poles")})


def _baselines(arms: Mapping[str, Any], arm: str) -> list[str]:
    """What an arm is compared with: its baseline, and its persona's controls at its strength, under the same prompt.

    What an adapter has moved beyond its shuffled control can be put down to the persona, not to training as such.
    """
    entry = arms[arm]
    found = [entry["baseline"]] if entry["baseline"] else []
    if entry["adapter"] and not entry.get("adapter_control"):
        found += [
            name
            for name, other in arms.items()
            if other.get("adapter_control")
            and other["adapter_persona"] == entry["adapter_persona"]
            and other["adapter"].get("strength", 1) == entry["adapter"].get("strength", 1)
            and other["baseline"] == entry["baseline"]
        ]
    return found


def as_json(rows: list[Comparison]) -> list[dict[str, Any]]:
    """The rows as JSON objects; what has no bound (an interval of one item) is null."""
    return [
        {k: (None if isinstance(v, float) and not math.isfinite(v) else v) for k, v in asdict(row).items()}
        for row in rows
    ]
