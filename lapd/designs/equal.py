"""What ways of moving a persona cost at one and the same shift of its trait.

Of an adapter, a prompt and a steering vector the one that moves the trait least sets the shift at which all are
compared; what the others cost there is interpolated between their strengths, from the base on. The intervals are those
of a paired bootstrap: the items of the trait and those of the cost are drawn again, each time the same for every way
and strength, and the shift, the strengths and the costs are found anew (Efron and Tibshirani, An Introduction to the
Bootstrap, 1993, chapters 8 and 13: percentiles). They speak of these adapters: replicates are averaged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from lapd.compare.verdicts import CONFIRMATORY, EXPLORATORY
from lapd.designs.series import Response
from lapd.statistics.paired import CONFIDENCE

RESAMPLES = 4000

SEED = 0
"""Of the bootstrap: the same run gives the same intervals."""


@dataclass(frozen=True)
class Paid:
    """What one way costs at the common shift.

    Attributes:
        series: its name.
        kind: "adapter", "steering" or "prompt".
        strength: at which it reaches the shift.
        cost: the shift of the cost's metric there.
        low: lower end of its 95 % interval.
        high: upper end.
    """

    series: str
    kind: str
    strength: float
    cost: float
    low: float
    high: float


@dataclass
class Gap:
    """How much more one way costs than another at the common shift.

    Attributes:
        first: the one's name.
        second: the other's.
        difference: the first's cost less the second's.
        low: lower end of its 95 % interval.
        high: upper end.
        p: two-sided, for this difference alone.
        family: "confirmatory" or "exploratory".
        family_size: how many such differences of the run are in it.
        p_holm: of a confirmatory one: corrected over its family (Holm).
        q: of an exploratory one (Benjamini, Hochberg).
    """

    first: str
    second: str
    difference: float
    low: float
    high: float
    p: float
    family: str
    family_size: int = 0
    p_holm: float | None = None
    q: float | None = None


@dataclass(frozen=True)
class AtEqual:
    """Ways of moving one persona, at one shift of its trait.

    Attributes:
        persona: whose.
        trait_task: what the trait is measured by.
        trait_metric: its metric.
        trait_unit: what that is counted in.
        trait_n: items that all ways have.
        shift: how far the trait has moved: as far as the weakest way moves it at its best.
        weakest: the name of that way.
        cost_task: what the cost is measured by.
        cost_metric: its metric.
        cost_unit: what that is counted in.
        cost_n: items that all ways have.
        paid: what each way costs.
        gaps: each two ways' difference.
        resamples: of the bootstrap.
        scope: "adapter": items vary, trainings do not.
    """

    persona: str
    trait_task: str
    trait_metric: str
    trait_unit: str
    trait_n: int
    shift: float
    weakest: str
    cost_task: str
    cost_metric: str
    cost_unit: str
    cost_n: int
    paid: list[Paid]
    gaps: list[Gap]
    resamples: int = RESAMPLES
    scope: str = "adapter"


def at_equal(ways: Sequence[tuple[Response, Response]]) -> AtEqual | None:
    """What each way costs at the shift of the trait that the weakest of them reaches.

    Args:
        ways: at least two; of each, what it does to the trait and what it does to one cost. None is at negative
            strengths alone.

    Returns:
        None where the ways have no items in common.
    """
    traits, costs = [trait for trait, _ in ways], [cost for _, cost in ways]
    bought, paid = _Sample(traits), _Sample(costs)
    if len(ways) < 2 or not bought.items or not paid.items:
        return None
    strengths = [_rising(trait.series.strengths) for trait in traits]
    observed = _interpolated(bought.means(None), paid.means(None), strengths)
    chance = np.random.default_rng(SEED)
    drawn = _interpolated(bought.means(chance), paid.means(chance), strengths)
    weakest = int(np.argmin([trait.max() for trait in bought.means(None)]))
    first, cost = traits[0].outcome.row, costs[0].outcome.row
    called = [trait.series for trait in traits]
    return AtEqual(
        persona=called[0].persona.code,
        trait_task=first.task,
        trait_metric=first.metric,
        trait_unit=first.unit,
        trait_n=len(bought.items),
        shift=float(observed.shift[0]),
        weakest=called[weakest].name,
        cost_task=cost.task,
        cost_metric=cost.metric,
        cost_unit=cost.unit,
        cost_n=len(paid.items),
        paid=[
            Paid(
                way.name, way.kind, float(observed.strengths[n, 0]), float(observed.costs[n, 0]), *_ends(drawn.costs[n])
            )
            for n, way in enumerate(called)
        ],
        gaps=[
            Gap(
                called[a].name,
                called[b].name,
                float(observed.costs[a, 0] - observed.costs[b, 0]),
                *_ends(gaps := drawn.costs[a] - drawn.costs[b]),
                _p(gaps),
                CONFIRMATORY if costs[0].outcome.confirmatory else EXPLORATORY,
            )
            for a, b in combinations(range(len(ways)), 2)
        ],
    )


class _Sample:
    """The items that responses have in common, to be drawn again together."""

    def __init__(self, responses: Sequence[Response]) -> None:
        first, *others = responses
        have = [set(response.items) for response in others]
        self.items = [item for item in first.items if all(item in items for items in have)]
        place = {item: n for n, item in enumerate(first.items)}
        here = [place[item] for item in self.items]
        clusters = np.arange(len(here)) if first.clusters is None else first.clusters[here]
        self._groups = np.unique(clusters, return_inverse=True)[1] if here else clusters
        # [items, strengths + 1] of each response, from the base on.
        self._paths = [_from_base(response, self.items) for response in responses]

    def means(self, chance: np.random.Generator | None) -> list[np.ndarray]:
        """Of each response [resamples, strengths + 1] means; of the items as they are, one, where nothing is drawn."""
        groups = int(self._groups.max()) + 1
        times = (
            np.ones((1, groups)) if chance is None else chance.multinomial(groups, np.ones(groups) / groups, RESAMPLES)
        )
        weights = times[:, self._groups].astype(float)
        weights /= weights.sum(axis=1, keepdims=True)
        return [weights @ path for path in self._paths]


def _from_base(response: Response, items: Sequence[str]) -> np.ndarray:
    """[items, strengths + 1] the shifts from the base on, negative strengths left out."""
    forward = [strength > 0 for strength in response.series.strengths]
    values = response.on(items)[:, forward]
    return np.concatenate([np.zeros((len(values), 1)), values], axis=1)


def _rising(strengths: Sequence[float]) -> np.ndarray:
    return np.array([0.0, *(strength for strength in strengths if strength > 0)])


@dataclass(frozen=True)
class _Interpolated:
    """By resample: the common shift [resamples]; each way's strength and cost there [ways, resamples]."""

    shift: np.ndarray
    strengths: np.ndarray
    costs: np.ndarray


