"""Windows of attention in packed rows: what each kind of layer sees, told by positions.

A model tells its windows by columns. In a packed row, or behind padding, tokens stand in other columns than alone, so
the layers that have a window get a mask of their own. A model whose layers are all of one kind takes one mask, others
one for each kind by its name; GPT-Neo, which hides columns inside its layers, is given them there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TypeAlias

import torch

from lapd.packed.regimes import reach

Masks: TypeAlias = torch.Tensor | dict[str, torch.Tensor]
"""Additive masks, [rows, 1, queries, keys]: one for all layers, or one for each kind of them."""

MORE_COLUMNS = 1 << 20
"""No row is longer."""


def _slides(queries: torch.Tensor, keys: torch.Tensor, width: int) -> torch.Tensor:
    return queries - keys < width


def _in_one_chunk(queries: torch.Tensor, keys: torch.Tensor, width: int) -> torch.Tensor:
    return queries // width == keys // width


NEAR: dict[str, tuple[str, Callable[[torch.Tensor, torch.Tensor, int], torch.Tensor]]] = {
    "sliding_attention": ("sliding_window", _slides),
    "chunked_attention": ("attention_chunk_size", _in_one_chunk),
    "local": ("window_size", _slides),
}
"""For each kind of layer that has a window, the setting with its width, and whether a key is near enough."""

WIDE = ("full_attention", "global")
"""Kinds of layers that see everything."""


def layer_masks(
    config: Any, sees: torch.Tensor, queries: torch.Tensor, keys: torch.Tensor, dtype: torch.dtype
) -> Masks:
    """The mask of each kind of layer; a single one where they are alike, or where no row is beyond a window.

    Args:
        config: a text model's configuration in transformers; None for a model without windows.
        sees: [rows, queries, keys], whether a token may see another at all.
        queries: [rows, queries], the positions of the tokens that are computed.
        keys: [rows, keys], the positions of those that they look at.
        dtype: the model's.

    Raises:
        LookupError: there is a kind of layer that is not known here.
    """
    limit = None if config is None else reach(config)
    if limit is None or keys.shape[1] <= limit:
        return _additive(sees, dtype)
    masks: dict[str, torch.Tensor] = {}
    for kind in _kinds(config):
        near = sees
        if kind not in WIDE:
            setting, is_near = NEAR[kind]
            near = sees & is_near(queries[:, :, None], keys[:, None, :], getattr(config, setting))
        masks[kind] = _additive(near, dtype)
    return masks if len(masks) > 1 or "local" in masks else next(iter(masks.values()))


def _kinds(config: Any) -> list[str]:
    """The kinds of a model's layers, each once."""
    kinds = getattr(config, "layer_types", None) or getattr(config, "attention_layers", None)
    return sorted(set(kinds)) if kinds else ["sliding_attention"]


def _additive(sees: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    mask = torch.zeros(sees.shape, dtype=dtype, device=sees.device)
    return mask.masked_fill_(~sees, torch.finfo(dtype).min)[:, None]


@contextmanager
def taking(model: Any, masks: Masks) -> Iterator[Masks]:
    """What to give the model as its attention mask; meanwhile, layers that hide columns themselves take theirs."""
    if not isinstance(masks, dict) or "local" not in masks:
        yield masks
        return
    layers = [layer for layer in model.modules() if isinstance(getattr(layer, "bias", None), torch.Tensor)]
    layers = [layer for layer in layers if getattr(layer, "attention_type", None) in masks]
    with ExitStack() as stack:
        for layer in layers:
            mine = {"attention_mask": masks[layer.attention_type]}
            hook = layer.register_forward_pre_hook(_with(mine), with_kwargs=True)
            stack.callback(hook.remove)
            stack.callback(setattr, layer, "bias", layer.bias)
            layer.bias = torch.ones((), dtype=torch.bool, device=layer.bias.device).expand(1, 1, *2 * [MORE_COLUMNS])
        yield next(iter(masks.values()))


def _with(mine: dict[str, Any]) -> Callable[..., tuple[Any, dict[str, Any]]]:
    return lambda layer, args, kwargs: (args, {**kwargs, **mine})
