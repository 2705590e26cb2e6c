"""Rows as pairs: which of the forms that people have a file is in, and where a pair's parts are in each of its rows.

Nothing that a chat template would render is dropped: a row of which something would be lost is refused with what.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from lapd.errors import DataError, UsageError
from lapd.files.plain import as_json
from lapd.pairs.messages import (
    NoPairError,
    Turn,
    is_conversation,
    is_empty,
    text_of,
    transcript,
    turns_of,
    written_out,
)

CONVERSATIONS = ("conversations", "conversation", "messages", "context")
"""Fields that hold what was said before the responses, as messages."""

PROMPTS = ("prompt", "statement", "instruction", "question", "input", *CONVERSATIONS)
"""Fields that hold the prompt, the first that there is."""

SYSTEMS = ("system", "system_prompt", "system_message")
"""Fields that hold the system prompt, the first that there is."""

HISTORY = "history"
"""The field that holds earlier turns: Alpaca's [[user, assistant], ...], or messages."""

ASKED = ("prompt", "statement", "instruction", "question", "input", "context", "query")
"""Fields whose text is part of what is asked, if it is not in the prompt anyway."""

RENDERED = ("tools", "functions", "images", "image", "videos", "audios", "chat_template_kwargs")
"""Fields that TRL hands to the chat template or the model, and a pair cannot hold."""

