"""Texts whose pole is known, which graders are checked on: a pack's held-out split, or a file of one's own.

A file has a labelled text a row, or a row with a text from either pole:

{"prompt": ..., "response": ..., "axis": "E/I", "pole": "E"}
{"situation": ..., "axis": "E/I", "responses": {"E": ..., "I": ...}}
{"instruction": ..., "introversion": ..., "extraversion": ...}

A pole may be named by its code or its name, a prompt be called `prompt`, `situation` or `instruction` (with `input`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lapd.errors import DataError
from lapd.names import axes, packs
from lapd.personas import Axis

PROMPTS = ("prompt", "situation", "instruction")


@dataclass(frozen=True)
class PoleText:
    """A response to a prompt, and whose it is.

    Attributes:
        prompt: what was answered.
        response: the answer.
        axis: the axis.
        first: whether somebody at its first pole says it; else somebody at its second.
        group: which texts answer one prompt: they are no independent observations.
    """

    prompt: str
    response: str
    axis: str
    first: bool
    group: str


def heldout_texts() -> list[PoleText]:
    """Both responses to every held-out situation of every trait pack."""
    found = []
    for pack in packs().values():
        for situation in pack.situations("heldout"):
            first, second = pack.ends[situation.axis]
            for pole in (first, second):
                words = situation.responses[pole]
                found.append(PoleText(situation.situation, words, situation.axis, pole == first, situation.id))
    return found


def read_pole_texts(path: Path) -> list[PoleText]:
    """The labelled texts in a file (JSONL, JSON, CSV or Parquet).

    Raises:
        DataError: there is no such file, it is empty, or a row has no prompt, no response or no pole.
    """
    from lapd.files.rows import read_records

    found = [text for number, row in read_records(path) for text in _texts(path, number, row)]
    if not found:
        raise DataError(path, "there is no labelled text in this file.")
    return found


def _texts(path: Path, number: int, row: Any) -> Iterator[PoleText]:
    if not isinstance(row, Mapping):
        raise DataError(path, "a labelled text is an object.", number)
    prompt = next((row[name] for name in PROMPTS if isinstance(row.get(name), str)), None)
    if prompt is None:
        raise DataError(path, f"a labelled text has its {', '.join(PROMPTS[:-1])} or {PROMPTS[-1]}, as text.", number)
    prompt = "\n\n".join(part for part in (prompt, row.get("input")) if isinstance(part, str) and part)
    said = {_key(name): words for name, words in {**row, **_responses(row)}.items() if isinstance(words, str)}
    whole = [axis for axis in axes().values() if all(_spoken(said, axis, place) for place in (0, 1))]
    if len(whole) == 1:
        axis = whole[0]
        for place in (0, 1):
            yield PoleText(prompt, str(_spoken(said, axis, place)), axis.id, place == 0, prompt)
        return
    axis, place = _pole(path, number, row)
    if not isinstance(row.get("response"), str):
        raise DataError(
            path, "a labelled text has a `response`, as text, or one under the name of either pole.", number
        )
    yield PoleText(prompt, row["response"], axis.id, place == 0, prompt)


def _responses(row: Mapping[str, Any]) -> Mapping[str, Any]:
    return row["responses"] if isinstance(row.get("responses"), Mapping) else {}


def _key(name: object) -> str:
    return str(name).strip().lower()


def _names(axis: Axis, place: int) -> tuple[str, str]:
    pole = axis.poles[place]
    return _key(pole.code), _key(pole.name)


def _spoken(said: Mapping[str, str], axis: Axis, place: int) -> str | None:
    return next((said[name] for name in _names(axis, place) if said.get(name)), None)


def _pole(path: Path, number: int, row: Mapping[str, Any]) -> tuple[Axis, int]:
    """The axis and the place on it of the pole that a row names."""
    name, about = _key(row.get("pole")), _key(row.get("axis"))
    fits = [
        (axis, place)
        for axis in axes().values()
        for place in (0, 1)
        if name in _names(axis, place) and about in ("none", _key(axis.id), _key(axis.name))
    ]
    if len(fits) != 1:
        what = f"the pole {row.get('pole')!r} on the axis {row.get('axis')!r} is none that is known."
        raise DataError(path, what, number, "`lapd traits` lists axes and poles.")
    return fits[0]
