"""Loading a base model and its tokenizer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from lapd.errors import ModelError, first_line
from lapd.files.heap import keep_freed_memory, return_freed_memory
from lapd.files.quiet import quiet_libraries
from lapd.models.base import BaseModel, check_unchanged
from lapd.models.chat import turn_end
from lapd.models.device import best_device
from lapd.models.intact import check_model_folder, object_in


def load_base(base: BaseModel, dtype: str = "float32", device: str | None = None) -> tuple[Any, Any]:
    """The base model, in evaluation mode, and its tokenizer (see `load_tokenizer`).

    Args:
        base: what `resolve_base` found.
        dtype: a torch dtype's name.
        device: such as "cpu" or "cuda:0"; by default, or by "auto", a GPU where there is one.

    Raises:
        ModelError: its files are not whole or have changed since it was found, or transformers cannot load it.
    """
    import torch
    from transformers import AutoModelForCausalLM

    device = best_device() if device in (None, "auto") else device
    if device == "cpu":
        keep_freed_memory()
    tokenizer = load_tokenizer(base)
    with _loading(base), quiet_libraries():
        model = AutoModelForCausalLM.from_pretrained(base.path, dtype=getattr(torch, dtype))
    check_unchanged(base)
    if tokenizer.pad_token_id is not None and tokenizer.pad_token_id >= embeddings(model):
        tokenizer.pad_token_id = next(iter(_ends(base)), 0)  # what is padded is masked; it only has to be there
    return model.to(device).eval(), tokenizer


def load_tokenizer(base: BaseModel) -> Any:
    """The base model's tokenizer, with an end-of-text token where one can be told, and with a pad token.

    Raises:
        ModelError: its files are not whole or have changed since it was found, or transformers cannot load it.
    """
    from transformers import AutoTokenizer

    check_unchanged(base)
    check_model_folder(base.path)
    with _loading(base):
        tokenizer = AutoTokenizer.from_pretrained(base.path)
    if tokenizer.eos_token is None:
        ends = _ends(base)
        tokenizer.eos_token = tokenizer.convert_ids_to_tokens(ends[0]) if ends else turn_end(tokenizer)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token or tokenizer.convert_ids_to_tokens(0)
    return tokenizer


def embeddings(model: Any) -> int:
    """How many tokens a model knows: the rows of its input embedding."""
    return int(model.get_input_embeddings().weight.shape[0])


def check_tokens(ids: Iterable[int], tokenizer: Any, known: int) -> None:
    """Refuse token ids that are beyond a model's embedding: torch would end in an index error.

    Args:
        ids: of a text.
        tokenizer: that gave them.
        known: from `embeddings`.

    Raises:
        ModelError: there is one.
    """
    if (highest := max(ids, default=0)) >= known:
        token = tokenizer.convert_ids_to_tokens(highest)
        hint = "The tokenizer is of another model, or the model was never resized for it (resize_token_embeddings)."
        raise ModelError(f"Token {token!r} ({highest}) is beyond the model's {known} embeddings.", hint)


def _ends(base: BaseModel) -> list[int]:
    """The end-of-text tokens that a model's own settings name, for tokenizers that name none."""
    for name in ("generation_config.json", "config.json"):
        if (base.path / name).is_file():
            ends = object_in(base.path / name).get("eos_token_id")
            if ends := [end for end in (ends if isinstance(ends, list) else [ends]) if type(end) is int]:
                return ends
    return []


@contextmanager
def _loading(base: BaseModel) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # the libraries raise dozens of kinds; each means that it cannot be loaded
        raise ModelError(f"{base.path} could not be loaded: {first_line(error)}") from error


def free_memory() -> None:
    """Give back what models took that nothing refers to any more, on the GPU too."""
    import gc

    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return_freed_memory()
