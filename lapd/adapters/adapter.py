"""Adapters: folders of PEFT's, or of a steering vector, with LAPD's run card: found, told apart, given a strength."""

from __future__ import annotations

import glob
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lapd.adapters.kinds import check_scalable
from lapd.adapters.naming import STRONGEST, WEAKEST, read_told
from lapd.adapters.steering import STEERING, is_steering
from lapd.errors import BaseMismatchError, DataError, ModelError, UsageError
from lapd.files.whole import digest_files, read_record
from lapd.models.base import BaseModel
from lapd.models.embedded import EMBEDDED
from lapd.models.intact import object_in

RUN_CARD = "run_card.json"


RUN_CARD_SCHEMA = "lapd.run_card/1"

KEPT_PAIRS = "kept_pairs.jsonl"
"""The pairs of an adapter's own data set that training was kept from: what the task `own_pairs` asks."""


@dataclass(frozen=True)
class Adapter:
    """An adapter's folder, PEFT's or a steering vector's, with LAPD's run card where it has one.

    Attributes:
        name: the folder's name.
        path: the folder.
        digest: SHA-256 over its weights and config.
        card: the run card, or None for an adapter that LAPD did not train.
        strength: what its update is multiplied by; the weights on disk are not.
        given: the code of the persona that it was said to be of, which outweighs the run card's.
    """

    name: str
    path: Path
    digest: str
    card: dict[str, Any] | None = field(compare=False)
    strength: float = 1.0
    given: str | None = field(default=None, compare=False)

    @property
    def label(self) -> str:
        """The name, with the strength where that is not 1: "INFP@0.5"."""
        return self.name if self.strength == 1 else f"{self.name}@{str(self.strength).removesuffix('.0')}"

    def at(self, strength: object) -> Adapter:
        """The same adapter at another strength.

        Args:
            strength: a number from -1 to 2, or its text; not 0, which would be the base.

        Raises:
            UsageError: it is none of these.
            ModelError: it has no other strength than 1, its update being in no proportion to one.
        """
        scaled = replace(self, strength=check_strength(strength, f"{self.name}@{strength}"))
        if scaled.strength != 1:
            check_scalable(self)
        return scaled

    @property
    def persona(self) -> str | None:
        """The code of the persona that it was trained for, where known."""
        return self.given or (self.card.get("persona") if self.card else None)

    @property
    def control(self) -> str | None:
        """Which control adapter it is, such as "shuffled"; None for one that was trained on the persona's pairs."""
        return self.card.get("control") if self.card else None


def check_strength(value: object, where: str) -> float:
    """`value`, a number or its text, as a strength.

    Raises:
        UsageError: it is no number from -1 to 2, or 0; the message begins with `where`.
    """
    try:
        strength = float(str(value))
    except ValueError:
        hint = f"Give a number from {WEAKEST:g} to {STRONGEST:g}."
        raise UsageError(f"{where}: {str(value)!r} is no strength.", hint) from None
    if strength == 0:
        hint = "Leave it out: the arm `base` is measured beside every adapter."
        raise UsageError(f"{where}: at strength 0 an adapter is its base.", hint)
    if not WEAKEST <= strength <= STRONGEST:
        raise UsageError(f"{where}: {value} is no strength from {WEAKEST:g} to {STRONGEST:g}.")
    return strength


def resolve_adapter(path: str | Path) -> Adapter:
    """Read an adapter folder's identity and run card; `out/INFP@0.5` is `out/INFP` at half its strength.

    Raises:
        UsageError: the strength is no number from -1 to 2, or 0.
        ModelError: it is no adapter folder, or only half of one.
    """
    folder, strength = _split_strength(str(path))
    adapter = _read_adapter(Path(folder).expanduser())
    return adapter if strength is None else adapter.at(strength)


def _split_strength(text: str) -> tuple[str, str | None]:
    """A folder (or pattern) and the strength behind its last `@`; a folder that is called so itself has none."""
    folder, at, strength = text.rpartition("@")
    if not at or "/" in strength or ":" in strength or _is_there(text) or not _is_there(folder):
        return text, None
    return folder, strength


def _is_there(pattern: str) -> bool:
    return bool(folders_of(pattern))


def folders_of(pattern: str) -> list[str]:
    """The folders that a name or a pattern such as `out/*` stands for; of a pattern, adapters only.

    What is there under its whole name is that folder, also where its name has the letters of a pattern ("[1] INFP").
    """
    base, rest = Path(), list(Path(pattern).expanduser().parts)
    while rest and (base / rest[0]).exists():
        base /= rest.pop(0)
    if not rest:
        return [str(base)] if base.is_dir() else []
    if not glob.has_magic("/".join(rest)):
        return []
    found = (base / name for name in glob.glob(str(Path(*rest)), root_dir=base))  # noqa: PTH207
    return sorted(str(folder) for folder in found if (folder / "adapter_config.json").is_file() or is_steering(folder))


def _read_adapter(folder: Path) -> Adapter:
    if not folder.is_dir():
        raise ModelError(f"{folder}: there is no such adapter folder.", "`lapd train` makes one.")
    _check_folder(folder)
    card = None
    if (folder / RUN_CARD).is_file():
        card = read_record(folder / RUN_CARD, RUN_CARD_SCHEMA)
        if not isinstance(card.get("base"), dict) or not {"name", "digest"} <= card["base"].keys():
            raise DataError(folder / RUN_CARD, "this run card does not say which base it belongs to.")
    return Adapter(folder.name, folder.resolve(), _digest(folder), card)


