"""What a chat template makes of a conversation: whether the system prompt is in it, and where else it can be put."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Message = dict[str, str]

FOLD = "--fold-system-prompt puts it before the user's words."


def fold_system_message(messages: list[Message]) -> list[Message]:
    """The messages with a system message at their head put before the first user's, as a paragraph of its own."""
    if len(messages) < 2 or [m["role"] for m in messages[:2]] != ["system", "user"]:
        return messages
    system, user, *rest = messages
    return [{**user, "content": f"{system['content']}\n\n{user['content']}"}, *rest]


def drops_system_prompt(tokenizer: Any, messages: Sequence[Message]) -> bool:
    """Whether a tokenizer's chat template leaves the system message at a conversation's head out, or refuses it.

    Templates may trim a text, so that spaces do not count.
    """
    from jinja2 import TemplateError

    try:
        rendered = tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)
    except TemplateError:
        try:
            tokenizer.apply_chat_template(list(messages[1:]), tokenize=False, add_generation_prompt=True)
        except TemplateError:
            return False  # it refuses the conversation, whatever its system message
        return True
    return " ".join(messages[0]["content"].split()) not in " ".join(rendered.split())
