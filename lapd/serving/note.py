"""What is served on this machine: a note in the cache for each server, by which `lapd eval` finds it.

A note lies there while its server runs. One that was left by a server that was killed is of no process, and goes.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from lapd.adapters.adapter import Adapter
from lapd.errors import DataError, ModelError, StoreError, UsageError
from lapd.files.whole import cache_dir, read_record, write_json

SCHEMA = "lapd.served/1"


@dataclass(frozen=True)
class ServedAdapter:
    """An adapter as it was when the server loaded it."""

    name: str
    path: str
    digest: str


@dataclass(frozen=True)
class Served:
    """A server that runs here.

    Attributes:
        base_url: where it answers.
        process: of `lapd serve-models`, which ends together with it.
        base: the base model's name there.
        weights: the base model's folder.
        digest: the base model's.
        adapters: that it has beside the base.
    """

    base_url: str
    process: int
    base: str
    weights: str
    digest: str
    adapters: tuple[ServedAdapter, ...]

    def names(self) -> list[str]:
        """What `lapd eval --adapter` takes for each adapter."""
        return [f"{adapter.name}={adapter.path}" for adapter in self.adapters]


def notes_folder() -> Path:
    """Where the notes lie."""
    return cache_dir() / "served"


def write_note(served: Served, port: int) -> Path:
    """Write a server's note, and return the file, which whoever wrote it takes away in the end."""
    path = notes_folder() / f"{port}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {"schema": SCHEMA, **asdict(served)})
    return path


def served_here() -> list[Served]:
    """The servers that run on this machine, by the notes; notes of none are taken away."""
    found = []
    for path in sorted(notes_folder().glob("*.json")):
        try:
            record = read_record(path, SCHEMA)
            adapters = tuple(ServedAdapter(**adapter) for adapter in record["adapters"])
            served = Served(**{k: v for k, v in record.items() if k != "schema"} | {"adapters": adapters})
        except (DataError, StoreError, OSError, TypeError, KeyError):
            continue  # another version's, or half gone
        if _is_running(served.process):
            found.append(served)
        else:
            path.unlink(missing_ok=True)
    return found


def served_at(base_url: str | None) -> Served | None:
    """The server of `lapd serve-models` at an address; without one, the only one that there is. None where none is.

    Raises:
        UsageError: no address was given, and there are several.
    """
    servers = served_here()
    if base_url is not None:
        servers = [served for served in servers if served.base_url == base_url.rstrip("/")]
    if len(servers) > 1:
        where = ", ".join(served.base_url for served in servers)
        raise UsageError(f"Several servers run here: {where}.", "Name one with --base-url.")
    return servers[0] if servers else None


def check_as_served(served: Served, adapters: Sequence[Adapter]) -> None:
    """Refuse adapters whose folders hold other weights than the server has loaded.

    Raises:
        ModelError: one was trained again, or taken away.
    """
    loaded = {(adapter.name, adapter.path): adapter.digest for adapter in served.adapters}
    for adapter in adapters:
        digest = loaded.get((adapter.name, str(adapter.path)))
        if digest is not None and digest != adapter.digest:
            hint = "End `lapd serve-models` with Ctrl-C and start it again."
            raise ModelError(f"{adapter.name} at {served.base_url} is what {adapter.path} held before.", hint)


def as_served(adapters: Sequence[Adapter]) -> tuple[ServedAdapter, ...]:
    """Adapters as a note has them."""
    return tuple(ServedAdapter(adapter.name, str(adapter.path), adapter.digest) for adapter in adapters)


def check_free(port: int) -> None:
    """Refuse a port of this machine at which something answers already.

    Raises:
        UsageError: something does.
    """
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise UsageError(f"Port {port} is taken on this machine.", "Give another with --port.")


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
