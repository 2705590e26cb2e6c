"""What so many items and trainings would let one see, and how many a smaller change needs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from lapd.compare.comparisons import compare
from lapd.compare.measured import read_measured
from lapd.compare.rows import ADAPTER, TRAINING
from lapd.compare.verdicts import ALPHA, CONFIRMATORY, EXPLORATORY
from lapd.errors import UsageError
from lapd.planning.variances import Spreads, spreads
from lapd.statistics.paired import POWER
from lapd.statistics.power import (
    detectable,
    detectable_adapter,
    detectable_share,
    items_needed,
    items_needed_adapter,
    items_needed_share,
    seeds_needed,
)

Given = Mapping[str, float]
"""Numbers in the unit in which a table shows a difference, by task or metric; "" for all others."""


MOST = {"share": 1.0, "points": 100.0, "percent": 100.0}
"""The largest change that there can be, by unit."""


@dataclass(frozen=True)
class Plan:
    """What a plan of items and trainings would show on one metric; all in its unit, shares of 1.

    Attributes:
        task: the task's name; "" where there is no run.
        metric: what sums it up.
        unit: what it is counted in.
        condition: what is changed: "adapter", "adapter@0.5", "adapter+prompt", "prompt".
        against: "base", or "controls": shuffled ones, together.
        scope: "adapter": a statement about one adapter, where items vary; "training": items and trainings do.
        items: how many.
        clusters: how many of them are independent, where items belong together; None where each is.
        seeds: trainings; None for one adapter.
        controls: shuffled controls that they are held against; 0 for the base.
        sd: the standard deviation between items (clusters) of the changes of one arm.
        discordant: of yes/no outcomes, the share of items that change either way; None of others.
        trainings_sd: between trainings; None for one adapter.
        rest_sd: of what is left of a value without its item's and its training's part.
        family: "confirmatory" or "exploratory".
        family_size: over how many comparisons a confirmatory one is corrected.
        power: the chance to show it.
        detectable_alone: the smallest change that shows at 5 %; None where none does.
        detectable: the same after the correction of the confirmatory family.
        change: that which shall show: what was asked for, else half of `detectable`, or of `detectable_alone`.
        items_needed: so many items show it with these seeds; None where no number does.
        seeds_needed: so many seeds do with these items; None for one adapter, and where no number does.
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
    sd: float
    discordant: float | None
    trainings_sd: float | None
    rest_sd: float | None
    family: str
    family_size: int
    power: float
    detectable_alone: float | None
    detectable: float | None
    change: float | None
    items_needed: int | None
    seeds_needed: int | None


@dataclass(frozen=True)
class Assumed:
    """What is put in the place of what a run has.

    Attributes:
        items: of each task; None for as many as there are.
        seeds: trainings of a persona.
        trainings: the standard deviation between trainings.
        family: how many comparisons are corrected together.
        changes: that shall show.
    """

    items: int | None = None
    seeds: int | None = None
    trainings: Given = field(default_factory=dict)
    family: int | None = None
    changes: Given = field(default_factory=dict)


def power_of_run(
    folder: Path, assumed: Assumed | None = None, judge: str | None = None, persona: str | None = None
) -> list[Plan]:
    """What a run's items and trainings, or others on its tasks, would have shown on what sums each task up.

    Args:
        folder: the run's.
        assumed: what is put in the place of what it has.
        judge: whose verdicts judged tasks are scored by; None for the evaluation's own judge.
        persona: whose poles adapters count towards that have no persona of their own.

    Raises:
        StoreError: this is no run, or there is nothing to compare.
        UsageError: a change is of nothing that was measured, or there are no two items to go by.
    """
    assumed = assumed or Assumed()
    rows = compare(folder, judge, persona).rows
    family = assumed.family or max(1, sum(row.family == CONFIRMATORY for row in rows))
    found = list(spreads(read_measured(folder, judge, persona)))
    if not found:
        raise UsageError(f"{folder}: no task has a metric with two items to go by.", "Evaluate more items.")
    known = {"", *(one.task for one in found), *(one.metric for one in found)}
    for name in {**assumed.changes, **assumed.trainings}:
        if name not in known:
            raise UsageError(f"A number is given for {name!r}, which this run has not measured.", "See `lapd compare`.")
    return [plan for one in found for plan in plans(one, family, assumed)]


def plans(found: Spreads, family: int, assumed: Assumed) -> Iterator[Plan]:
    """What one task's items would show of one adapter, and of its training where it is known how far trainings differ.

    Args:
        found: how far values vary.
        family: how many comparisons are corrected together.
        assumed: what is put in the place of what was found.
    """
    if assumed.items is not None:
        found = of_items(found, assumed.items)
    if (trainings := _given(assumed.trainings, found)) is not None:
        found = with_trainings(found, trainings)
    found = replace(found, seeds=assumed.seeds or found.seeds)
    size = family if found.confirmatory else 1
    yield _Test(found, size, ADAPTER, 0).plan(assumed.changes)
    trained = found.trainings_sd is not None and found.condition != "prompt"
    for controls in dict.fromkeys((0, found.controls)) if trained else ():
        yield _Test(found, size, TRAINING, controls).plan(assumed.changes)


