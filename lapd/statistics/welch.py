"""The difference of two means that are of different items."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np

from lapd.statistics.paired import CONFIDENCE


@dataclass(frozen=True)
class Apart:
    """The difference of two means of different items.

    Attributes:
        difference: the first mean less the second.
        low: lower end of its 95 % interval.
        high: upper end.
        p: two-sided.
    """

    difference: float
    low: float
    high: float
    p: float


def welch(first: np.ndarray, second: np.ndarray) -> Apart | None:
    """Welch's t (Biometrika 1947, 34:28) of two independent samples whose variances may differ.

    Args:
        first: [n] values.
        second: [m] others.

    Returns:
        None where one has fewer than two values, or neither has any spread.
    """
    from scipy.stats import t

    n, m = len(first), len(second)
    if min(n, m) < 2:
        return None
    one, other = float(first.var(ddof=1)) / n, float(second.var(ddof=1)) / m
    error = sqrt(one + other)
    difference = float(first.mean() - second.mean())
    if error == 0:
        return None
    df = error**4 / (one**2 / (n - 1) + other**2 / (m - 1))
    half = error * float(t.ppf((1 + CONFIDENCE) / 2, df))
    return Apart(difference, difference - half, difference + half, 2 * float(t.sf(abs(difference) / error, df)))
