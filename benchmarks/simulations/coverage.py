"""How often 95 % intervals cover the truth, of statements about this adapter and about this training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.linalg import null_space
from scipy.special import stdtrit

from lapd.statistics.crossed import spread_of
from lapd.statistics.paired import paired_difference
from lapd.statistics.spread import Spread
from simulations.values import KINDS, batches, made, standard

SIZES, SEEDS, BETWEEN = (80, 171, 700, 1954), (2, 3, 5, 10), (0.0, 0.1, 0.2, 0.5)

Row = dict[str, Any]


def of_trainings(
    samples: int,
    sizes: tuple[int, ...],
    kinds: tuple[str, ...],
    seeds: tuple[int, ...] = SEEDS,
    spreads: tuple[float, ...] = BETWEEN,
    seed: int = 1,
) -> list[Row]:
    """By items, seeds, kind of values and spread between trainings: coverage of LAPD's interval, and of two others.

    `items_alone` is the interval that takes trainings for fixed, `satterthwaite` Student's t with Satterthwaite's
    degrees of freedom.
    """
    return [
        row
        for n in sizes
        for kind in kinds
        for between in spreads
        for row in _cells(samples, n, kind, between, seeds, np.random.default_rng([seed, n, round(100 * between)]))
    ]


def _cells(
    samples: int, n: int, kind: str, between: float, of: tuple[int, ...], rng: np.random.Generator
) -> Iterator[Row]:
    """The rows of one kind of values, by trainings: fewer are the first of the most."""
    found: dict[int, list[tuple[np.ndarray, Spread, np.ndarray]]] = {seeds: [] for seeds in of}
    truth = 0.0
    for size in batches(samples, n, max(of)):
        drawn = made(kind, (size, n, max(of)), between, rng)
        truth = drawn.truth
        for seeds in of:
            values = drawn.values[:, :, :seeds]
            alone = values.mean(axis=-1).std(axis=-1, ddof=1) / np.sqrt(n)
            found[seeds].append((*contrast(values, drawn.yes), alone))
    for seeds, parts in found.items():
        estimate = np.concatenate([part[0] for part in parts])
        spread = joined([part[1] for part in parts])
        off = np.abs(estimate - truth)
        known = spread.error > 0
        alone = np.concatenate([part[2] for part in parts]) * stdtrit(n - 1, 0.975)
        yield {
            "n": n,
            "seeds": seeds,
            "values": kind,
            "between": between,
            "coverage": float(np.mean((spread.tail(off) >= 0.05) | ~known)),
            "satterthwaite": float(np.mean(off <= spread.error * stdtrit(spread.satterthwaite(), 0.975))),
            "items_alone": float(np.mean(off <= alone)),
        }


def contrast(values: np.ndarray, yes: float = 0.0) -> tuple[np.ndarray, Spread]:
    """[..., items, trainings] of one group: its mean, and what is known of that."""
    seeds = values.shape[-1]
    share, scatter = np.full(seeds, 1 / seeds), null_space(np.ones((1, seeds)))
    return spread_of(values, share, scatter, np.arange(values.shape[-2]), yes, yes)


def joined(spreads: list[Spread]) -> Spread:
    """Several arrays of spreads as one."""
    items, items_df, trainings = (
        np.concatenate([getattr(spread, name) for spread in spreads]) for name in ("items", "items_df", "trainings")
    )
    return Spread(items, items_df, trainings, spreads[0].trainings_df)


def of_adapters(samples: int, sizes: tuple[int, ...], kinds: tuple[str, ...], seed: int = 2) -> list[Row]:
    """By items and kind of values: how often the paired interval of one adapter covers its own true shift."""
    rows = []
    for n in sizes:
        for kind in kinds:
            rng = np.random.default_rng([seed, n, KINDS.index(kind)])
            covered = [found for size in batches(samples, n, 1) for found in _adapter(kind, size, n, rng)]
            rows.append({"n": n, "values": kind, "coverage": float(np.mean(covered))})
    return rows


def _adapter(kind: str, samples: int, n: int, rng: np.random.Generator) -> Iterator[bool]:
    """Whether each of several samples' intervals covers; of yes/no outcomes, with a change of a fifth of the rate."""
    if not kind.startswith("rate"):
        for values in made(kind, (samples, n, 1), 0.0, rng).values[:, :, 0]:
            result = paired_difference(values, np.zeros(n))
            yield result.low <= 0 <= result.high
        return
    gained, lost = 0.24 * float(kind.split()[1]), 0.04 * float(kind.split()[1])
    counts = rng.multinomial(n, (gained, lost, 1 - gained - lost), samples)
    tables, times = np.unique(counts, axis=0, return_counts=True)
    for (up, down, _), many in zip(tables.tolist(), times.tolist(), strict=True):
        result = paired_difference(*outcomes(n, up, down))
        yield from [result.low <= gained - lost <= result.high] * many


def outcomes(n: int, gained: int, lost: int) -> tuple[np.ndarray, np.ndarray]:
    """Two arms of n yes/no outcomes of which so many differ."""
    arm, baseline = np.zeros(n), np.zeros(n)
    arm[:gained] = 1
    baseline[gained : gained + lost] = 1
    return arm, baseline


def of_clusters(samples: int, seed: int = 3) -> list[Row]:
    """60 passages of 3 questions each: intervals that know of the passages, and such that do not."""
    rng = np.random.default_rng(seed)
    groups, seeds = np.repeat(np.arange(60), 3), 5
    rows = []
    for kind in ("normal", "skewed"):
        own = 0.3 * rng.standard_normal((samples, 180, 1))
        values = np.repeat(made(kind, (samples, 60, seeds), 0.2, rng).values, 3, axis=1) + own
        share, scatter = np.full(seeds, 1 / seeds), null_space(np.ones((1, seeds)))
        mean, spread = spread_of(values, share, scatter, groups)
        alone = np.repeat(made(kind, (samples, 60, 1), 0.0, rng).values, 3, axis=1) + own
        ends = {
            name: [paired_difference(sample, np.zeros(180), clusters=clusters) for sample in alone[:, :, 0]]
            for name, clusters in (("adapter", groups), ("adapter_without", None))
        }
        covered = {name: float(np.mean([r.low <= 0 <= r.high for r in results])) for name, results in ends.items()}
        rows.append({"values": kind, "training": float(np.mean(spread.tail(np.abs(mean)) >= 0.05)), **covered})
    return rows


def of_few(samples: int, seed: int = 4) -> list[Row]:
    """Few numbers: the coverage of `paired_difference`, BCa beside t where they are skewed, and of t alone."""
    rows = []
    for n in (8, 15, 29):
        for kind in ("normal", "skewed", "heavy-tailed"):
            drawn = standard(kind, (samples, n), np.random.default_rng([seed, n]))
            results = [paired_difference(values, np.zeros(n)) for values in drawn]
            half = drawn.std(axis=1, ddof=1) / np.sqrt(n) * stdtrit(n - 1, 0.975)
            rows.append(
                {
                    "n": n,
                    "values": kind,
                    "coverage": float(np.mean([r.low <= 0 <= r.high for r in results])),
                    "t": float(np.mean(np.abs(drawn.mean(axis=1)) <= half)),
                    "resampled": float(np.mean([r.test != "paired t" for r in results])),
                }
            )
    return rows