@dataclass(frozen=True)
class _Test:
    """One kind of statement about a metric."""

    found: Spreads
    family: int
    scope: str
    controls: int

    def plan(self, changes: Given) -> Plan:
        """What it shows, and what a smaller change needs."""
        found, trained = self.found, self.scope == TRAINING
        alone, shows = self._shows(ALPHA), self._shows(ALPHA / self.family)
        change = _given(changes, found)
        if change is None and (some := alone if shows is None else shows) is not None:
            change = some / 2
        return Plan(
            task=found.task,
            metric=found.metric,
            unit=found.unit,
            condition=found.condition,
            against="controls" if self.controls else "base",
            scope=self.scope,
            items=found.items,
            clusters=found.units if found.units < found.items else None,
            seeds=found.seeds if trained else None,
            controls=self.controls,
            sd=found.sd,
            discordant=found.discordant,
            trainings_sd=found.trainings_sd if trained else None,
            rest_sd=found.rest_sd if trained else None,
            family=CONFIRMATORY if found.confirmatory else EXPLORATORY,
            family_size=self.family,
            power=POWER,
            detectable_alone=alone,
            detectable=shows,
            change=change,
            items_needed=None if change is None else self._items_needed(change),
            seeds_needed=self._seeds_needed(change) if trained and change is not None else None,
        )

    def _shows(self, alpha: float) -> float | None:
        return smallest(self.found, self.scope, self.controls, alpha)

    @property
    def _sds(self) -> tuple[float, float]:
        return _sds(self.found)

    def _items_needed(self, change: float) -> int | None:
        found, alpha = self.found, ALPHA / self.family
        if self.scope == TRAINING:
            more = {"rest_sd": found.rest_sd, "controls": self.controls}
            units = items_needed(change, found.seeds, *self._sds, alpha, **more)  # type: ignore[arg-type]
        elif found.discordant is not None:
            return items_needed_share(change / found.yes, found.discordant, alpha)
        else:
            units = items_needed_adapter(change, found.sd, alpha)
        return None if units is None else math.ceil(units * found.items / found.units)

    def _seeds_needed(self, change: float) -> int | None:
        more = {"rest_sd": self.found.rest_sd, "controls": self.controls}
        return seeds_needed(change, self.found.units, *self._sds, ALPHA / self.family, **more)  # type: ignore[arg-type]


def smallest(found: Spreads, scope: str, controls: int, alpha: float) -> float | None:
    """The smallest change that shows, in the metric's unit; None where none does that there can be.

    Args:
        found: how far values vary.
        scope: "adapter" or "training".
        controls: shuffled ones that a training is held against together; 0 for the base.
        alpha: two-sided; over the family's size for what Holm asks of the first.
    """
    if scope == TRAINING:
        more = {"rest_sd": found.rest_sd, "controls": controls}
        shows = detectable(found.units, found.seeds, *_sds(found), alpha, **more)  # type: ignore[arg-type]
    elif found.discordant is not None:
        shows = found.yes * detectable_share(found.items, found.discordant, alpha)
    else:
        shows = detectable_adapter(found.units, found.sd, alpha)
    return shows if math.isfinite(shows) and shows <= MOST.get(found.unit, shows) else None


def _sds(found: Spreads) -> tuple[float, float]:
    assert found.items_sd is not None and found.trainings_sd is not None, "known where trainings are"
    return found.items_sd, found.trainings_sd


def of_items(found: Spreads, items: int) -> Spreads:
    """The same with so many items, in as many clusters as they would be."""
    return replace(found, items=items, units=max(2, round(items * found.units / found.items)))


def with_trainings(found: Spreads, sd: float) -> Spreads:
    """The same with trainings that differ by so much."""
    # Without replicates nothing tells how much of an item's change is the training's: all is taken for the item's.
    return replace(found, trainings_sd=sd, items_sd=found.sd if found.items_sd is None else found.items_sd)


def _given(numbers: Given, found: Spreads) -> float | None:
    """The number that is given for a metric or task, in the metric's own unit."""
    names = (found.metric, found.task, "")
    number = next((numbers[name] for name in names if name in numbers), None)
    return number if number is None or found.unit != "share" else number / 100


def as_json(found: Iterable[Plan]) -> list[dict[str, Any]]:
    """The plans as JSON objects."""
    return [asdict(plan) for plan in found]
