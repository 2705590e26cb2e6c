"""How far an estimate may be off whose variance is a known part and a part that few replicates tell of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

NORMAL = 1e4
"""Student's t with more degrees of freedom is the normal, which takes an eighth of the time."""

Numbers = Any
"""A number, or an array of them that broadcasts with the others."""

NODES = 100
"""Variances between trainings over which the tail is summed up; the sum is smooth in their logarithm."""


@dataclass(frozen=True)
class Spread:
    """The variance of an estimate, or of an array of them: what items add, and what trainings add.

    Attributes:
        items: variance that comes from the choice of items.
        items_df: its degrees of freedom.
        trainings: variance that comes from the trainings, as their spread has it.
        trainings_df: its degrees of freedom: few.

    With few degrees of freedom, Student's t with Satterthwaite's is too sure of itself: two trainings whose results are
    alike by chance pass for trainings that do not differ (95 % intervals cover as little as 87 % with one degree of
    freedom, 92 % with two, and far tails are wrong a hundredfold). The tail here is therefore summed up over the
    variances B that the trainings may truly have. They weigh as the spread seen makes them likely, times
    B^-1 (1 + items/B)^k. With k = 0 this is Behrens and Fisher's solution, which is never too sure (Fisher, Annals of
    Eugenics 1935, 6:391); with k = 1 it has the prior of Ghosh and Kim (Canadian Journal of Statistics 2001, 29:5),
    whose tails are right to the second order in 1/df. `leaning` goes from the one to the other.
    """

    items: Numbers
    items_df: Numbers
    trainings: Numbers
    trainings_df: int

    @property
    def error(self) -> Numbers:
        """The standard error."""
        return np.sqrt(self.items + self.trainings)

    def satterthwaite(self) -> Numbers:
        """Satterthwaite's degrees of freedom (Biometrics Bulletin 1946, 2:110), for comparison."""
        with np.errstate(divide="ignore", invalid="ignore"):
            parts = self.items**2 / self.items_df + self.trainings**2 / self.trainings_df
            return (self.items + self.trainings) ** 2 / parts

    def tail(self, distance: Numbers) -> Numbers:
        """The two-sided p of an estimate that lies this far from the value in question."""
        tails = self._tails(distance)
        low, high = np.full(tails.shape[:-1], -700.0), np.zeros(tails.shape[:-1])  # of ln p
        for _ in range(40):  # more p means more k, and more k a smaller tail: they meet once
            middle = (low + high) / 2
            above = (tails * self._weights(leaning(np.exp(middle), self.trainings_df))).sum(axis=-1) > np.exp(middle)
            low, high = np.where(above, middle, low), np.where(above, high, middle)
        return np.exp(high)

    def half(self, alpha: float) -> Numbers:
        """Half the width of the interval that leaves out `alpha`: the distance whose `tail` is that."""
        from scipy.special import stdtrit

        weights = self._weights(leaning(alpha, self.trainings_df))
        low = np.zeros(np.shape(self.error))
        high = -4 * self.error * stdtrit(np.minimum(self.trainings_df, self.items_df), alpha / 4)
        for _ in range(34):
            middle = (low + high) / 2
            above = (self._tails(middle) * weights).sum(axis=-1) > alpha
            low, high = np.where(above, middle, low), np.where(above, high, middle)
        return high

    def _variances(self) -> np.ndarray:
        """[..., NODES] variances between trainings, evenly spaced in logarithm, over all that can be."""
        f = self.trainings_df
        least, most = -np.log(1 + np.sqrt(200 / f) + 100 / f), min(60.0, 100 / f + np.sqrt(200 / f))
        spaced: np.ndarray = np.asarray(self.trainings)[..., None] * np.exp(np.linspace(least, most, NODES))
        return spaced

    def _weights(self, k: Numbers) -> np.ndarray:
        """[..., NODES] how likely each of them is."""
        f, ratios = self.trainings_df, self._variances()
        seen = np.asarray(self.trainings)[..., None]
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = np.where(seen > 0, ratios / seen, 1.0)
            prior = np.where(seen > 0, np.log1p(np.asarray(self.items)[..., None] / (seen * ratios)), 0.0)
        logs = np.asarray(k)[..., None] * prior - f / 2 * (np.log(ratios) + 1 / ratios)
        weights: np.ndarray = np.exp(logs - logs.max(axis=-1, keepdims=True))
        return weights / weights.sum(axis=-1, keepdims=True)

    def _tails(self, distance: Numbers) -> np.ndarray:
        """[..., NODES] the two-sided tail were that the variance between trainings."""
        from scipy.special import ndtr, stdtr

        items = np.asarray(self.items, float)[..., None]
        total = items + self._variances()
        with np.errstate(divide="ignore", invalid="ignore"):
            df = np.where(items > 0, np.asarray(self.items_df)[..., None] * (total / items) ** 2, np.inf)
            at = -np.abs(distance)[..., None] / np.sqrt(total)
        tails: np.ndarray = 2 * ndtr(at)
        few = df < NORMAL
        tails[few] = 2 * stdtr(df[few], at[few])
        return tails


def leaning(p: Numbers, df: int) -> Numbers:
    """The exponent k at a tail of p: nearer 1 with more degrees of freedom, nearer 0 in a far tail.

    Found by simulation (`benchmarks/statistics.py`): with it, 95 % intervals cover near 95 % whatever the share of the
    two variances, and far tails are not too small, so that corrections for many looks hold.
    """
    from scipy.special import ndtri

    return df / (df + (ndtri(p / 2) / ndtri(0.025)) ** 8)
