"""Loading a base model and its tokenizer."""

from __future__ import annotations

import ctypes
from typing import Any

from lapd.errors import ModelError, first_line
from lapd.files.quiet import quiet_libraries
from lapd.models.base import BaseModel


def load_base(base: BaseModel, dtype: str = "float32", device: str | None = None) -> tuple[Any, Any]:
    """The base model, in evaluation mode, and its tokenizer (which has a pad token afterwards).

    Args:
        base: what `resolve_base` found.
        dtype: a torch dtype's name.
        device: such as "cpu" or "cuda:0"; by default a GPU where there is one.

    Raises:
        ModelError: transformers cannot load it.
    """
    import torch
    from transformers import AutoModelForCausalLM

    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if device == "cpu":
        keep_freed_memory()
    try:
        with quiet_libraries():
            tokenizer = load_tokenizer(base)
            model = AutoModelForCausalLM.from_pretrained(base.path, dtype=getattr(torch, dtype))
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"{base.path} could not be loaded: {first_line(error)}") from error
    return model.to(device).eval(), tokenizer


def load_tokenizer(base: BaseModel) -> Any:
    """The base model's tokenizer, which has a pad token afterwards."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base.path)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def keep_freed_memory() -> None:
    """Tell glibc to keep freed memory instead of giving it back to the system after every layer.

    Fetching it anew costs page faults: scoring the questionnaire took 26 s without and 16 s with this on 2 cores.
    """
    try:
        libc = ctypes.CDLL("libc.so.6")
    except OSError:
        return  # another C library has other ways
    m_trim_threshold, m_mmap_max = -1, -4  # malloc.h
    libc.mallopt(m_mmap_max, 0)
    libc.mallopt(m_trim_threshold, 2**31 - 1)
