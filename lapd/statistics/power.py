"""What a plan would let one see: items and trainings in, the smallest change that shows out, and the reverse.

The tests are those of `crossed` and `paired_difference`; their power is summed up over what the spread of so few
trainings may turn out to be, not read off at its mean.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf, sqrt

import numpy as np

from lapd.statistics.paired import CONFIDENCE, POWER, quantile
from lapd.statistics.spread import Spread

ALPHA = 1 - CONFIDENCE

MOST = 10**7
"""More items or trainings than that are not asked for."""

OUTCOMES, WIDTHS = 400, 24
"""Spreads between trainings that are summed over, each as likely as the other; how many have their width computed."""


def detectable(
    n: int,
    seeds: int,
    between_items_sd: float,
    between_trainings_sd: float,
    alpha: float = ALPHA,
    power: float = POWER,
    *,
    rest_sd: float = 0.0,
    controls: int = 0,
) -> float:
    """The smallest true change that a statement about a training shows at `alpha` with that power, in the values' unit.

    Args:
        n: items (clusters, where they belong together).
        seeds: trainings of the persona.
        between_items_sd: standard deviation of the items' own changes.
        between_trainings_sd: that of trainings' means.
        alpha: two-sided; over the size of the family for what Holm asks of the first.
        power: the chance to show it.
        rest_sd: that of what is left of a value without its item's and its training's part.
        controls: trainings that the persona's are held against; 0 where that is the base.

    Returns:
        Endless with fewer than two trainings of a kind, which leave nothing to tell how far they differ.
    """
    spread = _spread(n, seeds, between_items_sd, between_trainings_sd, rest_sd, controls)
    return inf if spread is None else _least(_power_of(spread, alpha), power, float(spread.error))


def detectable_adapter(n: int, sd: float, alpha: float = ALPHA, power: float = POWER) -> float:
    """The same for a statement about this adapter: n items whose changes have that standard deviation."""
    return sd / sqrt(n) * (quantile(1 - alpha / 2, n - 1) + quantile(power, n - 1)) if n > 1 else inf


def detectable_share(n: int, discordant: float, alpha: float = ALPHA, power: float = POWER) -> float:
    """The same for yes/no outcomes: the smallest difference of two shares that McNemar's exact test shows.

    Args:
        n: items.
        discordant: the share of them that differ between the arms, either way; more where the difference is more.
        alpha: two-sided.
        power: the chance to show it.

    Returns:
        A share of 1; endless where no change in so few items would show.
    """
    found = _least(lambda difference: power_of_share(n, discordant, difference, alpha), power, 1 / n)
    return found if found <= 1 else inf


def items_needed(
    difference: float,
    seeds: int,
    between_items_sd: float,
    between_trainings_sd: float,
    alpha: float = ALPHA,
    power: float = POWER,
    *,
    rest_sd: float = 0.0,
    controls: int = 0,
) -> int | None:
    """How many items show such a change; None where no number does, since trainings differ by too much."""

    def smallest(n: int) -> float:
        more = {"rest_sd": rest_sd, "controls": controls}
        return detectable(n, seeds, between_items_sd, between_trainings_sd, alpha, power, **more)  # type: ignore[arg-type]

    return _fewest(lambda number: smallest(number) <= abs(difference))


def seeds_needed(
    difference: float,
    n: int,
    between_items_sd: float,
    between_trainings_sd: float,
    alpha: float = ALPHA,
    power: float = POWER,
    *,
    rest_sd: float = 0.0,
    controls: int = 0,
) -> int | None:
    """How many trainings show such a change; None where no number does, since the items differ by too much."""

    def smallest(seeds: int) -> float:
        more = {"rest_sd": rest_sd, "controls": controls}
        return detectable(n, seeds, between_items_sd, between_trainings_sd, alpha, power, **more)  # type: ignore[arg-type]

    return _fewest(lambda number: smallest(number) <= abs(difference))


def items_needed_adapter(difference: float, sd: float, alpha: float = ALPHA, power: float = POWER) -> int | None:
    """How many items show such a change of this adapter, whose items' changes have that standard deviation."""
    return _fewest(lambda n: detectable_adapter(n, sd, alpha, power) <= abs(difference))


def items_needed_share(difference: float, discordant: float, alpha: float = ALPHA, power: float = POWER) -> int | None:
    """How many yes/no items show such a difference of shares."""
    return _fewest(lambda n: power_of_share(n, discordant, difference, alpha) >= power)


