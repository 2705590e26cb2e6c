"""What `--adapter` is given, and what an adapter may not be called: arms go by their adapters' names."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lapd.adapters.steering import STEERING, is_steering
from lapd.errors import ModelError, UnknownNameError, UsageError
from lapd.names import get_persona

WEAKEST, STRONGEST = -1.0, 2.0
"""The strengths that an adapter may be given: its update is multiplied by one. 1 is the adapter as it was trained."""

BASE = "base"
"""The name of the arm without an adapter."""

PROMPTED = "+prompt("
"""What begins the persona's code in a prompted arm's name."""


@dataclass(frozen=True)
class Told:
    """What a text for `--adapter` says: [NAME=]PLACE[:PERSONA].

    Attributes:
        name: what the adapter shall be called; None for its folder's name.
        place: its folder, or a pattern, with strengths if it has any; or a server's name for it.
        persona: the code of whose adapter it is; None for whose its run card says.
    """

    name: str | None
    place: str
    persona: str | None


def read_told(text: str, is_there: Callable[[str], bool]) -> Told:
    """What a text for `--adapter` says; a place that is there outweighs what "=" and ":" in its name might mean.

    Args:
        text: as it was given.
        is_there: whether there is a folder of that name, or one that matches the pattern.

    Raises:
        UnknownNameError: there is no such persona.
    """
    head, colon, code = text.rpartition(":")
    for whole, persona in ((text, None), (head, code)):
        for name, place in _splits(whole):
            if place and is_there(place):
                return Told(name, place, _code(persona))
    persona = None
    if colon:  # a server's names may hold one themselves
        with contextlib.suppress(UnknownNameError):
            text, persona = head, _code(code)
    *_, (name, place) = _splits(text)[:2]
    return Told(name, place, persona) if name and "/" not in name else Told(None, text, persona)


def _splits(text: str) -> list[tuple[str | None, str]]:
    """The whole text as a place, then every name and place that an "=" in it may part; either may have one itself."""
    places = [n for n, letter in enumerate(text) if letter == "=" and n > 0]
    return [(None, text), *((text[:n], text[n + 1 :]) for n in places)]


def _code(persona: str | None) -> str | None:
    return get_persona(persona).code if persona else None


def check_name(name: str) -> None:
    """Refuse an adapter's name that is an arm's already, or would be read as one.

    Raises:
        UsageError: it is such a name.
    """
    if name.lower() == BASE:
        why = "so the arm without an adapter is called"
    elif PROMPTED in name:
        why = f"{PROMPTED.rstrip('(')!r} marks the arms with a system prompt"
    elif _ends_in_a_strength(name):
        why = "what follows the @ is a strength"
    else:
        return
    hint = "Rename its folder, or give it another name: --adapter NAME=FOLDER."
    raise UsageError(f"An adapter cannot be called {name!r}: {why}.", hint)


def _ends_in_a_strength(name: str) -> bool:
    found = re.search(r"@([-+]?[\d.]+)$", name)
    try:
        return found is not None and WEAKEST <= float(found[1]) <= STRONGEST
    except ValueError:
        return False


def refuse_steering(text: str) -> None:
    """Refuse a steering vector where PEFT is to load it.

    Raises:
        ModelError: `text` is the folder of one, with a strength behind it or not.
    """
    for place in (text, text.rpartition("@")[0]):
        if place and is_steering(Path(place)):
            hint = f"Take --model steered: pretrained=BASE,steer_path={Path(place) / STEERING}"
            raise ModelError(f"peft={text}: {place} holds a steering vector, which PEFT cannot load.", hint)


def refuse_strength(text: str) -> None:
    """Refuse a strength where only adapters as they are can be loaded: lm-eval, for one, takes it for a folder's name.

    Raises:
        ModelError: `text` is no folder, but a folder with a strength behind it.
    """
    folder, at, _ = text.rpartition("@")
    if at and not Path(text).is_dir() and Path(folder).is_dir():
        hint = f"`lapd merge {text} -o FOLDER` writes an adapter at that strength, and `lapd eval` takes it as it is."
        raise ModelError(f"peft={text}: lm-eval knows no strengths.", hint)
