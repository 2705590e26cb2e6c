"""Units of work that need no model, for tests of executors; workers find this module by PYTHONPATH."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from lapd.errors import DataError


@dataclass(frozen=True)
class Unit:
    """Its name says what comes of it: "fails", "dies" (the first time), "dies on" (every time), "naps", or nothing."""

    name: str

    def label(self) -> str:
        return f"the unit {self.name!r}"


class RunUnit:
    """Notes in the folder who has run a unit and with how many threads."""

    unit, verb, quiet = "cell", "run", False

    def __init__(self, folder: Path, units: list[Unit]) -> None:
        self.folder = self.logs = folder
        self.marker = folder / "marker"
        self.marker.touch()
        self.units = units

    def left(self) -> list[Unit]:
        return [unit for unit in self.units if not (self.folder / unit.name).exists()]

    def is_held(self, unit: Unit) -> bool:
        return False

    def __call__(self, unit: Unit) -> None:
        import torch

        begun = self.folder / f"{unit.name}.begun"
        if unit.name == "fails":
            raise DataError("here", "it fails.", line=3)
        if unit.name == "naps":
            begun.touch()
            time.sleep(600)
        if unit.name == "dies on" or (unit.name == "dies" and not begun.exists()):
            begun.touch()
            os._exit(9)
        (self.folder / unit.name).write_text(f"{os.getpid()} {torch.get_num_threads()}")
