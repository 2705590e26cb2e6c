"""Preference pairs: what one is, and reading and writing them.

A pairs file holds one JSON object a line: `prompt`, `chosen` and `rejected`, and where the pair came from (`source`).
They are texts; where a pair of the file is a conversation, they are lists of messages, as in TRL's conversational form.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lapd.errors import DataError
from lapd.files.plain import as_json
from lapd.files.text import is_whole
from lapd.files.whole import digest_json, read_jsonl, write_jsonl
from lapd.pairs.forms import Fields, Row, recognise, row_of
from lapd.pairs.messages import NoPairError, Turn, named_texts

FIX = "`lapd data fix` leaves such rows out."


@dataclass(frozen=True)
class PreferencePair:
    """Two responses to one prompt, the first of which is wanted.

    Attributes:
        prompt: what the user says, or said last.
        chosen: the response that training should make likelier.
        rejected: the response that it should make less likely.
        source: where the pair came from, such as {"id": "ei-001", "axis": "E/I", "chosen_pole": "I"}.
        system: the system prompt; "" for none.
        history: the turns between it and the prompt, the oldest first: (role, text) each, of "user" and "assistant".
    """

    prompt: str
    chosen: str
    rejected: str
    source: dict[str, Any] = field(default_factory=dict)
    system: str = ""
    history: tuple[Turn, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "history", tuple(Turn(*turn) for turn in self.history))

    @property
    def is_conversation(self) -> bool:
        """Whether there is more before the responses than the prompt."""
        return bool(self.system or self.history)

    @property
    def messages(self) -> list[dict[str, str]]:
        """What is before the responses, as a chat template takes it: `role` and `content` each."""
        return _messages(self)


def read_pairs(path: Path) -> list[PreferencePair]:
    """The preference pairs of a JSON-lines file, in order.

    Raises:
        DataError: the file is missing, empty, or a line is no pair: not JSON, a field missing or empty, chosen and
            rejected identical. The message names the file, the line and the fault.
    """
    return [make_pair(path, row) for row in rows_of(path, read_jsonl(path))]


def rows_of(
    where: object,
    records: Iterable[tuple[int, Any]],
    fields: Fields | None = None,
    refused: list[tuple[int, Any, str]] | None = None,
) -> Iterator[Row]:
    """The rows of numbered records, all in one form.

    Args:
        where: the file, for messages.
        records: each with its number from 1.
        fields: which fields hold a pair.
        refused: gets the number, the record and the reason of each that is no row, instead of an error.

    Raises:
        DataError: there is none, their form is not recognised, or one is no row.
        UsageError: a field was named that there is not.
    """
    numbered = list(records)
    if not numbered:
        raise DataError(where, "there is no pair in this file.", hint="`lapd generate` writes one.")
    for number, record in numbered:
        if not isinstance(record, dict):
            raise DataError(where, f"a pair is a JSON object, not {type(record).__name__}.", number)
    form = recognise(where, (record for _, record in numbered), fields or Fields())
    for number, record in numbered:
        try:
            yield row_of(number, record, form)
        except NoPairError as error:
            if refused is None:
                raise DataError(where, str(error), number, error.hint) from None
            refused.append((number, record, str(error)))


def make_pair(where: object, row: Row) -> PreferencePair:
    """The pair that a row is.

    Raises:
        DataError: as `read_pairs`.
    """
    if fault := fault_of(row):
        raise DataError(where, fault, row.number, FIX)
    return PreferencePair(row.prompt, row.chosen, row.rejected, row.source, row.system, row.history)


def texts_of(row: Row | PreferencePair) -> dict[str, str]:
    """All texts of a pair, by what they are."""
    return {**named_texts(row.system, row.history, row.prompt), "chosen": row.chosen, "rejected": row.rejected}


def fault_of(row: Row | PreferencePair) -> str:
    """Why nothing can be learned from a row; "" if something can."""
    for name, text in texts_of(row).items():
        if not text.strip():
            return f"{name!r} is missing, empty or not text."
        if not is_whole(text):
            return f"{name!r} has half a character (a lone surrogate), which no file can hold."
    if row.chosen.strip() == row.rejected.strip():
        return "chosen and rejected are identical: there is nothing to prefer."
    return ""


def refuse_faulty(where: object, pairs: Iterable[PreferencePair]) -> None:
    """Refuse pairs that nothing can be learned from, told by their number and their id.

    Raises:
        DataError: there is one.
    """
    for number, pair in enumerate(pairs, 1):
        if fault := fault_of(pair):
            whose = f" ({pair.source['id']})" if pair.source.get("id") else ""
            raise DataError(where, f"pair {number}{whose}: {fault}")


def write_pairs(path: Path, pairs: Iterable[PreferencePair]) -> int:
    """Write `pairs` to `path`, whole or not at all, and return how many there were.

    Raises:
        DataError: a text has half a character.
    """
    pairs = list(pairs)
    for number, pair in enumerate(pairs, 1):
        if broken := [name for name, text in texts_of(pair).items() if not is_whole(text)]:
            raise DataError(path, f"{broken[0]!r} of this pair has half a character (a lone surrogate).", number)
    conversations = any(pair.is_conversation for pair in pairs)
    write_jsonl(path, [record_of(pair, conversations) for pair in pairs])
    return len(pairs)


def record_of(pair: Row | PreferencePair, as_messages: bool) -> dict[str, Any]:
    """A pair as one line of a pairs file, with texts or with messages."""
    source = as_json(pair.source)
    if not as_messages:
        return {"prompt": pair.prompt, "chosen": pair.chosen, "rejected": pair.rejected, "source": source}
    replies = {name: [_message("assistant", getattr(pair, name))] for name in ("chosen", "rejected")}
    return {"prompt": _messages(pair), **replies, "source": source}


def _messages(pair: Row | PreferencePair) -> list[dict[str, str]]:
    system = [_message("system", pair.system)] if pair.system else []
    return [*system, *(_message(*turn) for turn in pair.history), _message("user", pair.prompt)]


def _message(role: str, text: str) -> dict[str, str]:
    return {"role": role, "content": text}


def pairs_digest(pairs: Iterable[PreferencePair]) -> str:
    """SHA-256 over what training sees of `pairs`: what is before the responses, chosen and rejected, in order."""
    return digest_json([(p.messages if p.is_conversation else p.prompt, p.chosen, p.rejected) for p in pairs])
