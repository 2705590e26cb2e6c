"""How many requests were sent for a run folder, over all processes and commands: a file that grows by a byte each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lapd.endpoints.client import Spent

NAME = "requests"
"""The file's name in a run folder."""


@dataclass
class RunSpent(Spent):
    """What was asked of an endpoint for a run; its requests are those of every process that is or was at it.

    Attributes:
        path: the file, which need not be there; None counts in this process alone.
    """

    path: Path | None = None

    def look(self) -> None:
        """Take in what others have sent."""
        if self.path and self.path.is_file():
            self.requests = self.path.stat().st_size

    def send(self) -> None:
        """Count a request; on the disk, as far as a kill of this process goes, when this returns."""
        super().send()
        if self.path:
            with self.path.open("ab") as stream:  # of what several processes append nothing is lost
                stream.write(b".")
