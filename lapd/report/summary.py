"""What moved and what did not, in sentences made from the rows of `compare_run`, whatever tasks and arms there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lapd.compare.comparisons import Comparison
from lapd.compare.verdicts import CONFIRMATORY, EXPLORATORY
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
    parts: list[str] = []
    same, still, limited, counted = 0, 0, 0, 0
    for (arm, baseline), group in comparisons(rows).items():
        found = sort_claims(claims(group))
        if found.moved:
            parts.append(f"{arm} against {baseline} changed {_names(found.moved)}")
        same, still = same + len(found.same), still + len(found.still)
        limited, counted = limited + len(found.stuck), counted + len(found.counted)
    rest = [f"{same} did not change beyond the margin"] if same else []
    rest += [f"{limited} lie at a ceiling or floor, where nothing could show"] if limited else []
    rest += [f"of {still} it cannot be told"] if still else []
    others = f"{'; of the other metrics ' if parts else 'Of the metrics '}{_join(rest)}" if rest else ""
    told = "; ".join(parts) if parts else "Nothing is known to have changed. "
    end = " What a heuristic judge counted is not summarised: it does not measure safety." if counted else ""
    if not parts and not rest:
        return f"So there is nothing that could have changed.{end}"
    return f"{told}{others}.{end}"


def family_lines(rows: Sequence[Comparison]) -> list[str]:
    """What p is corrected over, in a sentence for each family of rows."""
    lines = []
    by_family = {name: [row for row in rows if row.family == name] for name in (CONFIRMATORY, EXPLORATORY)}
    if confirmed := by_family[CONFIRMATORY]:
        lines.append(
            f"Confirmatory: the primary metrics of {_join(list(dict.fromkeys(row.task for row in confirmed)))}, "
            f"{_rows(confirmed)}, adjusted by Holm over these alone."
        )
    if rest := by_family[EXPLORATORY]:
        lines.append(
            f"Exploratory: everything else, {_rows(rest)}; q is the share of false ones to be expected among "
            "those that are called changed (Benjamini and Hochberg)."
        )
    lines.append("Shows: the smallest change that had an 80 % chance to show; a smaller one may be there.")
    return lines


def _rows(rows: Sequence[Comparison]) -> str:
    return f"{len(rows)} row{'s' if len(rows) > 1 else ''}"


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
        up, begin = found.moved, f"In {where}, it"
        if up:
            sentences.append(f"{begin} changed {_join([_moved_text(c) for c in up], '; ', '; and ')}.")
            begin = "It"
        if found.same:
            sentences.append(f"{begin} did not change {_some(found.same)} beyond the margin.")
        if found.still:
            sentences.append(f"Whether it changed {_some(found.still)} cannot be told from so few items.")
        if found.stuck:
            names = _join([_limit_text(c.row) for c in found.stuck])
            sentences.append(f"Nothing could show in {names}: nearly all items have one value in both arms.")
        sentences += [_counted_text(c.row) for c in found.counted]
    return sentences


def _some(made: Sequence[Claim]) -> str:
    """The claims, with their numbers where they are few."""
    return _join([_still_text(c) for c in made]) if len(made) <= FEW else _names(made)


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
