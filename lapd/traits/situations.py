"""A contrast corpus: everyday situations with one response from each pole of an axis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lapd.errors import DataError
from lapd.files.whole import read_jsonl

SPLITS = ("train", "heldout")
"""What training may see, and what it never sees."""


@dataclass(frozen=True)
class Situation:
    """An everyday situation with one response from each pole of an axis.

    Attributes:
        id: stable, such as "ei-001".
        axis: such as "E/I".
        lang: ISO 639-1 code of the language.
        split: "train", or "heldout" (which training never sees).
        topic: what it is about, such as "work".
        situation: what the user says.
        responses: what somebody at each pole says, by pole.
    """

    id: str
    axis: str
    lang: str
    split: str
    topic: str
    situation: str
    responses: dict[str, str]


def read_situations(path: Path, ends: Mapping[str, tuple[str, str]]) -> list[Situation]:
    """The situations of one corpus file, one JSON object a line.

    Args:
        path: the file.
        ends: the poles of each axis that there is, by its id.

    Raises:
        DataError: a line lacks a field, its split is none, or its poles are not its axis's.
    """
    situations = []
    for number, row in read_jsonl(path):
        try:
            situation = Situation(**{name: row[name] for name in Situation.__dataclass_fields__})
        except (KeyError, TypeError) as error:
            raise DataError(path, f"a situation has no {error}.", number) from None
        responses = situation.responses if isinstance(situation.responses, dict) else {}
        if tuple(responses) != ends.get(situation.axis):
            raise DataError(path, f"the responses are not keyed by the poles of {situation.axis!r}.", number)
        if situation.split not in SPLITS:
            raise DataError(path, f"{situation.split!r} is no split.", number, f"Known: {', '.join(SPLITS)}.")
        situations.append(situation)
    return situations
