"""How long a row may be before a model computes otherwise, told from its configuration.

Behind a window of attention a token no longer sees all that stands before it, and some position embeddings turn
otherwise once any row of a batch is longer than the model was first trained for. Packed rows know neither: a row that
stays within is computed alike packed and plain, a longer one is not.
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

TURNING = ("dynamic", "longrope", "su")
"""Kinds of rotary embedding whose frequencies depend on the longest row of a batch."""


def reach(config: Any) -> int | None:
    """So many tokens a row may have, at most, for the model to compute it as it does any shorter one.

    Args:
        config: a text model's configuration in transformers.

    Returns:
        None where the configuration declares no limit; 0 where it declares one, but not at how many tokens.
    """
    limits = [*_windows(config.to_dict()), *_turns(config)]
    return min(limits, default=None)


def within_reach(config: Any, rows: Iterable[Row], growth: int = 0) -> bool:
    """Whether no row, with so many tokens written behind it, is longer than the model computes alike.

    A row counts as a whole, with all its branches: some models tell their window by columns, not by positions.
    """
    limit = reach(config)
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
    return sizes + [size for key, value in found if ALWAYS.search(key) for size in _sizes(value)]


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
