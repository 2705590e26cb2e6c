"""The statistics of paired comparisons: intervals, tests, and the correction for the number of looks."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np

from lapd.statistics.tests import sign_test

CONFIDENCE = 0.95
POWER = 0.80


@dataclass(frozen=True)
class Paired:
    """The difference of two arms on the same items.

    Attributes:
        n: items that both arms have a value for.
        difference: mean of (arm − baseline), in the metric's unit.
        low: lower end of the 95 % interval.
        high: upper end.
        p: two-sided.
        test: which test gave p.
        smallest: the smallest difference that this sample would have shown with a power of 80 % at 5 %.
    """

    n: int
    difference: float
    low: float
    high: float
    p: float
    test: str
    smallest: float


def paired_difference(arm: np.ndarray, baseline: np.ndarray, scale: float = 1.0) -> Paired:
    """Compare two arms on the same items.

    Args:
        arm: [n] one value an item.
        baseline: [n] the same items' values in the other arm.
        scale: what "yes" counts: 1 for shares, 100 for points.

    Values that are all 0 or `scale` (right or wrong) are compared as yes/no outcomes: McNemar's exact test,
    with Agresti and Min's interval (Statistics in Medicine 2005, 24:729, "adding half to each cell"), which does
    not collapse when nothing changed. Other values: Student's t on the differences. Where those are all the same, t has
    no spread to go by: the sign test then, which needs `FEWEST` items to settle anything.

    Raises:
        ValueError: there are no items.
    """
    arm, baseline = np.asarray(arm, float), np.asarray(baseline, float)
    if len(arm) == 0:
        raise ValueError("there are no items to compare")
    if set(arm) | set(baseline) <= {0.0, scale}:
        return _binary(arm, baseline, scale)
    return _numeric(arm - baseline)


def _binary(arm: np.ndarray, baseline: np.ndarray, scale: float) -> Paired:
    from scipy.stats import norm

    n = len(arm)
    gained = int(np.sum((arm > 0) & (baseline == 0)))
    lost = int(np.sum((arm == 0) & (baseline > 0)))
    z = float(norm.ppf((1 + CONFIDENCE) / 2))
    total, b, c = n + 2, gained + 0.5, lost + 0.5
    centre = (b - c) / total
    half = z * sqrt((b + c) - (b - c) ** 2 / total) / total
    # The interval's own standard error, times the two quantiles of a two-sided test with the stated power.
    # At small n the exact test asks for more.
    smallest = max(half / z * (z + float(norm.ppf(POWER))), smallest_share(n, FEWEST))
    low, high = max(-1.0, centre - half), min(1.0, centre + half)
    p = sign_test(gained, lost)
    return Paired(n, scale * (gained - lost) / n, scale * low, scale * high, p, "McNemar exact", scale * smallest)


def _numeric(differences: np.ndarray) -> Paired:
    from scipy.stats import t

    n, mean = len(differences), float(differences.mean())
    if n == 1:
        return Paired(1, mean, -np.inf, np.inf, 1.0, "paired t", np.inf)
    error = float(differences.std(ddof=1)) / sqrt(n)
    if error <= NO_SPREAD * abs(mean):
        return _alike(n, mean)
    quantile = float(t.ppf((1 + CONFIDENCE) / 2, n - 1))
    p = 2 * float(t.sf(abs(mean) / error, n - 1))
    smallest = error * (quantile + float(t.ppf(POWER, n - 1)))
    return Paired(n, mean, mean - quantile * error, mean + quantile * error, p, "paired t", smallest)


NO_SPREAD = 1e-9
"""A standard error that is so small a share of the mean is rounding, not spread."""


def _alike(n: int, difference: float) -> Paired:
    """n items that all differ by the same: the sign test, and its interval for the median, endless below six items."""
    end = 0.0 if n >= FEWEST else np.inf
    p, test = (sign_test(n, 0), "sign test") if difference else (1.0, "paired t")
    return Paired(n, difference, difference - end, difference + end, p, test, end)


FEWEST = next(n for n in range(1, 100) if 2 / 2**n < 1 - CONFIDENCE)
"""The sign test needs so many changes, all in one direction, to come below 5 %: six."""


def smallest_share(n: int, needed: int) -> float:
    """The share of n items that yields at least `needed` of them in 80 % of samples; infinite where n is too few.

    The binomial's tail is a beta distribution's (Clopper and Pearson 1934).
    """
    from scipy.stats import beta

    return float(beta.ppf(POWER, needed, n - needed + 1)) if n >= needed else float("inf")


def smallest_majority(n: int) -> float:
    """How far above one half a share of n must lie to show in the sign test (80 % power); infinite below six."""
    needed = next((k for k in range(n // 2, n + 1) if sign_test(k, n - k) < 1 - CONFIDENCE), n + 1)
    return smallest_share(n, needed) - 0.5
