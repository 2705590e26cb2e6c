"""How good a grader is: its grades on texts whose pole is known.

The measure is the AUC: how often a text of the first pole gets the higher grade of two, one from each pole. Its
interval resamples prompts, since the texts that answer one are no independent observations (a cluster bootstrap).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lapd.errors import UsageError
from lapd.hookspecs import Grade
from lapd.judges.pole_labels import PoleText
from lapd.statistics.shares import share_interval

DRAWS = 1000
"""Resamples for an interval."""

BINS = 10

ENOUGH = 0.65
"""A grader with a smaller AUC on text of another make says so wherever its numbers appear."""


def check_grades(grades: Sequence[Grade], texts: Sequence[PoleText]) -> dict[str, Any]:
    """How well grades tell the poles of each axis apart, as JSON.

    Args:
        grades: one for each text.
        texts: whose pole is known.

    Returns:
        By axis: `auc` (None without texts of both poles), `auc_interval` (95 %), `brier` (mean squared distance of
        grade / 100 from 1 for the first pole and 0 for the second), `calibration_error` (mean distance of grade and
        share of the first pole, in up to ten bins of equal size), `mean_first` and `mean_second` (of the grades, 0 to
        100), `n_graded`, `n_missing`, `missing_reasons`.
    """
    found: dict[str, dict[str, Any]] = {}
    for axis in dict.fromkeys(text.axis for text in texts):
        here = [(grade, text) for grade, text in zip(grades, texts, strict=True) if text.axis == axis]
        for name, value in _axis(here).items():
            found.setdefault(name, {})[axis] = value
    return found


def _axis(graded: Sequence[tuple[Grade, PoleText]]) -> dict[str, Any]:
    known = [(grade.value, text) for grade, text in graded if grade.value is not None]
    values = np.array([value for value, _ in known], dtype=float)
    first = np.array([text.first for _, text in known], dtype=bool)
    groups = np.unique([text.group for _, text in known], return_inverse=True)[1] if known else np.array([], int)
    both = bool(first.any() and not first.all())
    reasons = Counter(grade.reason for grade, _ in graded if grade.value is None)
    return {
        "auc": _auc(values, first) if both else None,
        "auc_interval": _interval(values, first, groups) if both else None,
        "brier": float(np.mean((values / 100 - first) ** 2)) if known else None,
        "calibration_error": _calibration_error(values / 100, first) if known else None,
        "mean_first": float(values[first].mean()) if first.any() else None,
        "mean_second": float(values[~first].mean()) if known and not first.all() else None,
        "n_graded": len(known),
        "n_missing": len(graded) - len(known),
        "missing_reasons": dict(reasons.most_common()),
    }


def _auc(values: np.ndarray, first: np.ndarray) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(first, values))


def _interval(values: np.ndarray, first: np.ndarray, groups: np.ndarray) -> list[float]:
    """The percentile interval over resampled prompts; where all are in order, as for a share that is 1 of n prompts."""
    n = int(groups.max()) + 1
    if _auc(values, first) == 1.0:
        return list(share_interval(n, n))
    generator, places = np.random.default_rng(0), np.unique(values, return_inverse=True)[1]
    drawn = []
    for _ in range(DRAWS):
        weights = np.bincount(generator.integers(n, size=n), minlength=n)[groups]
        ours, theirs = (np.bincount(places, weights * mine, places.max() + 1) for mine in (first, ~first))
        if ours.any() and theirs.any():
            # A pair out of two texts with one grade counts half.
            in_order = ours @ (np.cumsum(theirs) - theirs / 2)
            drawn.append(in_order / (ours.sum() * theirs.sum()))
    return [float(end) for end in np.percentile(drawn, [2.5, 97.5])]


def _calibration_error(shares: np.ndarray, first: np.ndarray) -> float:
    order = np.argsort(shares, kind="stable")
    bins = [part for part in np.array_split(order, BINS) if len(part)]
    return float(sum(len(part) * abs(shares[part].mean() - first[part].mean()) for part in bins) / len(shares))


def order_effect(grades: Sequence[Grade], texts: Sequence[PoleText], turned: Sequence[bool]) -> dict[str, Any]:
    """Whether grades depend on the order in which the poles were named.

    Args:
        grades: one for each text.
        texts: whose pole is known.
        turned: for each, whether the second pole was named first.

    Returns:
        `difference`, the mean grade where the order was turned less where it was not, both poles weighing alike (0 to
        100), and `standard_error`; None where either order has fewer than two texts of a pole.
    """
    parts = []
    for pole in (True, False):
        of_pole = [(g.value, turn) for g, text, turn in zip(grades, texts, turned, strict=True)
                   if g.value is not None and text.first == pole]  # fmt: skip
        sides = [np.array([value for value, turn in of_pole if turn == side]) for side in (True, False)]
        if min(map(len, sides)) < 2:
            return {"difference": None, "standard_error": None}
        parts.append((sides[0].mean() - sides[1].mean(), sum(side.var(ddof=1) / len(side) for side in sides)))
    return {
        "difference": float(np.mean([mean for mean, _ in parts])),
        "standard_error": float(np.sqrt(sum(variance for _, variance in parts)) / 2),
    }


def graded_agreement(first: Sequence[Grade], second: Sequence[Grade]) -> dict[str, Any]:
    """How two graders agree on the same responses, as JSON.

    Returns:
        `correlation` (Spearman's rank correlation; None below three) and its `interval` (95 %, Fisher's z with the
        standard error of Bonett and Wright 2000), `difference` (mean of the first's less the second's grades),
        `n_graded` by both, `n_missing` in either.
    """
    from scipy.stats import spearmanr

    pairs = [(a.value, b.value) for a, b in zip(first, second, strict=True) if None not in (a.value, b.value)]
    x, y = np.array(pairs, dtype=float).reshape(-1, 2).T
    known = len(pairs) > 3 and len(set(x)) > 1 and len(set(y)) > 1
    rho = float(spearmanr(x, y).statistic) if known else None
    return {
        "correlation": rho,
        "interval": _fisher(rho, len(pairs)) if rho is not None else None,
        "difference": float((x - y).mean()) if pairs else None,
        "n_graded": len(pairs),
        "n_missing": len(first) - len(pairs),
    }


def _fisher(rho: float, n: int) -> list[float]:
    """Bonett and Wright (2000), Psychometrika 65: the standard error of z is sqrt((1 + rho^2 / 2) / (n - 3))."""
    z, error = np.arctanh(np.clip(rho, -0.999999, 0.999999)), np.sqrt((1 + rho**2 / 2) / (n - 3))
    return [float(np.tanh(z + side * 1.959964 * error)) for side in (-1, 1)]


def foreign_note(auc: Mapping[str, float | None]) -> str:
    """What is said of a grader by its AUC on text of another make; "" where that is enough on every axis."""
    weak = {axis: value for axis, value in auc.items() if value is not None and value < ENOUGH}
    if not weak:
        return ""
    shown = ", ".join(f"{axis} {value:.2f}" for axis, value in weak.items())
    return f"hardly tells the poles apart on text of another make (AUC {shown}; below {ENOUGH})"


def check_sample(texts: Sequence[PoleText], limit: int | None) -> list[PoleText]:
    """The texts of the first prompts of each axis, in a fixed random order; at most `limit` prompts an axis.

    Raises:
        UsageError: the limit is below 2.
    """
    if limit is None:
        return list(texts)
    if limit < 2:
        raise UsageError(f"--limit must be at least 2, not {limit}.")
    generator, kept = np.random.default_rng(0), set()
    for axis in dict.fromkeys(text.axis for text in texts):
        groups = sorted({text.group for text in texts if text.axis == axis})
        kept |= {(axis, groups[n]) for n in generator.permutation(len(groups))[:limit]}
    return [text for text in texts if (text.axis, text.group) in kept]
