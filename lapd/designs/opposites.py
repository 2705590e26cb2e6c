"""Trait and training apart, by opposites: what turned with the persona, and what any such training did.

A persona and its opposite were trained alike and pull the other way on every axis. Half the difference of their shifts
is what the trait did, half their sum what the two have in common.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lapd.compare.gaps import unfinished
from lapd.compare.measured import Measured
from lapd.compare.verdicts import Margins
from lapd.designs.effects import Effect, settle, weighted
from lapd.designs.outcomes import Outcome, groups_of_arms, is_finished, names, outcomes, shifts, signs, strength_of
from lapd.errors import StoreError
from lapd.personas import Persona

TRAIT, COMMON = "trait", "training"


@dataclass(frozen=True)
class Opposed:
    """A persona and its opposite.

    Attributes:
        persona: whose poles effects count towards.
        label: what the arms of the persona are called together.
        opposite: what those of its opposite are.
        arms: of the persona: replicates, or one.
        opposite_arms: of the opposite.
        effects: on each metric, `of` "trait" and "training" (of prompts: what any such prompt did).
    """

    persona: str
    label: str
    opposite: str
    arms: list[str]
    opposite_arms: list[str]
    effects: list[Effect]


@dataclass(frozen=True)
class Opposites:
    """Every persona of a run that has its opposite beside it.

    Attributes:
        pairs: each once, counted towards the one that the run has first.
        notes: what is left out and why, in sentences.
    """

    pairs: list[Opposed]
    notes: list[str] = field(default_factory=list)


def opposites(measured: Measured, margins: Margins | None = None) -> Opposites:
    """What trait and training did in each persona with an opposite of a run, apart.

    The opposite is a persona with every pole turned (INFP and ESTJ) or an `opposite` control, at the same strength and
    under a prompt or not; or the prompts of two such personas without an adapter. Each arm's shift is from its own
    baseline. p is corrected over the effects of all pairs together.

    Args:
        measured: the run.
        margins: instead of those of the tasks' metadata.

    Raises:
        StoreError: no persona has its opposite.
    """
    groups = groups_of_arms(measured.arms)
    found, notes = list[Opposed](), unfinished(measured.store)
    for label, opposite in _pairs(measured, groups):
        arms, others = groups[label], groups[opposite]
        persona = measured.persona(arms[0])
        assert persona is not None
        effects = list[Effect]()
        for outcome in outcomes(measured, arms[0], persona, margins):
            peers = [found for found in _peers(measured, groups, label, opposite) if found]
            both = list(_effects(measured, outcome, arms, others, peers))
            effects += both
            if not both:
                notes.append(f"Left out: {outcome.name}, which {names([label, opposite])} do not both have.")
        if effects:
            found.append(Opposed(persona.code, label, opposite, arms, others, effects))
    if not found:
        raise _nothing(measured)
    settle(effect for pair in found for effect in pair.effects)
    return Opposites(found, notes)


def _peers(measured: Measured, groups: Mapping[str, list[str]], *pair: str) -> Iterator[list[str]]:
    """The replicates of the run that tell how far trainings differ, beside those of a pair that has some itself."""
    if all(len(groups[label]) < 2 for label in pair):
        return
    way = _way(measured.arms[groups[pair[0]][0]])
    for label, arms in groups.items():
        first = measured.arms[arms[0]]
        if label not in pair and len(arms) > 1 and not first.get("adapter_control") and _way(first) == way:
            yield arms


def _effects(
    measured: Measured, outcome: Outcome, arms: list[str], others: list[str], peers: list[list[str]]
) -> Iterator[Effect]:
    there = [peer for peer in peers if all(is_finished(measured, arm, outcome.row.task) for arm in peer)]
    together = [arms, others, *there]
    if (found := shifts(measured, [arm for group in together for arm in group], outcome)) is None:
        return
    ends = np.cumsum([len(group) for group in together])[:-1]
    groups = np.split(found.values, ends, axis=1)
    for of, weights in ((TRAIT, (0.5, -0.5)), (COMMON, (0.5, 0.5))):
        yield weighted(outcome, of, groups, [*weights, *[0.0] * len(there)], found.clusters, found.missing)


def _pairs(measured: Measured, groups: Mapping[str, list[str]]) -> Iterator[tuple[str, str]]:
    """The labels of each two groups that are alike but for their poles, all of which are turned."""
    first = {label: measured.arms[arms[0]] for label, arms in groups.items()}
    poles = {label: signs(arm, measured.persona(groups[label][0])) for label, arm in first.items()}
    done = set[frozenset[str]]()
    for label, arm in first.items():
        for other, theirs in first.items():
            turned = poles[label] and poles[other] == {axis: -sign for axis, sign in (poles[label] or {}).items()}
            if turned and not arm.get("adapter_control") and _way(arm) == _way(theirs):
                pair = frozenset((label, other))
                if pair not in done:
                    yield label, other
                done.add(pair)


def _way(arm: Mapping[str, Any]) -> tuple[Any, ...]:
    """What opposites have in common: an adapter or none, how it was trained, its strength, a prompt or none."""
    return bool(arm["adapter"]), arm.get("adapter_recipe"), strength_of(arm), bool(arm["prompt"])


def _nothing(measured: Measured) -> StoreError:
    wanted = dict[str, None]()
    for name, arm in measured.arms.items():
        persona: Persona | None = measured.persona(name)
        if arm["adapter"] and not arm.get("adapter_control") and persona:
            wanted[persona.code] = None
    folder = measured.store.folder
    if not wanted:
        hint = "Evaluate an adapter and its opposite into the same folder."
        return StoreError(f"{folder}: no arm has a persona, so none has an opposite.", hint)
    hint = f"`lapd train {next(iter(wanted))} --control opposite` trains one; evaluate it into the same folder."
    return StoreError(f"{folder}: no opposite of {names(wanted)} is finished beside it.", hint)
