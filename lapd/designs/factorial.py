"""Personas as a factorial: each axis's effect on each task, from all adapters at once.

The sixteen types are all combinations of four poles. So every adapter tells of every axis: the effect of E/I is the
mean of all adapters of E less that of all of I, the other axes being balanced or taken into account by the fitted
model. What all have in common, the intercept, is the cost of training as such.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations

import numpy as np

from lapd.adapters.replicates import replicate_groups
from lapd.compare.gaps import unfinished
from lapd.compare.measured import Measured
from lapd.compare.rows import ADAPTER, TRAINING
from lapd.compare.verdicts import Margins
from lapd.designs.effects import CROSSED, Effect, made, settle
from lapd.designs.outcomes import Outcome, Shifts, names, outcomes, shifts, signs, strength_of
from lapd.errors import StoreError
from lapd.statistics.crossed import linear
from lapd.statistics.paired import paired_difference

COMMON = "training"
"""What an effect is of that all adapters have in common: the intercept."""

REPLICATES, HIGHER = "replicates", "higher-order interactions"
ITEMS = "items alone"


@dataclass(frozen=True)
class Model:
    """The fitted model.

    Attributes:
        axes: those on which the adapters differ.
        terms: the names of its columns: "training", each axis, and each two axes' interaction where it can be told.
        columns: [personas, terms] of 1 and -1; +1 is an axis's first pole.
        sizes: how many trainings each persona has.
        error: what trainings' error is taken from; "items alone" where nothing is left for it.
        df: the error's degrees of freedom.
    """

    axes: tuple[str, ...]
    terms: tuple[str, ...]
    columns: np.ndarray
    sizes: tuple[int, ...]
    error: str
    df: int

    def share(self, term: int) -> np.ndarray:
        """[trainings] what each counts in a term's effect: of an axis, its first pole's mean less its second's."""
        scale = 1.0 if term == 0 else 2.0
        persona: np.ndarray = scale * np.linalg.pinv(self.columns)[term] / np.array(self.sizes)
        return np.repeat(persona, self.sizes)

    @property
    def unscattered(self) -> np.ndarray:
        """[trainings, k] what is no scatter: each persona's mean where replicates are the error, else the model."""
        persona = np.eye(len(self.sizes)) if self.error == REPLICATES else self.columns
        return np.repeat(persona, self.sizes, axis=0)


@dataclass(frozen=True)
class Factorial:
    """A run's adapters as a factorial.

    Attributes:
        axes: those on which the adapters differ.
        adapters: the arms of each persona: replicates, or one.
        interactions_told: whether two-way interactions are in the model; if not, they are part of its error.
        error: what the error of statements about trainings is taken from: "replicates", "higher-order interactions",
            both, or "items alone", where none can be made.
        df: its degrees of freedom.
        effects: of each axis on each metric: the first pole's mean less the second's.
        training: what all adapters have in common on each metric: their mean less the base.
        interactions: of each two axes: half of how much the one's effect differs between the other's poles.
        notes: what is left out and why, in sentences.
    """

    axes: list[str]
    adapters: dict[str, list[str]]
    interactions_told: bool
    error: str
    df: int
    effects: list[Effect]
    training: list[Effect]
    interactions: list[Effect]
    notes: list[str] = field(default_factory=list)


def factorial(measured: Measured, margins: Margins | None = None) -> Factorial:
    """Each axis's effect on what sums up each task of a trait or a cost, from all adapters of a run at once.

    Adapters at strength 1 without a prompt count, controls and personas that go only part of the way do not. A trait's
    metrics are taken axis by axis, towards the first pole. p is corrected over axes x tasks (of a trait, an axis's
    effect on its own metric), and over tasks for what training as such did (Holm); all else is exploratory.

    Args:
        measured: the run.
        margins: instead of those of the tasks' metadata.

    Raises:
        StoreError: there are no two adapters whose personas differ on an axis, or none whose axes can be told apart.
    """
    notes = unfinished(measured.store)
    adapters = _adapters(measured, notes)
    model = fitted_model(measured, adapters)
    arms = [arm for some in adapters.values() for arm in some]
    found = Factorial(
        list(model.axes), adapters, len(model.terms) > 1 + len(model.axes), model.error, model.df, [], [], [], notes
    )
    for outcome in outcomes(measured, arms[0], None, margins, primary=True):
        if outcome.row.side not in ("trait", "cost"):
            continue
        if (of_all := shifts(measured, arms, outcome)) is None:
            notes.append(f"Left out: {outcome.name}, which has no items in all of the adapters.")
            continue
        for n, term in enumerate(model.terms):
            effect = _effect(outcome, model, n, of_all)
            kind = found.training if n == 0 else found.effects if term in model.axes else found.interactions
            kind.append(effect)
    for kind in (found.effects, found.training, found.interactions):
        settle(kind)
    if not found.effects:
        raise StoreError(f"{measured.store.folder}: no task is finished by all of {names(arms)}.", _FINISH)
    return found


