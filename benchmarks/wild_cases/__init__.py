"""Kinds of input that go wrong without a word, by area; `benchmarks/wild.py` tries them.

A module of this package has kinds of one area. Each is a function under `@kind`, which is given an empty folder and
yields, for each input that it tried, a label and what is wrong with the outcome ("" where it is right).
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

AREAS = (
    "texts",
    "pairs",
    "files",
    "models",
    "adapters",
    "architectures",
    "tokenizers",
    "servers",
    "cells",
    "groups",
    "likeness",
    "records",
    "conclusions",
    "commands",
    "surroundings",
)
"""The modules: what models write; pairs, and files of them; base models, adapters, makes of model, tokenizers;
endpoints; cells, groups of tasks, whether arms are alike; what is kept beside answers; what is concluded from results;
the command line, and names and surroundings."""

Cases = Callable[[Path], Iterator[tuple[str, str]]]


@dataclass(frozen=True)
class Kind:
    """A kind of input.

    Attributes:
        name: what must hold, in a few words.
        area: the module that has it.
        cases: tries its inputs.
        slow: whether it loads a model or takes more than a few seconds.
    """

    name: str
    area: str
    cases: Cases
    slow: bool = False


_kinds: list[Kind] = []


def kind(name: str, *, slow: bool = False) -> Callable[[Cases], Cases]:
    """Registers the decorated function as the kind called `name`."""

    def register(cases: Cases) -> Cases:
        _kinds.append(Kind(name, cases.__module__.rpartition(".")[2], cases, slow))
        return cases

    return register


def kinds() -> list[Kind]:
    """Every kind of every area."""
    for area in AREAS:
        importlib.import_module(f"wild_cases.{area}")
    return list(_kinds)


def expect(found: object, wanted: object) -> str:
    """What is wrong where `found` is not `wanted`; "" where it is."""
    return "" if found == wanted else f"{found!r} instead of {wanted!r}"


def command(*args: object) -> tuple[int, str, str]:
    """`lapd ARGS` in this process: exit code, output, errors.

    Raises:
        Exception: whatever would have been a traceback.
    """
    from click.testing import CliRunner

    from lapd.cli import cli

    result = CliRunner().invoke(cli, [str(a) for a in args], prog_name="lapd")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def refused(outcome: tuple[int, str, str], *words: str, code: int | None = None) -> str:
    """What is wrong where a command was not refused with one line of error that has these words."""
    exit_code, _, errors = outcome
    lines = [line for line in errors.splitlines() if line.startswith("Error:")]
    if exit_code == 0 or len(lines) != 1:
        return f"exit code {exit_code}, errors {errors.strip()!r}"
    if code is not None and exit_code != code:
        return f"exit code {exit_code} instead of {code}"
    return "".join(f"no {word!r} in {lines[0]!r}. " for word in words if word not in lines[0])


def problem(call: Callable[[], object], *words: str) -> str:
    """What is wrong where a call is not refused in one line that has these words."""
    from lapd.errors import LapdError

    try:
        call()
    except LapdError as error:
        text = str(error)
        missing = [word for word in words if word not in text]
        return f"{missing} not in {text!r}" if missing or "\n" in text else ""
    return "it was not refused"


@contextmanager
def without_warnings() -> Iterator[None]:
    from lapd.files.quiet import quiet_libraries

    with quiet_libraries(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
