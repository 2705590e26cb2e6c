"""Every answer that a model gave, on the disk at once: what a killed run goes on from, and what was spent so far."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from lapd.endpoints.client import Spent
from lapd.errors import DataError, StoreError
from lapd.files.locks import lock
from lapd.files.whole import check_schema

SCHEMA = "lapd.items/1"

SPENT = "spent"
"""The stage of a line that is no answer: requests, and tokens, that brought none."""


@dataclass(frozen=True)
class Answer:
    """One answered request.

    Attributes:
        id: of the item that was asked for; the same whenever the same is asked for.
        stage: "seed", "dialogue" or "reply"; or `SPENT`.
        index: of the dialogue, or for a reply of the pair.
        value: the answer's content, or None if it was unusable.
        reason: why it was unusable, in a few words.
        text: what the model wrote, if it was unusable (its first 500 characters).
        input_tokens, output_tokens: what it took.
        requests: so many were sent since the line before, those of other items and without an answer included.
    """

    id: str
    stage: str
    index: int
    value: Any = None
    reason: str = ""
    text: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    requests: int = 1


class Answers:
    """An append-only file of answers, held against other processes while it is open.

    Args:
        path: the file; made if need be. A last line that a kill cut off is dropped: its item is asked for again.

    Attributes:
        spent: over all runs into the file. Whoever asks counts each request there before it is sent.

    Raises:
        StoreError: another process has it open, or it is no such file.
        DataError: a line before the last is broken.
    """

    def __init__(self, path: Path) -> None:
        self.spent = Spent()
        self._noted = 0
        self._usable: dict[str, Any] = {}
        self._unusable: dict[str, list[Answer]] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        self._stream = path.open("ab")
        try:
            if not lock(self._stream, wait=False):
                raise StoreError(f"Another process is writing {path}.", "Wait for it, or give another -o.")
            whole = sum(self._read(path))
        except BaseException:
            self._stream.close()
            raise
        self._stream.truncate(whole)
        if not whole:
            self._write({"schema": SCHEMA})

    def _read(self, path: Path) -> Iterator[int]:
        """Take the lines in, and yield how many bytes each has."""
        lines = path.read_bytes().splitlines(keepends=True)
        for number, line in enumerate(lines, 1):
            if not line.endswith(b"\n"):  # cut off: only a file's last line can be
                return
            try:
                row = json.loads(line)
                if number == 1:
                    check_schema(path, row["schema"], SCHEMA)
                else:
                    self._take(Answer(**row))
            except (ValueError, KeyError, TypeError):
                raise DataError(path, "this line is no answer of a model.", number, "Delete it.") from None
            yield len(line)

    def _take(self, answer: Answer) -> None:
        self._noted += answer.requests
        self.spent.requests = self._noted
        self.spent.input_tokens += answer.input_tokens
        self.spent.output_tokens += answer.output_tokens
        self._know(answer)

    def _know(self, answer: Answer) -> None:
        if answer.value is not None:
            self._usable[answer.id] = answer.value
        elif answer.stage != SPENT:
            self._unusable.setdefault(answer.id, []).append(answer)

    def __enter__(self) -> Answers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.note()
        self._stream.close()

    def get(self, ident: str) -> Any:
        """The usable answer for an item, or None."""
        return self._usable.get(ident)

    def unusable(self, ident: str) -> list[Answer]:
        """The unusable answers for an item so far, oldest first."""
        return self._unusable.get(ident, [])

    def put(self, answer: Answer) -> None:
        """Keep an answer; on the disk, as far as a kill of this process goes, when this returns."""
        self._put(answer)
        self._know(answer)

    @property
    def unnoted(self) -> int:
        """Requests that were sent since the last line: those under way, and those that failed."""
        return self.spent.requests - self._noted

    def note(self, input_tokens: int = 0, output_tokens: int = 0) -> None:
        """Keep how many requests were sent, and tokens that brought no answer; nothing if there are none of either."""
        if self.unnoted or input_tokens or output_tokens:
            self._put(Answer("", SPENT, 0, input_tokens=input_tokens, output_tokens=output_tokens))

    def _put(self, answer: Answer) -> None:
        record = asdict(replace(answer, requests=self.unnoted))
        self._noted = self.spent.requests
        self._write({k: v for k, v in record.items() if v not in (None, "") or k == "id"})

    def _write(self, row: dict[str, Any]) -> None:
        # One write call a line: a kill falls before it or after it, and a full disk leaves at most a cut-off end.
        self._stream.write(json.dumps(row, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n")
        self._stream.flush()
