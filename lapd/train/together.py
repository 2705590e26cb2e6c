"""One training on several processes, which `accelerate launch` or torchrun has started: all train, one writes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from lapd.errors import LapdError

T = TypeVar("T")


def processes() -> int:
    """How many processes share one training, this one among them; torch's launchers say it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Whether this process is the one that writes and speaks."""
    return processes() == 1 or int(os.environ.get("RANK", "0")) == 0


def join() -> None:
    """Meet the other processes; each has a device of its own then."""
    if processes() > 1:
        import torch
        from accelerate import PartialState

        PartialState(cpu=not torch.cuda.is_available())


def by_first(work: Callable[[], T]) -> T:
    """What the first process's `work` comes to, in every process; they wait for it.

    Raises:
        LapdError: it failed, in every process.
    """
    if processes() == 1:
        return work()
    import torch.distributed

    outcome: list[Any] = [None, None]
    if is_first():
        try:
            outcome[0] = work()
        except (LapdError, OSError) as error:
            outcome[1] = error
    torch.distributed.broadcast_object_list(outcome)
    if outcome[1]:
        raise outcome[1]
    return outcome[0]


@contextmanager
def only_first_speaks() -> Iterator[None]:
    """Have the others' standard output and error go nowhere."""
    if is_first():
        yield
        return
    out, error = sys.stdout, sys.stderr
    with Path(os.devnull).open("w") as nowhere:
        sys.stdout = sys.stderr = nowhere
        try:
            yield
        finally:
            sys.stdout, sys.stderr = out, error
