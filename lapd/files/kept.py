"""Values kept under keys in an SQLite file of the cache. They save work and are never needed: no fault of the file
ends a command."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

T = TypeVar("T")

SECONDS = 60.0
"""So long is waited for another process that writes."""


class KeptValues:
    """Texts and numbers by key, which processes may share.

    A damaged file is set aside and begun anew; what cannot be written (read-only, a full disk) is not kept. Either is
    said once on standard error.

    Args:
        path: the file; made if need be.
        table: in it, with the columns `key` and `value`.
    """

    def __init__(self, path: Path, table: str) -> None:
        self.path, self.table = path, table
        self._writes = True
        self._connection: sqlite3.Connection | None = None
        self._open()

    def get(self, keys: Iterable[str]) -> dict[str, Any]:
        """What is kept under those of `keys` that are known."""
        wanted = list(keys)
        query = f"SELECT key, value FROM {self.table} WHERE key = ? AND value IS NOT NULL"
        return self._try(lambda c: dict(row for k in wanted if (row := c.execute(query, (k,)).fetchone())), {})

    def put(self, values: Mapping[str, Any]) -> None:
        """Keep some more; they are on the disk when this returns, if they can be."""
        query = f"INSERT OR REPLACE INTO {self.table} VALUES (?, ?)"

        def write(connection: sqlite3.Connection) -> None:
            with connection:
                connection.executemany(query, values.items())

        if self._writes:
            self._try(write, None)

    def close(self) -> None:
        """Let go of the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __enter__(self) -> KeptValues:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self) -> None:
        for again in (False, True):
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._connection = sqlite3.connect(self.path, timeout=SECONDS)
                with self._connection as connection:
                    connection.execute(f"CREATE TABLE IF NOT EXISTS {self.table} (key TEXT PRIMARY KEY, value)")
                    connection.execute(f"SELECT key, value FROM {self.table} LIMIT 1").fetchone()
                return
            except (sqlite3.Error, OSError) as error:
                if again or not self._set_aside(error):
                    self._give_up(error)
                    return

    def _try(self, action: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
        """What the action gives, or `otherwise` where the file does not bear it."""
        if self._connection is None:
            return otherwise
        try:
            return action(self._connection)
        except sqlite3.Error as error:
            if self._set_aside(error):
                self._open()
            else:
                self._give_up(error)
            return otherwise

    def _set_aside(self, error: Exception) -> bool:
        """Rename a file that is damaged, or of another program; False if this is not what the error says."""
        damaged = type(error) is sqlite3.DatabaseError or "no such column" in str(error)
        if not damaged:
            return False
        self.close()
        aside = self.path.with_name(f"{self.path.name}.damaged")
        try:
            self.path.replace(aside)
        except OSError:
            return False
        for left in ("-journal", "-wal", "-shm"):  # they belong to the damaged one
            with suppress(OSError):
                self.path.with_name(self.path.name + left).unlink()
        _warn(f"{self.path} is damaged ({error}): set aside as {aside.name}, and begun anew.")
        return True

    def _give_up(self, error: Exception) -> None:
        """Keep nothing any more; a file that can still be read is."""
        if self._writes:
            _warn(f"nothing more is kept in {self.path} ({error}); the work goes on.")
        self._writes = False
        if not isinstance(error, sqlite3.OperationalError) or "unable to open" in str(error):
            self.close()


@cache
def _warn(text: str) -> None:
    print(f"Warning: {text}", file=sys.stderr)
