"""What arms are measured by, as designs need it: the metrics that sum tasks up, and each arm's shifts, item by item."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lapd.adapters.replicates import replicate_groups
from lapd.compare.comparisons import HEURISTIC
from lapd.compare.controls import Arms
from lapd.compare.measured import Measured
from lapd.compare.rows import Comparison, Pairing
from lapd.compare.verdicts import Margins, margin_of
from lapd.names import sign_of
from lapd.personas import Persona


@dataclass(frozen=True)
class Outcome:
    """One metric of one task, or a family of metrics towards a persona.

    Attributes:
        row: the row of an arm that has it, for what is known of it.
        persona: whose poles it counts towards; None where it counts towards each axis's first pole, or to none.
        confirmatory: whether the task declares it as what sums it up, and stands for a trait or a cost.
        margin: a difference within it makes no odds; None where there is no margin.
    """

    row: Comparison
    persona: Persona | None
    confirmatory: bool
    margin: float | None

    @property
    def name(self) -> str:
        """Such as "situations: log_odds_towards"."""
        return f"{self.row.task}: {self.row.metric}"


@dataclass(frozen=True)
class Shifts:
    """How far arms lie from their baselines.

    Attributes:
        items: those that all arms and their baselines have.
        values: [items, arms].
        clusters: [items] which items belong together, as numbers; None where each stands for itself.
        missing: items that were asked and that some arm lacks.
    """

    items: list[str]
    values: np.ndarray
    clusters: np.ndarray | None
    missing: int


def outcomes(
    measured: Measured, arm: str, persona: Persona | None, margins: Margins | None = None, *, primary: bool = False
) -> Iterator[Outcome]:
    """What an arm and its baseline are measured by: the metrics of a short table, or only what sums each task up.

    Args:
        measured: the run.
        arm: one with a baseline.
        persona: whose poles families with axes are pooled towards; None for each axis by itself.
        margins: instead of those of the tasks' metadata; see `lapd.compare.verdicts`.
        primary: only what sums a task up.
    """
    guessed = heuristic_tasks(measured)
    for task in measured.tasks:
        if not is_finished(measured, arm, task):
            continue
        for row in pairing(measured, arm, task, persona).rows():
            if row.special or not (row.primary if primary else row.headline):
                continue
            declared = row.primary and measured.infos[task].primary is not None and row.side in ("trait", "cost")
            margin = margin_of(row, measured, margins or {})
            yield Outcome(row, persona if row.persona else None, declared and task not in guessed, margin)


def pairing(measured: Measured, arm: str, task: str, persona: Persona | None) -> Pairing:
    """An arm and its baseline on a task that both have finished, counted towards a persona."""
    return replace(measured.pairing(arm, measured.arms[arm]["baseline"], task), persona=persona)


def is_finished(measured: Measured, arm: str, task: str) -> bool:
    """Whether an arm and its baseline both have values on a task."""
    return (arm, task) in measured.values and (measured.arms[arm]["baseline"], task) in measured.values


def shifts(measured: Measured, arms: Sequence[str], outcome: Outcome) -> Shifts | None:
    """The arms' shifts from their baselines; None where an arm has not finished the task, or no item is in all."""
    return shifts_on(measured, arms, outcome.row.task, outcome.row.metric, outcome.persona)


def shifts_on(
    measured: Measured, arms: Sequence[str], task: str, metric: str, persona: Persona | None
) -> Shifts | None:
    """The same on a task's metric, or on its family `<family>_towards` a persona."""
    if not all(is_finished(measured, arm, task) for arm in arms):
        return None
    pairs = [pairing(measured, arm, task, persona) for arm in arms]
    try:
        series = [each.series(metric) for each in pairs]
    except KeyError:  # an arm of which no answer could be read has no such metric
        return None
    items = [item for item in series[0][0] if all(item in a and item in b for a, b in series)]
    if not items:
        return None
    values = np.array([[a[item] - b[item] for a, b in series] for item in items])
    asked = set().union(*(found for pair in series for found in pair))
    return Shifts(items, values, pairs[0].clusters_of(items), len(asked) - len(items))


def signs(arm: Mapping[str, Any], persona: Persona | None) -> dict[str, int] | None:
    """By axis, +1 where an arm is trained or told towards the first pole, -1 towards the second.

    An `opposite` control goes the other way on every axis. None where the arm is of no persona, or a control has none.
    """
    control = str(arm.get("adapter_control") or "")
    if persona is None or control not in ("", "opposite"):
        return None
    turn = -1 if control else 1
    return {axis: turn * sign for axis, pole in persona.poles.items() if (sign := sign_of(axis, pole))} or None


def groups_of_arms(arms: Arms) -> dict[str, list[str]]:
    """A run's arms that have a baseline: adapters with their replicates, and each prompt by itself."""
    prompts = [name for name, arm in arms.items() if not arm["adapter"] and arm["baseline"]]
    return {**replicate_groups(arms), **{name: [name] for name in prompts}}


def heuristic_tasks(measured: Measured) -> set[str]:
    """The tasks whose judge is a heuristic: what it counts is no finding."""
    judged = [cell for cell in measured.cells if cell.judge]
    return {cell.task for cell in judged if str((cell.judge or {}).get("note", "")).startswith(HEURISTIC)}


def strength_of(arm: Mapping[str, Any]) -> float:
    """An arm's adapter's strength."""
    return float((arm["adapter"] or {}).get("strength", 1))


def names(found: Iterable[str]) -> str:
    """Names in a sentence: "a, b and c"."""
    *first, last = found
    return f"{', '.join(first)} and {last}" if first else last
