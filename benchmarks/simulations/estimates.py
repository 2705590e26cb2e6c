"""Whether power is as foretold, and whether designs estimate what is there: the factorial, opposites."""

from __future__ import annotations

from itertools import combinations, product
from typing import Any

import numpy as np
from scipy.linalg import null_space

from lapd.designs.factorial import HIGHER, Model
from lapd.statistics.crossed import spread_of
from lapd.statistics.paired import paired_difference
from lapd.statistics.power import detectable, detectable_adapter, detectable_share
from lapd.statistics.spread import Spread
from simulations.coverage import contrast, outcomes
from simulations.values import ITEMS, REST, batches, made

FORETOLD = 0.8

Row = dict[str, Any]


def power(samples: int, seed: int = 7) -> list[Row]:
    """Where the change is the smallest that `lapd.statistics.power` says would show in 80 %: how often it shows."""
    rng = np.random.default_rng(seed)
    rows: list[Row] = []
    for n, seeds, between in ((80, 3, 0.1), (171, 2, 0.1), (171, 5, 0.2), (700, 3, 0.0), (700, 10, 0.2)):
        change = detectable(n, seeds, ITEMS, between, rest_sd=REST)
        shown = []
        for size in batches(samples, n, seeds):
            estimate, spread = contrast(made("normal", (size, n, seeds), between, rng).values)
            shown.append(spread.tail(np.abs(estimate + change)) < 0.05)
        rows.append(_power("training", np.concatenate(shown), change, n=n, seeds=seeds, between=between))
    for n in (80, 700):
        change = detectable_adapter(n, np.hypot(ITEMS, REST))
        drawn = made("normal", (samples, n, 1), 0.0, rng).values[:, :, 0] + change
        rows.append(_power("adapter", np.array([_is_told(x, np.zeros(n)) for x in drawn]), change, n=n))
    for n, discordant in ((80, 0.2), (171, 0.1), (700, 0.3)):
        change = detectable_share(n, discordant)
        gained, lost = (discordant + change) / 2, (discordant - change) / 2
        tables, times = np.unique(
            rng.multinomial(n, (gained, lost, 1 - discordant), samples), axis=0, return_counts=True
        )
        told = [_is_told(*outcomes(n, up, down)) for up, down, _ in tables.tolist()]
        rows.append(_power("yes/no", np.repeat(told, times), change, n=n, discordant=discordant))
    return rows


def _power(of: str, shown: np.ndarray, change: float, **plan: float) -> Row:
    return {"of": of, **plan, "change": change, "foretold": FORETOLD, "simulated": float(np.mean(shown))}


def _is_told(arm: np.ndarray, baseline: np.ndarray) -> bool:
    return paired_difference(arm, baseline).p < 0.05


def factorial(samples: int, seed: int = 8) -> list[Row]:
    """Sixteen adapters, and half of them: each term's bias in standard errors of its mean, and its coverage."""
    every = np.array(list(product((1.0, -1.0), repeat=4)))
    half = every[every.prod(axis=1) > 0]
    rng = np.random.default_rng(seed)
    return [
        *_terms("sixteen", every, True, samples, rng),
        *_terms("half of them", half, False, samples, rng),
    ]


def _terms(name: str, poles: np.ndarray, two: bool, samples: int, rng: np.random.Generator) -> list[Row]:
    pairs = list(combinations(range(4), 2)) if two else []
    terms = ("training", *"ABCD", *(f"{'ABCD'[a]} x {'ABCD'[b]}" for a, b in pairs))
    columns = np.hstack([np.ones((len(poles), 1)), poles, *(poles[:, [a]] * poles[:, [b]] for a, b in pairs)])
    model = Model(tuple("ABCD"), terms, columns, (1,) * len(poles), HIGHER, len(poles) - columns.shape[1])
    coefficients = np.array([0.1, 0.1, -0.05, 0.0, 0.025, *(0.025 * (-1) ** np.arange(len(pairs)))])
    shares = [model.share(term) for term in range(len(terms))]
    means, scatter = columns @ coefficients, null_space(model.unscattered.T)
    told: list[list[tuple[np.ndarray, Spread]]] = [[] for _ in terms]
    n = 171
    for size in batches(samples, n, len(poles)):
        values = made("normal", (size, n, len(poles)), 0.1, rng).values + means
        for of, share in zip(told, shares, strict=True):
            of.append(spread_of(values, share, scatter, np.arange(n)))
    # An axis's effect is its first pole's mean less its second's: twice the coefficient.
    truths = coefficients * np.where(np.arange(len(terms)) == 0, 1, 2)
    return [_bias({"design": name, "of": of}, *found) for of, *found in zip(terms, told, truths, strict=True)]


def opposites(samples: int, seed: int = 9) -> list[Row]:
    """A persona and its opposite, two trainings each: what turned with the persona, and what both have in common."""
    rng = np.random.default_rng(seed)
    trait, training, n = 0.3, -0.1, 171
    design = np.repeat(np.eye(2), 2, axis=0)
    rows = []
    for of, weights, truth in (("trait", (0.5, -0.5), trait), ("training", (0.5, 0.5), training)):
        told = []
        for size in batches(samples, n, 4):
            values = made("normal", (size, n, 4), 0.1, rng).values + training + trait * np.array([1, 1, -1, -1])
            told.append(spread_of(values, np.repeat(weights, 2) / 2, null_space(design.T), np.arange(n)))
        rows.append(_bias({"design": "opposites", "of": of}, told, truth))
    return rows


def _bias(row: Row, told: list[tuple[np.ndarray, Spread]], truth: float) -> Row:
    estimates = np.concatenate([estimate for estimate, _ in told])
    covered = np.concatenate([spread.tail(np.abs(estimate - truth)) >= 0.05 for estimate, spread in told])
    bias = float(estimates.mean() - truth)
    error = float(estimates.std(ddof=1) / np.sqrt(len(estimates)))
    return {**row, "truth": truth, "bias": bias, "bias_in_errors": bias / error, "coverage": float(covered.mean())}
