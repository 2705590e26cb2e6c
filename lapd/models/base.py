"""Base models: finding them, telling them apart by digest, loading them.

One is named by `smollm2` (embedded: it needs no network), by a Hugging Face id, or by a local folder.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lapd.errors import DataError, ModelError, UnknownNameError, first_line
from lapd.files.whole import cache_dir, digest_files, read_json, write_json
from lapd.models.embedded import EMBEDDED, EMBEDDED_UPSTREAM, embedded_folder

WEIGHTS = ("*.safetensors", "*.bin")
IDENTITY = (*WEIGHTS, "config.json", "tokenizer*", "chat_template*", "vocab*", "merges*", "special_tokens*")


@dataclass(frozen=True)
class BaseModel:
    """A base model on this machine's disk.

    Attributes:
        name: as the user named it.
        path: the folder with its weights, config and tokenizer.
        digest: SHA-256 over those files; two models with one digest answer alike.
        upstream: what `adapter_config.json` should name as the base.
    """

    name: str
    path: Path
    digest: str
    upstream: str


def resolve_base(name: str) -> BaseModel:
    """Find a base model and compute its digest.

    Args:
        name: `smollm2`, a local folder, or a Hugging Face id with an optional `@revision`.

    Raises:
        ModelError: it cannot be had: no such folder, no network, the embedded package is missing.
        UnknownNameError: the name is none of the three.
    """
    if name.lower() == EMBEDDED:
        path = embedded_folder()
        return BaseModel(EMBEDDED, path, _folder_digest(path), EMBEDDED_UPSTREAM)
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise ModelError(f"{folder} is no model: it has no config.json.", "Give a folder in Hugging Face's format.")
        return BaseModel(name, folder.resolve(), _folder_digest(folder), str(folder.resolve()))
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise UnknownNameError("base model", name, [EMBEDDED], "Give smollm2, a folder, or a Hugging Face id.")
    path = _download(name)
    return BaseModel(name, path, _folder_digest(path), name)


def _download(name: str) -> Path:
    from huggingface_hub import snapshot_download

    repo, _, revision = name.partition("@")
    try:
        patterns = ["*.safetensors", "*.json", "*.txt", "*.model", "*.jinja"]
        return Path(snapshot_download(repo, revision=revision or None, allow_patterns=patterns))
    except Exception as error:  # the hub client raises a dozen kinds; each means that the model cannot be had
        reason = first_line(error)
        hint = "Check the name, the network and `hf auth login`, or give a local folder."
        raise ModelError(f"Base model {name!r} could not be fetched: {reason}", hint) from None


def _folder_digest(folder: Path) -> str:
    """SHA-256 over a model folder's identity; remembered, since hashing 16 GB of weights takes a while."""
    files = sorted({f for pattern in IDENTITY for f in folder.glob(pattern) if f.is_file()})
    stamp = [[f.name, f.stat().st_size, f.stat().st_mtime_ns] for f in files]
    memory = cache_dir() / "digests" / f"{str(folder.resolve()).strip('/').replace('/', '-')[-150:]}.json"
    try:
        remembered = read_json(memory)
        if remembered["stamp"] == stamp and remembered["folder"] == str(folder.resolve()):
            return str(remembered["digest"])
    except (DataError, KeyError, TypeError):
        pass
    digest = digest_files(folder, files)
    write_json(memory, {"folder": str(folder.resolve()), "stamp": stamp, "digest": digest})
    return digest
