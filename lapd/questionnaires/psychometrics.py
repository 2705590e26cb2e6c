"""The statistics of a questionnaire: scores over items, the type as a probability, and how reliable they are.

A score's uncertainty is that of its items: other items of the same kind would have given other scores. Reliability
needs respondents that differ, and here the respondents are the arms of a run; below three nothing is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np

from lapd.statistics.paired import CONFIDENCE

MIDDLE = 50.0
"""The score, from 0 to 100, of somebody at neither pole."""

FEWEST_RESPONDENTS = 3


@dataclass(frozen=True)
class Estimate:
    """Means over items, one for each leading index of the values.

    Attributes:
        mean: in the values' unit.
        error: its standard error; not a number with a single item.
        low: lower end of the 95 % interval.
        high: upper end.
        n: items.
    """

    mean: np.ndarray
    error: np.ndarray
    low: np.ndarray
    high: np.ndarray
    n: int


def estimate(values: np.ndarray) -> Estimate:
    """The mean over items with Student's t interval.

    Args:
        values: [..., n] one value an item.

    Raises:
        ValueError: there are no items.
    """
    from scipy.stats import t

    values = np.asarray(values, float)
    if (n := values.shape[-1] if values.ndim else 0) == 0:
        raise ValueError("there are no items")
    mean = values.mean(-1)
    if n == 1:
        return Estimate(mean, np.full_like(mean, np.nan), np.full_like(mean, -np.inf), np.full_like(mean, np.inf), 1)
    error = values.std(-1, ddof=1) / np.sqrt(n)
    half = float(t.ppf((1 + CONFIDENCE) / 2, n - 1)) * error
    return Estimate(mean, error, mean - half, mean + half, n)


def first_pole(score: Estimate) -> np.ndarray:
    """The probability of an axis's first pole: that the mean over all such items lies above the middle.

    (mean - true mean) / error is taken to follow Student's t with n - 1 degrees of freedom, as for the interval. Where
    all items agree, it is 0 or 1, and one half in the very middle.
    """
    from scipy.stats import t

    distance = np.asarray(score.mean - MIDDLE, float)
    certain = 0.5 * (1 + np.sign(np.where(np.abs(distance) < 1e-9, 0.0, distance)))
    with np.errstate(divide="ignore", invalid="ignore"):
        likely = t.cdf(distance / score.error, max(score.n - 1, 1))
    return np.where(score.error > 1e-9, likely, certain)


def type_probabilities(scores: Mapping[str, Estimate], ends: Mapping[str, tuple[str, str]]) -> dict[str, float]:
    """The probability of each type, a pole on every axis, from the axes' scores; together they come to 1.

    Args:
        scores: by axis.
        ends: the poles of each axis of the questionnaire. A type's name is its poles' codes, one after the other.

    The axes share no item, so a type's probability is the product of its poles'. Empty if an axis has no score, or one
    that rests on a single item.
    """
    if any(axis not in scores or scores[axis].n < 2 for axis in ends):
        return {}
    firsts = [float(first_pole(scores[axis])) for axis in ends]
    between = "" if all(len(pole) == 1 for poles in ends.values() for pole in poles) else " "
    chances = [{first: p, second: 1 - p} for (first, second), p in zip(ends.values(), firsts, strict=True)]
    return {
        between.join(poles): float(np.prod([chance[pole] for chance, pole in zip(chances, poles, strict=True)]))
        for poles in product(*ends.values())
    }


def cronbach_alpha(scores: np.ndarray) -> float | None:
    """Cronbach's alpha (Psychometrika 1951, 16:297), or None where it is not defined.

    Args:
        scores: [respondents, items], keyed to one pole.
    """
    respondents, items = scores.shape
    total = scores.sum(1).var(ddof=1) if respondents >= FEWEST_RESPONDENTS else 0.0
    if items < 2 or total < 1e-12:
        return None
    return float(items / (items - 1) * (1 - scores.var(0, ddof=1).sum() / total))


def split_half(scores: np.ndarray) -> float | None:
    """The correlation of odd with even items, stepped up to the whole length; None where it is not defined.

    2r / (1 + r): Spearman and Brown (British Journal of Psychology 1910, 3:271 and 3:296). Halves that disagree are no
    shorter form of one scale, so an r below 0 is given as it is.

    Args:
        scores: [respondents, items], keyed to one pole.
    """
    if scores.shape[1] < 2:
        return None
    r = correlation(scores[:, ::2].mean(1), scores[:, 1::2].mean(1))
    return r if r is None or r < 0 else 2 * r / (1 + r)


def correlation(x: np.ndarray, y: np.ndarray) -> float | None:
    """Pearson's r of two scores of the same respondents; None below three respondents or without any difference."""
    if len(x) < FEWEST_RESPONDENTS or np.std(x) < 1e-9 or np.std(y) < 1e-9:
        return None
    return float(np.corrcoef(x, y)[0, 1])
