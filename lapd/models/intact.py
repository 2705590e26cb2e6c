"""Whether the files of a model or an adapter are whole, told from their first bytes and lengths; no weight is read."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lapd.errors import DataError, ModelError
from lapd.files.whole import read_json

POINTER = b"version https://git-lfs"
"""How the file begins that Git leaves in place of one that Git LFS has not fetched."""

LONGEST_HEADER = 100_000_000
"""No safetensors header is longer, by the format's definition (bytes)."""


def check_model_folder(folder: Path) -> None:
    """Refuse a base model's folder whose configuration is none, or whose weights or tokenizer files are not whole.

    Raises:
        ModelError: they are not; the message names the file and says what it is.
    """
    check_intact(file for pattern in ("*.json", "*.txt", "*.model", "*.jinja") for file in folder.glob(pattern))
    object_in(folder / "config.json")
    check_intact(_weights(folder))


def _weights(folder: Path) -> list[Path]:
    """The files that transformers will read a model's weights from; none where it has a way of its own."""
    for name in ("model.safetensors", "pytorch_model.bin"):
        if (folder / name).is_file():
            return [folder / name]
        if (index := folder / f"{name}.index.json").is_file():
            parts = object_in(index).get("weight_map")
            if not isinstance(parts, dict):
                raise ModelError(f"{index} does not say which file each weight is in.", "Fetch the model again.")
            return [folder / str(part) for part in sorted(set(parts.values()))]
    return []


def check_intact(files: Iterable[Path]) -> None:
    """Refuse files that are missing, empty, cut off, or pointers of Git LFS.

    Args:
        files: weights in safetensors or PyTorch's form are held against their own lengths; of others, only a pointer
            and an empty file of weights are told.

    Raises:
        ModelError: one is not whole.
    """
    for file in files:
        if not file.is_file():
            raise ModelError(f"{file} is missing.", "Fetch the model again.")
        size = file.stat().st_size
        with file.open("rb") as stream:
            head = stream.read(len(POINTER))
        if head == POINTER:
            raise ModelError(f"{file} is a pointer of Git LFS, not the file itself.", "Fetch it: git lfs pull.")
        if file.suffix not in (".safetensors", ".bin", ".pt"):
            continue
        if size == 0:
            raise ModelError(f"{file} is empty.", "Was it cut off on its way here? Fetch it again.")
        whole = _is_safetensors(file, size) if file.suffix == ".safetensors" else _is_pytorch(file, head)
        if not whole:
            what = "is cut off or damaged" if whole is None else "holds no weights in the form that its name promises"
            raise ModelError(f"{file} {what} ({size:,} bytes).", "Fetch it again.")


def _is_safetensors(file: Path, size: int) -> bool | None:
    """Whether a file is in safetensors' form; None where it is, but not of the length that its header tells."""
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size < 8 or length > LONGEST_HEADER:
            return False
        header = stream.read(length)
    if not header.startswith(b"{"):
        return False
    try:
        tensors = json.loads(header)
        ends = [entry["data_offsets"][1] for name, entry in tensors.items() if name != "__metadata__"]
    except (ValueError, LookupError, TypeError, AttributeError):
        return None
    return True if size == 8 + length + max(ends, default=0) else None


def _is_pytorch(file: Path, head: bytes) -> bool | None:
    """Whether a file is in the form of `torch.save`: a ZIP archive, or a pickle as it was before; None if it is cut."""
    if head.startswith(b"PK"):
        return True if zipfile.is_zipfile(file) else None
    return head.startswith(b"\x80")


def object_in(path: Path) -> dict[str, Any]:
    """The JSON object in a configuration file.

    Raises:
        ModelError: it holds something else, or is not JSON.
    """
    check_intact([path])
    try:
        value = read_json(path)
    except DataError as error:
        raise ModelError(str(error)) from None
    if not isinstance(value, dict):
        raise ModelError(f"{path} is no configuration: it holds {_kind(value)}.")
    return value


def _kind(value: object) -> str:
    names = {list: "a list", str: "a text", int: "a number", float: "a number", bool: "a truth value"}
    return names.get(type(value), "nothing")
