"""What each written token looks back at, without copying it: keys and values with room, and heads that share them.

transformers joins a new token's keys and values to the others' by copying all of them, and where several heads share
keys and values, it copies those once for each head: with many rows that is more memory than the weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers.cache_utils import DynamicCache, DynamicLayer
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

PLAIN = "sdpa"
"""The attention whose heads can be grouped here, by transformers' name."""


class RoomyLayer(DynamicLayer):
    """The keys and values of a layer, with room behind them: new ones are written there.

    Args:
        layer: what is there already.
        room: for so many tokens more.
    """

    def __init__(self, layer: DynamicLayer, room: int) -> None:
        super().__init__()
        self.lazy_initialization(layer.keys, layer.values)
        self._whole = [_with_room(states, room) for states in (layer.keys, layer.values)]
        self._show(layer.keys.shape[-2])

    def _show(self, length: int) -> None:
        self.keys, self.values = (states[..., :length, :] for states in self._whole)

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values, the new ones included; there must be room."""
        start = self.keys.shape[-2]
        end = start + key_states.shape[-2]
        for states, new in zip(self._whole, (key_states, value_states), strict=True):
            states[..., start:end, :] = new
        self._show(end)
        return self.keys, self.values

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Only keep these rows."""
        self._whole = [states[indices] for states in self._whole]
        self._show(self.keys.shape[-2])


def _with_room(states: torch.Tensor, room: int) -> torch.Tensor:
    whole = states.new_empty(*states.shape[:-2], states.shape[-2] + room, states.shape[-1])
    whole[..., : states.shape[-2], :] = states
    return whole


def make_room(cache: DynamicCache, room: int) -> None:
    """Give the plain layers of a cache room for so many tokens more."""
    cache.layers = [RoomyLayer(layer, room) if type(layer) is DynamicLayer else layer for layer in cache.layers]


@contextmanager
def grouped_heads() -> Iterator[None]:
    """Meanwhile, one token's heads that share keys and values look at them as so many tokens of one head."""
    plain = ALL_ATTENTION_FUNCTIONS[PLAIN]

    def grouped(
        module: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: Any, **settings: Any
    ) -> tuple[torch.Tensor, Any]:
        rows, heads, tokens, width = query.shape
        shared = key.shape[1]
        alike = mask is None or (mask.dim() == 4 and mask.shape[1] == 1)
        if tokens > 1 or heads == shared or not alike or settings.get("position_bias") is not None:
            return plain(module, query, key, value, mask, **settings)
        together = query.reshape(rows, shared, heads // shared, width)
        output = torch.nn.functional.scaled_dot_product_attention(
            together, key, value, attn_mask=mask, dropout_p=0.0, scale=settings.get("scaling")
        )
        return output.reshape(rows, 1, heads, value.shape[-1]), None

    ALL_ATTENTION_FUNCTIONS[PLAIN] = grouped
    try:
        yield
    finally:
        del ALL_ATTENTION_FUNCTIONS[PLAIN]
