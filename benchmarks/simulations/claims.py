"""How often something is claimed that is not so: families of tests, McNemar's two p values, equivalence."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import stdtr
from scipy.stats import binom

from lapd.statistics.paired import paired_difference
from lapd.statistics.spread import Spread
from lapd.statistics.tests import holm, mid_p, sign_test
from simulations.coverage import contrast, joined, outcomes
from simulations.values import batches, made

ARMS = 16

TASKS = ((80, "rate .5"), (64, "normal"), (171, "skewed"), (300, "heavy-tailed"), (700, "rate .1"))
"""Items and kind of values of each task."""

Row = dict[str, Any]


def family_error(samples: int, seeds: tuple[int, ...], spreads: tuple[float, ...], seed: int = 5) -> list[Row]:
    """In a family of 16 arms x 5 tasks without any effect: how often is there a claim after Holm's correction?

    Each arm's trainings have a direction of their own on each task. `items_alone` takes them for fixed, as a statement
    about an adapter does; `satterthwaite` is Student's t with Satterthwaite's degrees of freedom.
    """
    return [_family(samples, of, between, seed) for of in seeds for between in spreads]


def _family(samples: int, seeds: int, between: float, seed: int) -> Row:
    rng = np.random.default_rng([seed, seeds, round(100 * between)])
    found: dict[str, list[np.ndarray]] = {"family_error": [], "satterthwaite": [], "items_alone": []}
    for n, kind in TASKS:
        off, spreads, alone = [], list[Spread](), []
        for size in batches(samples * ARMS, n, seeds):
            drawn = made(kind, (size, n, seeds), between, rng)
            estimate, spread = contrast(drawn.values, drawn.yes)
            off.append(np.abs(estimate - drawn.truth))
            spreads.append(spread)
            alone.append(drawn.values.mean(axis=-1).std(axis=-1, ddof=1) / np.sqrt(n))
        distance, spread = np.concatenate(off), joined(spreads)
        for name, p in (
            ("family_error", spread.tail(distance)),
            ("satterthwaite", 2 * stdtr(spread.satterthwaite(), -distance / spread.error)),
            ("items_alone", 2 * stdtr(n - 1, -distance / np.concatenate(alone))),
        ):
            found[name].append(p.reshape(samples, ARMS))
    claims = {name: [min(holm(family)) < 0.05 for family in np.hstack(p).tolist()] for name, p in found.items()}
    return {"seeds": seeds, "between": between, **{name: float(np.mean(made)) for name, made in claims.items()}}


def mcnemar_error(sizes: tuple[int, ...] = (20, 50, 80, 171)) -> list[Row]:
    """The error of McNemar's exact p and mid-p, summed over all tables, at 5 % and at an eightieth of that.

    `changing` is the share of the items that differ between the arms: half of them in either direction.
    """
    rows = []
    for level in (0.05, 0.05 / 80):
        shown = {test: _shown(test, max(sizes), level) for test in (sign_test, mid_p)}
        for n in sizes:
            for changing in (0.1, 0.2, 0.4, 0.6, 0.9):
                chance = binom.pmf(np.arange(n + 1), n, changing)
                exact, mid = (float(chance @ shown[test][: n + 1]) for test in (sign_test, mid_p))
                rows.append({"n": n, "changing": changing, "level": level, "exact": exact, "mid_p": mid})
    return rows


def _shown(test: Any, most: int, level: float) -> np.ndarray:
    """[0 .. most] given that so many items changed: the chance of a p below the level, without an effect."""
    return np.array(
        [
            sum(binom.pmf([k for k in range(changed + 1) if test(k, changed - k) < level], changed, 0.5), 0.0)
            for changed in range(most + 1)
        ]
    )


def equivalence_error(samples: int, seed: int = 6) -> list[Row]:
    """How often "no change beyond the margin" is said of a change that is just as large as the margin."""
    rng = np.random.default_rng(seed)
    numbers = made("normal", (samples, 80, 1), 0.0, rng).values[:, :, 0] + 0.15
    tables = rng.multinomial(171, (0.1, 0.05, 0.85), samples)
    kinds, times = np.unique(tables, axis=0, return_counts=True)
    shares = [paired_difference(*outcomes(171, up, down)).equivalence(0.05) < 0.05 for up, down, _ in kinds.tolist()]
    estimate, spread = contrast(made("normal", (samples, 171, 5), 0.1, rng).values)
    margin = 0.25
    inside = np.abs(estimate + margin) < margin
    trainings = inside & (spread.tail(np.abs(estimate + margin) - margin) / 2 < 0.05)
    return [
        {"of": "numbers", "error": float(np.mean([_same(values, 0.15) for values in numbers]))},
        {"of": "yes/no", "error": float(np.dot(shares, times) / samples)},
        {"of": "trainings", "error": float(np.mean(trainings))},
    ]


def _same(values: np.ndarray, margin: float) -> bool:
    return paired_difference(values, np.zeros(len(values))).equivalence(margin) < 0.05
