"""All that the page shows of a run at a glance, each design computed once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lapd.compare.comparisons import Comparison
from lapd.compare.measured import Measured
from lapd.report.contents import RunContents
from lapd.report.glance.doses import doses
from lapd.report.glance.first import first
from lapd.report.glance.over_steps import over_steps
from lapd.report.glance.said import said
from lapd.report.glance.trained import trained
from lapd.report.limits import badges


def at_a_glance(run: RunContents, measured: Measured, rows: Sequence[Comparison]) -> dict[str, Any]:
    """What the page's templates show, by name; None or empty for what the run does not allow.

    Args:
        run: what it holds.
        measured: the same as comparisons have it.
        rows: its comparisons.
    """
    return {
        "first": first(measured.arms, rows, measured.infos),
        "badges": badges(run, rows),
        "steps": over_steps(measured.arms, rows, measured.infos),
        "dose": doses(measured),
        "trained": trained(measured),
        "said": said(measured),
    }
