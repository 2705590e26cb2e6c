"""Whether the means of values that were measured on the same items, at several places, lie on a straight line."""

from __future__ import annotations

import numpy as np

LEAST = 1e-12
"""A variance that is so small a share of the largest one is rounding."""


def departure(values: np.ndarray, at: np.ndarray, clusters: np.ndarray | None = None) -> float:
    """p that the means lie on a line: Hotelling's T² over all that is left when a line is taken out.

    Args:
        values: [items, places] each item's values.
        at: [places] where.
        clusters: [items] which of them belong together, if any do.

    Hotelling (Annals of Mathematical Statistics 1931, 2:360): with q contrasts and m items, T² (m - q) / (q (m - 1)) is
    F on q and m - q degrees of freedom. Of clusters, m is how many there are, and their sums are what varies.

    Returns:
        1 where there are too few items for that, or no contrast has a spread.
    """
    from scipy.linalg import null_space
    from scipy.stats import f

    rest = values @ null_space(np.vander(at, 2, increasing=True).T)
    groups = np.arange(len(rest)) if clusters is None else np.unique(clusters, return_inverse=True)[1]
    m = int(groups.max()) + 1
    sums = np.zeros((m, rest.shape[1]))
    np.add.at(sums, groups, rest - rest.mean(axis=0))
    variances, directions = np.linalg.eigh(sums.T @ sums / len(rest) ** 2 * m / max(1, m - 1))
    kept = variances > LEAST * max(1e-300, float(variances.max()))
    q = int(kept.sum())
    if q == 0 or m <= q or not variances.max() > 0:
        return 1.0
    along = rest.mean(axis=0) @ directions[:, kept]
    squared = float((along**2 / variances[kept]).sum())
    return float(f.sf(squared * (m - q) / (q * (m - 1)), q, m - q))
