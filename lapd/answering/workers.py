"""What executors share whose workers are other processes, perhaps on other machines that share a file system."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from lapd.errors import StoreError, UsageError
from lapd.hookspecs import RunCell


def check_installed(package: str, executor: str) -> None:
    """Refuse an executor whose package is not there; imports nothing.

    Raises:
        UsageError: it is not.
    """
    if find_spec(package) is None:
        hint = f"pip install 'lapd[{executor}]' brings it."
        raise UsageError(f"The executor {executor} needs the package {package}, which is not installed.", hint)


@dataclass(frozen=True)
class Bench:
    """Where a worker process works; to be sent to it.

    Attributes:
        run_cell: what runs a cell there.
        folder: the folder in which the command was given: relative paths begin there.
        threads: how many threads torch computes with.
    """

    run_cell: RunCell
    folder: Path
    threads: int

    def take(self) -> RunCell:
        """Make the calling process a worker; to be called there, before the first cell.

        Raises:
            StoreError: the run folder is not on this machine.
        """
        try:
            os.chdir(self.folder)
            if not (self.run_cell.folder / "run.json").is_file():
                raise FileNotFoundError
        except OSError:
            raise StoreError(
                f"The run folder {self.folder / self.run_cell.folder} is not there on {socket.gethostname()}.",
                "Workers need the run, the models and the adapters under the same paths: use a shared file system.",
            ) from None
        import torch

        torch.set_num_threads(self.threads)
        return self.run_cell
