"""How a comparison is worded: metric names, numbers with sensible digits, and whether a row moved."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lapd.compare.comparisons import Comparison
from lapd.compare.rows import TRAINING
from lapd.compare.verdicts import CHANGED, SAME, adjusted
from lapd.names import axis_ends
from lapd.personas import axis_tag

SHORT = {SAME: "no change"}
"""Verdicts that a table has no room for."""

SIDES = {"trait": "bought", "cost": "cost", "check": "checks"}
"""What a task's side is called: what the persona was to change, what that cost, whether either can be trusted."""

MINUS = "−"

PHRASES = {
    "acc": "accuracy",
    "base_logprob": "log-likelihood a token by the base",
    "distinct_2": "distinct 2-grams",
    "acc_norm": "length-normalised accuracy",
    "exact_match": "exact match",
    "log_odds": "log-odds",
    "prefer": "preference",
    "repeated_4grams": "repeated 4-grams",
}
"""Metric names that underscores alone do not make readable."""


def moved(row: Comparison) -> bool:
    """Whether the row's verdict is that it changed."""
    return row.verdict == CHANGED


def verdict(row: Comparison) -> str:
    """The row's verdict in as few words as will do: "changed", "no change", "cannot tell", "at a ceiling"."""
    if row.why == "missing":
        return "too much missing"
    if row.why:
        return "constant" if row.why == "constant" else f"at a {row.why}"
    return SHORT.get(row.verdict, row.verdict)


def is_share_moved(row: Comparison) -> bool:
    """Whether the row is the share of items that moved towards the persona, not a mean."""
    return row.persona is not None and row.metric.endswith("_moved")


def is_diagnostic(row: Comparison) -> bool:
    """Whether the row tells how far its task's other rows can be trusted, such as a position bias."""
    return not row.headline and row.axis is None and row.part is None and row.persona is None


def stuck(row: Comparison) -> bool:
    """Whether the row has no verdict, since nearly all items have one value in both arms and nothing could show."""
    return bool(row.limit) and not moved(row)


def family(row: Comparison) -> str:
    """The metric without what it was pooled over: "log_odds" for log_odds_EI, log_odds_towards, log_odds_moved."""
    if row.persona is not None:
        return row.metric.removesuffix("_towards").removesuffix("_moved")
    if row.axis is not None:
        return row.metric.removesuffix("_" + axis_tag(row.axis))
    return row.metric.removesuffix(f"_{row.part}") if row.part else row.metric


def phrase(metric: str) -> str:
    """A metric or family in words: "log_odds" gives "log-odds", "likelihood_nats" gives "likelihood in nats".

    Where a task has several filters, the name of one is in brackets: "exact match (strict-match)".
    """
    name, _, of_filter = metric.partition(",")
    words = PHRASES.get(name) or name.replace("_nats", " in nats").replace("_", " ")
    return f"{words} ({of_filter})" if of_filter else words


def metric_label(row: Comparison) -> str:
    """The row's metric for a reader: "log-odds, towards INFP", "accuracy", "flagged: self harm"."""
    words = _words(row)
    if is_share_moved(row):
        return f"share of items moved towards {row.persona}, by {words}"
    if row.persona is not None:
        return f"{words}, towards {row.persona}"
    if row.axis is not None:
        return f"{words}, towards {axis_ends(row.axis)[0]} ({row.axis})"
    return f"{words}: {phrase(row.part)}" if row.part else words


def short_label(row: Comparison) -> str:
    """The row's metric and unit in as few letters as will do, for the console."""
    words = _words(row)
    if is_share_moved(row):
        return f"{words}, % moved"
    if row.axis is not None:
        words = f"{words} towards {axis_ends(row.axis)[0]}"
    return words if words.endswith(unit(row)) else f"{words}, {unit(row)}"


def in_words(row: Comparison) -> str:
    """What the row's metric or family is called in a sentence: "log-odds", "grade by reader"."""
    if row.grader:
        return f"{'coherence' if row.metric.endswith('_coherence') else 'grade'} by {row.grader}"
    return phrase(family(row))


