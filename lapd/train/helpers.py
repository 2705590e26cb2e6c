"""Processes that train adapters beside this one, each with its share of the cores.

One training does not use many cores well: its rows are short. A helper does what the same command in another terminal
would do, without a word: an error it meets is met here too, by whoever comes to that adapter next.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def helpers(number: int, work: Callable[[], object]) -> Iterator[None]:
    """So many more processes at the same adapters while this is open; torch's threads are shared out evenly.

    Args:
        number: of helpers; with 0 nothing changes.
        work: what each does; it is pickled.
    """
    if not number:
        yield
        return
    import torch

    threads = torch.get_num_threads()
    share = max(1, threads // (number + 1))
    running = [_start(work, share) for _ in range(number)]
    torch.set_num_threads(share)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        for process in running:
            process.kill()
            process.communicate()  # also closes the pipe


def _start(work: Callable[[], object], threads: int) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", "from lapd.train.helpers import help_out; help_out()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": str(threads)},
    )
    assert process.stdin
    process.stdin.write(pickle.dumps(work))
    process.stdin.flush()
    return process


def help_out() -> None:
    """What a helper does: train what its parent wrote to its standard input, until that is done or the parent gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, which then ends its helpers
    work = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    work()


def _end_with_parent() -> None:
    # Not through `sys.stdin`: whoever is inside its `read` when Python ends makes it abort.
    while os.read(sys.stdin.fileno(), 1):
        pass
    os._exit(1)  # the parent's end of the pipe is closed, by whatever ended it
