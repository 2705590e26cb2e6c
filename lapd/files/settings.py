"""Building a typed dataclass from a YAML block, with errors that name the key."""

from __future__ import annotations

import types
import typing
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, TypeVar

import yaml

from lapd.errors import DataError, UnknownNameError

T = TypeVar("T")


def build(cls: type[T], values: dict[str, Any], where: object) -> T:
    """An instance of the dataclass `cls` with `values`.

    Args:
        cls: a dataclass whose fields are numbers, texts, lists of them, dicts, or None.
        values: by field name.
        where: what the values came from, for the message.

    Raises:
        DataError: a key that is no field, a field without a value, or a value of another type.
    """
    hints = typing.get_type_hints(cls)
    known = {f.name: f for f in fields(cls)}  # type: ignore[arg-type]
    built = {}
    for key, value in values.items():
        if key not in known:
            raise DataError(where, str(UnknownNameError("setting", str(key), known)))
        built[key] = _convert(value, hints[key], f"{where}: {key}")
    for name, field in known.items():
        if name not in built and field.default is MISSING and field.default_factory is MISSING:
            raise DataError(where, f"the setting {name!r} is missing.")
    return cls(**built)


def _convert(value: Any, hint: Any, where: str) -> Any:
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    for option in options:
        plain = typing.get_origin(option) or option
        if isinstance(value, bool) and plain is not bool:
            continue
        if isinstance(value, plain) and _fits_inside(value, option):
            return value
        # YAML reads 2e-4 as text and 2 as an integer.
        if plain is float and isinstance(value, (int, str)):
            try:
                return float(value)
            except ValueError:
                continue
    names = (str(o) if typing.get_args(o) else getattr(o, "__name__", str(o)) for o in options)
    wanted = " or ".join(names).replace("NoneType", "nothing")
    quoted = "" if isinstance(value, (list, dict)) or str not in options or value is None else "Put it in quotes."
    raise DataError(where, f"{value!r} is not {wanted}.", hint=quoted)


def _fits_inside(value: Any, hint: Any) -> bool:
    """Whether what is in a list is what the list is of; dicts are open."""
    inner = typing.get_args(hint)
    if not isinstance(value, list) or not inner:
        return True
    kind = inner[0] if isinstance(inner[0], types.UnionType) else typing.get_origin(inner[0]) or inner[0]
    return all(isinstance(v, kind) for v in value)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        DataError: the file is missing, is not YAML, or is no mapping.
    """
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(path, "there is no such file.") from None
    except IsADirectoryError:
        raise DataError(path, "this is a folder, not a file.") from None
    except UnicodeDecodeError as error:
        raise DataError(path, f"this is not UTF-8 text ({error.reason}).") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else None
        raise DataError(path, f"this is not YAML ({getattr(error, 'problem', error)}).", line) from None
    if not isinstance(value, dict):
        raise DataError(path, "a mapping of settings is expected.")
    return value
