"""How long a row may be before a model computes otherwise, told from its configuration.

Behind a window of attention a token no longer sees all that stands before it, and some position embeddings turn
otherwise once any row of a batch is longer than the model was first trained for. A row that stays within is computed
alike packed and plain. A longer one needs masks of its own for the windows (`lapd.packed.windows`), and for the rest
there is no help.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from lapd.packed.layout import Row

WINDOW = re.compile(r"(^|_)window(_size)?$|^local_attention$|att(entio)?n_chunk_(size|length)$")
"""Settings that are a number of tokens which a token of some layers sees at most."""

ALWAYS = re.compile(r"^index_topk|dense_len$|floor_scale$|n_floor$")
"""Settings that are a number of tokens from which on tokens are chosen, or attention is scaled, whatever the layer."""

LAYERS = re.compile(r"^(attention|layer|block)s?_(block_)?types?$|^attention_layers$")
"""Settings that say of each layer what it sees."""

NARROW, WIDE = re.compile(r"local|sliding|window|chunk|sparse|compress"), re.compile(r"^(full|global)")
"""What these say of a layer that does not see everything, and of one that does."""

TRIED = 24
"""So many tokens beyond the windows is a model tried with, at most."""

TURNING = ("dynamic", "longrope", "su")
"""Kinds of rotary embedding whose frequencies depend on the longest row of a batch."""


def reach(config: Any) -> int | None:
    """So many tokens a row may have, at most, for the model to compute it as it does any shorter one.

    Args:
        config: a text model's configuration in transformers.

    Returns:
        None where the configuration declares no limit; 0 where it declares one, but not at how many tokens.
    """
    return min([*_windows(config.to_dict()), *_changes(config)], default=None)


def windowed(config: Any) -> int | None:
    """So many tokens are beyond all windows of a model's attention, and within whatever else changes with length.

    Returns:
        None where there are no windows, or nothing between the two.
    """
    windows = _windows(config.to_dict())
    beyond, end = max(windows, default=0), min(_changes(config), default=None)
    return beyond if 0 not in windows and beyond and (end is None or beyond + TRIED <= end) else None


def within_reach(config: Any, rows: Iterable[Row], growth: int = 0, windows: bool = True) -> bool:
    """Whether no row, with so many tokens written behind it, is longer than the model computes alike.

    A row counts as a whole, with all its branches: some models tell their window by columns, not by positions.

    Args:
        config: a text model's configuration in transformers.
        rows: to be computed.
        growth: tokens that will be written behind each.
        windows: whether windows count, or are masked.
    """
    limit = reach(config) if windows else min(_changes(config), default=None)
    return limit is None or max((row.n_tokens for row in rows), default=0) + growth <= limit


def turns_with_the_batch(config: Any, longest: int) -> bool:
    """Whether a batch's rows depend on its longest one, which has so many tokens."""
    return any(longest > limit for limit in _turns(config))


def _windows(settings: Mapping[str, Any]) -> list[int]:
    """The windows and chunks of attention, where a layer has one."""
    found = list(_settings(settings))
    layers = [text for key, value in found if LAYERS.search(key) for text in _texts(value)]
    sizes = [size for key, value in found if WINDOW.search(key) for size in _sizes(value)]
    if settings.get("use_sliding_window") is False or (layers and all(WIDE.search(text) for text in layers)):
        sizes = []
    elif not sizes and any(NARROW.search(text) for text in layers):
        sizes = [0]
    return sizes


def _changes(config: Any) -> list[int]:
    """The rows' lengths from which on a model computes otherwise, windows apart."""
    found = _settings(config.to_dict())
    return [size for key, value in found if ALWAYS.search(key) for size in _sizes(value)] + _turns(config)


def _turns(config: Any) -> list[int]:
    """The rows' lengths at which a rotary embedding takes other frequencies."""
    settings, limits = config.to_dict(), []
    whole = settings.get("max_position_embeddings")
    for rope in _ropes(settings):
        if "llama_4_scaling_beta" in rope or (rope.get("rope_type") or rope.get("type")) in TURNING:
            first = rope.get("original_max_position_embeddings", settings.get("original_max_position_embeddings"))
            limits.append(min((n for n in (first, whole) if isinstance(n, int)), default=0))
    return limits


def _ropes(settings: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The settings of every rotary embedding; there may be one for each kind of layer."""
    for value in settings.values():
        if isinstance(value, Mapping):
            if "rope_type" in value or "type" in value:
                yield value
            else:
                yield from _ropes(value)


def _settings(settings: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _settings(value)
        else:
            yield str(key), value


def _sizes(value: Any) -> list[int]:
    values = value if isinstance(value, (list, tuple)) else [value]
    return [size for size in values if type(size) is int and size > 0]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _texts(part)
