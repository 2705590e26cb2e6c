"""What of a served model need not be told: its address, its name, its adapters' folders, where its weights are.

`lapd serve-models` leaves a note of all of it; any other server is asked which models it has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lapd.adapters.adapter import Adapter
from lapd.endpoints.endpoint import Endpoint, is_loopback
from lapd.endpoints.listing import Listed, list_models, only_base
from lapd.errors import EndpointError, UsageError
from lapd.evaluate.served import ServedModel, served_adapters, served_model
from lapd.serving.note import Served, check_as_served, served_at

SOON = 5.0
"""Seconds in which a server says which models it has."""


@dataclass(frozen=True)
class Reached:
    """A server, and what is asked of it.

    Attributes:
        model: the base model there.
        adapters: those that are asked beside it.
        known: the note of `lapd serve-models`, where one was found.
    """

    model: ServedModel
    adapters: list[Adapter]
    known: Served | None


def reach(base: str | None, adapters: Sequence[str], given: Mapping[str, Any], tokenizer: str | None = None) -> Reached:
    """The server that was asked for.

    Args:
        base: of `--base`: the base model's name there; by default the only one that it has.
        adapters: of `--adapter`; by default all of `lapd serve-models`, and none of any other server.
        given: fields of the endpoint by name; without `base_url` it is that of `lapd serve-models`.
        tokenizer: of `--tokenizer`.

    Raises:
        UsageError: something is missing, or there is no such adapter or tokenizer.
        ModelError: an adapter's folder holds something else than the server has loaded.
    """
    known = served_at(given.get("base_url"))
    if known is None and "base_url" not in given:
        hint = "Give --base-url, such as http://127.0.0.1:8000/v1, or start a server with `lapd serve-models`."
        raise UsageError("--model endpoint needs an address.", hint)
    if known:
        endpoint = Endpoint(base or known.base, **{**given, "base_url": known.base_url})
        weights = known.weights if endpoint.model == known.base else None
    else:
        endpoint, weights = _asked(base, given)
    found = served_adapters(_with_folders(adapters, known), endpoint)
    if known:
        check_as_served(known, found)
    return Reached(served_model(endpoint, tokenizer, weights, found), found, known)


def _with_folders(adapters: Sequence[str], known: Served | None) -> Sequence[str]:
    """`--adapter` with the folders that a note knows; all of its adapters where none was named."""
    if known is None:
        return adapters
    folders = {adapter.name: text for adapter, text in zip(known.adapters, known.names(), strict=True)}
    return [folders.get(text, text) for text in adapters or folders]


def _asked(base: str | None, given: Mapping[str, Any]) -> tuple[Endpoint, str | None]:
    """The endpoint and, where it is this machine's and says so, the folder of its base model's weights."""
    endpoint = Endpoint(base or "?", **given)
    if base is not None and not is_loopback(endpoint.base_url):
        return endpoint, None
    listed: list[Listed] = []
    try:
        listed = list_models(replace(endpoint, timeout=min(SOON, endpoint.timeout)))
        name = base or only_base(listed, endpoint.base_url).name
    except EndpointError as error:
        if base is None:
            what = f"--model endpoint needs the base model's name there: {error}"
            raise UsageError(what, "" if "--base" in str(error) else "Give --base NAME.") from None
        name = base
    root = next((entry.root for entry in listed if entry.name == name), "")
    return replace(endpoint, model=name), root if is_loopback(endpoint.base_url) else None
