"""What is said in `lapd chat`, in a file: a conversation a line, as messages that the readers of pairs understand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lapd.errors import UsageError
from lapd.files.whole import read_jsonl, write_jsonl


class Transcript:
    """The conversations of a file, and one that is going on: whole in the file after each answer.

    Args:
        path: the file, there or not; what it has already stays.

    Raises:
        UsageError: it is a folder.
        DataError: it holds something else than JSON lines.
    """

    def __init__(self, path: Path) -> None:
        if path.is_dir():
            raise UsageError(f"{path} is a folder.", "Give --save a file, such as talk.jsonl.")
        self.path = path
        self._ended: list[Any] = [row for _, row in read_jsonl(path)] if path.exists() else []
        self._going_on: dict[str, Any] | None = None

    def keep(self, messages: Sequence[dict[str, str]], speakers: Sequence[str]) -> None:
        """Write the conversation as it now is.

        Args:
            messages: `role` and `content` each, the system prompt first.
            speakers: who gave each answer, in order.
        """
        self._going_on = {"messages": list(messages), "speakers": list(speakers)}
        write_jsonl(self.path, [*self._ended, self._going_on])

    def end(self) -> None:
        """Have what is said from now on be another conversation."""
        if self._going_on:
            self._ended.append(self._going_on)
        self._going_on = None
