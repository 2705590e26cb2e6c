"""Conversations as people write them down, as turns: OpenAI's messages, ShareGPT's, HH's transcripts, cells' text."""

from __future__ import annotations

import ast
import json
import math
import re
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple


class Turn(NamedTuple):
    """What one side says in a conversation.

    Attributes:
        role: "user" or "assistant"; while a conversation is being read, "system" too.
        text: what is said.
    """

    role: str
    text: str


class NoPairError(Exception):
    """A record is no pair, or one of which something would be lost; which record it is, the caller knows."""

    def __init__(self, message: str, hint: str = "") -> None:
        self.hint = hint
        super().__init__(message)


ROLES = {
    "system": "system",
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "model", "bot", "chatbot"), "assistant"),
}
"""Our names of the roles, by what others call them."""

ROLE_KEYS, TEXT_KEYS = ("role", "from"), ("content", "value", "text")

LOST = ("tool_calls", "function_call", "tool_call_id", "reasoning_content", "reasoning", "thinking", "images", "audio")
"""Keys of a message that a chat template may render, and a turn cannot hold."""

_HEADED = re.compile(r"(?:^|\n\n)(Human|Assistant):")
_WRITTEN_OUT = re.compile(r"\s*(?:array\(\s*)?[\[{]")
_HAS_KEYS = re.compile(r"""(['"])(?:role|from)\1\s*:.*(['"])(?:content|value|text)\2\s*:|"""
                       r"""(['"])(?:content|value|text)\3\s*:.*(['"])(?:role|from)\4\s*:""", re.DOTALL)  # fmt: skip


def is_conversation(value: Any) -> bool:
    """Whether a value is a list of messages, in whatever dialect."""
    return isinstance(value, Sequence) and not isinstance(value, str) and bool(value) and all(map(_is_message, value))


def _is_message(value: Any) -> bool:
    return isinstance(value, dict) and any(value.get(k) is not None for k in ROLE_KEYS) and any(
        key in value for key in TEXT_KEYS
    )  # fmt: skip


def turns_of(messages: Sequence[Any], name: str) -> list[Turn]:
    """The turns of a list of messages.

    Args:
        messages: as `is_conversation` has them.
        name: the field that holds them, for the error.

    Raises:
        NoPairError: something in a message cannot be held by a turn: its role, a call of a tool, an image.
    """
    return [_turn(message, name) for message in messages]


def _turn(message: dict[str, Any], name: str) -> Turn:
    said = next(message[key] for key in ROLE_KEYS if message.get(key) is not None)
    if (role := ROLES.get(str(said).lower())) is None:
        raise NoPairError(f"{name!r} has a message of the role {said!r}, which would be lost.")
    for key in LOST:
        if not is_empty(message.get(key)):
            raise NoPairError(f"{name!r} has a message with {key!r}, which would be lost.")
    content = next((message[key] for key in TEXT_KEYS if message.get(key) is not None), None)
    if isinstance(content, list):
        content = "".join(_part(part, name) for part in content)
    return Turn(role, text_of(content, name))


def text_of(value: Any, name: str) -> str:
    """A text; what is missing is an empty one, which is a fault that has a name of its own.

    Raises:
        NoPairError: it is something else.
    """
    if value is None or _is_nan(value):
        return ""
    if not isinstance(value, str):
        raise NoPairError(f"{name!r} is missing, empty or not text.")
    return value


def _part(part: Any, name: str) -> str:
    if isinstance(part, dict) and part.get("type", "text") == "text" and isinstance(part.get("text"), str):
        return str(part["text"])
    kind = part.get("type") if isinstance(part, dict) else type(part).__name__
    raise NoPairError(f"{name!r} has a part of the kind {kind!r}, which would be lost: only text is read.")


def is_empty(value: Any) -> bool:
    """Whether a field holds nothing, in any format's way to say so."""
    return value is None or _is_nan(value) or value in ("", [], {}, (), "[]", "{}", "null", "None", "nan")


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)  # how tables say that a cell is empty


def written_out(value: Any, name: str) -> Any:
    """What a text is that holds messages or lists in JSON's or Python's spelling, as cells of a table do; else itself.

    Raises:
        NoPairError: it plainly holds messages, and cannot be read.
    """
    if not isinstance(value, str) or not _WRITTEN_OUT.match(value):
        return value
    for read in (json.loads, ast.literal_eval):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of escapes that Python does not know
                return read(value.strip())
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    if _HAS_KEYS.search(value):
        hint = "Write such a table as JSON lines or Parquet instead."
        raise NoPairError(f"{name!r} holds messages as text, in a spelling that cannot be read.", hint)
    return value


def transcript(text: Any, begun: bool = False) -> list[Turn] | None:
    """The turns of a text in the form of Anthropic's HH, "\\n\\nHuman: ...\\n\\nAssistant: ..."; None if it has none.

    Each turn is stripped; an empty one of the assistant's at the end, where the response is to come, is none.

    Args:
        text: any.
        begun: whether it may end before the assistant's first turn.
    """
    if not isinstance(text, str) or not text.lstrip().startswith("Human:"):
        return None
    if not begun and "\n\nAssistant:" not in text:
        return None
    parts = _HEADED.split(text.strip())
    turns = [Turn(ROLES[who.lower()], said.strip()) for who, said in zip(parts[1::2], parts[2::2], strict=True)]
    return turns[:-1] if turns[-1] == Turn("assistant", "") else turns


def named_texts(system: str, history: Sequence[Turn], prompt: str) -> dict[str, str]:
    """The texts before two responses, by what they are, in order."""
    earlier = {f"turn {number}": turn.text for number, turn in enumerate(history, 1)}
    return {**({"system prompt": system} if system else {}), **earlier, "prompt": prompt}


def context_of(system: str, history: Sequence[Turn], prompt: str) -> str:
    """All that is before two responses as one text, for comparing; a prompt that stands alone is itself."""
    roles = [*(["system"] if system else []), *(turn.role for turn in history), "user"]
    texts = named_texts(system, history, prompt).values()
    return prompt if len(roles) == 1 else "\n".join(f"{role}: {text}" for role, text in zip(roles, texts, strict=True))
