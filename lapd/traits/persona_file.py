"""A persona of one's own in a file: YAML with a name, a description and a system prompt."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from lapd.errors import DataError
from lapd.files.settings import build, read_yaml
from lapd.personas import Persona
from lapd.traits.pack import CODE


@dataclass(frozen=True)
class _File:
    """The content of the file; `poles` has the pole for each axis on which the persona takes a side."""

    system_prompt: str
    description: str = ""
    name: str = ""
    poles: dict[str, str] = field(default_factory=dict)


def read_persona(path: Path, code: str) -> Persona:
    """The persona called `code` in a file.

    Raises:
        DataError: there is no such file, a field is missing or unknown, or the code cannot be one.
    """
    if not CODE.fullmatch(code):
        raise DataError(path, f"{code!r} cannot name a persona: use letters, digits and dashes.")
    file = build(_File, read_yaml(path), path)
    if not file.system_prompt.strip():
        raise DataError(path, "system_prompt: say how a model is told to speak as this persona.")
    return Persona(code, file.name or code, file.poles, file.description.strip(), file.system_prompt.strip())
