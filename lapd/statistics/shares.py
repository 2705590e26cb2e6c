"""Shares: their intervals, and the agreement of two raters."""

from __future__ import annotations

from math import sqrt

import numpy as np

from lapd.statistics.paired import CONFIDENCE


def share_interval(successes: int, n: int) -> tuple[float, float]:
    """Clopper and Pearson's exact 95 % interval for a share (Biometrika 1934, 26:404)."""
    from scipy.stats import beta

    tail = (1 - CONFIDENCE) / 2
    low = float(beta.ppf(tail, successes, n - successes + 1)) if successes else 0.0
    high = float(beta.ppf(1 - tail, successes + 1, n - successes)) if successes < n else 1.0
    return low, high


def cohen_kappa(table: np.ndarray) -> tuple[float, float, float] | None:
    """Cohen's kappa (Educational and Psychological Measurement 1960, 20:37) with its 95 % interval.

    Args:
        table: [k, k] counts, one rater's answers down and the other's across.

    The interval is kappa ± 1.96 large-sample standard errors (Fleiss, Cohen and Everitt, Psychological Bulletin 1969,
    72:323, eq. 13), cut at -1 and 1. It is too narrow below some 50 items, and has no width where nobody disagrees.

    Returns:
        kappa, low and high; None where chance alone explains every agreement, as when both always say the same.
    """
    from scipy.stats import norm

    n = float(table.sum())
    if n == 0:
        return None
    p = np.asarray(table, float) / n
    down, across = p.sum(axis=1), p.sum(axis=0)
    observed, chance = float(np.trace(p)), float(down @ across)
    if chance == 1:
        return None
    kappa = (observed - chance) / (1 - chance)
    agree = np.diag(p) @ ((1 - chance) - (down + across) * (1 - observed)) ** 2
    weights = (across[:, None] + down[None, :]) ** 2
    disagree = (1 - observed) ** 2 * float((p * weights).sum() - np.diag(p) @ np.diag(weights))
    variance = agree + disagree - (observed * chance - 2 * chance + observed) ** 2
    error = sqrt(max(0.0, float(variance)) / n) / (1 - chance) ** 2
    half = float(norm.ppf((1 + CONFIDENCE) / 2)) * error
    return kappa, max(-1.0, kappa - half), min(1.0, kappa + half)