def _interpolated(
    traits: Sequence[np.ndarray], costs: Sequence[np.ndarray], strengths: Sequence[np.ndarray]
) -> _Interpolated:
    """Each way at the shift that the weakest reaches, where it first gets there from the base on.

    Args:
        traits: of each way, [resamples, strengths + 1] the trait's shift.
        costs: of each way, [resamples, strengths + 1] the cost's.
        strengths: of each way, [strengths + 1], 0 first.
    """
    shift = np.min([trait.max(axis=1) for trait in traits], axis=0)
    at, paid = [], []
    for trait, cost, places in zip(traits, costs, strengths, strict=True):
        rows = np.arange(len(shift))
        end = np.maximum(1, np.argmax(trait >= shift[:, None], axis=1))
        low, high = trait[rows, end - 1], trait[rows, end]
        step = np.where(high > low, high - low, 1.0)
        share = np.clip((shift - low) / step, 0.0, 1.0)
        at.append(places[end - 1] + share * (places[end] - places[end - 1]))
        paid.append(cost[rows, end - 1] + share * (cost[rows, end] - cost[rows, end - 1]))
    return _Interpolated(shift, np.array(at), np.array(paid))


def _ends(drawn: np.ndarray) -> tuple[float, float]:
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(drawn, [tail, 100 - tail])
    return float(low), float(high)


def _p(drawn: np.ndarray) -> float:
    """The two-sided p at which the percentile interval just reaches 0."""
    tails = min(np.sum(drawn <= 0), np.sum(drawn >= 0))
    return float(min(1.0, 2 * (1 + tails) / (1 + len(drawn))))
