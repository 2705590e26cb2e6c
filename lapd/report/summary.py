"""What moved and what did not, in sentences made from the rows of `compare_run`, whatever tasks and arms there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lapd.compare.comparisons import Comparison
from lapd.names import axis_ends
from lapd.report.claims import Claim, claims, sort_claims
from lapd.report.labels import comparisons, family, moved, number, phrase, shown, unit, unit_of_difference

DOES = "what the model does"
SAYS = "what the model says of itself"

FEW = 3
"""So many still metrics are given with their numbers; more are only named."""


@dataclass(frozen=True)
class Summary:
    """One comparison in words.

    Attributes:
        arm: the arm's name.
        baseline: what it is compared with.
        text: what moved and what did not.
        contradiction: that saying is not doing, where the two moved in opposite directions; else "".
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
    """One sentence if saying and doing moved in opposite directions in one comparison, else "".

    That one moved measurably and the other did not is no difference between the two: only a test of their difference
    could tell. And only rows that count towards the persona can differ in this sense: an accuracy says nothing about
    the trait.
    """
    pooled = [claim for claim in claims(rows) if claim.row.persona is not None]
    doing = [claim for claim in pooled if not claim.row.self_report]
    saying = [claim for claim in pooled if claim.row.self_report]
    ways = {_way(doing), _way(saying)}
    if ways != {1, -1}:
        return ""
    return (
        f"Saying is not doing: with {pooled[0].row.arm}, {DOES} {_direction_words(doing)}, "
        f"but {SAYS} {_direction_words(saying)}."
    )


def _way(made: Sequence[Claim]) -> int:
    """The one direction in which those of the claims moved that did, in the mean and in the share; else 0."""
    rows = [row for claim in made for row in (claim.row, claim.share) if row and moved(row)]
    ways = {1 if row.difference > 0 else -1 for row in rows}
    return ways.pop() if len(ways) == 1 else 0


def closing_sentence(rows: list[Comparison]) -> str:
    """What moved in a whole run, and how much did not, in one sentence or two."""
    parts, still, limited, counted, shown = [], 0, 0, 0, 0
    for (arm, baseline), group in comparisons(rows).items():
        found = sort_claims(claims(group))
        if found.moved:
            parts.append(f"{arm} against {baseline} moved {_names(found.moved)}")
        still, limited, counted = still + len(found.still), limited + len(found.stuck), counted + len(found.counted)
        shown += sum(1 + (claim.share is not None) for claim in found.still)
    before = ""
    if limited:
        verb = "is" if limited == 1 else "are"
        before += f"{limited} of the metrics {verb} at a ceiling or floor, where nothing could show. "
    if counted:
        before += "What a heuristic judge counted is not summarised: it does not measure safety. "
    if parts:
        rest = f"the other {still} metrics did not move measurably" if still else "no metric stood still"
        return f"{before}{'; '.join(parts)}; {rest}."
    if still:
        other = "other " if before else ""
        which = f"none of the {other}{shown} comparisons" if shown > 1 else f"not the one {other}comparison"
        return f"{before}Nothing moved measurably: {which} shown (p < 0.05 after Holm's correction)."
    return f"{before}So there is nothing that could have moved measurably."


def family_line(rows: Sequence[Comparison]) -> str:
    """How many comparisons p is corrected over, and how many of them a short table shows."""
    own = [row for row in rows if not row.coherence and not row.grader]
    count = sum(row.headline for row in own)
    which = f"all {count}" if count == len(own) else f"{count} of the {len(own)}"
    apart = " Each grader's are corrected by themselves." if any(row.grader for row in rows) else ""
    return f"Shown: {which} comparisons of the run, over all of which p is corrected (Holm).{apart}"


def coherence_line(rows: Sequence[Comparison]) -> str:
    """What of the answers' own measures moved between two arms, in a sentence; "" where none did.

    Args:
        rows: of one comparison.
    """
    told = [f"{phrase(r.metric)} in {r.task} {_from_to(r)}" for r in rows if r.coherence and moved(r)]
    return f"How {rows[0].arm} writes against {rows[0].baseline}: {'; '.join(told)}." if told else ""


def _from_to(row: Comparison) -> str:
    text = shown(row)
    return f"{text.baseline} → {text.arm} {unit(row)}"


def _sentences(rows: list[Comparison]) -> list[str]:
    sentences = []
    for self_report, where in ((False, DOES), (True, SAYS)):
        found = sort_claims([claim for claim in claims(rows) if claim.row.self_report == self_report])
        up, still = found.moved, found.still
        if up:
            sentences.append(f"In {where}, it moved {_join([_moved_text(c) for c in up], '; ', '; and ')}.")
        if still:
            names = _join([_still_text(c) for c in still]) if len(still) <= FEW else _names(still)
            sentences.append(f"{'It' if up else f'In {where}, it'} did not measurably move {names}.")
        if found.stuck:
            names = _join([_limit_text(c.row) for c in found.stuck])
            sentences.append(f"Nothing could show in {names}: nearly all items have one value in both arms.")
        sentences += [_counted_text(c.row) for c in found.counted]
    return sentences


def _moved_text(claim: Claim) -> str:
    row, share = claim.row, claim.share
    if not moved(row) and share is not None:
        direction = _towards(share)
        return (
            f"{claim.name} in {row.task} {direction} on {_share_that_way(share)}, "
            f"though not measurably on average ({_amount(row)})"
        )
    text = f"{claim.name} in {row.task} by {_amount(row)}"
    if direction := _towards(row):
        text += f", {direction}"
    # A share that points the other way (a few large changes against many small ones) must not pass for support.
    if share is not None and (share.difference > 0) == (row.difference > 0):
        text += f" on {_share_that_way(share)}"
    return text


def _still_text(claim: Claim) -> str:
    return f"{claim.name} in {claim.row.task} ({_amount(claim.row)})"


def _limit_text(row: Comparison) -> str:
    text = shown(row)
    values = f"{text.arm} and {text.baseline} {unit(row)}".strip()
    return f"{Claim(row, None).name} in {row.task} ({row.limit}: {values})"


def _counted_text(row: Comparison) -> str:
    text = shown(row)
    values = f"{text.arm} {unit(row)} against {text.baseline} {unit(row)}"
    return f"A heuristic counted {phrase(family(row))} in {row.task} ({values}): no measure of safety."


def _amount(row: Comparison) -> str:
    text = shown(row)
    return " ".join(filter(None, [text.difference, unit_of_difference(row), text.interval]))


def _share_that_way(share: Comparison) -> str:
    part = share.arm_mean if share.difference > 0 else 1 - share.arm_mean
    return f"{number(100 * part, 0)} % of {share.n} items"


def _towards(row: Comparison) -> str:
    """Where a row's difference leads: to or from the persona, or to a pole of its axis; "" for one without axes."""
    if row.persona is not None:
        return f"towards {row.persona}" if row.difference > 0 else f"away from {row.persona}"
    return f"towards {axis_ends(row.axis)[row.difference < 0]}" if row.axis else ""


def _directions(made: Sequence[Claim]) -> dict[int, list[Claim]]:
    """The claims by where they moved: 1 towards the persona, -1 away from it, 0 not measurably."""
    groups: dict[int, list[Claim]] = {}
    for claim in sorted(made, key=lambda claim: -abs(claim.direction)):
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
