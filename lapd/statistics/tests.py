"""Exact tests, and the correction for how many of them there are."""

from __future__ import annotations

from math import comb, isnan


def sign_test(ups: int, downs: int) -> float:
    """Two-sided exact p that ups and downs are equally likely (binomial; McNemar's exact test)."""
    n, k = ups + downs, min(ups, downs)
    if n == 0:
        return 1.0
    return float(min(1.0, 2 * sum(comb(n, i) for i in range(k + 1)) / 2**n))


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
