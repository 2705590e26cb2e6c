"""The errors that a user can meet, all of them.

    LapdError                   exit code 1
    ├── UsageError              exit code 2: the call is wrong
    │   └── UnknownNameError        a persona, task, plugin ... that does not exist
    ├── DataError               a file's content is wrong
    ├── ModelError              a base model or an adapter cannot be used
    │   └── BaseMismatchError       the adapter was trained on another base
    ├── PluginError             a plugin that was asked for is broken
    ├── EndpointError           a model's endpoint cannot be used
    │   ├── CeilingError            the ceiling on requests or on spend is reached
    │   └── NoAnswerError           one request got no answer; another may
    ├── StoreError              a run folder or cell cannot be used
    └── OutputError             the result could not be written

Every message says what is wrong, where, and what to do next, on one line.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

LONGEST_LINE = 300
"""Characters of an exception that are shown."""


def first_line(error: BaseException) -> str:
    """An exception in one line: its message's first, and what a colon there announces; its kind where it has none."""
    first, *rest = str(error).strip().splitlines() or [type(error).__name__]
    if not first.rstrip().endswith(":"):
        return first
    line = " ".join(" ".join([first, *rest]).split())
    return line if len(line) <= LONGEST_LINE else f"{line[: LONGEST_LINE - 3]}..."


class LapdError(Exception):
    """Base of every error that LAPD raises on purpose.

    Args:
        message: what is wrong and where.
        hint: what to do next; appended to the message.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        self.hint = hint
        super().__init__(f"{message} {hint}".strip())

    def __reduce__(self) -> tuple[Any, ...]:
        # A worker's error is pickled, and its kind may take other arguments than the finished message.
        return _unpickled, (type(self), self.args, self.__dict__)


def _unpickled(kind: type[LapdError], args: tuple[Any, ...], state: dict[str, Any]) -> LapdError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


class UsageError(LapdError):
    """The call itself is wrong: an option, a combination of options, a name."""

    exit_code = 2


class UnknownNameError(UsageError):
    """A name that is not registered.

    Args:
        kind: what was looked for ("persona", "task", ...).
        name: what was asked for.
        known: the names that exist; the nearest is offered.
        hint: where to see them all.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str], hint: str = "") -> None:
        self.kind, self.name, self.known = kind, name, sorted(known)
        lower = {k.lower(): k for k in self.known}
        near = [lower[m] for m in difflib.get_close_matches(name.lower(), lower, n=2, cutoff=0.5)]
        self.nearest = f"Did you mean {' or '.join(near)}?" if near else ""
        super().__init__(f"There is no {kind} {name!r}. {self.nearest}".strip(), hint)


class DataError(LapdError):
    """The content of a file is wrong.

    Args:
        path: the file.
        message: what is wrong.
        line: 1-based line number, if the error has one.
        hint: what to do next.
    """

    def __init__(self, path: object, message: str, line: int | None = None, hint: str = "") -> None:
        where = f"{path}:{line}" if line is not None else f"{path}"
        super().__init__(f"{where}: {message}", hint)


class ModelError(LapdError):
    """A base model or an adapter cannot be found, read or used."""


class BaseMismatchError(ModelError):
    """The adapter was trained on another base model than the one it is to be put on."""


class PluginError(LapdError):
    """A plugin that is needed failed to load, or two plugins register the same name."""


class EndpointError(LapdError):
    """A model's endpoint cannot be used: it refuses the key or the model, or answers nothing."""


class CeilingError(EndpointError):
    """The ceiling on requests or on spend is reached."""


class NoAnswerError(EndpointError):
    """One request got no answer, after all its attempts; another may.

    Attributes:
        of_endpoint: whether that speaks of the endpoint (broken, busy or silent), not of this request alone.
        input_tokens, output_tokens: what was taken for nothing.
    """

    of_endpoint = False
    input_tokens = output_tokens = 0

    def taking(self, input_tokens: int, output_tokens: int, of_endpoint: bool) -> NoAnswerError:
        """The same with what it took, and of what it speaks."""
        self.input_tokens, self.output_tokens, self.of_endpoint = input_tokens, output_tokens, of_endpoint
        return self


class StoreError(LapdError):
    """A run folder or a cell cannot be used: damaged, newer than this LAPD, or in use."""


class OutputError(LapdError):
    """The result could not be written: no space, no permission, read-only."""
