"""What there is to say of a run's rows, one claim a metric, and what can be said of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lapd.compare.comparisons import Comparison
from lapd.compare.verdicts import SAME
from lapd.report.labels import family, in_words, is_share_moved, moved, stuck


@dataclass(frozen=True)
class Claim:
    """One thing to say: a metric's row and, for metrics with axes, the share of items that moved the same way.

    Attributes:
        row: the mean's comparison.
        share: the share's comparison, or None.
    """

    row: Comparison
    share: Comparison | None

    @property
    def moved(self) -> bool:
        """Whether the mean moved, or the share is told from chance."""
        return self.direction != 0

    @property
    def direction(self) -> int:
        """1 if it moved up (towards the persona, if it counts so), -1 if down, 0 if not measurably."""
        told = self.row if self.share is None or moved(self.row) else self.share
        return 0 if not moved(told) else 1 if told.difference > 0 else -1

    @property
    def name(self) -> str:
        """The metric in words."""
        words = in_words(self.row)
        return f"{words} on {self.row.axis}" if self.row.axis else words


def claims(rows: Sequence[Comparison]) -> list[Claim]:
    """The headline rows, each pooled mean together with its share of items."""
    headline = [row for row in rows if row.headline]
    shares = {(r.arm, r.baseline, r.task, family(r)): r for r in headline if is_share_moved(r)}
    return [
        Claim(r, shares.get((r.arm, r.baseline, r.task, family(r))) if r.persona else None)
        for r in headline
        if not is_share_moved(r)
    ]


@dataclass(frozen=True)
class Findings:
    """Claims by what can be said of them.

    Attributes:
        moved: that changed.
        same: that did not change beyond their margin.
        still: of which that cannot be told.
        stuck: on which nothing could show, since nearly all items have one value in both arms.
        counted: that a heuristic counted, which are never summarised: they say nothing of safety.
    """

    moved: list[Claim]
    same: list[Claim]
    still: list[Claim]
    stuck: list[Claim]
    counted: list[Claim]


def sort_claims(made: Sequence[Claim]) -> Findings:
    """The claims by what can be said of them, each once."""
    counted = [claim for claim in made if claim.row.heuristic]
    told = [claim for claim in made if not claim.row.heuristic]
    limited = [claim for claim in told if not claim.moved and stuck(claim.row)]
    rest = [claim for claim in told if not claim.moved and not stuck(claim.row)]
    same = [claim for claim in rest if claim.row.verdict == SAME]
    still = [claim for claim in rest if claim.row.verdict != SAME]
    return Findings([claim for claim in told if claim.moved], same, still, limited, counted)
