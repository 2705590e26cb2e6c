"""What a cell has finished so far: one line a batch, so that a killed run goes on where it stopped."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import Any


class Journal:
    """An append-only file of finished batches, keyed by the call to the model and the batch within it.

    Args:
        path: the file; made if need be.
        plan: how batches are made. What was kept under another plan is forgotten: its batches are not these.

    A line that a kill cut off is forgotten too; its batch is computed again. Batches depend only on the cell and the
    plan, so the same key always means the same work, and a run that went on ends in the same bytes as an uncut one.

    Attributes:
        taken: how many batches were taken from it.
        computed: how many were added.
    """

    def __init__(self, path: Path, plan: str = "") -> None:
        self._calls = self.taken = self.computed = 0
        self._done: dict[tuple[int, int], Any] = {}
        header = json.dumps({"plan": plan}).encode() + b"\n"
        lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
        whole = 0
        if lines[:1] == [header]:
            whole = len(header) + self._read(lines[1:])
        self._stream = path.open("ab")
        self._stream.truncate(whole)
        if not whole:
            self._stream.write(header)
            self._stream.flush()

    def _read(self, lines: list[bytes]) -> int:
        """Take over the finished batches, and return how many bytes of them are whole."""
        whole = 0
        for line in lines:
            try:
                call, batch, results = json.loads(line)
            except ValueError:
                break
            if not line.endswith(b"\n"):
                break
            self._done[call, batch] = results
            whole += len(line)
        return whole

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()

    def next_call(self) -> int:
        """The number of the call to the model that begins now."""
        self._calls += 1
        return self._calls

    def get(self, call: int, batch: int) -> Any:
        """The results of a finished batch, or None."""
        results = self._done.get((call, batch))
        self.taken += results is not None
        return results

    def put(self, call: int, batch: int, results: Any) -> None:
        """Keep a batch's results; on the disk, as far as a kill of this process goes, when this returns."""
        self._stream.write(json.dumps([call, batch, results]).encode() + b"\n")
        self._stream.flush()
        self.computed += 1
