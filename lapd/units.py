"""Units of work, an evaluation's cells or trainings: having an executor run them, and what its workers share.

Any number of processes may be at the same units: each takes those that no other holds, and waits until all are done.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from lapd.errors import PluginError, StoreError, UsageError
from lapd.hookspecs import Executor, RunUnit
from lapd.names import VARIABLE

BUSY_SECONDS = 0.5
"""So long is waited before looking again whether another process has finished or left a unit."""

PATIENCE = 3
"""So many times in a row an executor may leave units that nobody holds; once can be a process that has just died."""


class Runner(RunUnit, Protocol):
    """What runs units, as `run_units` needs it."""

    def is_held(self, unit: Any) -> bool:
        """Whether a process is at work on the unit."""


def run_units(executor: Executor, run: Runner, quiet: bool = False) -> None:
    """Have the executor run the units that are left, again and again until all are done: it passes over held ones.

    Args:
        executor: a configured one.
        run: runs a unit, and knows which are left.
        quiet: do not say that another process is waited for.

    Raises:
        PluginError: the executor does nothing.
        LapdError: a unit failed.
    """
    said, idle, free = quiet, 0, run.left()
    while left := run.left():
        if free:  # an executor may start machines: not for nothing
            executor.run(free, run)
        still = run.left()
        free = [unit for unit in still if not run.is_held(unit)]
        if len(still) < len(left):
            idle = 0
            continue
        held = len(free) < len(still)
        idle = 0 if held else idle + 1
        if idle == PATIENCE:
            raise PluginError(f"The executor {executor.name} leaves {run.unit}s undone: {still[0].label()}.")
        if held and not said:
            what = f"Another process is at the {run.unit}s that are left ({len(still)}): waiting for it."
            print(what, file=sys.stderr)
            said = True
        time.sleep(BUSY_SECONDS)


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
        run_unit: what runs a unit there.
        folder: the folder in which the command was given: relative paths begin there.
        threads: how many threads torch computes with.
        traits: the trait packs beside those that are installed, as `LAPD_TRAITS` names them.
    """

    run_unit: RunUnit
    folder: Path
    threads: int
    traits: str = field(default_factory=lambda: os.environ.get(VARIABLE, ""))

    def take(self) -> RunUnit:
        """Make the calling process a worker; to be called there, before the first unit.

        Raises:
            StoreError: the folder that the units write into is not on this machine.
        """
        try:
            os.chdir(self.folder)
            if not self.run_unit.marker.is_file():
                raise FileNotFoundError
        except OSError:
            what = "run folder" if self.run_unit.unit == "cell" else "adapters' folder"
            raise StoreError(
                f"The {what} {self.folder / self.run_unit.folder} is not there on {socket.gethostname()}.",
                "Workers need it, the models and the adapters under the same paths: use a shared file system.",
            ) from None
        if self.traits:
            os.environ[VARIABLE] = self.traits
        import torch

        torch.set_num_threads(self.threads)
        return self.run_unit
