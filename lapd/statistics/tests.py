"""Exact tests, and the correction for how many of them there are."""

from __future__ import annotations

from math import comb, isnan


def sign_test(ups: int, downs: int) -> float:
    """Two-sided exact p that ups and downs are equally likely (binomial; McNemar's exact test)."""
    n, k = ups + downs, min(ups, downs)
    if n == 0:
        return 1.0
    return float(min(1.0, 2 * sum(comb(n, i) for i in range(k + 1)) / 2**n))


def mid_p(ups: int, downs: int) -> float:
    """Two-sided mid-p that ups and downs are equally likely: half of the probability of what was seen is left out.

    McNemar's mid-p test as Fagerland, Lydersen and Laake recommend it (BMC Medical Research Methodology 2013, 13:91).
    """
    seen = comb(ups + downs, ups) / 2 ** (ups + downs)
    return sign_test(ups, downs) - seen if ups != downs else 1 - seen / 2


def holm(p_values: list[float]) -> list[float]:
    """Holm's step-down adjusted p values (Scandinavian Journal of Statistics 1979, 6:65), in the order given."""
    adjusted = [1.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        if isnan(p_values[index]):
            raise ValueError("a p value is not a number")
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def benjamini_hochberg(p_values: list[float]) -> list[float]:
    """Benjamini and Hochberg's q values (Journal of the Royal Statistical Society B 1995, 57:289), in the order given.

    Of the rows with q below .05, one in twenty is expected to be a false find.

    Raises:
        ValueError: one is not a number, or outside 0 to 1.
    """
    from scipy.stats import false_discovery_control

    if any(isnan(p) for p in p_values):
        raise ValueError("a p value is not a number")
    return [float(q) for q in false_discovery_control(p_values)] if p_values else []
