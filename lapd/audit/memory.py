"""Whether a model fits into the memory that is free, before it is loaded."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path

from lapd.errors import DataError, ModelError
from lapd.models.base import BaseModel

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}

ROOM = 1.15
"""What is computed on the way takes some of the memory too: so many times the weights at least."""

CGROUPS = (("memory.max", "memory.current"), ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"))
"""A container's ceiling and what is used of it, in version 2 and version 1, below /sys/fs/cgroup."""


def check_memory(models: list[BaseModel], dtype: str, free: int | None = None) -> None:
    """Refuse a model that does not fit: the system would end the process without a word.

    Args:
        models: of which one at a time is loaded.
        dtype: in which they are.
        free: bytes of memory; None for what this machine has free, a GPU's where there is one.

    Raises:
        ModelError: one does not.
    """
    if free is None and (free := _free()) is None:
        return
    for model in models:
        needed = ROOM * BYTES.get(dtype, 4) * parameters(model.path)
        if needed > free:
            what = (
                f"{model.name} needs some {needed / 2**30:.1f} GiB of memory in {dtype}, {free / 2**30:.1f} are free."
            )
            hint = "Close what uses it, or take a machine with more."
            raise ModelError(what, hint if dtype != "float32" else f"Give --dtype bfloat16 for half of it. {hint}")


def parameters(folder: Path) -> int:
    """How many numbers a model's weights are, by the heads of its files; 0 where there are none of safetensors' form.

    Raises:
        DataError: a file has no such head.
    """
    return sum(_numbers(path) for path in folder.glob("*.safetensors"))


def _numbers(path: Path) -> int:
    try:
        with path.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            head = json.loads(stream.read(length))
    except (struct.error, ValueError, MemoryError, OverflowError):
        raise DataError(path, "this is no safetensors file, or only half of one.") from None
    return sum(math.prod(entry["shape"]) for name, entry in head.items() if name != "__metadata__")


def _free() -> int | None:
    """Bytes of memory that are free where models are loaded to; None where that cannot be told."""
    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.mem_get_info()[0])
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        free = next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        return None
    return min([free, *_of_container()])


def _of_container() -> list[int]:
    root = Path("/sys/fs/cgroup")
    for most, used in CGROUPS:
        try:
            return [int((root / most).read_text()) - int((root / used).read_text())]
        except (OSError, ValueError):  # not there, or "max"
            continue
    return []
