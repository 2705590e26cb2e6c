"""A model's tokenizer taken along into another folder, and whether two of them read texts alike."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from lapd.errors import ModelError, first_line
from lapd.files.quiet import quiet_libraries
from lapd.models.base import BaseModel
from lapd.models.chat import Message, render
from lapd.models.identity import TOKENIZER, digest_of, matching
from lapd.models.loading import load_tokenizer

SAMPLE = (
    "The quick brown fox said: “It's 3.14 o'clock!”\n\n\tdef f(x):\n        return x ** 2  # two spaces  \n"
    "naïve café Ωμέγα привет 日本語 한국어 العربية 😀 1234567890 <|unknown|> </s> [PAD]"
)
"""A text with what tokenizers treat in ways of their own; their added tokens are put behind it."""

CONVERSATIONS: tuple[list[Message], ...] = (
    [{"role": "user", "content": "One."}],
    [{"role": "system", "content": "Two."}, {"role": "user", "content": "One."}],
    [{"role": role, "content": "One."} for role in ("user", "assistant", "user")],
)
"""What chat templates are told apart by."""


def copy_tokenizer(source: Path, folder: Path) -> None:
    """Copy every file that a tokenizer is made of, its chat templates included, over what is in `folder`."""
    for file in matching(source, TOKENIZER):
        copy = folder / file.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)


def check_same_tokenizer(source: Path, folder: Path) -> None:
    """Refuse a copy that reads a sample otherwise than the original: a model would be given other words.

    Raises:
        ModelError: it does, or cannot be loaded; the message says what came out otherwise.
    """
    from transformers import AutoTokenizer

    with quiet_libraries():
        try:
            before, after = (AutoTokenizer.from_pretrained(place) for place in (source, folder))
        except Exception as error:  # the libraries raise many kinds; each means that there is no such tokenizer
            raise ModelError(f"The tokenizer of {folder} cannot be loaded: {first_line(error)}") from error
    ours, theirs = _readings(before), _readings(after)
    if changed := [what for what in ours if ours[what] != theirs[what]]:
        hint = f"Are all files of the tokenizer in {source}?"
        raise ModelError(f"The tokenizer does not come out the same: another {', '.join(changed)}.", hint)


def _readings(tokenizer: Any) -> dict[str, Any]:
    """What a tokenizer makes of the sample, by what it tells of."""
    added = sorted((token_id, str(token)) for token_id, token in tokenizer.added_tokens_decoder.items())
    text = SAMPLE + "".join(f" {token} x" for _, token in added)
    return {
        "number of tokens": len(tokenizer),
        "set of added tokens": added,
        "encoding of a sample": tokenizer(text)["input_ids"],
        "end-of-text token": tokenizer.eos_token_id,
        "chat template": tokenizer.chat_template,
    }


def differences(base: BaseModel, other: BaseModel) -> tuple[str, ...]:
    """What another model reads otherwise than the base: "tokenizer", "chat template", both, or nothing.

    Files may differ in bytes and say the same, as those that a training saved again. A tokenizer with tokens beyond the
    base's is the same as long as it gives the base's tokens for the same texts; a template is what it writes.

    Raises:
        ModelError: a tokenizer cannot be loaded.
    """
    if digest_of(base.files, TOKENIZER) == digest_of(other.files, TOKENIZER):
        return ()
    with quiet_libraries():
        ours, theirs = load_tokenizer(base), load_tokenizer(other)
    texts = [SAMPLE, *(text for text in _written(ours) if text)]
    alike = all(ours(text)["input_ids"] == theirs(text)["input_ids"] for text in texts)
    same = alike and ours.get_vocab().items() <= theirs.get_vocab().items()
    found = {"tokenizer": not same, "chat template": _written(ours) != _written(theirs)}
    return tuple(what for what, differs in found.items() if differs)


def _written(tokenizer: Any) -> list[str | None]:
    """What a chat template makes of each conversation; None where it takes it not, or there is no template."""
    return [_rendered(tokenizer, messages) for messages in CONVERSATIONS]


def _rendered(tokenizer: Any, messages: list[Message]) -> str | None:
    try:
        return render(tokenizer, messages)
    except Exception:  # a template is a program of somebody else's, and may refuse a system role
        return None
