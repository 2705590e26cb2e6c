"""Options of generators, judges, graders, executors: declaring, taking, giving them (`lapd.hookspecs.TakesOptions`).

They are given as flags (`lapd generate --axis E/I`), as "key=value" (`--judge-option model=m`), or in a file.
"""

from __future__ import annotations

import inspect
import re
import textwrap
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, Field, fields
from functools import partial
from typing import Any, TypeVar

import click
import yaml

from lapd.errors import DataError, UnknownNameError, UsageError
from lapd.files.settings import build
from lapd.pluginmanager import lookup

T = TypeVar("T")


# Declaring them


def declared(thing: object) -> tuple[click.Option, ...]:
    """The options that something registered declares; none for most."""
    options = getattr(thing, "options", ())
    found = tuple(options) if isinstance(options, Iterable) else ()
    # Something may have an attribute of this name that is its own affair.
    return found if all(isinstance(option, click.Option) for option in found) else ()


def declared_by(cls: type[Any]) -> tuple[click.Option, ...]:
    """The options that a dataclass of settings comes to, one a field: `--max-tokens` for `max_tokens`.

    The type is the hint's, and the help what the section "Attributes:" of the class's docstring says of the field. A
    field without a default is required, a truth value is a flag (`--x/--no-x`), a list may be given several times.

    Args:
        cls: a dataclass as `build_options` takes it: numbers, texts, truth values, lists of them, dicts, or None.
    """
    hints, texts = typing.get_type_hints(cls), _attributes(cls)
    return tuple(_option(field, hints[field.name], texts.get(field.name, "")) for field in fields(cls))


def _option(field: Field[Any], hint: Any, text: str) -> click.Option:
    (kind, *others) = [kind for kind in _kinds(hint) if kind is not types.NoneType]
    several = typing.get_origin(kind) is list
    if several:
        (kind, *others) = _kinds(typing.get_args(kind)[0])
    flag = "--" + field.name.replace("_", "-")
    default = field.default if field.default_factory is MISSING else field.default_factory()
    return click.Option(
        [f"{flag}/--no-{flag[2:]}" if kind is bool else flag, field.name],
        type=kind if kind in (bool, int, float) and not others else str,
        multiple=several,
        help=text[:1].upper() + text[1:],
        # For click any default at all, even None, is one.
        **{"required": True} if default is MISSING else {"default": default, "show_default": default is not None},
    )


def _attributes(cls: type[Any]) -> dict[str, str]:
    """What the sections "Attributes:" of a class and its parents say of each, in one line."""
    texts: dict[str, str] = {}
    for each in reversed(cls.__mro__):
        section = re.search(r"^Attributes:\n((?:[ ]+.*\n?|\n)*)", inspect.cleandoc(each.__doc__ or ""), re.MULTILINE)
        entries = re.findall(r"^(\w+): (.*(?:\n +.*)*)", textwrap.dedent(section[1]) if section else "", re.MULTILINE)
        texts |= {name: " ".join(text.split()) for name, text in entries}
    return texts


# Giving them


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
        kind: "generators", "judges", "graders", "executors".
        name: as a plugin registered it.
        options: texts, or values from a file, by the options' parameters' names. A generator that declares options may
            be given `out` too, the pairs file that will be written.

    Raises:
        UnknownNameError: nobody registered it.
        UsageError: it does not take one of the options, or cannot be used here.
    """
    found, given = lookup(kind, name), dict(options or {})
    who = f"{kind.removesuffix('s')} {found.name}"
    if known := declared(found):
        _check_names(known, set(given) - ({"out"} if kind == "generators" else set()), who)
    if hasattr(found, "configure"):
        return found.configure(given)
    if known and kind == "generators":
        return _TakesKeywords(found, completed(known, given, who))
    if given:
        raise UsageError(f"The {who} takes no options, but was given {', '.join(sorted(given))}.")
    return found


def _check_names(options: Iterable[click.Option], given: set[str], who: str) -> None:
    known = sorted({str(option.name) for option in options})
    if wrong := sorted(given.difference(known)):
        unknown = UnknownNameError("option", wrong[0], known, f"Known: {', '.join(known)}.")
        raise UsageError(f"{who}: {unknown}")


class _TakesKeywords:
    """A generator of the form from before `configure`, whose options reach `generate` and `estimate` as keywords."""

    def __init__(self, generator: object, options: Mapping[str, Any]) -> None:
        self._generator, self._options = generator, options

    def __getattr__(self, name: str) -> Any:
        part = getattr(self._generator, name)
        return partial(part, **self._options) if name in ("generate", "estimate") else part


# Taking them


def completed(options: Sequence[click.Option], given: Mapping[str, Any], whose: str) -> dict[str, Any]:
    """What was given, texts converted as click does it, and the defaults of what was not, by the parameters' names.

    Args:
        options: those that are declared.
        given: of them, and perhaps of others, which are kept as they are.
        whose: for the message, such as "generator openai".

    Raises:
        UsageError: an option is missing, or is not of its type.
    """
    left = [option for option in options if option.name not in given]
    try:
        context = click.Command(whose, params=list(left), add_help_option=False).make_context(whose, [])
        typed = {str(o.name): _typed(o, given[o.name], context) for o in options if o.name in given}
    except click.UsageError as error:
        raise UsageError(f"{whose}: {error.format_message()}") from None
    return {**context.params, **given, **typed}


def _typed(option: click.Option, value: Any, context: click.Context) -> Any:
    if isinstance(value, str):
        return option.type_cast_value(context, (value,) if option.multiple else value)
    texts = option.multiple and isinstance(value, (list, tuple)) and all(isinstance(one, str) for one in value)
    return option.type_cast_value(context, value) if texts else value


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
    values = {key: _value(value, hints.get(key)) for key, value in options.items()}
    try:
        return build(cls, values, whose)
    except DataError as error:
        raise UsageError(str(error), f"See {page} for its settings.") from None


def _value(value: Any, hint: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)  # of a flag that was given several times
    if not isinstance(value, str) or str in _kinds(hint):
        return value
    try:
        return yaml.safe_load(value)
    except yaml.YAMLError:
        return value  # of the wrong type, as `build` then says


def _kinds(hint: Any) -> tuple[Any, ...]:
    return typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
