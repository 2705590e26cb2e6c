"""What published rates allow to say: whether they are one, and how far each lies from the baseline; unpaired."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import sqrt
from typing import Any

from lapd.compare.rows import ADAPTER
from lapd.compare.verdicts import ALPHA, CHANGED, POINTS_MARGIN, SAME, UNTOLD
from lapd.errors import UnknownNameError
from lapd.published.reading import Published
from lapd.report.labels import number, p_value
from lapd.statistics.limits import CEILING, FLOOR, NEARLY
from lapd.statistics.paired import POWER
from lapd.statistics.rates import Homogeneity, homogeneity, rate_difference, wilson
from lapd.statistics.tests import holm

TEST = "two proportions, unpaired"

SAID = {CHANGED: "changed", SAME: "did not change beyond the margin", UNTOLD: "cannot be told"}

CONSERVATIVE = (
    "Unpaired, since nothing is known item by item: where the arms answered the same items, intervals and p are too "
    "large rather than too small."
)
ONE_TRAINING = (
    "Items vary here, trainings do not: of one training an arm, nothing is said about what another one would do."
)


@dataclass(frozen=True)
class Rate:
    """One arm's rate, and how far it lies from the baseline's; shares of 1. The baseline's own row has no difference.

    Attributes:
        benchmark: what the rate is of; "" in a file of one.
        arm: the arm's name.
        baseline: what it is compared with; None in the baseline's own row.
        n: the sample's size.
        successes: how many said yes.
        rate: the share of them.
        rate_low, rate_high: its 95 % interval (Wilson).
        difference: the rate less the baseline's.
        error: the difference's standard error.
        low, high: its 95 % interval (Newcombe).
        p: two-sided, for this row alone.
        p_holm: corrected over all differences of the file (Holm).
        family_size: how many these are.
        detectable: the smallest difference that would have shown after the correction (80 % power).
        margin: a difference within it makes no odds.
        p_margin: that of two one-sided tests that the difference lies within the margin.
        verdict: "changed", "no change beyond the margin" or "cannot tell".
        why: "ceiling" or "floor" where it cannot be told since nearly all items have one value in both arms.
        test: what gave p.
        scope: "adapter": the statement is about these arms as they are, not about trainings.
    """

    benchmark: str
    arm: str
    baseline: str | None
    n: int
    successes: int
    rate: float
    rate_low: float
    rate_high: float
    difference: float | None = None
    error: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_holm: float | None = None
    family_size: int | None = None
    detectable: float | None = None
    margin: float | None = None
    p_margin: float | None = None
    verdict: str | None = None
    why: str = ""
    test: str = TEST
    scope: str = ADAPTER


@dataclass(frozen=True)
class Reanalysis:
    """What published rates allow to say.

    Attributes:
        rows: each arm's rate on each benchmark.
        tests: for each benchmark, whether all of its rates are one, corrected over the benchmarks (Holm).
        sentences: what was found, a sentence or more for each benchmark.
        notes: what a reader has to know of it.
    """

    rows: list[Rate]
    tests: dict[str, tuple[Homogeneity, float]]
    sentences: list[str]
    notes: list[str]

    def as_json(self) -> dict[str, Any]:
        """Everything, as JSON can carry it."""
        arms = {table: sum(row.benchmark == table for row in self.rows) for table in self.tests}
        return {
            "design": "unpaired",
            "chi_square": [
                {"benchmark": table, "arms": arms[table], **asdict(test), "p_holm": adjusted}
                for table, (test, adjusted) in self.tests.items()
            ],
            "rows": [asdict(row) for row in self.rows],
            "sentences": self.sentences,
            "notes": self.notes,
        }


def reanalyse(published: Sequence[Published], baseline: str | None = None, margin: float | None = None) -> Reanalysis:
    """Compare published rates with the baseline's, and test whether they are one.

    Args:
        published: the rates.
        baseline: the arm that others are compared with; None for the one that is marked, else the one that is called
            base or baseline, else the first.
        margin: a difference within it makes no odds, in percentage points; 5 by default.

    Raises:
        UnknownNameError: a benchmark has no arm called `baseline`.
    """
    tables: dict[str, list[Published]] = {}
    for one in published:
        tables.setdefault(one.table, []).append(one)
    within = (POINTS_MARGIN if margin is None else margin) / 100
    compared = [(one, base) for arms in tables.values() for base in [_baseline(arms, baseline)] for one in arms]
    plain = [rate_difference(one.successes, one.n, base.successes, base.n).p for one, base in compared if one != base]
    adjusted = iter(holm(plain))
    rows = [_row(one) if one == base else _row(one, base, next(adjusted), len(plain), within) for one, base in compared]
    tests = {
        table: homogeneity([one.successes for one in arms], [one.n for one in arms]) for table, arms in tables.items()
    }
    corrected = dict(zip(tests, holm([test.p for test in tests.values()]), strict=True))
    sentences = [
        sentence
        for table, test in tests.items()
        for sentence in _sentences(table, [row for row in rows if row.benchmark == table], test)
    ]
    together = {table: (test, corrected[table]) for table, test in tests.items()}
    return Reanalysis(rows, together, sentences, [*_unlikely(published), CONSERVATIVE, ONE_TRAINING])


def _baseline(arms: Sequence[Published], name: str | None) -> Published:
    by_name = {one.name: one for one in arms}
    if name is not None:
        if name not in by_name:
            where = f"arm of {arms[0].table}" if arms[0].table else "arm"
            raise UnknownNameError(where, name, by_name, f"There are: {', '.join(by_name)}.")
        return by_name[name]
    marked = [one for one in arms if one.baseline] or [one for one in arms if one.name.lower() in ("base", "baseline")]
    return (marked or list(arms))[0]


def _row(
    one: Published, base: Published | None = None, adjusted: float = 1.0, family: int = 0, margin: float = 0.0
) -> Rate:
    """An arm's row; without `base` that of the baseline itself."""
    low, high = wilson(one.successes, one.n)
    of_arm = (one.n, one.successes, one.successes / one.n, low, high)
    if base is None:
        return Rate(one.table, one.name, None, *of_arm)
    found = rate_difference(one.successes, one.n, base.successes, base.n)
    error = _some_error(one, base)
    p_margin = _within(found.difference, error, margin)
    limit = "" if adjusted < ALPHA else _limit(one, base)
    verdict = CHANGED if adjusted < ALPHA else SAME if p_margin < ALPHA and not limit else UNTOLD
    more: Mapping[str, Any] = {
        **asdict(found),
        "p_holm": adjusted,
        "family_size": family,
        "detectable": _detectable(error, ALPHA / family),
        "margin": margin,
        "p_margin": p_margin,
        "verdict": verdict,
        "why": limit,
    }
    return Rate(one.table, one.name, base.name, *of_arm, **more)


