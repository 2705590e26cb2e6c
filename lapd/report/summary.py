"""What moved and what did not, in sentences made from the rows of `compare_run`, whatever tasks and arms there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lapd.compare.comparisons import Comparison
from lapd.report.labels import (
    comparisons,
    family,
    is_share_moved,
    moved,
    number,
    phrase,
    shown,
    unit_of_difference,
)

DOES = "what the model does"
SAYS = "what the model says of itself"

FEW = 3
"""So many still metrics are given with their numbers; more are only named."""


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
        return phrase(family(self.row))


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
class Summary:
    """One comparison in words.

    Attributes:
        arm: the arm's name.
        baseline: what it is compared with.
        text: what moved and what did not.
        contradiction: that saying is not doing, where the two differ; else "".
    """

    arm: str
    baseline: str
    text: str
    contradiction: str


def summaries(rows: list[Comparison]) -> list[Summary]:
    """Each comparison in words, arms without a prompt first."""
    return [
        Summary(arm, baseline, " ".join(_sentences(group)), contradiction(group))
        for (arm, baseline), group in comparisons(rows).items()
    ]


def contradiction(rows: Sequence[Comparison]) -> str:
    """One sentence if saying and doing differ in one comparison, else "".

    Only rows that count towards the persona can differ in this sense: an accuracy that stays where it was says
    nothing about the trait.
    """
    pooled = [claim for claim in claims(rows) if claim.row.persona is not None]
    doing = [claim for claim in pooled if not claim.row.self_report]
    saying = [claim for claim in pooled if claim.row.self_report]
    if not doing or not saying or _directions(doing).keys() == _directions(saying).keys():
        return ""
    return (
        f"Saying is not doing: with {pooled[0].row.arm}, {DOES} {_direction_words(doing)}, "
        f"but {SAYS} {_direction_words(saying)}."
    )


def closing_sentence(rows: list[Comparison]) -> str:
    """What moved in a whole run, and how much did not, in one sentence."""
    parts, still = [], 0
    for (arm, baseline), group in comparisons(rows).items():
        made = claims(group)
        if up := [claim for claim in made if claim.moved]:
            parts.append(f"{arm} against {baseline} moved {_names(up)}")
        still += sum(not claim.moved for claim in made)
    if not parts:
        return f"Nothing moved measurably: none of the {still} metrics compared (p < 0.05 after Holm's correction)."
    rest = f"the other {still} metrics did not move measurably" if still else "no metric stood still"
    return f"{'; '.join(parts)}; {rest}."


def _sentences(rows: list[Comparison]) -> list[str]:
    sentences = []
    for self_report, where in ((False, DOES), (True, SAYS)):
        made = [claim for claim in claims(rows) if claim.row.self_report == self_report]
        up, still = [c for c in made if c.moved], [c for c in made if not c.moved]
        if up:
            sentences.append(f"In {where}, it moved {_join([_moved_text(c) for c in up], '; ', '; and ')}.")
        if still:
            names = _join([_still_text(c) for c in still]) if len(still) <= FEW else _names(still)
            sentences.append(f"{'It' if up else f'In {where}, it'} did not measurably move {names}.")
    return sentences


def _moved_text(claim: Claim) -> str:
    row, share = claim.row, claim.share
    if not moved(row) and share is not None:
        direction = _towards(share.difference, row.persona)
        return (
            f"{claim.name} in {row.task} {direction} on {_share_that_way(share)}, "
            f"though not measurably on average ({_amount(row)})"
        )
    if row.persona is None:
        return f"{claim.name} in {row.task} by {_amount(row)}"
    text = f"{claim.name} in {row.task} by {_amount(row)}, {_towards(row.difference, row.persona)}"
    # A share that points the other way (a few large changes against many small ones) must not pass for support.
    if share is not None and (share.difference > 0) == (row.difference > 0):
        text += f" on {_share_that_way(share)}"
    return text


def _still_text(claim: Claim) -> str:
    return f"{claim.name} in {claim.row.task} ({_amount(claim.row)})"


def _amount(row: Comparison) -> str:
    text = shown(row)
    return f"{text.difference} {unit_of_difference(row)} {text.interval}"


def _share_that_way(share: Comparison) -> str:
    part = share.arm_mean if share.difference > 0 else 1 - share.arm_mean
    return f"{number(100 * part, 0)} % of {share.n} items"


def _towards(difference: float, persona: str | None) -> str:
    return f"towards {persona}" if difference > 0 else f"away from {persona}"


def _directions(made: Sequence[Claim]) -> dict[int, list[Claim]]:
    """The claims by where they moved: 1 towards the persona, -1 away from it, 0 not measurably."""
    groups: dict[int, list[Claim]] = {}
    for claim in sorted(made, key=lambda claim: -claim.direction):
        groups.setdefault(claim.direction, []).append(claim)
    return groups


def _direction_words(made: Sequence[Claim]) -> str:
    """Where all of the claims moved, or which of them moved where."""
    persona = made[0].row.persona
    verbs = {1: f"moved towards {persona}", 0: "did not move measurably", -1: f"moved away from {persona}"}
    groups = _directions(made)
    if len(groups) == 1:
        return verbs[next(iter(groups))]
    return _join([f"{verbs[direction]} on {_names(group)}" for direction, group in groups.items()])


def _names(made: Sequence[Claim]) -> str:
    """The claims' metrics, by task: "log-odds and preference in situations, accuracy in socialiqa_mini"."""
    by_task: dict[str, list[str]] = {}
    for claim in made:
        by_task.setdefault(claim.row.task, []).append(claim.name)
    return _join([f"{_join(names)} in {task}" for task, names in by_task.items()])


def _join(parts: Sequence[str], between: str = ", ", last: str = " and ") -> str:
    """The parts as one phrase: "a, b and c"."""
    *first, final = parts
    return between.join(first) + last + final if first else final
