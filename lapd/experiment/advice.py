"""Errors in an experiment's own words: they advise options, of which `lapd run` has none, and its file has keys."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields

from lapd.errors import LapdError
from lapd.experiment.file import EvaluateConfig
from lapd.train.config import TrainConfig

OPTION = re.compile(r"`[^`]*`|(?<![\w-])(?:--[a-z][a-z0-9-]*|-o)\b")
"""An option; what stands between backticks is a whole command, and stays."""

TOP = {"-o": "`out`", "--base": "`base`", "--persona": "`personas`", "--control": "`controls`"}
TOP |= {"--force": "delete the folder", "--adapter": "`personas`"}
"""What takes the place of options that are no key of `train` or `evaluate`."""

OWN = ("--executor", "--executor-option", "--traits", "--plan", "--json")
"""What `lapd run` does have."""

KEYS = {"train": TrainConfig, "evaluate": EvaluateConfig}
"""The blocks of an experiment's file, and whose fields are their keys."""


@contextmanager
def in_words_of_the_file(block: str) -> Iterator[None]:
    """Have errors from inside name the file's keys where they advise options.

    Args:
        block: "train" or "evaluate": whose key is meant where both have one of that name.
    """
    try:
        yield
    except LapdError as error:
        error.args = (in_keys(str(error), block), *error.args[1:])
        error.hint = in_keys(error.hint, block)
        raise


def in_keys(text: str, block: str) -> str:
    """A text with the file's keys for the options of `lapd train` and `lapd eval`: "--lr" is "`train: lr`"."""
    return OPTION.sub(lambda found: _key(found[0], block), text)


def _key(option: str, block: str) -> str:
    if option in OWN or option in TOP:
        return TOP.get(option, option)
    name = option.removeprefix("--").replace("-", "_")
    for part in (block, *KEYS):
        names = {field.name for field in fields(KEYS[part])}
        if key := next((n for n in (name, f"{name}s") if n in names), None):
            return f"`{part}: {key}`"
    return option
