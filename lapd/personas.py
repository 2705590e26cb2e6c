"""Personas, and the axes whose poles they take. Which there are is looked up in `lapd.names`."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Pole:
    """One end of an axis.

    Attributes:
        code: a letter or word, such as "I" or "neurotic"; a persona of this name takes this pole and no other.
        name: a short title.
        description: how somebody at this pole takes in the world, decides and lives.
        system_prompt: tells a model to speak as such a person.
    """

    code: str
    name: str
    description: str
    system_prompt: str


@dataclass(frozen=True)
class Axis:
    """A trait with two ends. Scores on it count towards the first pole.

    Attributes:
        id: such as "E/I" or "neuroticism".
        name: a short title.
        poles: the first and the second.
    """

    id: str
    name: str
    poles: tuple[Pole, Pole]

    @property
    def ends(self) -> tuple[str, str]:
        """The poles' codes."""
        return self.poles[0].code, self.poles[1].code

    def other(self, pole: str) -> str:
        """The other end: "E" gives "I"."""
        first, second = self.ends
        return second if pole == first else first


def axis_tag(axis: str) -> str:
    """What stands for an axis in the names of metrics: "EI" for "E/I"."""
    return re.sub(r"\W", "", axis)


@dataclass(frozen=True)
class Persona:
    """A persona that a model can be given.

    Attributes:
        code: the name on the command line, such as "INFP", or "I" for a single pole.
        name: a short title.
        poles: the pole on each axis that the persona takes a side on, such as {"E/I": "I", ...}.
        description: how such a person takes in the world, decides and lives.
        system_prompt: tells a model to speak as such a person.
        degrees: how far the persona goes on an axis, above 0 and below 1, where it does not go all the way.
    """

    code: str
    name: str
    poles: dict[str, str] = field(compare=False)
    description: str
    system_prompt: str
    degrees: dict[str, float] = field(default_factory=dict, compare=False)

    def record(self) -> dict[str, Any]:
        """It as JSON; `degrees` only where there are any."""
        return {name: value for name, value in asdict(self).items() if name != "degrees" or value}