_FINISH = "Run the evaluation to its end."


def _effect(outcome: Outcome, model: Model, term: int, of_all: Shifts) -> Effect:
    of, own = model.terms[term], outcome.row.axis
    is_asked = term == 0 or (of in model.axes and own in (None, of))
    outcome = replace(outcome, confirmatory=outcome.confirmatory and is_asked)
    share, values, missing = model.share(term), of_all.values, of_all.missing
    found = linear(values, share, model.unscattered, model.sizes, of_all.clusters)
    if found is not None:
        return made(outcome, of, found.estimate, found, CROSSED, values, missing, TRAINING)
    contrast = values @ share
    alone = paired_difference(contrast, np.zeros(len(contrast)), clusters=of_all.clusters)
    return made(outcome, of, alone.difference, alone, alone.test, values, missing, ADAPTER)


def _adapters(measured: Measured, notes: list[str]) -> dict[str, list[str]]:
    """The arms of each persona: of those that have the same axes and were trained alike, the largest set."""
    sets: dict[object, dict[str, list[str]]] = {}
    for arms in replicate_groups(measured.arms).values():
        entry, persona = measured.arms[arms[0]], measured.persona(arms[0])
        poles = signs(entry, persona)
        if not persona or not poles or persona.degrees or entry.get("adapter_control") or entry["prompt"]:
            continue
        if strength_of(entry) != 1:
            continue
        alike = sets.setdefault((frozenset(poles), entry.get("adapter_recipe")), {})
        if persona.code in alike:
            notes.append(f"Left out: {names(arms)}: {names(alike[persona.code])} stands for {persona.code}.")
        alike.setdefault(persona.code, arms)
    if not sets:
        where = f"{measured.store.folder}: no adapter of a persona is finished beside its base"
        raise StoreError(f"{where}.", "`lapd train --all` trains those of all personas.")
    largest = max(sets.values(), key=len)
    for some in sets.values():
        if some is not largest:
            notes.append(f"Left out: {names(some)}, of other axes or trained otherwise than {names(largest)}.")
    return largest


def fitted_model(measured: Measured, adapters: Mapping[str, list[str]]) -> Model:
    """The model that these adapters can tell of.

    Args:
        measured: the run.
        adapters: the arms of each persona.

    Raises:
        StoreError: their axes cannot be told apart.
    """
    poles = [signs(measured.arms[arms[0]], measured.persona(arms[0])) or {} for arms in adapters.values()]
    axes = tuple(axis for axis in poles[0] if len({each[axis] for each in poles}) > 1)
    mains = np.array([[each[axis] for axis in axes] for each in poles], float).reshape(len(poles), len(axes))
    first = np.hstack([np.ones((len(poles), 1)), mains])
    if not axes or np.linalg.matrix_rank(first) < first.shape[1]:
        raise _untold(measured, list(adapters), axes)
    two = list(combinations(range(len(axes)), 2))
    both = np.hstack([first, *(mains[:, [a]] * mains[:, [b]] for a, b in two)])
    told = bool(two) and np.linalg.matrix_rank(both) == both.shape[1]
    terms = (COMMON, *axes, *(f"{axes[a]} x {axes[b]}" for a, b in two if told))
    columns = both if told else first
    sizes = tuple(map(len, adapters.values()))
    error, df = _error(sizes, len(sizes) - columns.shape[1])
    return Model(axes, terms, columns, sizes, error, df)


def _error(sizes: Sequence[int], higher: int) -> tuple[str, int]:
    """What the error is taken from, and its degrees of freedom: replicates where they have the most."""
    between = sum(sizes) - len(sizes)
    if between and between >= higher:
        return REPLICATES, between
    if higher:
        return f"{HIGHER} and {REPLICATES}" if between else HIGHER, higher + between
    return ITEMS, 0


def _untold(measured: Measured, codes: Sequence[str], axes: Sequence[str]) -> StoreError:
    folder = measured.store.folder
    if not axes:
        hint = "Train one that differs on an axis, or all: `lapd train --all`; and evaluate it into this folder."
        return StoreError(f"{folder}: {names(codes)} alone has no other persona to differ from.", hint)
    hint = "Train more personas, or all: `lapd train --all`; and evaluate them into this folder."
    return StoreError(f"{folder}: with {names(codes)}, the effects of {names(axes)} cannot be told apart.", hint)
