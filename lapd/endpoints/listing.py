"""What a server says that it has: its list of models, as vLLM and others write it at `/v1/models`."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

from lapd.endpoints.endpoint import Endpoint
from lapd.endpoints.wire import Wire
from lapd.errors import EndpointError


@dataclass(frozen=True)
class Listed:
    """A model that a server has.

    Attributes:
        name: that it is asked by.
        root: where the server has it from: a folder on the server's machine, or a name; "" where it does not say.
        parent: of an adapter, the base model's name there; "" for a base, and where the server does not say.
        window: how many tokens a request may have, the answer's among them; None where the server does not say.
        owner: who the server says that it is of: "vllm" with vLLM.
    """

    name: str
    root: str = ""
    parent: str = ""
    window: int | None = None
    owner: str = ""


def list_models(endpoint: Endpoint) -> list[Listed]:
    """The models that a server has, in its order.

    Args:
        endpoint: where; its `model` does not matter.

    Raises:
        EndpointError: there is no such list.
        UsageError: there is no key for the server.
    """

    async def ask() -> Any:
        async with Wire(endpoint, endpoint.key()) as wire:
            return await wire.models()

    response = asyncio.run(ask())
    hint = "Is it running? The address ends in /v1 with most servers."
    if isinstance(response, str):
        raise EndpointError(f"{endpoint.base_url} does not say which models it has: {response}.", hint)
    try:
        entries = json.loads(response.text)["data"]
        found = [_listed(entry) for entry in entries]
    except (ValueError, KeyError, TypeError, AttributeError):
        label = f"HTTP {response.status}"
        raise EndpointError(f"{endpoint.base_url} does not say which models it has ({label}).", hint) from None
    return found


def only_base(listed: list[Listed], base_url: str) -> Listed:
    """The one base model of a server.

    Raises:
        EndpointError: it has none, or several.
    """
    bases = [entry for entry in listed if not entry.parent]
    if len(bases) != 1:
        names = ", ".join(entry.name for entry in bases[:8]) or "none"
        raise EndpointError(f"{base_url} has {len(bases)} base models ({names}).", "Name the one with --base NAME.")
    return bases[0]


def _listed(entry: dict[str, Any]) -> Listed:
    window = entry.get("max_model_len")
    root, parent, owner = (str(entry.get(name) or "") for name in ("root", "parent", "owned_by"))
    return Listed(str(entry["id"]), root, parent, window if isinstance(window, int) and window > 0 else None, owner)
