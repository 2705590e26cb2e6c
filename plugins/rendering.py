"""Pairs as token ids as TRL makes them, behind checks that it leaves out: nothing is dropped, cut or read otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jinja2 import TemplateError
from lapd.plugins import dpo

from lapd.errors import DataError, UsageError, first_line
from lapd.models.chat import FOLD, drops_system_prompt
from lapd.pairs.pair import PreferencePair, texts_of


def token_rows(
    pairs: Sequence[PreferencePair], tokenizer: Any, max_length: int, what: str = "pair"
) -> list[dict[str, list[int]]]:
    """`dpo.tokenize` of each pair.

    Args:
        pairs: any.
        tokenizer: the base's.
        max_length: tokens of all that is before the responses and a response together.
        what: what a pair is called in messages.

    Raises:
        UsageError: the chat template drops system prompts, and a pair has one.
        DataError: a pair has a special token in a text, is too long, is refused by the template, or its responses come
            to the same tokens.
    """
    _refuse_lost_system_prompts(pairs, tokenizer, what)
    special = _special_tokens(tokenizer)
    rows = []
    for number, pair in enumerate(pairs, 1):
        where = f"{what} {number}"
        _refuse_special_tokens(pair, special, where)
        try:
            row = dpo.tokenize(pair, tokenizer)
        except TemplateError as error:
            hint = "Leave such pairs out, or write their turns as the template wants them."
            raise DataError(where, f"the chat template does not take it ({first_line(error)}).", hint=hint) from None
        if row["chosen_ids"] == row["rejected_ids"]:
            raise DataError(where, "under the chat template its two responses are the same.", hint="Leave it out.")
        rows.append(row)
    dpo.refuse_long_pairs(rows, max_length)
    return rows


def _refuse_lost_system_prompts(pairs: Sequence[PreferencePair], tokenizer: Any, what: str) -> None:
    """Each system prompt is tried once, in the first pair that has it."""
    tried: set[str] = set()
    for number, pair in enumerate(pairs, 1):
        if not pair.system or pair.system in tried:
            continue
        tried.add(pair.system)
        if drops_system_prompt(tokenizer, pair.messages):
            raise UsageError(f"The chat template has no place for the system prompt of {what} {number}.", FOLD)


def _special_tokens(tokenizer: Any) -> list[str]:
    """What the tokenizer reads as one token wherever it stands; a word that merely serves as padding is none."""
    added = getattr(tokenizer, "added_tokens_decoder", {}).values()
    named = tokenizer.all_special_tokens
    return [token.content for token in added if token.content.strip() and (token.special or token.content in named)]


def _refuse_special_tokens(pair: PreferencePair, special: Sequence[str], where: str) -> None:
    for name, text in texts_of(pair).items():
        for token in special:
            if token in text:
                message = f"{name!r} has {token!r} in its text, which the tokenizer reads as a token of its own."
                raise DataError(where, message, hint="`lapd data check` lists such texts; take it out.")
