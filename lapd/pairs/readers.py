"""Reading preference pairs in the forms that people have, into LAPD's own.

The form is recognised from the fields of the rows; where it cannot be, the caller names the fields.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lapd.errors import DataError, UsageError
from lapd.files.rows import read_records
from lapd.pairs.pair import PreferencePair, make_pair

PROMPTS = ("prompt", "statement", "instruction", "question")
"""Fields that hold the prompt, the first that there is."""

NAME_THEM = "Name them: lapd data fix FILE --prompt FIELD --chosen FIELD --rejected FIELD -o pairs.jsonl."


@dataclass(frozen=True)
class Fields:
    """Which fields hold a pair; None: to be found out. `chosen` and `rejected` are named together or not at all."""

    prompt: str | None = None
    chosen: str | None = None
    rejected: str | None = None

    def __post_init__(self) -> None:
        if (self.chosen is None) != (self.rejected is None):
            raise UsageError("Only one of the two responses' fields was named.", "Give both --chosen and --rejected.")


@dataclass(frozen=True)
class Row:
    """A pair as it was read: any of its texts may be empty, and the two responses may be identical.

    Attributes:
        number: the line, from 1; the item's or row's number where the format has no lines.
        prompt, chosen, rejected: as in `PreferencePair`.
        source: the row's own `source`, else its `id` if it has one.
    """

    number: int
    prompt: str
    chosen: str
    rejected: str
    source: dict[str, Any]


def read_any_pairs(
    path_or_id: str | Path, prompt: str | None = None, chosen: str | None = None, rejected: str | None = None
) -> list[PreferencePair]:
    """The preference pairs of a file, a folder or a data set on the Hugging Face Hub, in order.

    Args:
        path_or_id: a .jsonl, .json, .csv, .tsv or .parquet file; a folder of such files or one that `save_to_disk`
            wrote; or a data set's id.
        prompt: the field with the prompt, where it cannot be recognised.
        chosen: the field with the wanted response; together with `rejected`.
        rejected: the field with the other one.

    Raises:
        DataError: it cannot be read, its form cannot be recognised, it is empty, or a row is no pair.
        UsageError: a field was named that there is not, or only one of the responses'.
    """
    rows = read_rows(path_or_id, Fields(prompt, chosen, rejected))
    return [
        make_pair(path_or_id, r.number, {"prompt": r.prompt, "chosen": r.chosen, "rejected": r.rejected}, r.source)
        for r in rows
    ]


def read_rows(path_or_id: str | Path, fields: Fields | None = None) -> list[Row]:
    """What `read_any_pairs` reads, with the faults that `lapd data check` counts and `lapd data fix` mends.

    Raises:
        DataError, UsageError: as `read_any_pairs`; but empty texts and identical responses are let through.
    """
    fields = fields or Fields()
    numbered = list(read_records(path_or_id))
    if not numbered:
        raise DataError(path_or_id, "there is no pair in this file.", hint="`lapd generate` writes one.")
    for number, record in numbered:
        if not isinstance(record, dict):
            raise DataError(path_or_id, f"a pair is a JSON object, not {type(record).__name__}.", number)
    found = _recognise(path_or_id, list(dict.fromkeys(name for _, record in numbered for name in record)), fields)
    return [_row(path_or_id, number, record, found) for number, record in numbered]


@dataclass(frozen=True)
class _Form:
    """Where a pair's parts are in a record; None: the prompt is the beginning of both conversations."""

    prompt: str | None
    chosen: str
    rejected: str


def _recognise(where: object, names: list[str], fields: Fields) -> _Form:
    for option in ("prompt", "chosen", "rejected"):
        if (name := getattr(fields, option)) is not None and name not in names:
            raise UsageError(f"{where}: there is no field {name!r} for --{option}.", f"Found: {', '.join(names)}.")
    prompt = fields.prompt or next((name for name in PROMPTS if name in names), None)
    if fields.chosen and fields.rejected and prompt:
        return _Form(prompt, fields.chosen, fields.rejected)
    if "chosen" in names and "rejected" in names and not fields.chosen:
        return _Form(prompt, "chosen", "rejected")
    if "output" in names and prompt and not fields.chosen:
        return _Form(prompt, "output", "output")
    what = f"no preference pairs are recognised in the fields {', '.join(names) or '(none)'}."
    raise DataError(where, what, hint=NAME_THEM)


