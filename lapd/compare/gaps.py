"""What a run was to measure and its comparisons do not have, each with its reason: nothing vanishes without a word."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from lapd.compare.rows import Comparison, Pairing
from lapd.compare.values import RunValues
from lapd.record.store import Store
from lapd.statistics.paired import FEWEST

APART = 0.05
"""Arms differ in what they have missing where one lacks so large a share of the items more than the other."""

NAMED = 4
"""So many arms are named in a line; more are counted."""


def unfinished(store: Store, tasks: Collection[str] | None = None) -> list[str]:
    """A line for each task, of `tasks` if any are named, that some arms have not finished."""
    waiting: dict[str, list[str]] = defaultdict(list)
    for entry in store.run()["cells"].values():
        asked = tasks is None or entry["task"] in tasks
        if asked and not store.is_done(entry["cell"]) and entry["arm"] not in waiting[entry["task"]]:
            waiting[entry["task"]].append(entry["arm"])
    return [f"Not finished, and left out: {task} with {_names(arms)}." for task, arms in waiting.items() if arms]


def without_baseline(values: RunValues, baselines: Mapping[str, Sequence[str]]) -> list[str]:
    """A line for each arm and baseline of which the arm has finished tasks that its baseline has not."""
    lonely: dict[tuple[str, str], list[str]] = defaultdict(list)
    for arm, task in values:
        for baseline in baselines.get(arm, ()):
            if (baseline, task) not in values:
                lonely[arm, baseline].append(task)
    return [
        f"Left out: {arm} against {baseline} on {_names(tasks)}, where {baseline} has no result."
        for (arm, baseline), tasks in lonely.items()
    ]


def without_values(values: RunValues, coherence: Mapping[str, Collection[str]]) -> list[str]:
    """A line for each task of which no item has a value, so that arms cannot be paired on it.

    Args:
        values: of the run.
        coherence: for each task, which of its metrics only tell what its answers are like.
    """
    valued: dict[str, bool] = defaultdict(bool)
    for (_, task), by_metric in values.items():
        valued[task] |= not by_metric.keys() <= set(coherence.get(task, ()))
    return [
        f"Left out: {task}, whose scores are not of single items; `lapd eval --json` has them over all documents."
        for task, any_value in valued.items()
        if not any_value
    ]


def of_pairings(pairings: Iterable[Pairing]) -> list[str]:
    """A line for each metric that has no items in both arms, and for parts of the items that are too few."""
    lines: dict[str, None] = {}
    small: dict[str, dict[str, None]] = defaultdict(dict)
    for pairing in pairings:
        task = pairing.info.name
        for metric in pairing.incomparable():
            both = f"{pairing.arm} and {pairing.baseline}"
            lines[f"Left out: {metric} in {task}, which has a value for no item in both {both}."] = None
        for metric in {**pairing.ours}:
            if metric in pairing.theirs and pairing.is_too_small(metric):
                small[task][pairing.info.family(metric)[1] or metric] = None
    lines |= {
        f"No rows of their own, with fewer than {FEWEST} items: {_names(list(parts))} in {task}.": None
        for task, parts in small.items()
    }
    return list(lines)


def missing_apart(rows: Iterable[Comparison]) -> list[str]:
    """A line for each row to be shown of which one arm has many more missing values than the other."""
    lines: dict[str, None] = {}
    for row in rows:
        asked = row.n + row.missing
        if row.headline and not row.special and abs(row.missing_arm - row.missing_baseline) > APART * asked:
            lines[
                f"{row.arm} has no value for {row.missing_arm} of {asked} items of {row.task} ({row.metric}), "
                f"{row.baseline} for {row.missing_baseline}: those that are left may differ in more than the arm."
            ] = None
    return list(lines)


def without_poles(pairings: Iterable[Pairing]) -> list[str]:
    """A line for each arm whose axes could not be pooled towards a persona."""
    nobody: dict[str, None] = {}
    no_side: dict[tuple[str, str], dict[str, None]] = defaultdict(dict)
    for pairing in pairings:
        if not pairing.info.axes or pairing.pooled:
            continue
        if pairing.persona is None:
            nobody[pairing.arm] = None
        else:
            no_side[pairing.persona.code, pairing.arm][pairing.info.name] = None
    lines = [
        f"{code} takes no side on the axes of {_names(list(tasks))}: {arm} has each axis alone."
        for (code, arm), tasks in no_side.items()
    ]
    if nobody:
        verb = "has" if len(nobody) == 1 else "have"
        lines.append(f"{_names(list(nobody))} {verb} no persona, and each axis alone: --persona CODE gives one.")
    return lines


def _names(names: list[Any]) -> str:
    shown = [str(name) for name in names]
    if len(shown) > NAMED:
        shown = [*shown[: NAMED - 1], f"{len(shown) - NAMED + 1} more"]
    *first, last = shown
    return f"{', '.join(first)} and {last}" if first else last
