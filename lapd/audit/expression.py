"""`--fail-on`: which verdicts make an audit fail, such as "pressure:changed" or "trait:bought,cost:worse"."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lapd.audit.verdicts import Verdict
from lapd.errors import UsageError

PLACES = ("any", "trait", "cost", "coherence")
"""What may stand in the place of a task: every one, those of a side, or of how coherent answers are."""

WORDS = ("changed", "no-change", "cannot-tell", "bought", "lost", "better", "worse")
"""What may be said of a verdict: one of the three, or which way it changed."""


@dataclass(frozen=True)
class Condition:
    """One part of an expression.

    Attributes:
        place: a task, or one of `PLACES`.
        word: one of `WORDS`.
    """

    place: str
    word: str

    def __str__(self) -> str:
        return f"{self.place}:{self.word}"

    def met_by(self, verdict: Verdict) -> bool:
        """Whether a verdict is of the place, and such; those of controls are of none."""
        if verdict.control or self.place not in ("any", verdict.side, verdict.task):
            return False
        told = {"changed": verdict.verdict == "changed", "no-change": verdict.verdict == "no change"}
        told["cannot-tell"] = not told["changed"] and not told["no-change"]
        return told.get(self.word, verdict.change == self.word)


def read_conditions(texts: Iterable[str], tasks: Iterable[str]) -> list[Condition]:
    """The conditions in some expressions: PLACE:WORD each, with commas between them.

    Args:
        texts: as they were given.
        tasks: the names that a place may have beside `PLACES`.

    Raises:
        UsageError: one is none.
    """
    known = [*PLACES, *tasks]
    return [_read(part, known) for text in texts for part in text.split(",")]


def _read(text: str, known: Sequence[str]) -> Condition:
    place, colon, word = (part.strip() for part in text.rpartition(":"))
    word = re.sub(r"[\s_]+", "-", word.lower())
    if not colon or not place:
        raise UsageError(f"--fail-on {text!r} is no PLACE:VERDICT.", "Such as pressure:changed or cost:worse.")
    if word not in WORDS:
        raise UsageError(f"--fail-on {text!r}: there is no verdict {word!r}.", f"Known: {', '.join(WORDS)}.")
    if place not in known:
        raise UsageError(f"--fail-on {text!r}: there is no {place!r} in this audit.", f"Known: {', '.join(known)}.")
    return Condition(place, word)


def met(conditions: Iterable[Condition], verdicts: Sequence[Verdict]) -> dict[str, list[Verdict]]:
    """The conditions that are met, each with the verdicts that meet it."""
    found = {str(one): [verdict for verdict in verdicts if one.met_by(verdict)] for one in conditions}
    return {name: some for name, some in found.items() if some}
