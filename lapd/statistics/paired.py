"""The statistics of paired comparisons: intervals, tests, what would have shown, and whether a change is too small."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf, sqrt

import numpy as np

from lapd.statistics.bootstrap import Bootstrap, bootstrap, is_few_and_skewed
from lapd.statistics.clusters import numbered, variance_of_mean
from lapd.statistics.tests import mid_p, sign_test

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
        p: two-sided; of yes/no outcomes McNemar's exact p, which errs no more often than it says, whatever is true.
        test: which test gave p.
        error: the difference's standard error, in the metric's unit.
        df: its degrees of freedom; endless for yes/no outcomes.
        p_mid: of yes/no outcomes, McNemar's mid-p, for a look at one row: the exact p is timid where few items changed,
            this one is not, and its error stays below its level too unless nearly every item changed. None of others.
    """

    n: int
    difference: float
    low: float
    high: float
    p: float
    test: str
    error: float
    df: float
    p_mid: float | None = field(default=None, kw_only=True)

    @property
    def smallest(self) -> float:
        """The smallest difference that this sample would have shown with a power of 80 % at 5 %."""
        return self.detectable()

    def detectable(self, alpha: float = 1 - CONFIDENCE, power: float = POWER) -> float:
        """The smallest true difference that shows at `alpha` with that power, in the metric's unit; endless if none.

        The error times (t at 1 - alpha/2 + t at `power`); for yes/no outcomes at least what the exact test demands.
        """
        return self.error * (quantile(1 - alpha / 2, self.df) + quantile(power, self.df))

    def equivalence(self, margin: float) -> float:
        """The p of two one-sided t tests that the true difference lies within ± margin (Schuirmann 1987).

        Journal of Pharmacokinetics and Biopharmaceutics 15:657. Below 5 %: no change beyond the margin. Of yes/no
        outcomes the interval's own centre and error are taken, so that no change in a few items proves nothing.
        """
        return two_one_sided(self.difference, margin, lambda distance: tail(distance, self.error, self.df))


@dataclass(frozen=True)
class _YesNo(Paired):
    centre: float
    scale: float

    def detectable(self, alpha: float = 1 - CONFIDENCE, power: float = POWER) -> float:
        share = smallest_share(self.n, fewest(alpha), power)
        return max(super().detectable(alpha, power), self.scale * share)

    def equivalence(self, margin: float) -> float:
        return two_one_sided(self.centre, margin, lambda distance: tail(distance, self.error, self.df))


@dataclass(frozen=True)
class _Alike(Paired):
    def detectable(self, alpha: float = 1 - CONFIDENCE, power: float = POWER) -> float:
        return 0.0 if self.n >= fewest(alpha) else inf

    def equivalence(self, margin: float) -> float:
        return 0.5**self.n if abs(self.difference) < margin else 1.0


@dataclass(frozen=True)
class _Resampled(Paired):
    resampled: Bootstrap = field(repr=False)

    def equivalence(self, margin: float) -> float:
        found = super().equivalence(margin)
        within = all(self.resampled.interval(0.0)[0] * side < margin for side in (-1, 1))
        tails = max(self.resampled.tail(-margin), self.resampled.tail(margin)) / 2
        return max(found, tails if within else 1 - tails)


def paired_difference(
    arm: np.ndarray, baseline: np.ndarray, scale: float = 1.0, clusters: np.ndarray | None = None
) -> Paired:
    """Compare two arms on the same items.

    Args:
        arm: [n] one value an item.
        baseline: [n] the same items' values in the other arm.
        scale: what "yes" counts: 1 for shares, 100 for points.
        clusters: [n] which items belong together, such as those on one passage, by number or name.

    Values that are all 0 or `scale` (right or wrong) are compared as yes/no outcomes: McNemar's exact test,
    with Agresti and Min's interval (Statistics in Medicine 2005, 24:729, "adding half to each cell"), which does
    not collapse when nothing changed. Other values: Student's t on the differences. Where six to 29 are highly skewed,
    they are resampled too (BCa): each end of the interval is the farther one of the two, p the larger one. Where the
    differences are all the same, t has no spread to go by: the sign test then, which needs `FEWEST` items to settle
    anything. Where items belong together: t on the clusters' sums, of yes/no outcomes too.

    Raises:
        ValueError: there are no items.
    """
    arm, baseline = np.asarray(arm, float), np.asarray(baseline, float)
    if len(arm) == 0:
        raise ValueError("there are no items to compare")
    is_yes_no = set(arm) | set(baseline) <= {0.0, scale}
    groups = numbered(clusters, len(arm))
    if groups.max() + 1 < len(arm):
        return _clustered(arm - baseline, groups, scale if is_yes_no else 0.0)
    return _binary(arm, baseline, scale) if is_yes_no else _numeric(arm - baseline)


