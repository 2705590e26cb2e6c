"""What the body of a response says: a model's words, why there are none, or an error by the name of a success."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

CUT_OFF = ("length", "max_tokens", "model_length")
"""What servers give as an answer's `finish_reason` where it has reached its limit."""

FILTER = "content_filter"
"""The same where a filter has withheld the answer, or the rest of it."""

THOUGHTS = ("thinking", "reasoning", "redacted_thinking")
"""Parts of an answer in which the model thinks."""

FILTERED = re.compile(
    r"content[ _-]?(filter|policy|management)|moderation|(was|been) flagged|flagged by", re.IGNORECASE
)
"""How servers word that what was asked, or answered, is withheld: it says nothing of any other request."""

STATUS = {
    "authentication_error": 401,
    "invalid_api_key": 401,
    "insufficient_quota": 402,
    "permission_error": 403,
    "content_filter": 400,
    "context_length_exceeded": 400,
    "invalid_request_error": 400,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "server_error": 500,
    "overloaded_error": 529,
}
"""The HTTP status that belongs to the words for an error that come without one."""


@dataclass(frozen=True)
class Reply:
    """What a model wrote, and the tokens that the server counted (or, where it counts none, that LAPD bounds).

    Attributes:
        text: its answer, or its refusal; without what it thought.
        input_tokens, output_tokens: read and written, thoughts included.
        finish_reason: why it ended, as the server says: "stop", "length" ...; "" where it does not.
        missing: why there is no answer at all; "" where there is one.
        without: settings of the request that the server refused, and was then asked without.
    """

    text: str
    input_tokens: int
    output_tokens: int
    finish_reason: str = ""
    missing: str = ""
    without: tuple[str, ...] = ()

    @property
    def cut_off(self) -> bool:
        """Whether the answer ends where it was not allowed to be longer."""
        return self.finish_reason in CUT_OFF


@dataclass(frozen=True)
class Fault:
    """An error in a response whose HTTP status is 200: the status that it should have had, if that is known."""

    status: int | None
    body: str


def read_reply(body: str, most_read: int, most_written: int, without: tuple[str, ...] = ()) -> Reply | Fault:
    """The reply, or the error, in the body of a response.

    Args:
        body: the response's text.
        most_read, most_written: no more tokens than these can have been read and written; they stand for the counts
            that the server does not give. A count of 0 is none: there is no prompt of no tokens.
        without: settings that the request was sent without, since the server refused them.

    Raises:
        ValueError: it is neither.
    """
    record = object_of(body)
    choices = record.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    if fault := error_in(record, choice):
        return fault
    if not isinstance(choices, list) or not (choice is None or isinstance(choice, dict)):
        raise ValueError("the response is no chat completion")
    message = {} if choice is None else choice.get("message")
    if not isinstance(message, dict):
        raise ValueError("the response is no chat completion")
    text, ended = _text(message), str((choice or {}).get("finish_reason") or "").lower()
    usage = record.get("usage")
    read, written = (count_of(usage, name) for name in ("prompt_tokens", "completion_tokens"))
    missing = _missing(text, message, ended, _thought(message, usage), most_written)
    if choice is None:
        missing = "the response has no choices"
    return Reply(text or "", read or most_read, written or most_written, ended, missing, without)


def object_of(body: str) -> dict[str, Any]:
    """A response's body as the JSON object that it is.

    Raises:
        ValueError: it is none.
    """
    try:
        record = json.loads(body)
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict):
        raise ValueError("the response is no completion")
    return record


def error_in(record: dict[str, Any], choice: Any) -> Fault | None:
    """The error that stands in a response in place of an answer; None where none does.

    Args:
        record: the response's body.
        choice: its first choice; None where it has none.
    """
    error = _error(record, choice)
    return Fault(_status(error), json.dumps({"error": error})) if error else None


def _error(record: dict[str, Any], choice: Any) -> Any:
    """The error that stands in a response in place of an answer; None where none does."""
    if isinstance(choice, dict):
        failed = choice.get("error") or (record.get("error") if choice.get("finish_reason") == "error" else None)
        return failed or (choice.get("finish_reason") == "error" and "the server broke off with an error") or None
    if record.get("error"):
        return record["error"]
    if "error" in (record.get("object"), record.get("type")) or ("detail" in record and "choices" not in record):
        return record
    return None


def _status(error: Any) -> int | None:
    """The HTTP status that an error names, in a number or in words."""
    if not isinstance(error, dict):
        return None
    for name in ("code", "status", "status_code", "type"):
        value = str(error.get(name))
        if value in STATUS:
            return STATUS[value]
        if re.fullmatch(r"[45]\d\d", value):
            return int(value)
    return None


def count_of(usage: Any, name: str) -> int | None:
    """A count of tokens; None where the server gives none."""
    value = usage.get(name) if isinstance(usage, dict) else None
    return value if isinstance(value, int) and value > 0 else None


def _text(message: dict[str, Any]) -> str | None:
    """What the model said: its words, their parts joined, else its refusal; None where it said nothing."""
    content = message.get("content")
    said = content if isinstance(content, str) else _joined(content, "text", "output_text")
    refusal = message.get("refusal") or _joined(content, "refusal")
    return said or (refusal if isinstance(refusal, str) and refusal else said)


def _joined(content: Any, *kinds: str) -> str | None:
    """The texts of the parts of these kinds; None where there is none. (What was thought is a part of another kind.)"""
    parts = content if isinstance(content, list) else [content]
    texts = []
    for part in parts:
        if isinstance(part, str) and "text" in kinds:
            texts.append(part)
        if isinstance(part, dict) and part.get("type", "text") in kinds:
            text = part.get("refusal" if part.get("type") == "refusal" else "text")
            text = text.get("value") if isinstance(text, dict) else text
            texts += [text] if isinstance(text, str) else []
    return "".join(texts) if texts else None


def _missing(text: str | None, message: dict[str, Any], ended: str, thought: bool, most: int) -> str:
    """Why there is no answer; "" where there is one, be it an empty one that the model itself has ended."""
    withheld = ended in CUT_OFF or ended == FILTER
    if (text or "").strip() or (text is not None and not thought and (text or not withheld)):
        return ""
    if ended in CUT_OFF:
        what = "reasoning" if thought else "something else, such as reasoning"
        return f"the answer was cut off before it began: its {most} tokens went into {what}"
    if ended == FILTER:
        return "the server's content filter withheld the answer"
    if message.get("tool_calls") or message.get("function_call"):
        return "the model called a tool and answered nothing"
    return "the model reasoned and answered nothing" if thought else "the answer is empty"


def _thought(message: dict[str, Any], usage: Any) -> bool:
    """Whether the model reasoned beside what it said."""
    details = usage.get("completion_tokens_details") if isinstance(usage, dict) else None
    parts = message.get("content")
    return bool(
        any(message.get(name) for name in ("reasoning_content", "reasoning", "thinking"))
        or count_of(details, "reasoning_tokens")
        or (isinstance(parts, list) and any(isinstance(p, dict) and p.get("type") in THOUGHTS for p in parts))
    )
