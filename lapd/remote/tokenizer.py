"""The tokenizer of a model that is elsewhere: a folder of its files, whose weights need not be here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lapd.errors import ModelError, UnknownNameError, first_line
from lapd.files.quiet import quiet_libraries
from lapd.models.base import BaseModel
from lapd.models.chat import check_chat_template
from lapd.models.embedded import EMBEDDED, embedded_folder
from lapd.models.identity import TOKENIZER, matching
from lapd.models.loading import load_tokenizer

SETTINGS = ("config.json", "generation_config.json")
"""What tells, beside the tokenizer's own files, where a text ends and how long one may be."""


def find_tokenizer(name: str) -> Path:
    """The folder with a model's tokenizer.

    Args:
        name: `smollm2`, a folder, or a Hugging Face id with an optional `@revision`.

    Raises:
        ModelError: it cannot be had.
        UnknownNameError: the name is none of the three.
    """
    if name.lower() == EMBEDDED:
        return embedded_folder()
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not matching(folder, TOKENIZER) or not (folder / "config.json").is_file():
            raise ModelError(f"{folder} has no tokenizer, or no config.json.", "Give the base model's folder.")
        return folder.resolve()
    repo, _, revision = name.partition("@")
    if repo.count("/") != 1 or name.startswith((".", "/", "~")):
        raise UnknownNameError("tokenizer", name, [EMBEDDED], "Give smollm2, a folder, or a Hugging Face id.")
    return _download(repo, revision or None)


def _download(repo: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(repo, revision=revision, allow_patterns=[*TOKENIZER, *SETTINGS]))
    except Exception as error:  # the hub client raises a dozen kinds; each means that it cannot be had
        hint = "Check the name and the network, or give a folder."
        raise ModelError(f"The tokenizer of {repo!r} could not be fetched: {first_line(error)}", hint) from None


def open_tokenizer(folder: Path, name: str) -> tuple[Any, int]:
    """A tokenizer, and how many tokens its model takes.

    Args:
        folder: from `find_tokenizer`.
        name: of the model, for messages.

    Raises:
        ModelError: it cannot be loaded, or its chat template not be rendered.
    """
    from lm_eval.models.utils import resolve_max_length
    from transformers import AutoConfig

    with quiet_libraries():
        tokenizer = load_tokenizer(BaseModel(name, folder, "", name))
        if tokenizer.chat_template is not None:
            check_chat_template(tokenizer, name)
        try:
            config = AutoConfig.from_pretrained(folder)
        except (ValueError, KeyError, OSError):  # an architecture that this transformers does not know
            config = None
        return tokenizer, int(resolve_max_length(config, tokenizer))


def tokenizer_at_hand(name: str) -> Path | None:
    """The folder with a model's tokenizer, if it is on this machine: nothing is fetched."""
    from huggingface_hub import snapshot_download

    repo, _, revision = name.partition("@")
    try:
        if name.lower() != EMBEDDED and not Path(name).expanduser().is_dir():
            return Path(snapshot_download(repo, revision=revision or None, local_files_only=True))
        return find_tokenizer(name)
    except Exception:  # as many kinds as for one that is fetched, each of which means that it is not here
        return None