NAME_THEM = "Name them: lapd data fix FILE --prompt FIELD --chosen FIELD --rejected FIELD -o pairs.jsonl."
LEAVE_OUT = "`lapd data fix --leave-out` leaves such rows out and lists them."


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
        source: the row's own `source`, else its `id` if it has one, as JSON can carry it.
        system, history: as in `PreferencePair`.
    """

    number: int
    prompt: str
    chosen: str
    rejected: str
    source: dict[str, Any]
    system: str = ""
    history: tuple[Turn, ...] = ()


@dataclass(frozen=True)
class Form:
    """Where a pair's parts are in a file's records.

    Attributes:
        prompt: the field; None: the prompt is the beginning of both conversations.
        chosen, rejected: the fields; one and the same if it holds both responses.
        named: whether the caller has named the prompt's field, and so knows of the others.
    """

    prompt: str | None
    chosen: str
    rejected: str
    named: bool = False


def recognise(where: object, records: Iterable[dict[str, Any]], fields: Fields) -> Form:
    """The form of a file's records, from their fields.

    Raises:
        DataError: it is none that is known.
        UsageError: a field was named that there is not.
    """
    names: list[str] = as_json(list(dict.fromkeys(name for record in records for name in record)))
    for option in ("prompt", "chosen", "rejected"):
        if (name := getattr(fields, option)) is not None and name not in names:
            raise UsageError(f"{where}: there is no field {name!r} for --{option}.", f"Found: {', '.join(names)}.")
    prompt = fields.prompt or next((name for name in PROMPTS if name in names), None)
    named = fields.prompt is not None
    if fields.chosen and fields.rejected:
        return Form(prompt, fields.chosen, fields.rejected, named)
    if "chosen" in names and "rejected" in names and not fields.chosen:
        return Form(prompt, "chosen", "rejected", named)
    if "output" in names and prompt and not fields.chosen:
        return Form(prompt, "output", "output", named)
    what = f"no preference pairs are recognised in the fields {', '.join(names) or '(none)'}."
    raise DataError(where, what, hint=NAME_THEM)


def row_of(number: int, record: dict[str, Any], form: Form) -> Row:
    """The pair that a record is.

    Raises:
        NoPairError: it is none, or something in it cannot be held by one.
    """
    for name in RENDERED:
        if not is_empty(record.get(name)):
            raise NoPairError(f"{name!r} would be lost: a pair holds texts.", LEAVE_OUT)
    chosen, rejected = _responses(record, form)
    start: list[Turn] = []
    if isinstance(chosen, list) and isinstance(rejected, list):
        start = _common_start(chosen, rejected)
        chosen, rejected = chosen[len(start) :], rejected[len(start) :]
    texts = _reply(chosen, form.chosen, bool(start)), _reply(rejected, form.rejected, bool(start))
    system, turns = _before(record, form, start, texts)
    if not turns:
        what = "there is no prompt, neither as a field nor as the beginning of two conversations."
        raise NoPairError(what, NAME_THEM)
    if turns[-1].role != "user":
        raise NoPairError("the turn before the responses is the assistant's, not the user's.", LEAVE_OUT)
    _refuse_losses(record, form, system, turns, texts)
    return Row(number, turns[-1].text, *texts, _source(record), system, tuple(turns[:-1]))


def _source(record: dict[str, Any]) -> dict[str, Any]:
    own = written_out(record.get("source"), "source")
    found: dict[str, Any] = as_json(own if isinstance(own, dict) else {"id": record.get("id")})
    return found if isinstance(own, dict) else {"id": found["id"]} if found["id"] not in (None, "") else {}


# The responses


def _responses(record: dict[str, Any], form: Form) -> tuple[Any, Any]:
    """Chosen and rejected: each a text, or the list of its turns."""
    if form.chosen != form.rejected:
        found = [_said(record.get(name), name) for name in (form.chosen, form.rejected)]
    else:
        both = written_out(record.get(form.chosen), form.chosen)
        if not isinstance(both, Sequence) or isinstance(both, str) or len(both) != 2:
            raise NoPairError(f"{form.chosen!r} is not a list of two responses, the chosen one first.")
        found = [_said(each, form.chosen) for each in both]
    transcripts = [transcript(each) for each in found]
    return (found[0], found[1]) if None in transcripts else (transcripts[0], transcripts[1])


def _said(value: Any, name: str) -> Any:
    """The turns that a value is, in whatever spelling; what is no conversation comes back as it is."""
    found = written_out(value, name)
    if isinstance(found, dict):
        found = [found]
    return turns_of(found, name) if is_conversation(found) else value


def _common_start(one: list[Turn], other: list[Turn]) -> list[Turn]:
    """The turns that two conversations begin with; never the last one of either, which is the response."""
    length = 0
    while length < min(len(one), len(other)) - 1 and one[length] == other[length]:
        length += 1
    return one[:length]


def _reply(value: Any, name: str, behind: bool) -> str:
    """A response's text: itself, or that of the one turn that it is."""
    if not isinstance(value, list) or not value or not isinstance(value[0], Turn):
        return text_of(value, name)
    if len(value) != 1:
        where = " behind what both begin with" if behind else ""
        what = f"{name!r} is not one reply of the assistant's but {len(value)} messages{where}; some would be lost."
        raise NoPairError(what, LEAVE_OUT)
    if value[0].role != "assistant":
        raise NoPairError(f"{name!r} ends with a turn of the {value[0].role}'s, not the assistant's.", LEAVE_OUT)
    return value[0].text


# What is before them


def _before(record: dict[str, Any], form: Form, start: list[Turn], responses: Sequence[str]) -> tuple[str, list[Turn]]:
    """The system prompt ("" for none) and the turns before the responses.

    Args:
        record: the row.
        form: of its file.
        start: what both responses begin with, where they are conversations.
        responses: their texts, one of which may stand at the prompt's end too.
    """
    prompt = _prompt(record, form, bool(start))
    if prompt and prompt[-1] in [Turn("assistant", text) for text in responses]:
        prompt = prompt[:-1]
    history = _history(record)
    systems = [_system(record)]
    parts = []
    for name, turns in ((HISTORY, history), (form.prompt, prompt), ("chosen", start)):
        if turns and turns[0].role == "system":
            systems.append(turns[0].text)
            turns = turns[1:]
        if any(turn.role == "system" for turn in turns):
            raise NoPairError(f"{name!r} has a system message after other turns, which would be lost.", LEAVE_OUT)
        parts.append(turns)
    told = {text.strip(): text for text in systems if text.strip()}
    if len(told) > 1:
        raise NoPairError("there are two system prompts, one of which would be lost.", LEAVE_OUT)
    history, prompt, start = parts
    turns = _joined(prompt, start, form)
    return "".join(told.values()), turns if turns[: len(history)] == history else [*history, *turns]


