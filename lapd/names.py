"""Looking personas up: those that plugins registered, and the single poles."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from lapd.errors import UnknownNameError
from lapd.personas import Persona, read_poles


@cache
def single_poles() -> dict[str, Persona]:
    """The eight poles as personas of their own, by letter. They are not among `all_personas`."""
    from lapd.data import FOLDER

    return {pole.code: pole for pole in read_poles(FOLDER / "personas" / "mbti.json")}


@cache
def all_personas() -> dict[str, Persona]:
    """Every registered persona by its code: the sixteen types and what plugins add."""
    from lapd.pluginmanager import registry

    return dict(registry("personas"))


def get_persona(code: str) -> Persona:
    """The persona of that code, or the single pole of that letter, in whatever case it is written.

    Raises:
        UnknownNameError: there is none; the message names the nearest.
    """
    personas = all_personas()
    by_lower = {persona.code.lower(): persona for persona in (single_poles() | personas).values()}
    if (persona := by_lower.get(code.lower())) is None:
        raise UnknownNameError("persona", code, personas, "`lapd personas` lists them; a pole, such as I, is one too.")
    return persona


def get_personas(codes: Iterable[str]) -> list[Persona]:
    """`get_persona` for each of `codes`."""
    return [get_persona(code) for code in codes]