def _limit(one: Published, base: Published) -> str:
    shares = [arm.successes / arm.n for arm in (one, base)]
    return CEILING if min(shares) >= NEARLY else FLOOR if max(shares) <= 1 - NEARLY else ""


def _some_error(one: Published, base: Published) -> float:
    """The difference's standard error with two more items in each arm, of which one says yes: it is never 0.

    Agresti and Caffo (The American Statistician 2000, 54:280).
    """
    shares = [((arm.successes + 1) / (arm.n + 2), arm.n + 2) for arm in (one, base)]
    return sqrt(sum(share * (1 - share) / n for share, n in shares))


def _detectable(error: float, alpha: float) -> float:
    from scipy.special import ndtri

    return error * float(ndtri(1 - alpha / 2) + ndtri(POWER))


def _within(difference: float, error: float, margin: float) -> float:
    """The larger p of two one-sided z tests that the difference lies within the margin of 0."""
    from scipy.special import ndtr

    return float(ndtr((abs(difference) - margin) / error))


def _sentences(table: str, rows: Sequence[Rate], test: Homogeneity) -> list[str]:
    where, base = f"{table}: " if table else "", next(row for row in rows if row.difference is None)
    p = p_value(test.p)
    said = f"p < {p[1:]}" if p.startswith("<") else f"p = {p}"
    alike = "are not one" if test.p < ALPHA else "are not told apart"
    first = f"{where}the {len(rows)} rates {alike}: chi-square {test.statistic:.1f} on {test.df} df, {said}."
    lines = [first[:1].upper() + first[1:] if not table else first]
    for verdict, words in SAID.items():
        some = [_amount(row) for row in rows if row.verdict == verdict]
        if some:
            lines.append(f"{where}Against {base.arm}, {words}: {'; '.join(some)}.")
    return lines


def _amount(row: Rate) -> str:
    assert row.difference is not None and row.low is not None and row.high is not None, "not the baseline's"
    numbers = [number(100 * value, 1) for value in (row.low, row.high)]
    limit = f" (at a {row.why})" if row.why else ""
    return f"{row.arm} {number(100 * row.difference, 1, signed=True)} points [{', '.join(numbers)}]{limit}"


def _unlikely(published: Sequence[Published]) -> list[str]:
    """A line for the rates that no whole number of n has."""
    odd = [f"{one.printed} of {one.n} for {one.name} in line {one.line}" for one in published if not one.whole]
    if not odd:
        return []
    took = "the nearest one is taken; rate or n may be another"
    return [f"No whole number of n is the rate that is printed: {', '.join(odd)}; {took}."]
