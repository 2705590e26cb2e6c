"""Whose persona an adapter has: the installed one of its code, else the one that its run card carries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

from lapd.adapters.adapter import Adapter
from lapd.errors import UnknownNameError
from lapd.names import get_persona
from lapd.personas import Persona


def persona_of(adapter: Adapter) -> Persona | None:
    """The persona that an adapter was trained for, or is said to be of; None where it is not known."""
    if adapter.given:
        return persona_of_card({"persona": adapter.given})
    return persona_of_card(adapter.card) if adapter.card else None


def persona_of_card(card: Mapping[str, Any]) -> Persona | None:
    """The persona of a run card; None for an adapter that is nobody's.

    One whose plugin or pack is not installed is read from the card: whoever is given the folder can go on with it. Of a
    card from before personas were carried only the code and the poles are known.
    """
    if not (code := card.get("persona")):
        return None
    try:
        return get_persona(code)
    except UnknownNameError:
        carried = card.get("persona_record") or {}
        # A newer LAPD may tell more of a persona.
        known = {f.name: carried[f.name] for f in fields(Persona) if f.name in carried}
        return Persona(**{"code": code, "name": code, "poles": card.get("poles") or {}, **WORDLESS, **known})


def find_persona(code: str, adapters: Iterable[Adapter]) -> Persona:
    """The persona of that code: an installed one, else one that an adapter carries.

    Raises:
        UnknownNameError: there is none.
    """
    try:
        return get_persona(code)
    except UnknownNameError:
        for adapter in adapters:
            if (persona := persona_of(adapter)) and persona.code.lower() == code.lower():
                return persona
        raise


WORDLESS = {"description": "", "system_prompt": ""}
"""What is not known of a persona that has nothing but pairs."""
