"""How far a run's values vary, task by task: between items, and between trainings where it has replicates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lapd.compare.controls import Arms, is_shuffled, pooled_controls
from lapd.compare.measured import Measured
from lapd.compare.rows import YES_OR_NO
from lapd.designs.outcomes import Shifts, groups_of_arms, outcomes, shifts, strength_of
from lapd.statistics.clusters import numbered


@dataclass(frozen=True)
class Spreads:
    """How far the changes on one metric vary, all in its unit; in clusters' means where items belong together.

    Attributes:
        task: the task's name.
        metric: what sums it up.
        unit: what it is counted in; shares are of 1.
        condition: what was changed: "adapter", "adapter@0.5", "adapter+prompt", "prompt".
        confirmatory: whether its rows are of the confirmatory family.
        items: how many there are.
        units: how many of them are independent: items, or clusters.
        sd: the standard deviation between units of one arm's changes.
        discordant: of yes/no outcomes, the share of items that change either way; None of others.
        yes: what "yes" counts in such.
        seeds: how many trainings of a persona there are.
        controls: how many shuffled controls they can be held against together.
        items_sd: the standard deviation of units' own changes, the same in all trainings.
        trainings_sd: that of trainings' means; None where each is trained once.
        rest_sd: that of what is left of a value.
    """

    task: str
    metric: str
    unit: str
    condition: str
    confirmatory: bool
    items: int
    units: int
    sd: float
    discordant: float | None = None
    yes: float = 1.0
    seeds: int = 1
    controls: int = 0
    items_sd: float | None = None
    trainings_sd: float | None = None
    rest_sd: float = 0.0


@dataclass(frozen=True)
class Group:
    """One group of replicates on what sums a task up.

    Attributes:
        arms: their names.
        task: the task's name.
        metric: what sums it up.
        unit: what it is counted in.
        yes_or_no: whether outcomes are yes or no, and each item stands for itself.
        confirmatory: whether the task's rows are, at an adapter's own strength.
        items: how many there are.
        values: [units, arms] changes; see `in_units`.
    """

    arms: list[str]
    task: str
    metric: str
    unit: str
    yes_or_no: bool
    confirmatory: bool
    items: int
    values: np.ndarray


def spreads(measured: Measured) -> Iterator[Spreads]:
    """How far the changes vary on what sums each task up, under each condition; where two units have a value.

    Changes are an arm's values less its baseline's, item by item. Their spread is the mean variance over the arms that
    are no controls; between trainings it is pooled over all replicates, shuffled controls among them.
    """
    return spreads_of(measured.arms, _groups(measured))


def _groups(measured: Measured) -> Iterator[Group]:
    for arms in groups_of_arms(measured.arms).values():
        entry = measured.arms[arms[0]]
        if entry.get("adapter_control") and not is_shuffled(entry):
            continue
        for outcome in outcomes(measured, arms[0], measured.persona(arms[0]), primary=True):
            if (there := shifts(measured, arms, outcome)) is None:
                continue
            row, values = outcome.row, in_units(there)
            kind = row.test.startswith(YES_OR_NO), outcome.confirmatory
            yield Group(arms, row.task, row.metric, row.unit, *kind, len(there.items), values)


def spreads_of(arms: Arms, groups: Iterable[Group]) -> Iterator[Spreads]:
    """How far the changes vary, by condition, task and metric; see `spreads`.

    Args:
        arms: those of the run's record.
        groups: of its arms that have a baseline, shuffled controls among them.
    """
    found: dict[tuple[str, str, str], list[Group]] = {}
    for group in groups:
        if len(group.values) > 1:
            key = condition_of(arms[group.arms[0]]), group.task, group.metric
            found.setdefault(key, []).append(group)
    for (condition, _, _), some in found.items():
        ours = [group for group in some if not arms[group.arms[0]].get("adapter_control")]
        if ours:
            yield _spreads(arms, condition, ours, some)


def condition_of(arm: Mapping[str, Any]) -> str:
    """What an arm differs in from its baseline, whoever's it is."""
    if not arm["adapter"]:
        return "prompt"
    strength = "" if strength_of(arm) == 1 else f"@{strength_of(arm):g}"
    return f"adapter{strength}" + ("+prompt" if arm["prompt"] else "")


def in_units(found: Shifts) -> np.ndarray:
    """[units, arms]: the changes of items, or of clusters, so that their mean is the items'."""
    groups = numbered(found.clusters, len(found.items))
    units = int(groups.max()) + 1
    sums = np.zeros((units, found.values.shape[1]))
    np.add.at(sums, groups, found.values)
    return sums * units / len(found.items)


def _spreads(arms: Arms, condition: str, ours: Sequence[Group], groups: Sequence[Group]) -> Spreads:
    """Of one condition and metric: `ours` are the groups that are no controls."""
    first = max(ours, key=lambda group: len(group.arms))
    at_own = strength_of(arms[first.arms[0]]) == 1
    discordant, yes = _discordant(ours)
    return Spreads(
        task=first.task,
        metric=first.metric,
        unit=first.unit,
        condition=condition,
        confirmatory=first.confirmatory and at_own,
        items=first.items,
        units=len(first.values),
        sd=float(np.sqrt(np.mean([group.values.var(axis=0, ddof=1).mean() for group in ours]))),
        discordant=discordant,
        yes=yes,
        seeds=len(first.arms),
        controls=len(pooled_controls(arms, first.arms)) if arms[first.arms[0]]["adapter"] else 0,
        **_components([group.values for group in groups if group.values.shape[1] > 1]),
    )


def _discordant(groups: Sequence[Group]) -> tuple[float | None, float]:
    """The share of yes/no items that change, and what "yes" counts; None where outcomes are others, or clustered.

    One item more than was seen, of two more: that none did in a few says little, as in a comparison's own interval.
    """
    if not all(group.yes_or_no for group in groups):
        return None, 1.0
    changed = [((column != 0).sum() + 1) / (len(column) + 2) for group in groups for column in group.values.T]
    return float(np.mean(changed)), whole(groups[0].unit)


def whole(unit: str) -> float:
    """What "yes" counts in a unit."""
    return 100.0 if unit in ("points", "percent", "") else 1.0


def _components(groups: Sequence[np.ndarray]) -> dict[str, float]:
    """The variances of a crossed design, by its mean squares, as standard deviations; nothing without replicates.

    value = item + training + rest, in each group (Searle, Casella and McCulloch, Variance Components, 1992, chapter 4);
    pooled over the groups by their degrees of freedom. What comes out below 0 is 0.
    """
    if not groups:
        return {}
    df = np.array([values.shape[1] - 1 for values in groups], float)
    rest, trainings, items = (np.array(found) for found in zip(*map(_mean_squares, groups), strict=True))
    variances = {"rest_sd": rest, "trainings_sd": trainings, "items_sd": items}
    return {name: float(np.sqrt(max(0.0, df @ found / df.sum()))) for name, found in variances.items()}


def _mean_squares(values: np.ndarray) -> tuple[float, float, float]:
    """The variances of rest, trainings and items in one group; [units, trainings] values."""
    units, trainings = values.shape
    left = values - values.mean(axis=0) - values.mean(axis=1, keepdims=True) + values.mean()
    rest = float((left**2).sum() / ((units - 1) * (trainings - 1)))
    between = float(values.mean(axis=0).var(ddof=1)) - rest / units
    return rest, between, float(values.mean(axis=1).var(ddof=1)) - rest / trainings