def _row(where: object, number: int, record: dict[str, Any], form: _Form) -> Row:
    try:
        prompt, chosen, rejected = _parts(record, form)
    except _NoPairError as error:
        raise DataError(where, str(error), number, error.hint) from None
    own = record.get("source")
    source = own if isinstance(own, dict) else {"id": record["id"]} if record.get("id") not in (None, "") else {}
    return Row(number, prompt, chosen, rejected, source)


class _NoPairError(Exception):
    """A record is not in its file's form; where it is, the caller knows."""

    def __init__(self, message: str, hint: str = "") -> None:
        self.hint = hint
        super().__init__(message)


def _parts(record: dict[str, Any], form: _Form) -> tuple[str, str, str]:
    """Prompt, chosen and rejected as text."""
    chosen, rejected = _responses(record, form)
    if form.prompt is None:
        if not isinstance(chosen, list) or not isinstance(rejected, list):
            what = "there is no prompt, neither as a field nor as the beginning of two conversations."
            raise _NoPairError(what, NAME_THEM)
        start = _common_start(chosen, rejected)
        prompt = _user_turn(start)
    else:
        prompt = _prompt(record, form.prompt)
        # Some sets repeat the prompt in front of both responses.
        start = _common_start(chosen, rejected) if isinstance(chosen, list) and isinstance(rejected, list) else []
    if start:
        chosen, rejected = chosen[len(start) :], rejected[len(start) :]
    return prompt, _reply(chosen, "chosen"), _reply(rejected, "rejected")


def _prompt(record: dict[str, Any], name: str) -> str:
    """The text of a prompt that has a field of its own; an instruction's `input` belongs to it."""
    value = record.get(name)
    text = _user_turn(value) if isinstance(value, list) else _text(value, name)
    extra = record.get("input") if name == "instruction" else None
    return f"{text}\n{extra}" if isinstance(extra, str) and extra.strip() else text


def _responses(record: dict[str, Any], form: _Form) -> tuple[Any, Any]:
    if form.chosen != form.rejected:
        return record.get(form.chosen), record.get(form.rejected)
    both = record.get(form.chosen)
    if not isinstance(both, Sequence) or isinstance(both, str) or len(both) != 2:
        raise _NoPairError(f"{form.chosen!r} is not a list of two responses, the chosen one first.")
    return both[0], both[1]


def _is_conversation(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(m, dict) and "role" in m for m in value)


def _common_start(one: list[Any], other: list[Any]) -> list[Any]:
    """The messages that two conversations begin with; never the last one of either, which is the response."""
    length = 0
    while length < min(len(one), len(other)) - 1 and one[length] == other[length]:
        length += 1
    return one[:length]


def _user_turn(messages: Iterable[Any]) -> str:
    """The text of the one message of a prompt."""
    said = [m for m in messages if isinstance(m, dict) and m.get("content")]
    if len(said) != 1 or said[0].get("role") != "user":
        roles = ", ".join(str(m.get("role")) for m in said) or "none"
        raise _NoPairError(f"a pair's prompt is one turn of the user's; here the roles are: {roles}.",
                           "Leave such rows out, or write system prompt and turns into one text first.")  # fmt: skip
    return _text(said[0]["content"], "prompt")


def _reply(value: Any, name: str) -> str:
    """A response's text: itself, or the content of the one message that it is."""
    if isinstance(value, dict):
        value = [value]
    if _is_conversation(value):
        if len(value) != 1 or value[0]["role"] != "assistant":
            raise _NoPairError(f"{name!r} is not one reply of the assistant's but {len(value)} messages.")
        value = value[0].get("content")
    return _text(value, name)


def _text(value: Any, name: str) -> str:
    """A text; what is missing is an empty one, which is a fault of the row that has a name already."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _NoPairError(f"{name!r} is missing, empty or not text.")
    return value
