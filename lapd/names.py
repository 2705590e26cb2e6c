"""Looking up the trait packs that there are, and their axes, poles and personas.

Packs come from plugins, and from the folders that `--traits` or LAPD_TRAITS (several: as in PATH) name.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from lapd.errors import DataError, PluginError, UnknownNameError
from lapd.personas import Axis, Persona
from lapd.pluginmanager import absent, registry
from lapd.traits.pack import TraitPack, read_pack

VARIABLE = "LAPD_TRAITS"


def packs() -> dict[str, TraitPack]:
    """Every trait pack by its name: those of plugins, then those in folders that were named.

    Raises:
        DataError: a folder that was named holds no pack.
        PluginError: two packs have one name, or an axis or a pole of one name.
    """
    return _packs(os.environ.get(VARIABLE, ""))


def use_traits(folder: Path) -> None:
    """Have the pack in `folder` among the packs, in this process and in those that it starts.

    Raises:
        DataError: it is no pack.
    """
    read_pack(folder)
    known = [text for text in os.environ.get(VARIABLE, "").split(os.pathsep) if text]
    if (text := str(folder.resolve())) not in known:
        os.environ[VARIABLE] = os.pathsep.join([*known, text])


@cache
def _packs(named: str) -> dict[str, TraitPack]:
    found = []
    for folder in registry("traits").values():
        try:
            found.append(read_pack(folder.path))
        except DataError as error:  # a stranger's pack: the others must load
            print(f"Warning: {error} The pack is left out.", file=sys.stderr)
    folders = dict.fromkeys(Path(text).expanduser().resolve() for text in named.split(os.pathsep) if text)
    own = [read_pack(folder) for folder in folders]
    # A folder that was named stands for the installed pack of its name: it is a newer copy, or the same.
    found = [pack for pack in found if pack.name not in {other.name for other in own}] + own
    _refuse_collisions(found)
    for pack in found:
        if taken := {p.code.lower() for p in pack.personas} & {code.lower() for code in registry("personas")}:
            where = f"A plugin and the trait pack {pack.name} both have the persona {min(taken).upper()!r}."
            raise PluginError(where, "Uninstall the plugin, or leave the pack out.")
    return {pack.name: pack for pack in found}


def _refuse_collisions(found: Iterable[TraitPack]) -> None:
    owner: dict[tuple[str, str], TraitPack] = {}
    for pack in found:
        names = [("pack", pack.name), *(("axis", axis.id) for axis in pack.axes)]
        names += [("persona", persona.code) for persona in (*pack.personas, *pack.single_poles())]
        for kind, name in names:
            if (other := owner.setdefault((kind, name.lower()), pack)) is not pack:
                where = f"{other.folder} and {pack.folder}"
                raise PluginError(f"Two trait packs have the {kind} {name!r}: {where}.", "Leave one of them out.")


def axes() -> dict[str, Axis]:
    """Every axis of every pack, by its id."""
    return {axis.id: axis for pack in packs().values() for axis in pack.axes}


def pack_of(axis: str) -> TraitPack:
    """The pack that an axis belongs to.

    Raises:
        UnknownNameError: there is no such axis.
    """
    for pack in packs().values():
        if axis in pack.ends:
            return pack
    raise UnknownNameError("axis", axis, axes(), "`lapd traits` lists them.")


def find_pack(name: str) -> TraitPack:
    """The pack of that name, or in the folder of that path.

    Raises:
        UnknownNameError: it is neither.
        DataError: the folder's pack cannot be read.
    """
    if (known := packs().get(name)) is not None:
        return known
    if Path(name).is_dir():
        return read_pack(Path(name))
    raise UnknownNameError("trait pack", name, packs(), "`lapd traits` lists them; a pack's folder is one too.")


def axis_ends(axis: str) -> tuple[str, str]:
    """The poles' codes of an axis; of one whose pack is not at hand, as far as its name tells."""
    if known := axes().get(axis):
        return known.ends
    first, slash, second = axis.partition("/")
    return (first, second) if slash else (f"more {axis}", f"less {axis}")


def sign_of(axis: str, pole: str | None) -> int:
    """+1 for the axis's first pole, -1 for its second, 0 for neither."""
    first, second = axis_ends(axis)
    return {first: 1, second: -1}.get(pole or "", 0)


def opposite_pole(pole: str) -> str:
    """The other end of the pole's axis ("E" gives "I").

    Raises:
        UnknownNameError: there is no such pole.
    """
    for axis in axes().values():
        if pole in axis.ends:
            return axis.other(pole)
    raise UnknownNameError("pole", pole, single_poles(), "`lapd traits` lists them.")


def single_poles() -> dict[str, Persona]:
    """Every pole as a persona of its own, by its code. They are not among `all_personas`."""
    return {pole.code: pole for pack in packs().values() for pole in pack.single_poles()}


def all_personas() -> dict[str, Persona]:
    """Every persona with a name, by its code: the packs' and what plugins add."""
    return {p.code: p for pack in packs().values() for p in pack.personas} | dict(registry("personas"))


def get_persona(code: str) -> Persona:
    """The persona of that code, or the single pole, in whatever case it is written.

    Raises:
        UnknownNameError: there is none; the message names the nearest.
    """
    known = single_poles() | all_personas()
    by_lower = {persona.code.lower(): persona for persona in known.values()}
    if (persona := by_lower.get(code.lower())) is None:
        hint = "`lapd personas` lists them; a pole, such as I, is one too: `lapd traits`."
        words = [name for name in known if len(name) > 1]  # a letter is near to anything
        raise UnknownNameError("persona", code, words, hint + absent())
    return persona


def get_personas(codes: Iterable[str]) -> list[Persona]:
    """`get_persona` for each of `codes`."""
    return [get_persona(code) for code in codes]
