"""What may be said of each row: the family that it is corrected in, and one of three verdicts.

The rule of the families was written down before any result of docs/study.md was looked at. **Confirmatory** is what a
run was made to show: the primary metric of each task that declares one and stands for a trait or a cost, of every arm
that is no control, against its baseline and against its shuffled controls; where adapters were trained again with
other seeds, the statement about the training stands in for those about its single adapters. Everything else is
**exploratory**: other metrics, tasks without a declared primary one, strengths other than an adapter's own, the
controls, what a heuristic counted. So what is looked at beside the confirmatory rows changes nothing in them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from lapd.compare.measured import Measured
from lapd.compare.rows import Comparison
from lapd.errors import UsageError
from lapd.statistics.tests import benjamini_hochberg, holm

ALPHA = 0.05

CONFIRMATORY, EXPLORATORY = "confirmatory", "exploratory"

CHANGED, SAME, UNTOLD = "changed", "no change beyond the margin", "cannot tell"

POINTS_MARGIN = 5.0
"""The margin of shares and points, in percentage points, where nothing else is said: half of a tenth of the scale."""

NATS_MARGIN = 1.0
"""That of log-odds and log-likelihoods: the odds change by less than a factor of e."""

SPREAD_MARGIN = 0.2
"""That of other metrics, in standard deviations between the baseline's items: a small effect in the convention of Cohen
(Statistical Power Analysis for the Behavioral Sciences, 1988, section 2.2)."""

Margins = Mapping[str, float]
"""Margins in the unit in which a table shows a difference, by task, metric or family; "" for all others."""


def settle(rows: Sequence[Comparison], measured: Measured, margins: Margins | None = None) -> None:
    """Give each row its family, its corrected p, its margin and its verdict.

    Args:
        rows: all of a run.
        measured: the run.
        margins: instead of those of the tasks' metadata.

    Raises:
        UsageError: a margin is of nothing that was measured, or is not above 0.
    """
    _check(margins or {}, rows, measured)
    confirmed = {id(row) for row in _confirmatory(rows, measured)}
    for row in rows:
        row.family = CONFIRMATORY if id(row) in confirmed else EXPLORATORY
    members = {name: [row for row in rows if row.family == name] for name in (CONFIRMATORY, EXPLORATORY)}
    for row, adjusted in _adjusted(members[CONFIRMATORY], holm):
        row.p_holm = adjusted
    for row, adjusted in _adjusted(members[EXPLORATORY], benjamini_hochberg):
        row.q = adjusted
    for row in rows:
        row.family_size = len(members[row.family])
        row.margin = margin_of(row, measured, margins or {})
        if row.told:
            # Holm asks that much of its first; what false discovery asks is known when all others are.
            row.detectable = row.told.detectable(ALPHA / row.family_size if row.family == CONFIRMATORY else ALPHA)
            row.p_margin = row.told.equivalence(row.margin) if row.margin else None
        row.verdict, row.why = _verdict(row)
        row.items_needed = _items_needed(row)


def _adjusted(rows: list[Comparison], adjust: object) -> Iterable[tuple[Comparison, float]]:
    return zip(rows, adjust([row.p for row in rows]) if rows else [], strict=True)  # type: ignore[operator]


def adjusted(row: Comparison) -> float:
    """The row's p after the correction of its family: Holm's, or Benjamini and Hochberg's q."""
    found = row.p_holm if row.p_holm is not None else row.q
    return row.p if found is None else found


def _confirmatory(rows: Sequence[Comparison], measured: Measured) -> list[Comparison]:
    """The rows that a run was made to show; see the head of the module."""
    chosen = [row for row in rows if _may_confirm(row, measured)]
    of_trainings = {
        (arm, baseline, row.task, row.metric)
        for row in chosen
        if row.scope == "training"
        for arm in row.arms
        for baseline in row.baselines
    }
    return [
        row
        for row in chosen
        if row.scope == "training" or (row.arm, row.baseline, row.task, row.metric) not in of_trainings
    ]


def _may_confirm(row: Comparison, measured: Measured) -> bool:
    info = measured.infos[row.task]
    if not row.primary or info.primary is None or row.side not in ("trait", "cost") or row.heuristic:
        return False
    arm, baseline = measured.arms[row.arms[0]], measured.arms[row.baselines[0]]
    if arm.get("adapter_control") or not _own_strength(arm):
        return False
    control = str(baseline.get("adapter_control") or "")
    return not baseline["adapter"] or control.partition("-")[0] == "shuffled"


def _own_strength(arm: Mapping[str, object]) -> bool:
    adapter = arm["adapter"]
    return not isinstance(adapter, Mapping) or adapter.get("strength", 1) == 1


def _check(margins: Margins, rows: Sequence[Comparison], measured: Measured) -> None:
    known = {"", *(row.task for row in rows), *(row.metric for row in rows)}
    known |= {measured.infos[row.task].family(row.metric)[0] for row in rows}
    for name, value in margins.items():
        if name not in known:
            raise UsageError(f"There is a margin for {name!r}, which this run has not measured.", "See `lapd compare`.")
        if not 0 < value < math.inf:
            raise UsageError(f"A margin must be above 0, not {value:g}.", "Such as --margin acc=3.")


def margin_of(row: Comparison, measured: Measured, given: Margins) -> float | None:
    """The margin in the row's own unit; None for rows that have none, as shares of items that moved."""
    if row.special:
        return None
    info = measured.infos[row.task]
    family = row.metric.removesuffix("_towards") if row.persona else info.family(row.metric)[0]
    names = (row.metric, family, row.task)
    own = next((margins[n] for margins in (given, info.margins) for n in names if n in margins), given.get(""))
    scale = 100 if row.unit == "share" else 1
    if own is not None:
        return own / scale
    if row.unit in ("share", "percent", "points"):
        return POINTS_MARGIN / scale
    if row.unit == "nats":
        return NATS_MARGIN
    return SPREAD_MARGIN * row.spread if row.spread else None


def _verdict(row: Comparison) -> tuple[str, str]:
    """The verdict, and why it cannot be told where that is not for want of items."""
    if adjusted(row) < ALPHA:
        bounds = (row.worst, row.best)
        if row.missing and None not in bounds and min(bounds) <= 0 <= max(bounds):  # type: ignore[type-var, operator]
            return UNTOLD, "missing"
        return CHANGED, ""
    if row.limit:
        return UNTOLD, row.limit
    if row.p_margin is not None and row.p_margin < ALPHA:
        return SAME, ""
    return UNTOLD, ""


def _items_needed(row: Comparison) -> int | None:
    """How many items would show a change as large as the margin; None where items do not settle it."""
    if row.verdict != UNTOLD or row.why or row.scope != "adapter" or not row.margin:
        return None
    if not math.isfinite(row.detectable):
        return None
    return max(row.n + 1, math.ceil(row.n * (row.detectable / row.margin) ** 2))
