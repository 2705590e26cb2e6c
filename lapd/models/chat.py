"""What a chat template makes of a conversation: whether the system prompt is in it, and where else it can be put."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lapd.errors import ModelError, first_line

Message = dict[str, str]

FOLD = "--fold-system-prompt puts it before the user's words."


def fold_system_message(messages: list[Message]) -> list[Message]:
    """The messages with a system message at their head put before the first user's, as a paragraph of its own."""
    if len(messages) < 2 or [m["role"] for m in messages[:2]] != ["system", "user"]:
        return messages
    system, user, *rest = messages
    return [{**user, "content": f"{system['content']}\n\n{user['content']}"}, *rest]


def check_chat_template(tokenizer: Any, name: str) -> None:
    """Refuse a model that takes no conversations.

    Args:
        tokenizer: the model's.
        name: of the model, for the message.

    Raises:
        ModelError: it has no chat template, several and none for everything, or one that cannot be rendered.
    """
    templates = tokenizer.chat_template
    if not templates:
        hint = "Give a model that was made for chats, or put its chat_template.jinja into its folder."
        raise ModelError(f"{name} has no chat template, and so takes no conversations.", hint)
    if isinstance(templates, dict) and "default" not in templates:
        hint = "Put the one that is meant into its folder as chat_template.jinja."
        raise ModelError(f"{name} has several chat templates ({', '.join(templates)}), none of them the default.", hint)
    try:
        render(tokenizer, [{"role": "user", "content": "?"}])
    except Exception as error:  # a template is a program of somebody else's
        reason = f"{type(error).__name__}: {first_line(error)}"
        raise ModelError(f"{name}'s chat template cannot be rendered ({reason}).", "Mend its template.") from None


def render(tokenizer: Any, messages: Sequence[Message], answered: bool = False) -> str:
    """A conversation as its chat template writes it, ready for the model's answer unless it is `answered`."""
    text: str = tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=not answered)
    return text


def turn_end(tokenizer: Any) -> str | None:
    """The token that a chat template puts behind an answer; None where there is none, or no usable template."""
    answer = "An answer."
    try:
        said = [{"role": "user", "content": "?"}, {"role": "assistant", "content": answer}]
        _, found, behind = render(tokenizer, said, answered=True).rpartition(answer)
    except Exception:  # whoever wants to chat is told what is wrong with the template
        return None
    tokens = [str(token) for token in tokenizer.added_tokens_decoder.values()]
    there = [token for token in tokens if found and token in behind]
    return min(there, key=behind.index, default=None)


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
