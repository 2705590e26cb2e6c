"""Ceilings and floors: where nearly all items have one value in both arms, nothing could have shown."""

from __future__ import annotations

import numpy as np

NEARLY = 0.95
"""Nearly all: so large a share of an arm's items."""

CEILING, FLOOR, CONSTANT = "ceiling", "floor", "constant"


def limit_of(arm: np.ndarray, baseline: np.ndarray, least: float = -np.inf, most: float = np.inf) -> str:
    """Whether nearly all items of either arm have one and the same value.

    Args:
        arm: [n] one value an item.
        baseline: [n] the same items' values in the other arm.
        least: the lowest value that there can be.
        most: the highest.

    Returns:
        "ceiling" if that value is the highest, "floor" if it is the lowest, "constant" if it is another, else "".
    """
    values, counts = np.unique(np.concatenate([arm, baseline]), return_counts=True)
    value = float(values[counts.argmax()])
    if min(np.mean(arm == value), np.mean(baseline == value)) < NEARLY:
        return ""
    return {most: CEILING, least: FLOOR}.get(value, CONSTANT)
