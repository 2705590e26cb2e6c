"""Made-up values of items under several trainings, whose true mean is known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

KINDS = ("normal", "skewed", "heavy-tailed", "rate .03", "rate .1", "rate .3", "rate .5")

ITEMS, REST = 0.5, 0.25
"""Standard deviations of numbers between items, and of what is left without an item's and a training's part. That
between trainings is the simulation's to choose."""

AT_ONCE = 2_000_000
"""Values that are held at once."""


@dataclass(frozen=True)
class Made:
    """Samples of one kind.

    Attributes:
        values: [samples, items, trainings] differences to the base.
        truth: their true mean, over all items and trainings that there could be.
        yes: what "yes" counts in differences of yes/no outcomes; 0 for numbers.
    """

    values: np.ndarray
    truth: float
    yes: float


def batches(samples: int, items: int, trainings: int) -> Iterator[int]:
    """Parts of so many samples that fit into memory."""
    at_once = max(1, AT_ONCE // (items * trainings))
    for start in range(0, samples, at_once):
        yield min(at_once, samples - start)


def made(kind: str, shape: tuple[int, int, int], between: float, rng: np.random.Generator) -> Made:
    """Values of [samples, items, trainings], whose trainings differ by a standard deviation of `between`.

    Numbers are in the unit in which items differ by 0.5. Yes/no outcomes are those of a base and of trainings whose
    log-odds all items share but for their own ease; `between` is then on the scale of log-odds.
    """
    samples, items, trainings = shape
    shifts = between * rng.standard_normal((samples, 1, trainings))
    if not kind.startswith("rate"):
        item = ITEMS * standard(kind, (samples, items, 1), rng)
        return Made(shifts + item + REST * standard(kind, shape, rng), 0.0, 0.0)
    ease = _log_odds(float(kind.split()[1])) + rng.standard_normal((samples, items, 1))
    base = rng.random((samples, items, 1)) < _share(ease)
    # An item's answers under several trainings resemble each other and the base's as far as its ease goes.
    answers = rng.random(shape) < _share(ease + shifts)
    return Made(answers.astype(float) - base, _drift(_log_odds(float(kind.split()[1])), between), 1.0)


def standard(kind: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Numbers of mean 0 and standard deviation 1: normal, exponential, or Student's t with 3 degrees of freedom."""
    if kind == "normal":
        return rng.standard_normal(shape)
    if kind == "skewed":
        return rng.standard_exponential(shape) - 1
    drawn: np.ndarray = rng.standard_normal(shape) / np.sqrt(rng.standard_gamma(1.5, shape) / 1.5) / np.sqrt(3)
    return drawn


def _share(log_odds: np.ndarray) -> np.ndarray:
    shares: np.ndarray = 1 / (1 + np.exp(-log_odds))
    return shares


def _log_odds(share: float) -> float:
    """Around which ease must lie (normal, standard deviation 1) for that share of yes."""
    from scipy.optimize import brentq

    nodes, weights = _normal_nodes()
    return float(brentq(lambda middle: float(_share(middle + nodes) @ weights) - share, -12, 12))


def _drift(middle: float, between: float) -> float:
    """The mean share of yes over all trainings, less the base's: near an end there is more room on one side."""
    nodes, weights = _normal_nodes()
    moved = _share(middle + nodes[:, None] + between * nodes[None, :])
    return float(weights @ moved @ weights - _share(middle + nodes) @ weights)


def _normal_nodes() -> tuple[np.ndarray, np.ndarray]:
    """Places and weights by which a mean over the normal distribution is a sum."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    return nodes, weights / weights.sum()
