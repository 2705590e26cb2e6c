"""A trait pack: what one is, and reading it from its folder.

traits.yaml                         name, title, licence, axes with their poles
personas.json                       optional: named combinations of poles
contrast/<lang>/*.jsonl             optional: situations with a response from each pole
questionnaire-<form>.<lang>.json    optional: paired items

contrast/*.jsonl and questionnaire.json are read too: English, and form A.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lapd.errors import DataError, UnknownNameError
from lapd.files.settings import build, read_yaml
from lapd.files.whole import check_schema, read_record
from lapd.personas import Axis, Persona, Pole, axis_tag
from lapd.traits.situations import Situation, read_situations

SCHEMA = "lapd.traits/1"
PERSONAS_SCHEMA = "lapd.personas/2"
FILE = "traits.yaml"

CODE = re.compile(r"[^\W\d_][\w-]*")
"""A pole's or persona's code: what can stand on the command line, and in a folder's name."""

AXIS = re.compile(r"[^\W\d_][\w /-]*")

_PERSONA = ("code", "name", "description", "system_prompt", "sides")
"""The fields of a persona in personas.json."""


@dataclass(frozen=True)
class TraitPack:
    """A trait pack.

    Attributes:
        name: what its tasks are called by, such as "bigfive".
        title: for people.
        licence: of its texts.
        provenance: where they come from; "" where that is not said.
        folder: where it lies.
        axes: in the pack's order.
        situations_task: what the task of its held-out situations is called.
        personas: its named combinations, in the file's order.
    """

    name: str
    title: str
    licence: str
    provenance: str
    folder: Path
    axes: tuple[Axis, ...]
    situations_task: str
    personas: tuple[Persona, ...] = ()

    @property
    def ends(self) -> dict[str, tuple[str, str]]:
        """The poles' codes of each axis, by its id."""
        return {axis.id: axis.ends for axis in self.axes}

    def contrast_files(self, lang: str = "en") -> list[Path]:
        """The files of its contrast corpus in a language; empty where it has none."""
        folder = self.folder / "contrast"
        return [*(sorted(folder.glob("*.jsonl")) if lang == "en" else []), *sorted((folder / lang).glob("*.jsonl"))]

    def languages(self) -> list[str]:
        """The languages of its contrast corpus."""
        named = {path.parent.name for path in (self.folder / "contrast").glob("*/*.jsonl")}
        return sorted(named | ({"en"} if self.contrast_files() else set()))

    def situations(self, split: str, lang: str = "en") -> list[Situation]:
        """Its situations of one split ("train" or "heldout") and language, in the order of the files.

        Raises:
            DataError: as `corpus`.
        """
        return [situation for situation in self.corpus(lang) if situation.split == split]

    def corpus(self, lang: str = "en") -> list[Situation]:
        """All its situations in a language, in the order of the files.

        Raises:
            DataError: a line of the corpus is no situation, or two have one id.
        """
        found: dict[str, Situation] = {}
        for path in self.contrast_files(lang):
            for situation in read_situations(path, self.ends, lang):
                if found.setdefault(situation.id, situation) is not situation:
                    raise DataError(path, f"two situations have the id {situation.id!r}.", hint="Rename one.")
        return list(found.values())

    def questionnaire(self, form: str = "A", lang: str = "en") -> Path:
        """The file of one form of its questionnaire, there or not."""
        path = self.folder / f"questionnaire-{form.lower()}.{lang}.json"
        plain = self.folder / "questionnaire.json"
        return plain if (form, lang) == ("A", "en") and plain.is_file() and not path.is_file() else path

    def questionnaires(self) -> list[Path]:
        """Every form and language of its questionnaire."""
        return sorted(self.folder.glob("questionnaire*.json"))

    def persona(self, code: str) -> Persona | None:
        """The persona or single pole of that code, in whatever case it is written; None where it has none."""
        everybody = (*self.personas, *self.single_poles())
        return next((p for p in everybody if p.code.lower() == code.lower()), None)

    def single_poles(self) -> Iterator[Persona]:
        """Each pole as a persona that takes a side on its own axis and on no other."""
        for axis in self.axes:
            for pole in axis.poles:
                yield Persona(pole.code, pole.name, {axis.id: pole.code}, pole.description, pole.system_prompt)


@dataclass(frozen=True)
class _File:
    """The content of traits.yaml."""

    schema: str
    name: str
    licence: str
    axes: list[dict[str, Any]]
    title: str = ""
    provenance: str = ""
    situations_task: str = ""


@dataclass(frozen=True)
class _Axis:
    id: str
    poles: list[dict[str, Any]]
    name: str = ""


