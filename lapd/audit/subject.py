"""What an audit is of, and the base it came from: adapters, whole models, checkpoints, what a server has."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lapd.adapters.adapter import Adapter, base_of, folders_of, resolve_adapters
from lapd.adapters.naming import read_told
from lapd.adapters.steering import is_steering
from lapd.adapters.whole import base_of_models, resolve_models
from lapd.errors import LapdError, ModelError, UsageError, first_line
from lapd.evaluate.plan import make_arms
from lapd.evaluate.reached import Reached
from lapd.models.base import FETCHED, BaseModel, resolve_base
from lapd.record.cells import Arm
from lapd.report.glance.checkpoints import CHECKPOINT

CARD = "README.md"
"""A model card, whose front matter may name the base."""

SHUFFLED = "shuffled"


@dataclass(frozen=True)
class Audited:
    """What is audited.

    Attributes:
        base: what all of it is compared with.
        arms: the base, then each subject.
    """

    base: BaseModel
    arms: list[Arm]

    @property
    def subjects(self) -> list[Adapter]:
        """The adapters and whole models, in the order of their arms."""
        return [arm.adapter for arm in self.arms if arm.adapter]


def find_audited(
    paths: Sequence[str], base: str | None = None, persona: str | None = None, served: Reached | None = None
) -> Audited:
    """What paths, ids on the Hub or a server's names stand for, and their base.

    Args:
        paths: "[NAME=]PLACE[@STRENGTH][:PERSONA]" each; a place is a folder (or a pattern), or a Hugging Face id.
        base: as `lapd.models.base.resolve_base` takes it; None for the one that an adapter's files name.
        persona: whose poles those count towards that have no persona of their own.
        served: a server with the models that paths and base are the names of there.

    Raises:
        ModelError: something is not there, cannot be fetched, or is neither adapter nor model.
        UsageError: two are called the same, or nothing names the base.
        UnknownNameError: there is no such persona.
    """
    if served:
        return Audited(served.model, make_arms(_plain(served.adapters), ["base", "adapter"], persona))
    here = _named_apart([name for path in paths for name in _here(path)])
    models = [text for text in here if _is_model(_place(text))]
    adapters = resolve_adapters(text for text in here if text not in models)
    resolved = _resolve_base(base or _base_named(adapters, models), given=base is not None)
    whole = resolve_models(models, resolved, taken=[adapter.name for adapter in adapters])
    return Audited(resolved, make_arms(_plain([*adapters, *whole]), ["base", "adapter"], persona))


def _here(text: str) -> list[str]:
    """The text with folders of this machine in its place: what a pattern matches, what the Hub has."""
    told = read_told(text, lambda place: bool(folders_of(_split(place)[0])))
    place, strength = _split(told.place)
    head, tail = f"{told.name}=" if told.name else "", f"{strength}:{told.persona}" if told.persona else strength
    folders = folders_of(place)
    if not folders and re.fullmatch(r"[\w.-]+/[\w.-]+", place) and not place.startswith("."):
        folders, head = [str(_fetched(place))], head or f"{place.split('/')[1]}="
    if not folders:
        hint = "Give the folder of an adapter or a model, or a Hugging Face id such as someone/their-lora."
        raise ModelError(f"{place}: there is no such adapter or model.", hint)
    for folder in folders:
        _check_kind(Path(folder))
    return [f"{head}{folder}{tail}" for folder in sorted(folders, key=_steps)]


def _split(place: str) -> tuple[str, str]:
    """A place, and the strengths behind its last `@` with it; a folder that is called so itself has none."""
    folder, at, strength = place.rpartition("@")
    if not at or folders_of(place) or not re.fullmatch(r"[-+\d.,]+", strength):
        return place, ""
    return folder, at + strength


def _steps(folder: str) -> tuple[str, int, str]:
    """What folders are ordered by: checkpoints by their steps, not by the letters of their numbers."""
    found = CHECKPOINT.search(folder)
    return (folder[: found.start()], int(found[1]), "") if found else (folder, 0, "")


def _named_apart(texts: Sequence[str]) -> list[str]:
    """The texts; checkpoints of several trainings are called by their trainings too."""
    if len({Path(_place(text)).parent for text in texts if CHECKPOINT.search(_place(text))}) < 2:
        return list(texts)
    named = []
    for text in texts:
        place = Path(_place(text)).resolve()
        plain = CHECKPOINT.search(str(place)) and text.startswith(_place(text))
        named.append(f"{place.parent.name}-{place.name}={text}" if plain else text)
    return named


def _place(text: str) -> str:
    told = read_told(text, lambda place: bool(folders_of(_split(place)[0])))
    return _split(told.place)[0]


def _check_kind(folder: Path) -> None:
    if is_steering(folder) or (folder / "adapter_config.json").is_file() or (folder / "config.json").is_file():
        return
    what = f"{folder} holds neither an adapter (adapter_config.json) nor a model (config.json)."
    inside = [path.parent.name for name in ("adapter_config.json", "config.json") for path in folder.glob(f"*/{name}")]
    hint = f"There is one inside: {folder / sorted(inside)[0]}" if inside else "Give the folder that has one."
    raise ModelError(what, hint)


def _is_model(place: str) -> bool:
    folder = Path(place).expanduser()
    return not is_steering(folder) and not (folder / "adapter_config.json").is_file()


def _fetched(repository: str) -> Path:
    """A repository of the Hub on this machine's disk: an adapter or a model, with its card.

    Raises:
        ModelError: it cannot be had.
    """
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(repository, allow_patterns=[*FETCHED, CARD]))
    except Exception as error:  # the hub client raises a dozen kinds; each means that it cannot be had
        hint = "Check the path; or, for one on the Hub, the network and `hf auth login`."
        what = f"{repository}: there is no such folder, and the Hub gave none: {first_line(error)}"
        raise ModelError(what, hint) from None


def _base_named(adapters: Sequence[Adapter], models: Sequence[str]) -> str:
    """The base that all the subjects name: by run card, PEFT's configuration, or model card.

    Raises:
        UsageError: they name none, or different ones.
    """
    named = {_base_of(adapter) for adapter in adapters}
    named |= {_base_in_card(Path(_place(text))) or base_of_models([text]) for text in models}
    names = sorted(name for name in named if name)
    if len(names) > 1:
        raise UsageError(f"The paths name different bases ({', '.join(names)}).", "Audit them apart, or give --base.")
    if not names:
        named_ones = ", ".join([*(adapter.name for adapter in adapters), *models])
        raise UsageError(f"Nothing names the base model of {named_ones}.", "Give it with --base MODEL.")
    return names[0]


def _base_of(adapter: Adapter) -> str | None:
    try:
        return base_of(adapter)
    except ModelError:
        return _base_in_card(adapter.path)


def _base_in_card(folder: Path) -> str | None:
    """The base that a model card's front matter names; None where there is no card, or it names none or several."""
    import yaml

    path = folder.expanduser() / CARD
    if not path.is_file():
        return None
    head = re.match(r"---\n(.*?)\n---", path.read_text(encoding="utf-8", errors="replace"), re.DOTALL)
    try:
        told: Any = yaml.safe_load(head[1]) if head else None
    except yaml.YAMLError:
        return None
    named = told.get("base_model") if isinstance(told, dict) else None
    names = named if isinstance(named, list) else [named]
    return str(names[0]) if len(names) == 1 and names[0] else None


def _resolve_base(name: str, given: bool) -> BaseModel:
    try:
        return resolve_base(name)
    except LapdError as error:
        if given:
            raise
        what = f"The base that the files name, {name}, is not to be had: {first_line(error)}"
        raise ModelError(what, "Or give another place of it with --base MODEL.") from None


def _plain(found: Iterable[Adapter]) -> list[Adapter]:
    """The subjects; a control stays one only where it is a shuffled one beside the adapter that it is a control of.

    Of any other that is named it is asked what it did, as of every adapter.
    """
    every = list(found)
    personas = {adapter.persona for adapter in every if not adapter.control and adapter.persona}
    return [
        adapter
        if not adapter.control or (adapter.control.partition("-")[0] == SHUFFLED and adapter.persona in personas)
        else _uncontrolled(adapter)
        for adapter in every
    ]


def _uncontrolled(adapter: Adapter) -> Adapter:
    """The adapter without its part as a control, and without what would make it a replicate of its persona's."""
    card = dict(adapter.card or {})
    return replace(adapter, card={key: value for key, value in card.items() if key not in ("control", "settings")})
