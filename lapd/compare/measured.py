"""What a run measured, read once: its arms, each arm's and task's values, and what is known of its tasks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from lapd.adapters.personas import persona_of_card
from lapd.catalog.task import TaskInfo
from lapd.compare.graded import Graders, graders_of_tasks, with_graders
from lapd.compare.group_values import group_values
from lapd.compare.items import Asked, asked_in_either, asked_items, coherence_of_tasks
from lapd.compare.known import known_tasks
from lapd.compare.rows import Pairing
from lapd.compare.values import RunValues, run_values, unitless, with_differences
from lapd.errors import UsageError
from lapd.names import get_persona
from lapd.personas import Persona
from lapd.record.coherence import among_diagnostics
from lapd.record.likeness import check_prompts, pairs
from lapd.record.reading import ReadCell, read_cells
from lapd.record.store import Store

Arms = Mapping[str, Mapping[str, Any]]
"""The arms of a run's record, by name."""


@dataclass(frozen=True)
class Measured:
    """A run's finished cells, as comparisons need them.

    Attributes:
        store: the run.
        arms: its record's, by name; those of adapters without a persona with the one that was asked for.
        cells: the finished ones.
        values: for each (arm, task), each metric's value of each item.
        infos: what is known of each task and group, its grades and its answers' measures among its metrics.
        coherence: for each task, which of its metrics tell what its written answers are like.
        graders: for each task, whose grades there are.
        asked: the items that were asked for each metric.
    """

    store: Store
    arms: Arms
    cells: list[ReadCell]
    values: RunValues
    infos: Mapping[str, TaskInfo]
    coherence: Mapping[str, list[str]]
    graders: Graders
    asked: Asked

    @property
    def tasks(self) -> list[str]:
        """The names of the tasks and groups with a value."""
        return list({task: None for _, task in self.values})

    @property
    def baselines(self) -> dict[str, list[str]]:
        """For each arm, what it is compared with."""
        return {arm: baselines_of(self.arms, arm) for arm in self.arms}

    def alike(self) -> list[tuple[ReadCell, ReadCell]]:
        """The cells that are held against each other."""
        return pairs(self.cells, self.baselines)

    def pairings(self) -> Iterator[Pairing]:
        """Every arm with each of its baselines, on each task that both have finished."""
        for arm, baselines in self.baselines.items():
            for baseline in baselines:
                for task in self.tasks:
                    if (arm, task) in self.values and (baseline, task) in self.values:
                        yield self.pairing(arm, baseline, task)

    def pairing(self, arm: str, baseline: str, task: str) -> Pairing:
        """An arm and another on a task that both have finished, counted towards the arm's persona."""
        ours, theirs = self.values[arm, task], self.values[baseline, task]
        either = asked_in_either(self.asked, (arm, task), (baseline, task))
        unscaled = self._unitless.get(task, frozenset())
        return Pairing(self.infos[task], arm, baseline, self.persona(arm), ours, theirs, unscaled, either)

    @cached_property
    def _unitless(self) -> dict[str, frozenset[str]]:
        return unitless(self.values, self.infos)

    def persona(self, arm: str) -> Persona | None:
        """Whose poles an arm's rows count towards: its adapter's persona, else its prompt's; installed or not."""
        entry = self.arms[arm]
        prompt = entry["prompt"] or {}
        code, poles = entry["adapter_persona"], entry.get("adapter_poles")
        return persona_of_card({"persona": code or prompt.get("code"), "poles": poles if code else prompt.get("poles")})


def read_measured(folder: Path, judge: str | None = None, persona: str | None = None) -> Measured:
    """What a run's finished cells measured; see `lapd.compare.comparisons.compare` for the arguments and errors."""
    store = Store(folder)
    record = store.run()
    groups = record.get("groups", {})
    arms = _with_persona(record["arms"], persona)
    cells = read_cells(folder, judge)
    check_prompts(folder, pairs(cells, {arm: baselines_of(arms, arm) for arm in arms}))
    values = run_values(cells)
    values |= group_values(groups, values)
    infos, coherence = known_tasks(folder, cells, groups), coherence_of_tasks(cells)
    infos |= {task: among_diagnostics(infos[task], names) for task, names in coherence.items() if names}
    graders = graders_of_tasks(folder, cells)
    infos |= {task: with_graders(infos[task], of_task) for task, of_task in graders.items()}
    values = with_differences(values, infos)
    return Measured(store, arms, cells, values, infos, coherence, graders, asked_items(cells))


def _with_persona(arms: Arms, code: str | None) -> Arms:
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


def baselines_of(arms: Arms, arm: str) -> list[str]:
    """What an arm is compared with: its baseline, and its persona's controls at its strength, under the same prompt.

    What an adapter has moved beyond its shuffled control can be put down to the persona, not to training as such.
    """
    entry = arms[arm]
    found = [entry["baseline"]] if entry["baseline"] else []
    if entry["adapter"] and not entry.get("adapter_control"):
        found += controls_of(arms, arm)
    return found


def controls_of(arms: Arms, arm: str) -> list[str]:
    """The control adapters' arms that an adapter's arm may be held against."""
    entry = arms[arm]
    return [
        name
        for name, other in arms.items()
        if other.get("adapter_control")
        and other["adapter_persona"] == entry["adapter_persona"]
        and other["adapter"].get("strength", 1) == entry["adapter"].get("strength", 1)
        and other["baseline"] == entry["baseline"]
    ]


def no_baseline(arms: Arms) -> bool:
    """Whether no arm has anything to be compared with."""
    return not any(baselines_of(arms, arm) for arm in arms)
