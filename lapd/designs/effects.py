"""What a design estimates: an effect on one metric of one task, with its interval, its test, its family and verdict."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from lapd.compare.rows import ADAPTER, TRAINING, Told
from lapd.compare.verdicts import ALPHA, CHANGED, CONFIRMATORY, EXPLORATORY, SAME, UNTOLD
from lapd.designs.families import adjusted, correct
from lapd.designs.outcomes import Outcome
from lapd.statistics.crossed import crossed
from lapd.statistics.limits import NEARLY
from lapd.statistics.paired import paired_difference

CROSSED = "t, items x trainings"


class Found(Told, Protocol):
    """A test's interval and p, beside what else it can say."""

    @property
    def low(self) -> float: ...

    @property
    def high(self) -> float: ...

    @property
    def p(self) -> float: ...


@dataclass
class Effect:
    """One estimate of a design.

    Attributes:
        task: the task's name.
        metric: the metric; `<family>_towards` is pooled over axes, towards the persona.
        axis: the axis that the metric is of, or None.
        persona: whose poles the metric counts towards; None where it counts towards each axis's first pole, or to none.
        unit: what the metric is counted in; "" for a score of which the task does not say.
        side: on which side the task stands: "trait", "cost" or "check"; "" where it does not say.
        primary: whether the metric sums the task up.
        of: what the effect is of, such as "E/I", "E/I x T/F", "trait", "training", "slope".
        estimate: the effect, in the unit.
        low: lower end of its 95 % interval.
        high: upper end.
        p: two-sided, for this effect alone.
        test: what gave p.
        n: items that all arms have.
        missing: items that were asked and that some arm lacks; left out.
        scope: "adapter": items vary, and it is about these adapters; "training": items and trainings vary.
        family: "confirmatory" or "exploratory".
        family_size: how many effects of the design are in it.
        p_holm: of a confirmatory effect: corrected over its family (Holm).
        q: of an exploratory one: the false discovery rate over its family at which it counts (Benjamini, Hochberg).
        detectable: the smallest effect that would have shown (80 % power), of a confirmatory one after correction.
        margin: an effect within it makes no odds; None where there is no margin.
        verdict: "changed", "no change beyond the margin" or "cannot tell".
        limit: "ceiling", "floor" or "constant" where nearly all items have one value in every arm; else "". Nothing
            could have shown there, so that it is no "no change".
        told: what else the test can say.
    """

    task: str
    metric: str
    axis: str | None
    persona: str | None
    unit: str
    side: str
    primary: bool
    of: str
    estimate: float
    low: float
    high: float
    p: float
    test: str
    n: int
    missing: int
    scope: str
    told: Told = field(repr=False, compare=False)
    family: str = EXPLORATORY
    family_size: int = 0
    p_holm: float | None = None
    q: float | None = None
    detectable: float = math.inf
    margin: float | None = None
    verdict: str = ""
    limit: str = ""


def weighted(
    outcome: Outcome,
    of: str,
    groups: Sequence[np.ndarray],
    weights: Sequence[float],
    clusters: np.ndarray | None,
    missing: int,
) -> Effect:
    """A weighted sum of groups' mean shifts, as a statement about such trainings where replicates allow one.

    Args:
        outcome: the metric.
        of: what the effect is of.
        groups: each [items, trainings]: the shifts of replicates; one column where an adapter was trained once.
        weights: of each group; one that weighs 0 only tells how far trainings differ.
        clusters: [items] which items belong together, as numbers; None where each stands for itself.
        missing: items that are left out.
    """
    counted = np.hstack([group for w, group in zip(weights, groups, strict=True) if w])
    if (found := crossed(groups, weights, clusters)) is not None:
        return made(outcome, of, found.estimate, found, CROSSED, counted, missing, TRAINING)
    sums = np.sum([w * group.mean(axis=1) for w, group in zip(weights, groups, strict=True)], axis=0)
    alone = paired_difference(sums, np.zeros(len(sums)), clusters=clusters)
    return made(outcome, of, alone.difference, alone, alone.test, counted, missing, ADAPTER)


def made(
    outcome: Outcome,
    of: str,
    estimate: float,
    found: Found,
    test: str,
    values: np.ndarray,
    missing: int,
    scope: str,
) -> Effect:
    """An effect on an outcome that was estimated from shifts; `values`: [items, arms]."""
    row = outcome.row
    unmoved = float(np.mean((values == 0).all(axis=1)))
    return Effect(
        task=row.task,
        metric=row.metric,
        axis=row.axis,
        persona=outcome.persona.code if outcome.persona else None,
        unit=row.unit,
        side=row.side,
        primary=row.primary,
        of=of,
        estimate=estimate,
        low=float(found.low),
        high=float(found.high),
        p=float(found.p),
        test=test,
        n=len(values),
        missing=missing,
        scope=scope,
        told=found,
        family=CONFIRMATORY if outcome.confirmatory else EXPLORATORY,
        margin=outcome.margin,
        limit=row.limit if unmoved >= NEARLY else "",
    )


def settle(effects: Iterable[Effect]) -> None:
    """Correct the effects of a design over their families, and give each its verdict."""
    every = list(effects)
    correct(every)
    for effect in every:
        share = effect.family_size if effect.family == CONFIRMATORY else 1  # Holm asks of its first that much
        effect.detectable = effect.told.detectable(ALPHA / share)
        effect.verdict = _verdict(effect)


def _verdict(effect: Effect) -> str:
    if adjusted(effect) < ALPHA:
        return CHANGED
    if effect.limit:
        return UNTOLD
    within = effect.told.equivalence(effect.margin) if effect.margin else None
    return SAME if within is not None and within < ALPHA else UNTOLD


def as_json(found: Any) -> Any:
    """A design, or a part of one, as JSON can carry it: what has no bound is null."""
    if isinstance(found, float):
        return found if math.isfinite(found) else None
    if isinstance(found, dict):
        return {key: as_json(value) for key, value in found.items()}
    if isinstance(found, (list, tuple)):
        return [as_json(value) for value in found]
    if hasattr(found, "__dataclass_fields__"):
        return {name: as_json(getattr(found, name)) for name in found.__dataclass_fields__ if name != "told"}
    return found
