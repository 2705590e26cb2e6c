"""`--plan`: which cells there are, how far each one is, and how long the rest will take by what was measured here.

Nothing is loaded and nothing is written. A time is only given where a cell of the same task, scored in the same way,
was finished in this run on a machine like this one; loading the model is not counted.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import mean
from typing import Any

from lapd.errors import UsageError
from lapd.evaluate.provenance import hardware
from lapd.record.cells import Cell
from lapd.record.store import Store

ENOUGH = 20
"""So many finished cells of a task are read for its time: with ten thousand, reading all would take longer."""


@dataclass(frozen=True)
class Training:
    """An adapter that must be trained before its cells can be evaluated.

    Attributes:
        adapter: its name.
        persona: the persona's code.
        control: which control adapter it is, or None.
        seed: that it is trained with.
        seconds_left: by the trainings of this run that are finished; None if there are none to go by.
    """

    adapter: str
    persona: str
    control: str | None
    seed: int
    seconds_left: float | None


@dataclass(frozen=True)
class AnotherSeed:
    """What it would take to train everything once more, with another seed, and to evaluate that.

    Attributes:
        trainings, cells: how many.
        seconds: on one worker; None unless all of it can be told from what was measured.
    """

    trainings: int
    cells: int
    seconds: float | None


@dataclass(frozen=True)
class WouldShow:
    """What a plan would show of what sums a task up; see `lapd.planning.foreseen`. Shares are of 1.

    Attributes:
        task: the task's name.
        metric: what sums it up.
        unit: what it is counted in.
        condition: what is changed: "adapter", "adapter+prompt", "prompt".
        against: "base", or "controls": shuffled ones, together.
        scope: "adapter": about one adapter, where items vary; "training": items and trainings do.
        items: how many.
        clusters: how many of them are independent, where items belong together; None where each is.
        seeds: trainings of a persona; None for one adapter.
        controls: shuffled controls that they are held against; 0 while there are too few, and for the base.
        family: "confirmatory" or "exploratory".
        family_size: over how many comparisons a confirmatory one is corrected.
        detectable_alone: the smallest change that shows at 5 % with 80 % power; None where none does.
        detectable: the same after the correction of the confirmatory family.
        another_seed: the same with one more training seed; None where none does, and where seeds change nothing.
        source: by what it is known how far values vary: "this run", or what `data/variances.json` is from.
    """

    task: str
    metric: str
    unit: str
    condition: str
    against: str
    scope: str
    items: int
    clusters: int | None
    seeds: int | None
    controls: int
    family: str
    family_size: int
    detectable_alone: float | None
    detectable: float | None
    another_seed: float | None
    source: str


@dataclass(frozen=True)
class PlannedCell:
    """A cell and how far it is.

    Attributes:
        arm, task, seed: what it is.
        cell: the name of its folder; None while its adapter is not trained, on whose weights the name depends.
        done: whether it has its result.
        batches: how many batches of an unfinished cell are in its journal.
        seconds_left: 0 for a finished one; None if nothing was measured to go by.
    """

    arm: str
    task: str
    seed: int
    cell: str | None
    done: bool
    batches: int
    seconds_left: float | None


@dataclass(frozen=True)
class Plan:
    """What `--plan` shows.

    Attributes:
        cells: all of the run's.
        trainings: those that are still needed.
        another_seed: what one more training seed would cost; None where nothing is trained.
        would_show: what the plan would show, of an experiment; None of others.
        unknown: the tasks of which that cannot be told.
    """

    cells: list[PlannedCell]
    trainings: list[Training]
    another_seed: AnotherSeed | None = None
    would_show: list[WouldShow] | None = None
    unknown: list[str] = field(default_factory=list)

    @property
    def done(self) -> int:
        """How many cells are finished."""
        return sum(cell.done for cell in self.cells)

    @property
    def seconds_left(self) -> float | None:
        """The time for everything that is left, on one worker; None unless all of it can be told."""
        parts = [cell.seconds_left for cell in self.cells] + [training.seconds_left for training in self.trainings]
        known = [seconds for seconds in parts if seconds is not None]
        return round(sum(known), 1) if len(known) == len(parts) else None

    @property
    def unmeasured(self) -> list[str]:
        """The tasks, and "training", whose time cannot be told."""
        tasks = [cell.task for cell in self.cells if cell.seconds_left is None]
        return list(dict.fromkeys([*("training" for t in self.trainings if t.seconds_left is None), *tasks]))

    def as_json(self) -> dict[str, Any]:
        """What `--plan --json` prints."""
        return {
            "cells": [asdict(cell) for cell in self.cells],
            "trainings": [asdict(training) for training in self.trainings],
            "todo": len(self.cells) - self.done,
            "done": self.done,
            "seconds_left": self.seconds_left,
            **({"another_seed": asdict(self.another_seed)} if self.another_seed else {}),
            **({} if self.would_show is None else {"would_show": [asdict(row) for row in self.would_show]}),
        }


def make_plan(store: Store, cells: Sequence[Cell], trainings: Sequence[Training] = ()) -> Plan:
    """How far each cell is, and how long the rest will take.

    Args:
        store: the run folder, which need not be there yet.
        cells: the run's; those of an adapter without a digest wait for its training.
        trainings: that are still needed.

    Raises:
        UsageError: there are no cells.
        StoreError: the folder belongs to a run on another base model, or to a newer LAPD.
    """
    if not cells:
        raise UsageError("There is nothing to evaluate.", "Name at least one task and one arm.")
    store.check_base(cells[0].base)
    done = {cell.name for cell in cells if _is_trained(cell) and store.is_done(cell.name)}
    times = _times(store, cells, {cell.task.name for cell in cells if cell.name not in done})
    return Plan([_planned(store, cell, cell.name in done, times) for cell in cells], list(trainings))


def another_seed(
    store: Store, cells: Sequence[Cell], trainings: int, seeds: int, training_seconds: float | None
) -> AnotherSeed:
    """What one more training seed would cost.

    Args:
        store: the run folder, which need not be there yet.
        cells: the run's, of all seeds; those of the bare base would not be more.
        trainings: the run's, of all seeds.
        seeds: how many there are.
        training_seconds: how long one training takes; None if that is not known.
    """
    tasks = [cell.task.name for cell in cells if cell.arm.adapter]
    times = _times(store, cells, set(tasks))
    known = [time.seconds for task in tasks if (time := times[task])]
    seconds = None
    if training_seconds is not None and len(known) == len(tasks):
        seconds = round((training_seconds * trainings + sum(known)) / seeds, 1)
    return AnotherSeed(trainings // seeds, len(tasks) // seeds, seconds)


def _times(store: Store, cells: Sequence[Cell], tasks: Collection[str]) -> dict[str, _Time | None]:
    """How long a cell of each of the tasks takes, by those that are finished."""
    finished: dict[str, list[Cell]] = {task: [] for task in tasks}
    for cell in cells:
        if cell.task.name in finished and _is_trained(cell) and store.is_done(cell.name):
            finished[cell.task.name].append(cell)
    return {task: _measured(store, some) for task, some in finished.items()}


def _is_trained(cell: Cell) -> bool:
    return cell.arm.adapter is None or bool(cell.arm.adapter.digest)


@dataclass(frozen=True)
class _Time:
    """How long a whole cell of a task takes, in seconds, and how many batches it has."""

    seconds: float
    batches: float


def _measured(store: Store, finished: Sequence[Cell]) -> _Time | None:
    """The mean over the newest finished cells of a task that were computed on a machine like this one."""
    here, seconds, batches = hardware(), [], []
    for cell in finished[-ENOUGH:]:
        result = store.result(cell.name)
        provenance: Mapping[str, Any] = result.get("provenance", {})
        work = provenance.get("work", {})
        if provenance.get("hardware") != here or not work.get("computed"):
            continue  # of an older LAPD, from another machine, or all of it out of a journal
        # What the journal held already took no time: scaled up as if it had.
        seconds.append(result["seconds"] * work["batches"] / work["computed"])
        batches.append(work["batches"])
    return _Time(mean(seconds), mean(batches)) if seconds else None


def _planned(store: Store, cell: Cell, done: bool, times: Mapping[str, _Time | None]) -> PlannedCell:
    trained = _is_trained(cell)
    batches = 0 if done or not trained else store.batches(cell.name)
    left: float | None = 0.0
    if not done:
        time = times[cell.task.name]
        left = round(time.seconds * max(0.0, 1 - batches / time.batches), 1) if time else None
    name = cell.name if trained else None
    return PlannedCell(cell.arm.name, cell.task.name, cell.settings.seed, name, done, batches, left)
