"""Statements about a training: items and trainings both vary, and every training answers every item."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf, isfinite

import numpy as np

from lapd.statistics.clusters import numbered, variance_of_mean
from lapd.statistics.paired import CONFIDENCE, NO_SPREAD, POWER, two_one_sided
from lapd.statistics.spread import Spread


@dataclass(frozen=True)
class Estimated:
    """A mean or a contrast of means over items and trainings.

    Attributes:
        estimate: in the values' unit.
        error: its standard error.
        df: degrees of freedom: Student's t with so many has the interval's width. Less than Satterthwaite's.
        low: lower end of the 95 % interval.
        high: upper end.
        p: two-sided, that it is 0.
        n: items.
        replicates: trainings, a number for each group.
        spread: what the items and what the trainings add to the variance.
    """

    estimate: float
    error: float
    df: float
    low: float
    high: float
    p: float
    n: int
    replicates: tuple[int, ...]
    spread: Spread = field(repr=False)

    def detectable(self, alpha: float = 1 - CONFIDENCE, power: float = POWER) -> float:
        """The smallest true value that would show at `alpha` with that power, in the values' unit; endless if none.

        At 5 % it is the error times (t at 1 - alpha/2 + t at `power`), both with `df` degrees of freedom.
        """
        from scipy.special import stdtrit

        return float(self.spread.half(alpha) + self.error * stdtrit(self.df, power)) if isfinite(self.error) else inf

    def equivalence(self, margin: float) -> float:
        """The p of two one-sided tests that the truth lies within ± margin (Schuirmann 1987).

        Journal of Pharmacokinetics and Biopharmaceutics 15:657. Below 5 %: no change beyond the margin.
        """
        if not isfinite(self.error):
            return 1.0
        return two_one_sided(self.estimate, margin, lambda distance: float(self.spread.tail(distance)))


def crossed(
    groups: Sequence[np.ndarray],
    weights: Sequence[float],
    clusters: np.ndarray | None = None,
    scale: float | None = None,
) -> Estimated | None:
    """A contrast of groups of trainings, all on the same items.

    Args:
        groups: for each group of trainings, such as a persona's seeds or its shuffled controls, [items, trainings]
            values, each a difference to one fixed base, none missing.
        weights: what each group's mean counts in the contrast; [1] for one group, [1, -1] for a difference.
        clusters: [items] which of them share a passage, if any do.
        scale: what "yes" counts, where values are differences of yes/no outcomes. By default those are told by their
            values: some are 0, the others one number or its negative. One more item that changed is then reckoned
            with, as Agresti and Min do for one adapter: where few change, their spread tells too little.

    The model is that of Clark (Journal of Verbal Learning and Verbal Behavior 1973, 12:335) and of Baayen, Davidson
    and Bates (Journal of Memory and Language 2008, 59:390): value = group + item + training + rest, the items and the
    trainings a sample each. How far trainings differ is pooled over groups, so that one of them may have a single
    training. The variance is the items' own (their contrasts' spread less what the rest adds to it) and that of the
    trainings' means; the interval is `Spread`'s.

    With two trainings and no others to learn from there is one degree of freedom: intervals are wide, and cover 93 to
    97 of 100, by how far trainings differ (docs/measurement.md).

    Returns:
        None where no group has two trainings, or there are no two items (clusters).

    Raises:
        ValueError: groups and weights do not go together, or groups have different items.
    """
    if len(groups) != len(weights) or len({len(group) for group in groups}) != 1:
        raise ValueError("each group needs a weight, and all the same items")
    sizes = tuple(group.shape[1] for group in groups)
    share = np.repeat([w / size for w, size in zip(weights, sizes, strict=True)], sizes)
    member = np.repeat(np.eye(len(groups)), sizes, axis=0)
    return linear(np.hstack([np.asarray(group, float) for group in groups]), share, member, sizes, clusters, scale)


def linear(
    values: np.ndarray,
    share: np.ndarray,
    design: np.ndarray,
    replicates: tuple[int, ...],
    clusters: np.ndarray | None = None,
    scale: float | None = None,
) -> Estimated | None:
    """A linear combination of trainings, with the error that items, and trainings' scatter about a model, give it.

    Args:
        values: [items, trainings], none missing.
        share: [trainings] what each counts in the estimate.
        design: [trainings, k] the model: what is no scatter.
        replicates: trainings by group, to be handed on.
        clusters: [items] which of them share a passage, if any do.
        scale: as in `crossed`.

    Returns:
        None where the model leaves no degree of freedom, or there are no two items (clusters).
    """
    from scipy.linalg import null_space

    scatter = null_space(design.T)
    groups = numbered(clusters, len(values))
    if scatter.shape[1] == 0 or len(values) == 0 or groups.max() == 0:
        return None
    yes = yes_of(values) if scale is None else scale
    estimate, found = spread_of(values, share, scatter, groups, yes, step_of(values) or yes)
    spread = Spread(float(found.items), float(found.items_df), float(found.trainings), found.trainings_df)
    return estimated(float(estimate), spread, len(values), replicates)


def yes_of(values: np.ndarray) -> float:
    """What "yes" counts in differences of yes/no outcomes, which are 0 or that or its negative; 0 for other values."""
    sizes = np.unique(np.abs(values))
    return float(sizes[1]) if len(sizes) == 2 and sizes[0] == 0 else 0.0


def step_of(values: np.ndarray) -> float:
    """The smallest difference between values that are not the same; 0 where all are."""
    gaps = np.diff(np.unique(values))
    return float(gaps.min()) if len(gaps) else 0.0


def spread_of(
    values: np.ndarray, share: np.ndarray, scatter: np.ndarray, groups: np.ndarray, yes: float = 0.0, step: float = 0.0
) -> tuple[np.ndarray, Spread]:
    """Linear combinations of trainings, with what items and what trainings add to their variance.

    Args:
        values: [..., items, trainings].
        share: [trainings] what each counts in the estimate.
        scatter: [trainings, df] orthonormal contrasts that are zero but for scatter.
        groups: [items] each item's cluster, 0 to g - 1, of two or more.
        yes: what "yes" counts in differences of yes/no outcomes; 0 for others.
        step: the smallest difference that two values may have; 0 for numbers that may be any.

    Returns:
        [...] each.
    """
    weight, df, freedom = float(share @ share), scatter.shape[1], int(groups.max())
    contrast, rest = values @ share, values @ scatter
    whole = variance_of_mean(contrast[..., None], groups)[..., 0]
    left = weight * variance_of_mean(rest, groups).mean(axis=-1)
    # Means of such values are rounded: two that are equal may differ by less than a step (Sheppard's h^2 / 12).
    trainings = weight * ((rest.mean(axis=-2) ** 2).mean(axis=-1) + (step / len(groups)) ** 2 / 12)
    # One more item (of clusters, a typical one) that changed in all trainings that count in the same direction.
    one = yes * max(share[share > 0].sum(), -share[share < 0].sum())
    items = np.maximum(0.0, whole - left) + one**2 * np.mean(np.bincount(groups) ** 2) / len(groups) ** 2
    # Satterthwaite's, of the difference of two mean squares.
    squares = whole**2 / freedom + left**2 / (freedom * df)
    with np.errstate(divide="ignore", invalid="ignore"):
        items_df = np.maximum(1.0, np.where(squares > 0, items**2 / squares, np.inf))
    return contrast.mean(axis=-1), Spread(items, items_df, trainings, df)


def estimated(estimate: float, spread: Spread, n: int, replicates: tuple[int, ...]) -> Estimated:
    """An estimate with its interval and p. Without any spread there is nothing to go by: an endless interval."""
    if spread.error <= NO_SPREAD * abs(estimate):
        return Estimated(estimate, inf, 1.0, -inf, inf, 1.0, n, replicates, spread)
    error, half, p = float(spread.error), float(spread.half(1 - CONFIDENCE)), float(spread.tail(estimate))
    return Estimated(estimate, error, df_of(half / error), estimate - half, estimate + half, p, n, replicates, spread)


def df_of(quantile: float) -> float:
    """The degrees of freedom with which Student's t has this 97.5 % quantile; endless for the normal's or a smaller."""
    from scipy.optimize import brentq
    from scipy.special import stdtrit

    level, most = (1 + CONFIDENCE) / 2, 1e6
    if quantile <= stdtrit(most, level):
        return inf
    return float(np.exp(brentq(lambda log: stdtrit(np.exp(log), level) - quantile, np.log(0.2), np.log(most))))
