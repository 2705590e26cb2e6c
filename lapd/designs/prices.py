"""What a unit of the trait costs: the ratio of two slopes, or of two shifts where there is one strength."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lapd.designs.curves import line_weights
from lapd.designs.series import Response
from lapd.statistics.clusters import variance_of_mean
from lapd.statistics.ratios import ratio_of_separate_means


@dataclass(frozen=True)
class Price:
    """A cost for each unit of the trait.

    Attributes:
        series: the way in which the persona is moved.
        kind: "adapter", "steering" or "prompt".
        persona: whose trait it is.
        trait_task: what the trait is measured by.
        trait_metric: its metric.
        trait_unit: what that is counted in.
        cost_task: what the cost is measured by.
        cost_metric: its metric.
        cost_unit: what that is counted in.
        of: "slopes", or "shifts" where there is one strength.
        price: the cost's over the trait's.
        low: lower end of its 95 % interval (Fieller); the items of the two are different ones.
        high: upper end.
        scope: "adapter": items vary, trainings do not; replicates are averaged.
    """

    series: str
    kind: str
    persona: str
    trait_task: str
    trait_metric: str
    trait_unit: str
    cost_task: str
    cost_metric: str
    cost_unit: str
    of: str
    price: float
    low: float
    high: float
    scope: str = "adapter"


def price(trait: Response, cost: Response) -> Price | None:
    """What a series' cost comes to for a unit of its trait; None where the trait's own slope is not told from zero."""
    series = trait.series
    bought, bought_df = _moments(trait)
    paid, paid_df = _moments(cost)
    df = min(bought_df, paid_df)
    found = ratio_of_separate_means(paid, bought, df) if df else None
    if found is None:
        return None
    return Price(
        series=series.name,
        kind=series.kind,
        persona=series.persona.code,
        trait_task=trait.outcome.row.task,
        trait_metric=trait.outcome.row.metric,
        trait_unit=trait.outcome.row.unit,
        cost_task=cost.outcome.row.task,
        cost_metric=cost.outcome.row.metric,
        cost_unit=cost.outcome.row.unit,
        of="slopes" if len(series.strengths) > 1 else "shifts",
        price=found.ratio,
        low=found.low,
        high=found.high,
    )


def _moments(response: Response) -> tuple[tuple[float, float], int]:
    """A slope's mean and the variance of that, and its degrees of freedom; of one strength, the shift by strength 1."""
    at, values = response.path
    slopes = values.mean(axis=2) @ line_weights(at)
    groups = np.arange(len(slopes))
    if response.clusters is not None:
        groups = np.unique(response.clusters, return_inverse=True)[1]
    df = int(groups.max())
    variance = float(variance_of_mean(slopes[:, None], groups)[0]) if df else 0.0
    return (float(slopes.mean()), variance), df
