"""A contrast corpus: everyday situations with one response from each pole of an axis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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


def read_situations(path: Path, ends: Mapping[str, tuple[str, str]], lang: str | None = None) -> list[Situation]:
    """The situations of one corpus file, one JSON object a line; `topic` and `lang` may be left out.

    Args:
        path: the file.
        ends: the poles of each axis that there is, by its id.
        lang: the language that they are in, where the file's place tells.

    Raises:
        DataError: a line lacks a field or has no text in one, its split or axis is none, its language another, or its
            responses are not those of its axis's poles.
    """
    return [_situation(path, number, row, ends, lang) for number, row in read_jsonl(path)]


def _situation(
    path: Path, number: int, row: object, ends: Mapping[str, tuple[str, str]], lang: str | None
) -> Situation:
    if not isinstance(row, dict):
        raise DataError(path, f"a situation is an object, not {type(row).__name__}.", number)
    given = {"topic": "", "lang": lang or "", **{name: value for name, value in row.items() if value is not None}}
    values: dict[str, Any] = {name: given.get(name) for name in Situation.__dataclass_fields__}
    if type(values["id"]) is int:
        values["id"] = str(values["id"])
    for name, value in values.items():
        if name not in given:
            raise DataError(path, f"a situation has no {name!r}.", number)
        if name != "responses" and not isinstance(value, str):
            raise DataError(path, f"{name!r} is {value!r}, not a text.", number)
    axis, split = values["axis"], values["split"]
    if axis not in ends:
        raise DataError(path, f"there is no axis {axis!r}.", number, f"Known: {', '.join(ends)}.")
    if split not in SPLITS:
        raise DataError(path, f"{split!r} is no split.", number, f"Known: {', '.join(SPLITS)}.")
    if lang and values["lang"] != lang:
        raise DataError(path, f"this situation is in {values['lang']!r}, and its place is for {lang!r}.", number)
    responses = values["responses"] if isinstance(values["responses"], dict) else {}
    if responses.keys() != set(ends[axis]) or not all(isinstance(text, str) for text in responses.values()):
        hint = f"Give a text for {' and for '.join(ends[axis])}."
        raise DataError(path, f"the responses are not those of the poles of {axis!r}.", number, hint)
    return Situation(**{**values, "responses": {pole: responses[pole] for pole in ends[axis]}})