def _binary(arm: np.ndarray, baseline: np.ndarray, scale: float) -> Paired:
    n = len(arm)
    gained = int(np.sum((arm > 0) & (baseline == 0)))
    lost = int(np.sum((arm == 0) & (baseline > 0)))
    total, b, c = n + 2, gained + 0.5, lost + 0.5
    centre, error = (b - c) / total, sqrt((b + c) - (b - c) ** 2 / total) / total
    half = quantile((1 + CONFIDENCE) / 2, inf) * error
    low, high = max(-1.0, centre - half), min(1.0, centre + half)
    return _YesNo(
        n,
        scale * (gained - lost) / n,
        scale * low,
        scale * high,
        sign_test(gained, lost),
        "McNemar exact",
        scale * error,
        inf,
        scale * centre,
        scale,
        p_mid=mid_p(gained, lost),
    )


def _numeric(differences: np.ndarray) -> Paired:
    n, mean = len(differences), float(differences.mean())
    if n == 1:
        return Paired(1, mean, -inf, inf, 1.0, "paired t", inf, 1)
    error = float(differences.std(ddof=1)) / sqrt(n)
    if error <= NO_SPREAD * abs(mean):
        return _alike(n, mean)
    half, p = quantile((1 + CONFIDENCE) / 2, n - 1) * error, tail(mean, error, n - 1)
    if not is_few_and_skewed(differences, FEWEST):
        return Paired(n, mean, mean - half, mean + half, p, "paired t", error, n - 1)
    resampled = bootstrap(differences)
    (low, high), p = resampled.interval(CONFIDENCE), max(p, resampled.tail(0.0))
    low, high = min(low, mean - half), max(high, mean + half)
    return _Resampled(n, mean, low, high, p, "paired t and BCa", error, n - 1, resampled)


def _clustered(differences: np.ndarray, groups: np.ndarray, yes: float) -> Paired:
    """t on the clusters' sums. In yes/no outcomes one more typical cluster changes, as one more item does above."""
    n, mean, df = len(differences), float(differences.mean()), int(groups.max())
    if df == 0:
        return Paired(n, mean, -inf, inf, 1.0, "t of clusters", inf, 1)
    variance = float(variance_of_mean(differences[:, None], groups)[0])
    variance += yes**2 * float(np.mean(np.bincount(groups) ** 2)) / n**2
    if (error := sqrt(variance)) <= NO_SPREAD * abs(mean):
        return _alike(df + 1, mean)
    half, most = quantile((1 + CONFIDENCE) / 2, df) * error, yes or inf
    low, high = max(-most, mean - half), min(most, mean + half)
    return Paired(n, mean, low, high, tail(mean, error, df), "t of clusters", error, df)


NO_SPREAD = 1e-9
"""A standard error that is so small a share of the mean is rounding, not spread."""


def _alike(n: int, difference: float) -> Paired:
    """n items that all differ by the same: the sign test, and its interval for the median, endless below six items."""
    end = 0.0 if n >= FEWEST else inf
    p, test = (sign_test(n, 0), "sign test") if difference else (1.0, "paired t")
    return _Alike(n, difference, difference - end, difference + end, p, test, end, inf)


def quantile(level: float, df: float) -> float:
    """Student's t below which a share `level` lies; the normal's for endless df."""
    from scipy.special import ndtri, stdtrit

    return float(ndtri(level) if df == inf else stdtrit(df, level))


def tail(distance: float, error: float, df: float) -> float:
    """The two-sided p of an estimate that lies `distance` from the value in question."""
    from scipy.special import ndtr, stdtr

    at = -abs(distance) / error if error > 0 else -inf
    return 2 * float(ndtr(at) if df == inf else stdtr(df, at))


def two_one_sided(estimate: float, margin: float, tail_of: Callable[[float], float]) -> float:
    """The larger p of the two one-sided tests that the truth lies above -margin and below it.

    Args:
        estimate: what was found.
        margin: above 0.
        tail_of: the two-sided p of an estimate that lies so far from the value in question.
    """
    room = margin - abs(estimate)
    half = tail_of(abs(room)) / 2
    return half if room > 0 else 1 - half


def fewest(alpha: float) -> int:
    """How many changes, all in one direction, the sign test needs to come below alpha."""
    return next(n for n in range(1, 2000) if 2 * 0.5**n < alpha)


FEWEST = fewest(1 - CONFIDENCE)
"""The sign test needs so many changes, all in one direction, to come below 5 %: six."""


def smallest_share(n: int, needed: int, power: float = POWER) -> float:
    """The share of n items that yields at least `needed` of them in 80 % of samples; infinite where n is too few.

    The binomial's tail is a beta distribution's (Clopper and Pearson 1934).
    """
    from scipy.stats import beta

    return float(beta.ppf(power, needed, n - needed + 1)) if n >= needed else inf


def smallest_majority(n: int, alpha: float = 1 - CONFIDENCE) -> float:
    """How far above one half a share of n must lie to show in the sign test (80 % power); infinite with too few."""
    needed = next((k for k in range(n // 2, n + 1) if sign_test(k, n - k) < alpha), n + 1)
    return smallest_share(n, needed) - 0.5
