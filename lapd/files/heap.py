"""What the C library does with freed memory. Where it is not glibc, it has other ways and is left as it is."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from typing import Any

TRIM_THRESHOLD, MMAP_THRESHOLD, MMAP_MAX, ARENA_MAX = -1, -3, -4, -8  # malloc.h

MOST_MAPPED = 2**25
"""The largest size (bytes) that glibc takes for `MMAP_THRESHOLD` on 64 bits."""


def share_one_heap() -> None:
    """Have all threads allocate from one heap: what one has freed is there for all.

    Heaps that are there already stay in use, so this comes before libraries begin threads of their own.
    """
    _mallopt({ARENA_MAX: 1})


def keep_freed_memory() -> None:
    """Tell glibc to keep freed memory instead of giving it back to the system after every layer.

    Fetching it anew costs page faults: scoring the questionnaire took 26 s without and 16 s with this on 2 cores.
    """
    _mallopt({MMAP_MAX: 0, TRIM_THRESHOLD: 2**31 - 1, ARENA_MAX: 1})


def map_from(size: int) -> None:
    """Fetch what takes so many bytes or more from the system after all, and give it back: it leaves no gaps.

    Args:
        size: bytes; more than `MOST_MAPPED` count as that.
    """
    _mallopt({MMAP_MAX: 2**16, MMAP_THRESHOLD: min(size, MOST_MAPPED)})


def return_freed_memory() -> None:
    """Give back what `keep_freed_memory` has kept."""
    with suppress(OSError, AttributeError):
        _libc().malloc_trim(0)


def _mallopt(settings: dict[int, int]) -> None:
    with suppress(OSError, AttributeError):  # musl has none, under glibc's name or another
        mallopt = _libc().mallopt
        for setting, value in settings.items():
            mallopt(setting, value)


def _libc() -> Any:
    return ctypes.CDLL("libc.so.6")
