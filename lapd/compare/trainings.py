"""Rows about a training, not only about one adapter: items vary, and so do trainings.

Adapters that were trained again with another seed are replicates. A persona's replicates are held against their base,
and against its shuffled controls, each a draw and a training of its own: what is left of the difference there is what
the persona did, and the controls' own spread is in its interval.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from lapd.adapters.replicates import replicate_groups
from lapd.compare.controls import pooled_controls
from lapd.compare.measured import Measured
from lapd.compare.rows import TRAINING, Comparison, Pairing
from lapd.statistics.crossed import Estimated, crossed

TEST = "t, items x trainings"

NAMED = 4
"""So many adapters are named in a line; more are counted."""

Rows = Mapping[tuple[str, str, str, str], Comparison]
"""The rows of single adapters, by arm, baseline, task and metric."""


@dataclass(frozen=True)
class Condition:
    """An adapter's replicates on one task: the pairings with their base.

    Attributes:
        label: what they are called together.
        pairings: one a replicate.
    """

    label: str
    pairings: list[Pairing]
    _known: dict[str, dict[str, list[float]]] = field(default_factory=dict, repr=False)

    def shifts(self, metric: str) -> dict[str, list[float]]:
        """Each replicate's shift from the base, of each item that all of them have."""
        if metric not in self._known:  # asked for by every other condition
            self._known[metric] = self._shifts(metric)
        return self._known[metric]

    def _shifts(self, metric: str) -> dict[str, list[float]]:
        series = [pairing.series(metric) for pairing in self.pairings]
        first = series[0][0]
        items = [item for item in first if all(item in ours and item in theirs for ours, theirs in series)]
        return {item: [ours[item] - theirs[item] for ours, theirs in series] for item in items}

    def has(self, metric: str) -> bool:
        """Whether every replicate has the metric."""
        return all(pairing.has(metric) for pairing in self.pairings)


def training_rows(measured: Measured, rows: Sequence[Comparison]) -> Iterator[Comparison]:
    """The rows about trainings that a run's adapters allow, one for each headline row of their replicates.

    How far trainings differ is learned from all replicates of the run that were trained in the same way, whatever their
    persona: two of one persona alone tell next to nothing of it.

    Args:
        measured: the run.
        rows: of its single adapters.
    """
    known = {(row.arm, row.baseline, row.task, row.metric): row for row in rows if row.headline and not row.special}
    groups = replicate_groups(measured.arms)
    for task in measured.tasks:
        conditions = {label: c for label, arms in groups.items() if (c := _condition(measured, label, arms, task))}
        for label, condition in conditions.items():
            arms, baseline = groups[label], condition.pairings[0].baseline
            controls = _controls(measured, arms, condition, groups)
            peers = [c for other, c in conditions.items() if other != label and _alike(measured, groups[other], arms)]
            for row in [row for key, row in known.items() if key[:3] == (arms[0], baseline, task)]:
                like = [peer for peer in peers if peer.has(row.metric)]
                yield from _against_base(row, condition, like, known)
                if controls:
                    yield from _against_controls(row, condition, controls, like)


def _condition(measured: Measured, label: str, arms: Sequence[str], task: str) -> Condition | None:
    """An adapter's replicates on a task; None where one of them, or their base, is not finished."""
    baseline = measured.arms[arms[0]]["baseline"]
    if baseline is None or any((arm, task) not in measured.values for arm in (*arms, baseline)):
        return None
    return Condition(label, [measured.pairing(arm, baseline, task) for arm in arms])


def _controls(
    measured: Measured, arms: Sequence[str], ours: Condition, groups: Mapping[str, list[str]]
) -> Condition | None:
    """The shuffled controls that an adapter's replicates are held against, counted towards its persona."""
    first = ours.pairings[0]
    task, baseline = first.info.name, first.baseline
    names = [name for name in pooled_controls(measured.arms, list(arms)) if (name, task) in measured.values]
    if not names:
        return None
    label = next((label for label, group in groups.items() if group == names), f"shuffled ({len(names)})")
    pairings = [replace(measured.pairing(name, baseline, task), persona=first.persona) for name in names]
    return Condition(label, pairings)


