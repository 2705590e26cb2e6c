"""Items that belong together, such as the questions on one passage: what they tell together, not one by one."""

from __future__ import annotations

import numpy as np


def numbered(clusters: np.ndarray | None, n: int) -> np.ndarray:
    """[n] each item's cluster as a number from 0 on; without clusters each item is its own."""
    return np.arange(n) if clusters is None else np.unique(clusters, return_inverse=True)[1].reshape(n)


def variance_of_mean(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """The variance of a mean over items that are independent between groups, and may not be within.

    Args:
        values: [..., items, k].
        groups: [items] each item's group, 0 to g - 1, of two or more.

    Returns:
        [..., k]: the sum of squares of the groups' sums of what differs from the mean, over n^2, times g / (g - 1)
        (Liang and Zeger, Biometrika 1986, 73:13). Where each item is its own group, the familiar variance over n.
    """
    g, n = int(groups.max()) + 1, len(groups)
    rest = values - values.mean(axis=-2, keepdims=True)
    if g < n:
        order = np.argsort(groups, kind="stable")
        rest = np.add.reduceat(rest[..., order, :], np.searchsorted(groups[order], np.arange(g)), axis=-2)
    variance: np.ndarray = (rest**2).sum(axis=-2) / n**2 * g / (g - 1)
    return variance
