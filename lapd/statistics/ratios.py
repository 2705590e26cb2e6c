"""The ratio of two means, of the same items or of others."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np

from lapd.statistics.paired import CONFIDENCE


@dataclass(frozen=True)
class Ratio:
    """A ratio of means.

    Attributes:
        ratio: the first mean over the second.
        low: lower end of the 95 % interval.
        high: upper end.
    """

    ratio: float
    low: float
    high: float


def ratio_of_means(above: np.ndarray, below: np.ndarray) -> Ratio | None:
    """The mean of `above` over that of `below`, with Fieller's interval.

    Args:
        above: [n] one value an item.
        below: [n] the same items' values.

    Those ratios r are in the interval at which the items' `above - r * below` have a mean that Student's t does not
    tell from zero (Fieller 1954, Journal of the Royal Statistical Society B 16:175). It is bounded only where t tells
    the mean of `below` itself from zero: elsewhere there is nothing to take a share of, and the answer is None.
    """
    from scipy.stats import t

    n = len(above)
    if n < 2:
        return None
    spread = np.cov(below, above, ddof=1) / n
    quantile = float(t.ppf((1 + CONFIDENCE) / 2, n - 1))
    return _fieller(float(np.mean(above)), float(np.mean(below)), spread * quantile**2)


def ratio_of_separate_means(above: tuple[float, float], below: tuple[float, float], df: float) -> Ratio | None:
    """The ratio of two means that are of different items, with Fieller's interval.

    Args:
        above: a mean, and the variance of that mean.
        below: likewise.
        df: degrees of freedom of the variances: of the smaller sample, which makes the interval too wide, if anything.

    None where t does not tell `below` from zero, as in `ratio_of_means`.
    """
    from scipy.stats import t

    quantile = float(t.ppf((1 + CONFIDENCE) / 2, df))
    return _fieller(above[0], below[0], np.diag([below[1], above[1]]) * quantile**2)


def _fieller(y: float, x: float, spread: np.ndarray) -> Ratio | None:
    """y / x; `spread` is the covariance of x and y in this order, times the quantile's square."""
    # The ends solve a * r ** 2 - 2 * b * r + c = 0.
    a, b, c = x * x - float(spread[0, 0]), x * y - float(spread[0, 1]), y * y - float(spread[1, 1])
    if a <= 0:
        return None
    half = sqrt(max(0.0, b * b - a * c))
    return Ratio(y / x, (b - half) / a, (b + half) / a)
