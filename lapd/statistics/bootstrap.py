"""The interval of a mean of few, skewed numbers, by resampling them: BCa."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np

RESAMPLES = 9_999

FEW = 30
"""Student's t is trusted from so many numbers on, however they are skewed."""

SKEWED = 1.0
"""Numbers of such a skewness, either way, are highly skewed (Bulmer, Principles of Statistics, 1979, chapter 4)."""


def is_few_and_skewed(values: np.ndarray, least: int) -> bool:
    """Whether there are `least` numbers or more, fewer than 30, and their skewness (G1) is beyond ± 1."""
    n = len(values)
    return least <= n < FEW and abs(skewness(values)) * sqrt(n * (n - 1)) / (n - 2) > SKEWED


@dataclass(frozen=True)
class Bootstrap:
    """BCa (Efron, Journal of the American Statistical Association 1987, 82:171) of a mean.

    Attributes:
        means: [RESAMPLES] the resamples' means, in order.
        bias: z0, how far their median is off.
        acceleration: a sixth of the mean's skewness.
        n: numbers.

    Resampling narrows: by the square root of (n - 1) / n, and the normal's quantiles are nearer than t's. Both are made
    good as Hesterberg does (The American Statistician 2015, 69:371, "expanded"); without that, intervals of few numbers
    are worse than Student's t.
    """

    means: np.ndarray
    bias: float
    acceleration: float
    n: int

    def interval(self, level: float) -> tuple[float, float]:
        """The ends at which the two-sided `tail` is 1 - level."""
        from scipy.special import ndtr, stdtrit

        z = float(stdtrit(self.n - 1, (1 + level) / 2)) * sqrt(self.n / (self.n - 1))
        shifted = self.bias + np.array([-z, z])
        # Where the acceleration bends the scale back on itself, all resamples lie on one side.
        bent = np.where(self.acceleration * shifted < 1, shifted / (1 - self.acceleration * shifted), np.inf)
        low, high = np.quantile(self.means, ndtr(self.bias + bent))
        return float(low), float(high)

    def tail(self, value: float) -> float:
        """The two-sided p that the true mean is `value`."""
        from scipy.special import ndtri, stdtr

        last, most = len(self.means) - 1, float(ndtri(1 - 0.5 / len(self.means)))
        place = float(np.interp(value, self.means, np.arange(last + 1) / last))
        z = float(np.clip(ndtri(place), -most, most))
        # Beyond the farthest resample it goes on evenly.
        z += (min(0.0, value - self.means[0]) + max(0.0, value - self.means[-1])) / float(self.means.std())
        bent = z - self.bias
        away = bent / max(1 + self.acceleration * bent, 1e-9) - self.bias
        return float(2 * stdtr(self.n - 1, -abs(away) * sqrt((self.n - 1) / self.n)))


def bootstrap(values: np.ndarray) -> Bootstrap:
    """Resample numbers that are not all the same; always in the same way, whatever their order or sign."""
    from scipy.special import ndtri

    n, way = len(values), 1.0 if skewness(values) >= 0 else -1.0
    ordered = np.sort(way * values)
    drawn = ordered[np.random.default_rng(0).integers(0, n, (RESAMPLES, n))]
    means = np.sort(way * drawn.mean(axis=1))
    below = float(np.mean(means < values.mean()) + np.mean(means <= values.mean())) / 2
    return Bootstrap(means, float(ndtri(below)), skewness(values) / (6 * sqrt(n)), n)


def skewness(values: np.ndarray) -> float:
    """The mean cube of what differs from the mean, in standard deviations (g1)."""
    rest = values - values.mean()
    return float(np.mean(rest**3) / np.mean(rest**2) ** 1.5)
