"""Keeps Python's garbage collector from going over what stays anyway: the libraries, once they are imported."""

from __future__ import annotations

import atexit
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


def begin_program() -> None:
    """Tell the collector that this process is a program of LAPD's own: what it has imported stays until it ends.

    At its end it is not searched for reference cycles, which takes two seconds with PyTorch and its like imported: the
    system takes all of it back at once. What waits for the end by `atexit` or `weakref.finalize` is called as ever; a
    file that is written to must have been closed, as Python asks for anyway.
    """
    gc.freeze()
    atexit.register(gc.freeze)  # the first to be registered is called last


@contextmanager
def importing() -> Iterator[None]:
    """Have the collector wait while libraries are imported: it would go over a million objects that all stay.

    In a program (`begin_program`) they are left out of its later rounds, too. Elsewhere they are not: what else is
    there then is not LAPD's.
    """
    active, before = gc.isenabled(), len(sys.modules)
    gc.disable()
    try:
        yield
    finally:
        if active:
            gc.enable()
        if len(sys.modules) > before and gc.get_freeze_count():
            gc.freeze()
