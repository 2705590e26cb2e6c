"""Rates of independent samples: their difference, and whether several are one rate.

For published rates and sample sizes, where nothing is known item by item: nothing is paired here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np

from lapd.statistics.paired import CONFIDENCE


@dataclass(frozen=True)
class RateDifference:
    """The difference of two independent rates, in shares of 1.

    Attributes:
        difference: the first rate less the second.
        error: its standard error, from the rates as they are.
        low: lower end of the 95 % interval.
        high: upper end.
        p: two-sided, that the rates are one.
    """

    difference: float
    error: float
    low: float
    high: float
    p: float


@dataclass(frozen=True)
class Homogeneity:
    """Whether several independent rates are one.

    Attributes:
        statistic: Pearson's chi-square.
        df: its degrees of freedom.
        p: that all rates are the same.
    """

    statistic: float
    df: int
    p: float


def rate_difference(x1: int, n1: int, x0: int, n0: int) -> RateDifference:
    """Compare two independent rates.

    Args:
        x1: how many of the first sample said yes.
        n1: the first sample's size.
        x0: how many of the second said yes.
        n0: the second's size.

    The interval is Newcombe's, of two Wilson intervals without correction (Statistics in Medicine 1998, 17:873,
    method 10); p is that of the two-proportion z test with the pooled rate, Pearson's chi-square without correction.

    Raises:
        ValueError: a sample is empty, or has more of them than it has.
    """
    from scipy.special import ndtr

    for x, n in ((x1, n1), (x0, n0)):
        if not 0 <= x <= n or n == 0:
            raise ValueError(f"{x} of {n} is no rate")
    first, second, pooled = x1 / n1, x0 / n0, (x1 + x0) / (n1 + n0)
    difference = first - second
    (low1, high1), (low0, high0) = wilson(x1, n1), wilson(x0, n0)
    low = difference - sqrt((first - low1) ** 2 + (high0 - second) ** 2)
    high = difference + sqrt((high1 - first) ** 2 + (second - low0) ** 2)
    error = sqrt(first * (1 - first) / n1 + second * (1 - second) / n0)
    under_none = sqrt(pooled * (1 - pooled) * (1 / n1 + 1 / n0))
    p = 2 * float(ndtr(-abs(difference) / under_none)) if under_none else 1.0
    return RateDifference(difference, error, low, high, p)


def wilson(x: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval for the rate x of n (Journal of the American Statistical Association 1927, 22:209)."""
    from scipy.special import ndtri

    z = float(ndtri((1 + CONFIDENCE) / 2))
    centre, half = (x + z * z / 2) / (n + z * z), z / (n + z * z) * sqrt(x * (n - x) / n + z * z / 4)
    return max(0.0, centre - half), min(1.0, centre + half)


def homogeneity(successes: Sequence[int], ns: Sequence[int]) -> Homogeneity:
    """Pearson's chi-square test that k independent rates are one, without continuity correction.

    Args:
        successes: [k] how many of each sample said yes.
        ns: [k] the samples' sizes.

    Raises:
        ValueError: there are fewer than two samples, one is empty, or has more of them than it has.
    """
    from scipy.special import chdtrc

    yes, n = np.asarray(successes, float), np.asarray(ns, float)
    if len(yes) < 2 or len(yes) != len(n) or (n <= 0).any() or (yes < 0).any() or (yes > n).any():
        raise ValueError("each of two or more samples needs a size, and no more successes than that")
    rate, df = yes.sum() / n.sum(), len(yes) - 1
    if rate in (0, 1):
        return Homogeneity(0.0, df, 1.0)
    statistic = float(((yes - n * rate) ** 2 / (n * rate * (1 - rate))).sum())
    return Homogeneity(statistic, df, float(chdtrc(df, statistic)))
