"""The system prompt under which pairs are trained: their own, the persona's or a file's, as a message or folded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lapd.errors import UsageError
from lapd.files.text import open_text
from lapd.models.chat import fold_system_message
from lapd.pairs.messages import Turn
from lapd.pairs.pair import PreferencePair
from lapd.personas import Persona

NONE, PERSONA = "none", "persona"
"""What may be given in place of a file."""


def train_prompt(setting: str | None, persona: Persona) -> str:
    """The text of the system prompt that a training adds; "" for none.

    Args:
        setting: `TrainConfig.train_prompt`.
        persona: whose adapter is trained.

    Raises:
        UsageError: the persona has no system prompt, or the file is missing or holds none.
        DataError: the file is no text.
    """
    if setting is None or setting.lower() == NONE:
        return ""
    if setting.lower() == PERSONA:
        if not persona.system_prompt.strip():
            hint = "Give it one with --persona-file, or name a file with the prompt."
            raise UsageError(f"--train-prompt persona: {persona.code} has no system prompt.", hint)
        return persona.system_prompt
    path, choices = Path(setting).expanduser(), "Give none, persona or a file with the prompt."
    if not path.exists():
        raise UsageError(f"--train-prompt {path}: there is no such file.", choices)
    try:
        with open_text(path) as stream:
            text = stream.read().strip()
    except UnicodeDecodeError as error:
        raise UsageError(f"--train-prompt {path}: this is not UTF-8 text ({error.reason}).", "Save it so.") from None
    if not text:
        raise UsageError(f"--train-prompt {path}: the file is empty.", choices)
    return text


def prompted(pairs: Sequence[PreferencePair], system: str, fold: bool) -> list[PreferencePair]:
    """Pairs under a system prompt.

    Args:
        pairs: any.
        system: the prompt; "" leaves each pair its own.
        fold: put system prompts before the user's first words, for templates that have no place for them.

    Raises:
        UsageError: a pair has a system prompt of its own, which would be lost.
    """
    for number, pair in enumerate(pairs, 1):
        if system and pair.system not in ("", system):
            what = f"--train-prompt: pair {number} has a system prompt of its own, which would be lost."
            raise UsageError(what, "Leave the option out, or the pairs' system prompts.")
    if system:
        pairs = [replace(pair, system=system) for pair in pairs]
    return [_folded(pair) if fold else pair for pair in pairs]


def _folded(pair: PreferencePair) -> PreferencePair:
    """A pair whose system prompt stands before the user's first words; where the user is not first, as it is."""
    messages = fold_system_message(pair.messages)
    if messages[0]["role"] == "system":
        return pair
    turns = [Turn(message["role"], message["content"]) for message in messages]
    return replace(pair, system="", history=tuple(turns[:-1]), prompt=turns[-1].text)