def _check_folder(folder: Path) -> None:
    """Refuse a folder that holds no adapter, or two."""
    config = folder / "adapter_config.json"
    if is_steering(folder):
        if config.is_file():
            hint = "Put them into folders of their own."
            raise ModelError(f"{folder} holds two adapters: {STEERING} and {config.name}.", hint)
        return
    if not config.is_file() or not any(folder.glob("adapter_model.*")):
        raise ModelError(f"{folder} is no adapter: it lacks adapter_config.json or adapter_model.safetensors.")
    object_in(config)


def _digest(folder: Path) -> str:
    """SHA-256 over the files that an adapter's answers depend on."""
    if is_steering(folder):
        return digest_files(folder, [folder / STEERING])
    return digest_files(folder, [*folder.glob("adapter_model.*"), folder / "adapter_config.json"])


def check_unchanged(adapter: Adapter) -> None:
    """Refuse an adapter whose files are no longer those that were found: results would go under another's digest.

    Raises:
        ModelError: it was trained again, moved or taken away meanwhile.
    """
    try:
        changed = _digest(adapter.path) != adapter.digest
    except OSError:
        changed = True
    if changed:
        hint = "Give the command again to use what is there now."
        raise ModelError(f"Adapter {adapter.name} ({adapter.path}) has changed since it was found.", hint)


def resolve_adapters(patterns: Iterable[str]) -> list[Adapter]:
    """`resolve_adapter` for each folder, where a pattern such as `out/*` stands for every adapter that it matches.

    `out/INFP@0.5,1,1.5` and `out/*@0.5` give strengths to one folder or to all that match; weaker ones come first.
    `NAME=out/INFP` is called NAME, and `out/INFP:ENTJ` is of the persona ENTJ, whatever its run card says.

    Raises:
        UsageError: a pattern matches no adapter, two adapters have one name, a strength is none, or a persona is not
            known.
        ModelError: a folder that was named outright is no adapter.
    """
    adapters: dict[tuple[str, Path, float], Adapter] = {}
    for text in patterns:
        for adapter in _told_adapters(text):
            adapters[adapter.name, adapter.path, adapter.strength] = adapter
    folder_names = [name for name, _ in dict.fromkeys((adapter.name, adapter.path) for adapter in adapters.values())]
    for names in (folder_names, [adapter.label for adapter in adapters.values()]):
        if twice := sorted({n for n in names if names.count(n) > 1}):
            hint = "Rename one of the folders. Or name one: --adapter NAME=FOLDER."
            raise UsageError(f"Two adapters are called {twice[0]!r}.", hint)
    return list(adapters.values())


def _told_adapters(text: str) -> list[Adapter]:
    """What one text for `--adapter` stands for, at each of its strengths."""
    told = read_told(text, lambda place: _is_there(_split_strength(place)[0]))
    place, strengths = _split_strength(told.place)
    folders = folders_of(place) or ([] if glob.has_magic(place) else [place])
    if not folders:
        raise UsageError(f"No adapter folder matches {text!r}.")
    if told.name and len(folders) > 1:
        raise UsageError(f"{text!r} gives one name to {len(folders)} adapters.", "Name them one by one.")
    found = []
    for folder in folders:
        read = _read_adapter(Path(folder).expanduser())
        adapter = replace(read, name=told.name or read.name, given=told.persona)
        scaled = [adapter] if strengths is None else [adapter.at(part) for part in strengths.split(",")]
        found += sorted(scaled, key=lambda a: a.strength)
    return found


def base_of(adapter: Adapter) -> str:
    """The name of the base model that an adapter was trained on: from its run card, else from PEFT's config.

    Raises:
        ModelError: neither names one.
    """
    if adapter.card:
        return str(adapter.card["base"]["name"])
    if is_steering(adapter.path):
        raise ModelError(f"{adapter.path / STEERING} does not name a base model.", "Give --base.")
    config = object_in(adapter.path / "adapter_config.json")
    name, revision = config.get("base_model_name_or_path"), config.get("revision")
    if not name:
        raise ModelError(f"{adapter.path}/adapter_config.json does not name a base model.", "Give --base.")
    is_folder = Path(name).expanduser().is_dir()
    return f"{name}@{revision}" if revision and revision != "main" and not is_folder else str(name)


def common_base(adapters: Iterable[Adapter]) -> str:
    """The name of the base model that all the adapters were trained on; the embedded one where there is none.

    Raises:
        UsageError: they have different ones.
    """
    bases = sorted({base_of(adapter) for adapter in adapters})
    if len(bases) > 1:
        raise UsageError(f"The adapters have different bases ({', '.join(bases)}).", "Evaluate them apart.")
    return bases[0] if bases else EMBEDDED


def check_base(adapter: Adapter, base: BaseModel) -> None:
    """Refuse an adapter that was trained on another base model.

    Raises:
        BaseMismatchError: the base's digest in the run card is none of this base's.
    """
    trained_on = adapter.card["base"] if adapter.card else None
    if trained_on and trained_on["digest"] not in base.digests:
        raise BaseMismatchError(
            f"Adapter {adapter.name} was trained on {trained_on['name']} (digest {trained_on['digest'][:12]}), "
            f"not on {base.name} (digest {base.digest[:12]}).",
            "Give the base that it was trained on, or train it again on this one.",
        )
