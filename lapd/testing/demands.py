"""What the contract demands of everything that a plugin registers: a name, a description, options that work."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from lapd.options import declared


def demand(fulfilled: object, message: str) -> None:
    """Raise an AssertionError with `message`, which says what is wrong, unless something is as it should be."""
    __tracebackhide__ = True  # pytest then shows the line of the test
    if not fulfilled:
        raise AssertionError(message)


def demand_parts(thing: Any, kind: str, *functions: str) -> str:
    """Demand a name, a one-line description and these functions, and return what messages call the thing."""
    __tracebackhide__ = True
    who = f"{kind} {getattr(thing, 'name', type(thing).__name__)}"
    for part in ("name", "description"):
        text = getattr(thing, part, None)
        text = text if isinstance(text, str) else ""
        demand(text.strip(), f"{who}: it needs a {part}, a text that is not empty")
        demand(text.splitlines() == [text], f"{who}: its {part} has more than one line")
    for function in functions:
        demand(callable(getattr(thing, function, None)), f"{who}: it needs a function {function}()")
    return who


def with_options(thing: Any, options: Mapping[str, Any] | None, who: str) -> Any:
    """The thing with `options`, as LAPD would give them to it; demands that `configure` leaves the thing as it was.

    Where none are given, it is taken as it is, since it may have its options already.
    """
    __tracebackhide__ = True
    taken = getattr(thing, "options", ())
    known = {str(option.name) for option in declared(thing)}
    demand(len(known) == len(tuple(taken)), f"{who}: its options are click.Options with names that differ")
    if options is None:
        return thing
    strange = sorted(set(options) - known - {"out"})  # which LAPD gives to generators
    demand(not known or not strange, f"{who}: it declares no option {', '.join(strange)}")
    demand(hasattr(thing, "configure"), f"{who}: it has no configure(), so that it cannot be given options")
    before = repr(vars(thing)) if hasattr(thing, "__dict__") else ""
    made = thing.configure(dict(options))
    demand(made is not None, f"{who}: configure() returns it with its options, not None")
    after = repr(vars(thing)) if hasattr(thing, "__dict__") else ""
    demand(before == after, f"{who}: configure() changes the registered one; return another instead")
    return made


def demand_json(value: object, what: str) -> None:
    """Demand that `value` can be written as JSON."""
    __tracebackhide__ = True
    try:
        json.dumps(value)
    except (TypeError, ValueError) as error:
        raise AssertionError(f"{what} cannot be written as JSON: {error}") from None