def _words(row: Comparison) -> str:
    return in_words(row) + (" (heuristic)" if row.heuristic else "")


def unit(row: Comparison) -> str:
    """What the shown numbers are counted in; shares are shown in per cent. "" where the task does not say."""
    return "%" if row.unit in ("share", "percent") else row.unit


def unit_of_difference(row: Comparison) -> str:
    """What a difference is counted in: that of two shares is in percentage points."""
    return "percentage points" if unit(row) == "%" else row.unit


@dataclass(frozen=True)
class Shown:
    """A row's numbers as text, all with the same decimals, in `unit(row)`.

    Attributes:
        baseline: the baseline's mean.
        arm: the arm's mean.
        difference: with its sign.
        interval: the difference's 95 % interval, such as "[4.0, 6.2]".
        detectable: the smallest difference that would have shown.
        margin: a difference within it makes no odds; "" where there is none.
        p: of the row alone.
        adjusted: after its family's correction: Holm's p, or "q" and the false discovery rate.
        verdict: see `verdict`.
    """

    baseline: str
    arm: str
    difference: str
    interval: str
    detectable: str
    margin: str
    p: str
    adjusted: str
    verdict: str


def shown(row: Comparison) -> Shown:
    """The row's numbers as text."""
    scale = 100 if row.unit == "share" else 1
    low, high = scale * row.low, scale * row.high
    decimals = _decimals((high - low) / 2, scale * row.difference)
    bounded = math.isfinite(low) and math.isfinite(high)
    corrected = p_value(adjusted(row))
    return Shown(
        baseline=number(scale * row.baseline_mean, decimals),
        arm=number(scale * row.arm_mean, decimals),
        difference=number(scale * row.difference, decimals, signed=True),
        interval=f"[{number(low, decimals)}, {number(high, decimals)}]" if bounded else "unbounded",
        detectable=number(scale * row.detectable, decimals),
        margin="" if row.margin is None else number(scale * row.margin, decimals),
        p=p_value(row.p),
        adjusted=corrected if row.q is None else f"q {corrected}",
        verdict=verdict(row),
    )


def number(value: float, decimals: int, signed: bool = False) -> str:
    """`value` with a true minus sign and no negative zero; "n/a" where there is no number."""
    if not math.isfinite(value):
        return "n/a"
    text = f"{abs(value):.{decimals}f}"
    if float(text) == 0:
        return text
    sign = MINUS if value < 0 else "+" if signed else ""
    return sign + text


def p_value(p: float) -> str:
    """A p value with the digits that matter, and without the 0 that is always there: ".012"."""
    if p < 0.001:
        return "<.001"
    text = f"{p:.3f}" if p < 0.1 else f"{p:.2f}"
    return text.removeprefix("0")


def _decimals(half_width: float, difference: float) -> int:
    """1 to 3 decimals, so that the interval's half-width (of none, the difference) keeps one or two digits."""
    size = half_width if math.isfinite(half_width) and half_width > 0 else abs(difference)
    return min(3, max(1, -math.floor(math.log10(size / 2)))) if size > 0 else 1


def comparisons(rows: list[Comparison]) -> dict[tuple[str, str], list[Comparison]]:
    """The rows by (arm, baseline): trainings before adapters, and arms without a prompt first.

    Those show the training and nothing else.
    """
    ordered = sorted(rows, key=lambda row: (row.scope != TRAINING, "+prompt(" in row.arm))
    groups: dict[tuple[str, str], list[Comparison]] = {}
    for row in ordered:
        groups.setdefault((row.arm, row.baseline), []).append(row)
    return groups


def by_task(rows: list[Comparison]) -> dict[str, list[Comparison]]:
    """The rows by task, in order."""
    groups: dict[str, list[Comparison]] = {}
    for row in rows:
        groups.setdefault(row.task, []).append(row)
    return groups
