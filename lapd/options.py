"""Options of what plugins register, such as judges and executors: `key=value` on the command line, or a mapping.

What takes options has a method `configure(options)`, which returns it with them; most build a dataclass for it.
"""

from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import yaml

from lapd.errors import DataError, UsageError
from lapd.files.settings import build
from lapd.pluginmanager import lookup

T = TypeVar("T")


def read_options(texts: Sequence[str], flag: str) -> dict[str, str]:
    """The "key=value" texts of a repeatable option as a mapping; the last of one key counts.

    Args:
        texts: as given.
        flag: the option that they were given to, such as "--judge-option".

    Raises:
        UsageError: one is no "key=value".
    """
    split = {text: text.partition("=") for text in texts}
    if wrong := [text for text, (key, equals, _) in split.items() if not key.strip() or not equals]:
        raise UsageError(f"{flag} {wrong[0]!r} is no key=value.")
    return {key.strip(): value for key, _, value in split.values()}


def configured(kind: str, name: str, options: Mapping[str, Any] | None = None) -> Any:
    """What is registered under `name`, with these options.

    Args:
        kind: "judges", "executors".
        name: as a plugin registered it.
        options: texts, or values from a file.

    Raises:
        UnknownNameError: nobody registered it.
        UsageError: it does not take one of the options, or cannot be used here.
    """
    found = lookup(kind, name)
    if hasattr(found, "configure"):
        return found.configure(options or {})
    if options:
        given = ", ".join(sorted(options))
        raise UsageError(f"The {kind.removesuffix('s')} {found.name} takes no options, but was given {given}.")
    return found


def build_options(cls: type[T], options: Mapping[str, Any], whose: str, page: str) -> T:
    """A dataclass of settings from options; texts are read as YAML where a field is not text.

    Args:
        cls: the dataclass.
        options: by field name.
        whose: for the message, such as "judge openai".
        page: the page of the documentation that lists them.

    Raises:
        UsageError: an option is no field, has the wrong type, or is missing.
    """
    hints = typing.get_type_hints(cls)
    values = {
        key: _value(value) if isinstance(value, str) and str not in _kinds(hints.get(key)) else value
        for key, value in options.items()
    }
    try:
        return build(cls, values, whose)
    except DataError as error:
        raise UsageError(str(error), f"See {page} for its settings.") from None


def _value(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text  # of the wrong type, as `build` then says


def _kinds(hint: Any) -> tuple[Any, ...]:
    return typing.get_args(hint) or (hint,)