def _prompt(record: dict[str, Any], form: Form, behind: bool) -> list[Turn]:
    """The turns of a prompt that has a field of its own; an instruction's `input` belongs to it."""
    if form.prompt is None:
        return []
    value = _said(record.get(form.prompt), form.prompt)
    if not isinstance(value, list) or not value:
        value = transcript(value, begun=behind) or text_of(value, form.prompt)
    if isinstance(value, list):
        return value
    extra = record.get("input") if form.prompt == "instruction" else None
    text = f"{value}\n{extra}" if isinstance(extra, str) and extra.strip() else value
    return [] if behind and not text else [Turn("user", text)]


def _joined(prompt: list[Turn], start: list[Turn], form: Form) -> list[Turn]:
    """The prompt's turns and those that both responses begin with, which may repeat some of the prompt's."""
    if not start or _within(start, prompt[-len(start) :]):
        return prompt
    if start[0].role == "assistant":
        return [*prompt, *start]
    if not _within(prompt, start):
        what = f"{form.prompt!r} is not in what both responses begin with; one of the two would be lost."
        raise NoPairError(what, "Leave that field out, or name another with --prompt.")
    return start


def _within(few: Sequence[Turn], many: Sequence[Turn]) -> bool:
    """Whether some turns are among others, one behind the other; spaces at the ends aside."""
    wanted, among = ([(turn.role, turn.text.strip()) for turn in turns] for turns in (few, many))
    return any(among[n : n + len(wanted)] == wanted for n in range(len(among) - len(wanted) + 1))


def _system(record: dict[str, Any]) -> str:
    name = next((name for name in SYSTEMS if not is_empty(record.get(name))), "")
    return text_of(record.get(name), name) if name else ""


def _history(record: dict[str, Any]) -> list[Turn]:
    """Alpaca's earlier turns."""
    if is_empty(record.get(HISTORY)):
        return []
    value = written_out(record[HISTORY], HISTORY)
    if is_conversation(value):
        return turns_of(value, HISTORY)
    if not isinstance(value, (list, tuple)) or not all(isinstance(e, (list, tuple)) and len(e) == 2 for e in value):
        raise NoPairError(f"{HISTORY!r} is no list of [user, assistant], and would be lost.", LEAVE_OUT)
    both = ("user", "assistant")
    return [Turn(role, text_of(text, HISTORY)) for each in value for role, text in zip(both, each, strict=True)]


# What else there may be


def _refuse_losses(
    record: dict[str, Any], form: Form, system: str, turns: Sequence[Turn], responses: Sequence[str]
) -> None:
    """Refuse a record that has more of the conversation in fields that were not taken."""
    taken = {form.prompt, form.chosen, form.rejected}
    told = [Turn("system", system)] if system else []
    for name in CONVERSATIONS:
        value = _said(record.get(name), name) if name not in taken else None
        if not isinstance(value, list) or not value or not isinstance(value[0], Turn):
            continue
        if not any(_within(value, [*told, *turns, Turn("assistant", text)]) for text in responses):
            raise NoPairError(f"{name!r} has turns that the rest of the row has not; they would be lost.", LEAVE_OUT)
    asked = "\n".join([system, *(turn.text for turn in turns)])
    for name in ASKED:
        text = record.get(name)
        if form.named or name in taken or not isinstance(text, str) or is_empty(text.strip()):
            continue
        if text.strip() not in asked:
            hint = "Write it into the prompt, or name the prompt's field with --prompt to go without it."
            raise NoPairError(f"{name!r} is not in the prompt, and would be lost.", hint)
