"""Rows about a training, not only about one adapter: items vary, and so do trainings.

Adapters that were trained again with another seed are replicates. A persona's replicates are held against their base,
and against its shuffled controls, each a draw and a training of its own: what is left of the difference there is what
the persona did, and the controls' own spread is in its interval.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

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


def training_rows(measured: Measured, rows: Sequence[Comparison]) -> Iterator[Comparison]:
    """The rows about trainings that a run's adapters allow, one for each headline row of their replicates.

    Args:
        measured: the run.
        rows: of its single adapters.
    """
    known = {(row.arm, row.baseline, row.task, row.metric): row for row in rows if row.headline and not row.special}
    groups = replicate_groups(measured.arms)
    for label, arms in groups.items():
        if (baseline := measured.arms[arms[0]]["baseline"]) is None:
            continue
        controls = pooled_controls(measured.arms, arms)
        for task in measured.tasks:
            finished = [arm for arm in (*arms, baseline) if (arm, task) in measured.values]
            if len(finished) <= len(arms):  # what is not finished is named elsewhere
                continue
            ours = [measured.pairing(arm, baseline, task) for arm in arms]
            held = [measured.pairing(arm, baseline, task) for arm in controls if (arm, task) in measured.values]
            theirs = [replace(control, persona=ours[0].persona) for control in held]  # counted as ours are
            for row in [row for key, row in known.items() if (key[0], key[1], key[2]) == (arms[0], baseline, task)]:
                yield from _against_base(row, label, ours, known)
                if theirs:
                    yield from _against_controls(row, label, ours, theirs, _label(theirs, groups))


def single_trainings(measured: Measured) -> Iterator[str]:
    """A line that names the adapters of which nothing can be said beyond themselves, if there are any."""
    groups = replicate_groups(measured.arms).values()
    alone = [arms[0] for arms in groups if len(arms) == 1 and not pooled_controls(measured.arms, arms)]
    names = list(dict.fromkeys(measured.arms[arm]["adapter"]["name"] for arm in alone))
    if names:
        whom = ", ".join(names) if len(names) <= NAMED else f"{len(names)} adapters"
        what = f"{whom} are one training each" if len(names) > 1 else f"{whom} is one training"
        yield f"{what}: the rows are about these weights, not about such trainings. `lapd train --seeds 0,1` makes two."


def _label(controls: Sequence[Pairing], groups: Mapping[str, list[str]]) -> str:
    """What the controls are called together: their own label, or how many they are."""
    names = [pairing.arm for pairing in controls]
    return next((label for label, arms in groups.items() if arms == names), f"shuffled ({len(names)})")


def _against_base(row: Comparison, label: str, ours: Sequence[Pairing], known: Rows) -> Iterator[Comparison]:
    if len(ours) < 2:
        return
    items, (shifts,) = _shifts(row.metric, [ours])
    found = crossed([shifts], [1.0], ours[0].clusters_of(items)) if items else None
    singles = [known.get((pairing.arm, row.baseline, row.task, row.metric)) for pairing in ours]
    if found is None or None in singles:
        return
    there = [single for single in singles if single is not None]
    made = _made(row, label, found, len(items), ours)
    made.arm_mean = row.baseline_mean + found.estimate
    made.limit = row.limit if {single.limit for single in there} == {row.limit} else ""
    made.missing = max(single.missing for single in there)
    if row.worst is not None:
        made.worst = float(np.mean([single.worst for single in there if single.worst is not None]))
        made.best = float(np.mean([single.best for single in there if single.best is not None]))
    yield made


def _against_controls(
    row: Comparison, label: str, ours: Sequence[Pairing], theirs: Sequence[Pairing], controls: str
) -> Iterator[Comparison]:
    items, (shifts, of_controls) = _shifts(row.metric, [ours, theirs])
    found = crossed([shifts, of_controls], [1.0, -1.0], ours[0].clusters_of(items)) if items else None
    if found is None:
        return
    made = _made(row, label, found, len(items), ours)
    base = float(np.mean([ours[0].series(row.metric)[1][item] for item in items]))
    made.baseline, made.baselines = controls, tuple(pairing.arm for pairing in theirs)
    made.arm_mean, made.baseline_mean = base + float(shifts.mean()), base + float(of_controls.mean())
    made.limit, made.worst, made.best = "", None, None
    yield made


def _made(row: Comparison, label: str, found: Estimated, n: int, ours: Sequence[Pairing]) -> Comparison:
    return replace(
        row,
        arm=label,
        arms=tuple(pairing.arm for pairing in ours),
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


def _shifts(metric: str, groups: Sequence[Sequence[Pairing]]) -> tuple[list[str], list[np.ndarray]]:
    """The items that all pairings have, and for each group [items, pairings] the arms' values less their baseline's."""
    series = [[pairing.series(metric) for pairing in group] for group in groups]
    every = [ours.keys() & theirs.keys() for group in series for ours, theirs in group]
    first = series[0][0][0]
    items = [item for item in first if all(item in found for found in every)]
    return items, [np.array([[a[i] - b[i] for a, b in group] for i in items]) for group in series]
