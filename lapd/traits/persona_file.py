"""A persona of one's own in a file: YAML with a name, a description and a system prompt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lapd.errors import DataError
from lapd.files.settings import build, read_yaml
from lapd.personas import Persona
from lapd.traits.pack import CODE, sides_of


@dataclass(frozen=True)
class _File:
    """The content of the file; `poles` has the side for each axis on which the persona takes one, as in a pack."""

    system_prompt: str
    description: str = ""
    name: str = ""
    poles: dict[str, Any] = field(default_factory=dict)


def read_persona(path: Path, code: str, ends: Mapping[str, tuple[str, str]]) -> Persona:
    """The persona called `code` in a file.

    Args:
        path: the file.
        code: what the persona is called.
        ends: the poles of each axis that there is.

    Raises:
        DataError: there is no such file, a field is missing or unknown, the code cannot be one, or a pole is none.
    """
    if not CODE.fullmatch(code):
        raise DataError(path, f"{code!r} cannot name a persona: use letters, digits and dashes.")
    file = build(_File, read_yaml(path), path)
    if not file.system_prompt.strip():
        raise DataError(path, "system_prompt: say how a model is told to speak as this persona.")
    poles, degrees = sides_of(path, code, file.poles, ends)
    return Persona(code, file.name or code, poles, file.description.strip(), file.system_prompt.strip(), degrees)
