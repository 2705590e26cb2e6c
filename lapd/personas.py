"""Personas: the axes, the poles, and the sixteen types with their descriptions and system prompts.

A single pole, such as "I", is a persona too: it takes a side on its own axis and on no other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lapd.errors import DataError, UnknownNameError
from lapd.files.whole import read_record

AXES: dict[str, tuple[str, str]] = {"E/I": ("E", "I"), "S/N": ("S", "N"), "T/F": ("T", "F"), "J/P": ("J", "P")}
"""Each axis and its two poles. Scores on an axis count towards the first pole."""


@dataclass(frozen=True)
class Persona:
    """A persona that a model can be given.

    Attributes:
        code: the name on the command line, such as "INFP", or "I" for a single pole.
        name: a short title.
        poles: the pole on each axis that the persona takes a side on, such as {"E/I": "I", ...}.
        description: how such a person takes in the world, decides and lives.
        system_prompt: tells a model to speak as such a person.
    """

    code: str
    name: str
    poles: dict[str, str] = field(compare=False)
    description: str
    system_prompt: str

    def sign(self, axis: str) -> int:
        """+1 if the persona is at the axis's first pole, -1 if at its second, 0 if it takes no side."""
        pole = self.poles.get(axis)
        return 0 if pole is None else (1 if pole == AXES[axis][0] else -1)


def opposite_pole(pole: str) -> str:
    """The other end of the pole's axis ("E" gives "I")."""
    for first, second in AXES.values():
        if pole in (first, second):
            return second if pole == first else first
    raise UnknownNameError("pole", pole, [p for poles in AXES.values() for p in poles])


def read_personas(path: Path) -> list[Persona]:
    """The personas in a `lapd.personas/1` file; the four letters of a code name its poles.

    Raises:
        DataError: a persona lacks a field, or its code is no type.
    """
    record = read_record(path, "lapd.personas/1")
    return [_persona(path, entry) for entry in record["personas"]]


def _persona(path: Path, entry: dict[str, Any]) -> Persona:
    try:
        code = entry["code"]
        poles = {axis: letter for (axis, ends), letter in zip(AXES.items(), code, strict=True) if letter in ends}
        if len(poles) != len(AXES):
            raise ValueError
        return Persona(code, entry["name"], poles, entry["description"], entry["system_prompt"])
    except KeyError as error:
        raise DataError(path, f"a persona has no {error}.") from None
    except ValueError:
        raise DataError(path, f"{code!r} is not one of the sixteen types.") from None


def read_poles(path: Path) -> list[Persona]:
    """The eight poles in a `lapd.personas/1` file, each as a persona that takes a side on one axis.

    Raises:
        DataError: a pole is missing, or lacks a field.
    """
    blocks = {entry.get("axis"): entry.get("poles", {}) for entry in read_record(path, "lapd.personas/1")["axes"]}
    poles = []
    for axis, ends in AXES.items():
        for code in ends:
            try:
                pole = blocks[axis][code]
                poles.append(Persona(code, pole["name"], {axis: code}, pole["description"], pole["system_prompt"]))
            except KeyError as error:
                raise DataError(path, f"pole {code} of {axis} has no {error}.") from None
    return poles