def _alike(measured: Measured, others: Sequence[str], arms: Sequence[str]) -> bool:
    """Whether other replicates tell how far trainings such as these differ: several, of the same way of training."""
    ours, theirs = measured.arms[arms[0]], measured.arms[others[0]]
    return len(others) > 1 and all(
        [
            not theirs.get("adapter_control") and not ours.get("adapter_control"),
            theirs.get("adapter_recipe") == ours.get("adapter_recipe"),
            theirs["adapter"].get("strength", 1) == ours["adapter"].get("strength", 1),
            (theirs["prompt"] is None) == (ours["prompt"] is None),
        ]
    )


def single_trainings(measured: Measured) -> Iterator[str]:
    """A line that names the adapters of which nothing can be said beyond themselves, if there are any."""
    groups = replicate_groups(measured.arms).values()
    alone = [arms[0] for arms in groups if len(arms) == 1 and not pooled_controls(measured.arms, arms)]
    names = list(dict.fromkeys(measured.arms[arm]["adapter"]["name"] for arm in alone))
    if names:
        whom = ", ".join(names) if len(names) <= NAMED else f"{len(names)} adapters"
        what = f"{whom} are one training each" if len(names) > 1 else f"{whom} is one training"
        yield f"{what}: the rows are about these weights, not about such trainings. `lapd train --seeds 0,1` makes two."


def _against_base(row: Comparison, ours: Condition, peers: Sequence[Condition], known: Rows) -> Iterator[Comparison]:
    if len(ours.pairings) < 2:
        return
    items, shifts = _together(row.metric, [ours, *peers])
    clusters = ours.pairings[0].clusters_of(items)
    found = crossed(shifts, [1.0, *[0.0] * len(peers)], clusters) if items else None
    singles = [known.get((pairing.arm, row.baseline, row.task, row.metric)) for pairing in ours.pairings]
    if found is None or None in singles:
        return
    there = [single for single in singles if single is not None]
    made = _made(row, ours, found, len(items))
    made.arm_mean = row.baseline_mean + found.estimate
    made.limit = row.limit if {single.limit for single in there} == {row.limit} else ""
    made.missing = max(single.missing for single in there)
    if row.worst is not None:
        made.worst = float(np.mean([single.worst for single in there if single.worst is not None]))
        made.best = float(np.mean([single.best for single in there if single.best is not None]))
    yield made


def _against_controls(
    row: Comparison, ours: Condition, controls: Condition, peers: Sequence[Condition]
) -> Iterator[Comparison]:
    if not controls.has(row.metric):
        return
    items, shifts = _together(row.metric, [ours, controls, *peers])
    clusters = ours.pairings[0].clusters_of(items)
    found = crossed(shifts, [1.0, -1.0, *[0.0] * len(peers)], clusters) if items else None
    if found is None:
        return
    made = _made(row, ours, found, len(items))
    base = ours.pairings[0].series(row.metric)[1]
    level = float(np.mean([base[item] for item in items]))
    made.baseline, made.baselines = controls.label, tuple(pairing.arm for pairing in controls.pairings)
    made.arm_mean, made.baseline_mean = level + float(shifts[0].mean()), level + float(shifts[1].mean())
    made.limit, made.worst, made.best = "", None, None
    yield made


def _made(row: Comparison, ours: Condition, found: Estimated, n: int) -> Comparison:
    return replace(
        row,
        arm=ours.label,
        arms=tuple(pairing.arm for pairing in ours.pairings),
        scope=TRAINING,
        n=n,
        difference=found.estimate,
        low=found.low,
        high=found.high,
        p=found.p,
        test=TEST,
        p_mid=None,
        told=found,
    )


def _together(metric: str, conditions: Sequence[Condition]) -> tuple[list[str], list[np.ndarray]]:
    """The items that all conditions have, and for each [items, replicates] their shifts from the base."""
    shifts = [condition.shifts(metric) for condition in conditions]
    items = [item for item in shifts[0] if all(item in found for found in shifts)]
    return items, [np.array([found[item] for item in items]) for found in shifts]
