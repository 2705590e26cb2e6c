"""Models that a server has, under the names that it knows them by.

`lapd eval --model endpoint --base-url http://127.0.0.1:8000/v1 --base llama-3-8b --adapter INFP=out/INFP` asks for
"llama-3-8b" and "INFP" there, as vLLM serves them with `--lora-modules INFP=out/INFP`. The weights are the server's,
so a result is known by the address and the names; an adapter whose folder is given also by what is in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from lapd.adapters.adapter import Adapter, base_of, folders_of, resolve_adapters
from lapd.adapters.naming import read_told
from lapd.catalog.task import TaskInfo
from lapd.endpoints.endpoint import Endpoint
from lapd.errors import UnknownNameError, UsageError
from lapd.files.whole import digest_json
from lapd.models.base import BaseModel
from lapd.models.embedded import EMBEDDED
from lapd.names import get_persona
from lapd.remote.tokenizer import find_tokenizer, tokenizer_at_hand


@dataclass(frozen=True)
class ServedModel(BaseModel):
    """A base model that an endpoint has; nothing of it is on this machine's disk.

    Attributes:
        endpoint: where; its `model` is the base model's name there.
        tokenizer: the folder of its tokenizer on this machine; None where it is not known.
        weights: its own folder or name on this machine; None where it is not known.
    """

    endpoint: Endpoint
    tokenizer: Path | None = field(default=None, compare=False)
    weights: str | None = field(default=None, compare=False)


def served_model(
    endpoint: Endpoint,
    tokenizer: str | None = None,
    weights: str | None = None,
    adapters: Sequence[Adapter] = (),
) -> ServedModel:
    """The base model behind an endpoint.

    Args:
        endpoint: where; its `model` is the base model's name there.
        tokenizer: what has its tokenizer on this machine: `smollm2`, a folder, a Hugging Face id.
        weights: what the server's weights are, a folder or a name; else they are taken for what the adapters were
            trained on, or what is called as the server calls it. Their tokenizer is used where none is named.
        adapters: that the server has beside it.

    Raises:
        UsageError: there is no key for it, or no such tokenizer.
        ModelError: the tokenizer cannot be had.
    """
    endpoint.key()
    trained_on = {base_of(adapter) for adapter in adapters if adapter.path.is_dir()}
    known = [name for name in (weights, *sorted(trained_on), endpoint.model) if name]
    here = next((name for name in known if _is_here(name)), None)
    if tokenizer:
        folder: Path | None = find_tokenizer(tokenizer)
    else:
        folder = next(filter(None, map(tokenizer_at_hand, known)), None)
    digest = _digest(endpoint, endpoint.model)
    return ServedModel(endpoint.model, Path(), digest, endpoint.model, endpoint, folder, here)


def _is_here(name: str) -> bool:
    return name.lower() == EMBEDDED or (Path(name).expanduser() / "config.json").is_file()


def served_adapters(names: Iterable[str], endpoint: Endpoint) -> list[Adapter]:
    """What `--adapter` means with an endpoint.

    Args:
        names: "NAME=FOLDER" for an adapter folder that is served as NAME, "FOLDER" (or a pattern) for one that is
            served as its folder's name, "NAME" for one whose folder is not at hand. Such a NAME that is a persona's
            code is taken to be an adapter for that persona.
        endpoint: that serves them.

    Raises:
        UsageError: an adapter is given a strength, two have one name, or one is called as the base is.
        ModelError: a folder that was named is no adapter.
    """
    found: list[Adapter] = []
    for text in names:
        told = read_told(text, _is_place)
        place = told.place
        if told.name or "/" in place or _is_place(place) or any(letter in place for letter in "*?"):
            found += resolve_adapters([text])
        else:
            known = Adapter(place, Path(place), _digest(endpoint, place), _card(place))
            found.append(replace(known, given=told.persona))
    labels = [adapter.name for adapter in found]
    for adapter in found:
        if adapter.strength != 1:
            hint = "Write the scaled adapter with `lapd merge`, and serve that."
            raise UsageError(f"{adapter.label}: a server has an adapter at the strength that it loaded.", hint)
        if labels.count(adapter.name) > 1 or adapter.name == endpoint.model:
            raise UsageError(f"Two models are called {adapter.name!r}.", "Give --adapter NAME=FOLDER.")
    return found


def _is_place(text: str) -> bool:
    """Whether there is such a folder, or one that matches; with a strength behind it or not."""
    folder = text.rpartition("@")[0]
    return bool(folders_of(text) or (folder and folders_of(folder)))


def served_name(name: str, path: str) -> str:
    """What `--adapter` would be given for an adapter of that name and path: the inverse of `served_adapters`."""
    return name if path == name else f"{name}={path}"


def check_tokenizer(base: ServedModel, infos: Sequence[TaskInfo]) -> None:
    """Refuse tasks that need log-likelihoods where no tokenizer of the served model is at hand.

    Raises:
        UsageError: there is one.
    """
    if base.tokenizer is None and (scored := [info.name for info in infos if is_scored(info)]):
        verb = "needs" if len(scored) == 1 else "need"
        what = f"{', '.join(scored)} {verb} log-likelihoods, and {base.name}'s tokenizer is not at hand."
        raise UsageError(what, "Give --tokenizer with the base model's folder or its Hugging Face id.")


def is_scored(info: TaskInfo) -> bool:
    """Whether a task is answered by log-likelihoods."""
    return info.kind not in ("", "generate_until")


def _digest(endpoint: Endpoint, name: str) -> str:
    return digest_json(["endpoint", endpoint.base_url.rstrip("/"), name])


def _card(name: str) -> dict[str, str] | None:
    try:
        return {"persona": get_persona(name).code}
    except UnknownNameError:
        return None