def read_pack(folder: Path) -> TraitPack:
    """The pack in a folder.

    Raises:
        DataError: it has no traits.yaml; a field is missing or wrong; two axes, poles or personas have one name.
        StoreError: a newer LAPD wrote it.
    """
    path = folder / FILE
    if not path.is_file():
        hint = "`lapd traits new NAME` makes one to begin with."
        raise DataError(folder, f"this is no trait pack: it has no {FILE}.", hint=hint)
    file = build(_File, read_yaml(path), path)
    check_schema(path, file.schema, SCHEMA)
    if not CODE.fullmatch(file.name):
        raise DataError(path, f"name: {file.name!r} cannot name tasks: use letters, digits and dashes.")
    axes = tuple(_axis(path, number, entry) for number, entry in enumerate(file.axes, 1))
    if not axes:
        raise DataError(path, "axes: name at least one.")
    _refuse_twins(path, "axes", [axis_tag(axis.id) for axis in axes])
    _refuse_twins(path, "poles", [code for axis in axes for code in axis.ends])
    title, task = file.title or file.name, file.situations_task or f"{file.name}_situations"
    if not CODE.fullmatch(task):
        raise DataError(path, f"situations_task: {task!r} cannot name a task: use letters, digits and dashes.")
    pack = TraitPack(file.name, title, file.licence, file.provenance, folder.resolve(), axes, task)
    return replace(pack, personas=_personas(pack))


def _axis(path: Path, number: int, entry: dict[str, Any]) -> Axis:
    where = f"{path}: axis {number}"
    read = build(_Axis, entry, where)
    if not AXIS.fullmatch(read.id):
        raise DataError(where, f"id: {read.id!r} cannot name an axis: begin with a letter.")
    if len(read.poles) != 2:
        raise DataError(where, f"{read.id} has {len(read.poles)} poles, not 2.")
    first, second = (build(Pole, pole, f"{where}: pole {n}") for n, pole in enumerate(read.poles, 1))
    for number, pole in enumerate((first, second), 1):
        if blank := [name for name, text in vars(pole).items() if not text.strip()]:
            raise DataError(where, f"pole {number}: {blank[0]}: this is empty.")
        if not CODE.fullmatch(pole.code):
            raise DataError(where, f"code: {pole.code!r} cannot name a pole: use letters, digits and dashes.")
    return Axis(read.id, read.name or read.id, (first, second))


def _personas(pack: TraitPack) -> tuple[Persona, ...]:
    path = pack.folder / "personas.json"
    if not path.is_file():
        return ()
    record = read_record(path, PERSONAS_SCHEMA)
    if not isinstance(entries := record.get("personas"), list):
        raise DataError(path, "there is no list of `personas`.")
    found = tuple(_persona(path, pack, entry) for entry in entries)
    _refuse_twins(path, "personas", [*(p.code for p in found), *(c for axis in pack.axes for c in axis.ends)])
    return found


def _persona(path: Path, pack: TraitPack, entry: Any) -> Persona:
    """A persona of the file: `sides` has a pole's code for an axis, or a number from -1 to 1 (1 is the first pole)."""
    if not isinstance(entry, dict):
        raise DataError(path, "a persona is an object.")
    for name in _PERSONA[:-1]:
        if not isinstance(entry.get(name), str) or not entry[name].strip():
            raise DataError(path, f"a persona has no {name!r}.")
    if unknown := [name for name in entry if name not in _PERSONA]:
        raise DataError(path, f"{entry['code']}: {UnknownNameError('field', str(unknown[0]), _PERSONA)}")
    code = entry["code"]
    if not CODE.fullmatch(code):
        raise DataError(path, f"{code!r} cannot name a persona: use letters, digits and dashes.")
    sides = entry.get("sides", {})
    if not isinstance(sides, dict):
        raise DataError(path, f"{code}: sides: this is no object with a side for each axis.")
    poles, degrees = sides_of(path, code, sides, pack.ends)
    return Persona(code, entry["name"], poles, entry["description"], entry["system_prompt"], degrees)


def sides_of(
    path: Path, code: str, sides: Mapping[str, Any], ends: Mapping[str, tuple[str, str]]
) -> tuple[dict[str, str], dict[str, float]]:
    """A persona's poles, and how far it goes towards them where that is not all the way.

    Args:
        path: the file, for messages.
        code: the persona's.
        sides: by axis: a pole's code, or a number from -1 to 1 (1 is the first pole).
        ends: the poles of each axis that there is.

    Raises:
        DataError: there is no such axis, or no such side of it.
    """
    poles, degrees = {}, {}
    for axis, side in sides.items():
        if axis not in ends:
            raise DataError(path, f"{code}: there is no axis {axis!r}.", hint=f"Known: {', '.join(ends)}.")
        if isinstance(side, (int, float)) and not isinstance(side, bool) and 0 < abs(side) <= 1:
            poles[axis] = ends[axis][side < 0]
            if abs(side) < 1:
                degrees[axis] = float(abs(side))
        elif side in ends[axis]:
            poles[axis] = side
        else:
            hint = f"Give {' or '.join(ends[axis])}, or a number from -1 to 1, but not 0."
            raise DataError(path, f"{code}: {side!r} is no side of {axis}.", hint=hint)
    return poles, degrees


def _refuse_twins(path: Path, what: str, names: list[str]) -> None:
    lower = [name.lower() for name in names]
    if twice := [name for name in names if lower.count(name.lower()) > 1]:
        raise DataError(path, f"two {what} are called {twice[0]!r}.")
