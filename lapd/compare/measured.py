"""What a run measured, read once: its arms, each arm's and task's values, and what is known of its tasks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lapd.catalog.task import TaskInfo
from lapd.compare.controls import Arms, baselines_of, persona_of_arm
from lapd.compare.graded import Graders, graders_of_tasks, with_graders
from lapd.compare.group_values import group_values
from lapd.compare.items import Asked, asked_in_either, asked_items, clusters_of, coherence_of_tasks
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
        clusters = self._clusters.get(task, {})
        return Pairing(self.infos[task], arm, baseline, self.persona(arm), ours, theirs, unscaled, either, clusters)

    @cached_property
    def _clusters(self) -> dict[str, dict[str, str]]:
        """For each task that says which items belong together, what each item belongs to."""
        return clusters_of(self.cells, self.infos)

    @cached_property
    def _unitless(self) -> dict[str, frozenset[str]]:
        return unitless(self.values, self.infos)

    def persona(self, arm: str) -> Persona | None:
        """Whose poles an arm's rows count towards: its adapter's persona, else its prompt's; installed or not."""
        return persona_of_arm(self.arms[arm])


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
