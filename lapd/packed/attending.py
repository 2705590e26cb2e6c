"""What each written token looks back at, without copying it: rows that come and go in one cache, heads that share it.

transformers joins a new token's keys and values to the others' by copying all of them, copies what is left whenever a
row has ended, and where several heads share keys and values, copies those once for each head: with many rows each of
these is more memory than the weights.
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


class PlacesLayer(DynamicLayer):
    """The keys and values of a layer, [rows, heads, columns, width]: a view into tensors with room for more of both.

    Args:
        like: a layer of the same model.
        places: rows that there is room for.
        columns: tokens of each that there is room for.
    """

    def __init__(self, like: DynamicLayer, places: int, columns: int) -> None:
        super().__init__()
        self.lazy_initialization(like.keys, like.values)
        self._whole = [_room(states, places, columns) for states in (like.keys, like.values)]
        self._window = (0, 0, 0)

    def show(self, rows: int, low: int, end: int) -> None:
        """From now on these are the first rows, in the columns from `low` to before `end`."""
        self._window = (rows, low, end)
        self.keys, self.values = (states[:rows, :, low:end] for states in self._whole)

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values, the new ones included; there must be room."""
        rows, low, end = self._window
        after = end + key_states.shape[-2]
        for states, new in zip(self._whole, (key_states, value_states), strict=True):
            states[:rows, :, end:after] = new
        self.show(rows, low, after)
        return self.keys, self.values

    def put(self, place: int, end: int, layer: DynamicLayer) -> None:
        """Copy a layer's rows to the places from `place` on, so that they end before column `end`."""
        rows, _, columns, _ = layer.keys.shape
        _, low, _ = self._window
        for states, new in zip(self._whole, (layer.keys, layer.values), strict=True):
            # What is masked counts nothing, but nothing times what happens to be in memory may be no number.
            states[place : place + rows, :, low : end - columns] = 0
            states[place : place + rows, :, end - columns : end] = new

    def move(self, source: int, place: int) -> None:
        """Copy the row in one place to another."""
        _, low, end = self._window
        for states in self._whole:
            states[place, :, low:end] = states[source, :, low:end]

    def shift(self) -> None:
        """Move what is seen to the first columns."""
        rows, low, end = self._window
        for states in self._whole:
            states[:rows, :, : end - low] = states[:rows, :, low:end].clone()
        self.show(rows, 0, end - low)


def _room(states: torch.Tensor, places: int, columns: int) -> torch.Tensor:
    return states.new_empty(places, states.shape[1], columns, states.shape[-1])


class Places:
    """Rows of tokens in one cache, which all end in the same column: new ones join, any may leave.

    Args:
        number: rows that there is room for.
        columns: tokens that there is room for; a row that is longer than them must not be asked for.
        device: the model's.

    Attributes:
        cache: what a model goes on from: the rows' keys and values.
        rows: how many rows there are.
    """

    def __init__(self, number: int, columns: int, device: torch.device) -> None:
        self.cache = DynamicCache()
        self._mask, self._positions = torch.zeros(2, number, columns, dtype=torch.long, device=device).unbind()
        self._begins: list[int] = []
        self._end = 0

    @property
    def rows(self) -> int:
        return len(self._begins)

    @property
    def _seen(self) -> tuple[slice, slice]:
        return slice(self.rows), slice(min(self._begins), self._end)

    @property
    def mask(self) -> torch.Tensor:
        """[rows, columns], 0 where there is no token."""
        return self._mask[self._seen]

    @property
    def positions(self) -> torch.Tensor:
        """[rows, columns], where in its text each token stands."""
        return self._positions[self._seen]

    def join(self, cache: DynamicCache, mask: torch.Tensor, positions: torch.Tensor) -> None:
        """Take in rows that are no longer than the longest here.

        Args:
            cache: their keys and values.
            mask: [new rows, columns], 0 where there is no token; the last column has one in each row.
            positions: [new rows, columns], of the tokens.
        """
        new, columns = mask.shape
        first = self.rows
        if not first:
            self._end = columns
        if not self.cache.layers:
            self.cache.layers = [PlacesLayer(layer, *self._mask.shape) for layer in cache.layers]
        self._begins += [self._end - columns] * new
        where = slice(first, self.rows), slice(self._end - columns, self._end)
        self._mask[first : self.rows] = 0
        self._mask[where], self._positions[where] = mask, positions
        for ours, theirs in zip(self.cache.layers, cache.layers, strict=True):
            ours.put(first, self._end, theirs)
        self._show()

    def leave(self, place: int) -> None:
        """Take the row in a place away; the last one takes its place."""
        last = self.rows - 1
        if place < last:
            for layer in self.cache.layers:
                layer.move(last, place)
            self._mask[place], self._positions[place] = self._mask[last], self._positions[last]
            self._begins[place] = self._begins[last]
        del self._begins[last]
        if self._begins:
            self._show()

    def next_column(self) -> torch.Tensor:
        """Go on by a token in every row: their positions, [rows, 1]; the cache is to be given their keys and values."""
        if self._end == self._mask.shape[1]:
            self._shift()
        after = self._positions[: self.rows, self._end - 1] + 1
        self._mask[: self.rows, self._end], self._positions[: self.rows, self._end] = 1, after
        self._end += 1
        return after[:, None]

    def _shift(self) -> None:
        low = min(self._begins)
        for layer in self.cache.layers:
            layer.shift()
        for kept in (self._mask, self._positions):
            kept[: self.rows, : self._end - low] = kept[: self.rows, low : self._end].clone()
        self._begins, self._end = [begin - low for begin in self._begins], self._end - low

    def _show(self) -> None:
        for layer in self.cache.layers:
            layer.show(self.rows, min(self._begins), self._end)


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