def power_of_share(n: int, discordant: float, difference: float, alpha: float = ALPHA) -> float:
    """The chance that McNemar's exact test shows a difference of shares, summed over all tables.

    Args:
        n: items.
        discordant: the share of items that differ between the arms; no less than the difference.
        difference: of the two shares.
        alpha: two-sided.
    """
    discordant = min(1.0, max(discordant, abs(difference)))
    if discordant == 0:
        return 0.0
    # How many items change: what lies further from the mean adds less than what a number can hold.
    mean, reach = n * discordant, 9 * sqrt(n * discordant * (1 - discordant)) + 9
    changed = np.arange(max(0, int(mean - reach)), min(n, int(mean + reach)) + 1)
    critical = _critical(changed, alpha / 2)
    gain = (discordant + difference) / (2 * discordant)
    shown = _at_most(critical, changed, gain) + _at_most(critical, changed, 1 - gain)
    return float(_exactly(changed, n, discordant) @ np.minimum(shown, 1.0))


# The binomial distribution out of scipy.special: scipy.stats, which has it ready, takes a second to import.


def _critical(changed: np.ndarray, tail: float) -> np.ndarray:
    """The largest number of losses, or of gains, of so many that has a chance below `tail`; -1 where none has."""
    from scipy.special import bdtrik

    found = np.where(changed > 0, np.floor(bdtrik(tail, np.maximum(changed, 1), 0.5) + 1e-6), 0.0)
    while (too_many := (found >= 0) & (_at_most(found, changed, 0.5) >= tail)).any():
        found -= too_many
    return found


def _at_most(successes: np.ndarray, trials: np.ndarray, rate: float) -> np.ndarray:
    """The chance of so many successes or fewer; 0 for -1, 1 for more than there are trials."""
    from scipy.special import bdtr

    within: np.ndarray = bdtr(np.clip(successes, 0, trials), trials, rate)
    return np.where(successes < 0, 0.0, within)


def _exactly(successes: np.ndarray, trials: int, rate: float) -> np.ndarray:
    """The chance of exactly so many successes."""
    from scipy.special import gammaln, xlog1py, xlogy

    ways = gammaln(trials + 1) - gammaln(successes + 1) - gammaln(trials - successes + 1)
    chance: np.ndarray = np.exp(ways + xlogy(successes, rate) + xlog1py(trials - successes, -rate))
    return chance


def _spread(n: int, seeds: int, items: float, trainings: float, rest: float, controls: int) -> Spread | None:
    """The true variances; None where they could not be told."""
    df = max(0, seeds - 1) + max(0, controls - 1)
    if n < 2 or seeds < 1 or df < 1:
        return None
    weight = 1 / seeds + (1 / controls if controls else 0)
    return Spread(items**2 / n, n - 1, weight * (trainings**2 + rest**2 / n), df)


def _power_of(spread: Spread, alpha: float) -> Callable[[float], float]:
    """The chance that a change shows, by its size."""
    from scipy.special import gammaincinv, ndtr

    df, error = spread.trainings_df, float(spread.error)
    shares = (np.arange(OUTCOMES) + 0.5) / OUTCOMES
    ratios = 2 * gammaincinv(df / 2, shares) / df  # chi-square over its degrees of freedom
    # The width is smooth in the spread's logarithm: a few widths tell the others.
    some = np.geomspace(ratios[0], ratios[-1], WIDTHS)
    widths = Spread(np.full(WIDTHS, spread.items), spread.items_df, spread.trainings * some, df).half(alpha)
    half = np.exp(np.interp(np.log(ratios), np.log(some), np.log(widths)))

    def shown(difference: float) -> float:
        return float(np.mean(ndtr((difference - half) / error) + ndtr((-difference - half) / error)))

    return shown


def _least(shown: Callable[[float], float], power: float, first: float) -> float:
    """The size from which on the chance is that large; endless if it never is."""
    high = first
    while shown(high) < power:
        high *= 2
        if high > first * 2**40:
            return inf
    low = 0.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if shown(middle) >= power else (middle, high)
    return high


def _fewest(enough: Callable[[int], bool]) -> int | None:
    """The least number that is enough; None where none is."""
    if not enough(MOST):
        return None
    low, high = 1, 2
    while not enough(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
