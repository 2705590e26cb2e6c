"""Base models: finding them, telling them apart by digest, loading them.

One is named by `smollm2` (embedded: it needs no network), by a Hugging Face id, or by a local folder.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from lapd.errors import ModelError, UnknownNameError, first_line
from lapd.models.embedded import EMBEDDED, EMBEDDED_UPSTREAM, embedded_folder
from lapd.models.identity import FORMER, changed_files, digest_of, file_digests

FETCHED = ("*.safetensors", "*.json", "*.txt", "*.model", "*.spm", "*.tiktoken", "*.codes", "*.jinja")
"""What is fetched of a model on the Hub."""


@dataclass(frozen=True)
class BaseModel:
    """A base model on this machine's disk.

    Attributes:
        name: as the user named it.
        path: the folder with its weights, config and tokenizer.
        digest: SHA-256 over those files; two models with one digest answer alike.
        upstream: what `adapter_config.json` should name as the base.
        revision: of `upstream`, on the Hub, where one was asked for.
        files: SHA-256 of each file that the digest is over, by its name.
    """

    name: str
    path: Path
    digest: str
    upstream: str
    revision: str | None = field(default=None, kw_only=True)
    files: dict[str, str] = field(default_factory=dict, kw_only=True, compare=False, repr=False)

    @property
    def digests(self) -> frozenset[str]:
        """The digests that this base is known by: its own, and the one over fewer files that older records hold."""
        return frozenset({self.digest, digest_of(self.files, FORMER)} if self.files else {self.digest})

    @property
    def origin(self) -> dict[str, str]:
        """The base as run cards note it."""
        revision = {"revision": self.revision} if self.revision else {}
        return {"name": self.name, "digest": self.digest, "upstream": self.upstream, **revision}


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
        return _base(EMBEDDED, path, EMBEDDED_UPSTREAM)
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise ModelError(f"{folder} is no model: it has no config.json.", "Give a folder in Hugging Face's format.")
        return _base(name, folder.resolve(), str(folder.resolve()))
    repo, _, revision = name.partition("@")
    if repo.count("/") != 1 or name.startswith((".", "/", "~")):
        raise UnknownNameError("base model", name, [EMBEDDED], "Give smollm2, a folder, or a Hugging Face id.")
    return _base(name, _download(repo, revision or None), repo, revision or None)


def check_unchanged(base: BaseModel) -> None:
    """Refuse a base whose files are no longer what they were when it was found: results would go under another's name.

    Raises:
        ModelError: they are not; the message names them.
    """
    if base.files and (changed := changed_files(base.files, file_digests(base.path))):
        hint = "Give the command again to use what is there now."
        raise ModelError(f"{base.path} has changed since it was found: {', '.join(changed)}.", hint)


def _base(name: str, path: Path, upstream: str, revision: str | None = None) -> BaseModel:
    files = file_digests(path)
    return BaseModel(name, path, digest_of(files), upstream, revision=revision, files=files)


def _download(repo: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download

    name = f"{repo}@{revision}" if revision else repo
    try:
        return Path(snapshot_download(repo, revision=revision, allow_patterns=list(FETCHED)))
    except Exception as error:  # the hub client raises a dozen kinds; each means that the model cannot be had
        reason = first_line(error)
        hint = "Check the name, the network and `hf auth login`, or give a local folder."
        raise ModelError(f"Base model {name!r} could not be fetched: {reason}", hint) from None
