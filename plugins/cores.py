"""Rows of a batch on cores of their own.

Cores that share a row wait for each other at every product. With a row each they do not, and what a row gives is what
it gives on a single core, to the last bit, whichever other rows there are. Only memory is the price: what the backward
pass needs is kept for several rows at once.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from lapd.plugins.packing import hides_columns

from lapd.packed.layout import Row

T = TypeVar("T")
R = TypeVar("R")

MOST = 4
"""So many rows at once, by itself."""

MEMORY = 0.25
"""The share of the machine's memory that what is kept for the rows may take. Of all of it, not of what happens to be
free: the number of rows tells how many cores compute one, and with that its last bits."""


def rows_at_once(causal: Any, rows: Sequence[Row], wanted: int | None = None) -> int:
    """How many of these rows go through the model at the same time.

    A GPU wants them all together; the cores of a processor have one each, where no row changes the layers meanwhile.

    Args:
        causal: a causal language model.
        rows: of a batch.
        wanted: at most so many; None for what suits the machine.
    """
    most = max(1, len(rows))
    on_cpu = causal.device.type == "cpu"
    if on_cpu and hides_columns(causal):
        return 1
    if on_cpu and wanted is None:
        fitting = int(MEMORY * _memory() / _kept(causal, max((row.n_tokens for row in rows), default=1)))
        wanted = max(1, min(torch.get_num_threads(), MOST, fitting))
    return min(wanted or most, most)


def _memory() -> int:
    """The machine's memory in bytes."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _kept(causal: Any, tokens: int) -> int:
    """About how many bytes a row takes until its backward pass is over: of each layer some 20 states a token.

    Of the embedded model that is 228 MiB for 173 tokens; counted, 155 MiB are kept (185 where a layer's activations are
    not computed anew), and the rest comes and goes.
    """
    config = causal.config.get_text_config()
    return 20 * 4 * tokens * int(config.hidden_size) * int(config.num_hidden_layers)


@contextmanager
def on_cores(at_once: int) -> Iterator[Callable[[Callable[[T], R], Iterable[T]], Iterable[R]]]:
    """`map`, with so many at the same time, each on its share of the threads; outcomes come in order.

    What torch keeps for each thread, whether there are gradients and autocast, is as it is outside.
    """
    if at_once <= 1:
        yield map
        return
    gradients, cast = torch.is_grad_enabled(), torch.is_autocast_enabled("cpu")
    kind, threads = torch.get_autocast_dtype("cpu"), torch.get_num_threads()

    def alike(function: Callable[[T], R], items: Iterable[T]) -> Iterable[R]:
        def run(item: T) -> R:
            with torch.set_grad_enabled(gradients), torch.autocast("cpu", kind, enabled=cast):
                return function(item)

        return pool.map(run, items)

    torch.set_num_threads(max(1, threads // at_once))
    try:
        with ThreadPoolExecutor(at_once) as pool:
            yield alike
    finally:
        torch.set_num_threads(threads)
