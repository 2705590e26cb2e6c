"""Locks on files, which the system lets go of when a process dies: `flock`, where there is one.

Linux and macOS have it, and most of their file systems; a few network file systems do not, and Windows has none.
"""

from __future__ import annotations

from typing import IO, Any

from lapd.errors import StoreError


def lock(stream: IO[Any], wait: bool = True) -> bool:
    """Lock an open file against other processes, until it is closed.

    Args:
        stream: the file.
        wait: until another process lets go of it; without, give up at once.

    Returns:
        Whether it is locked: always with `wait`.

    Raises:
        StoreError: locks do not hold here.
    """
    try:
        import fcntl
    except ImportError:
        hint = "LAPD runs on Linux and macOS; on Windows, in WSL."
        raise StoreError(f"{stream.name} cannot be locked: this system has no flock.", hint) from None
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError as error:
        hint = "Put it on a file system that has flock."
        raise StoreError(f"{stream.name} cannot be locked: {error.strerror}.", hint) from None
    return True
