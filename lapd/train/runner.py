"""Trainings as units of work: what an executor is given to train adapters with (`lapd.hookspecs.RunUnit`)."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lapd.adapters.adapter import Adapter
from lapd.files.whole import writable_folder
from lapd.train.config import TrainConfig
from lapd.train.job import Job, finished, prepare
from lapd.train.work import BusyError, is_held, train_job

WORKERS = ".workers"
"""The folder beside adapters for what executors keep of their workers."""


@dataclass(frozen=True)
class Training:
    """An adapter to be trained, as a unit of work: it may go to another machine.

    Attributes:
        config: its settings, with what `auto` means left to the machine that trains.
        out: the adapter's folder.
    """

    config: TrainConfig
    out: Path

    @property
    def name(self) -> str:
        """Tells it from every other."""
        return str(self.out)

    def label(self) -> str:
        """What it is, for people."""
        return f"training {self.config.name}"


class TrainingRunner:
    """Trains an adapter, unless another process is at it; the base stays in memory for the next.

    A copy in another process, which `pickle` makes, finds everything anew and shows nothing.

    Args:
        trainings: what is to be trained, into folders side by side.
        force: replace adapters that were trained with other settings.
        done: called with each adapter once it is there, and whether it was trained now, by whichever process.
    """

    unit, verb, quiet = "training", "train", False

    def __init__(self, trainings: Sequence[Training], force: bool, done: Callable[[Adapter, bool], None]) -> None:
        self.folder = trainings[0].out.parent
        self.logs = self.folder / WORKERS
        self.marker = self.logs / f"here-{os.getpid()}-{time.time_ns()}"
        self.there: dict[str, Adapter] = {}
        self._trainings, self._force, self._done = trainings, force, done
        self._jobs: dict[str, Job] = {}
        self._kept = ExitStack()
        self._keeping: set[str] = set()

    def __getstate__(self) -> dict[str, Any]:
        fresh = {"quiet": True, "there": {}, "_trainings": (), "_jobs": {}, "_kept": ExitStack(), "_keeping": set()}
        return self.__dict__ | fresh | {"_done": _say_nothing}

    def __enter__(self) -> TrainingRunner:
        """Check everything, and note what is there already.

        Raises:
            LapdError: as `lapd.train.job.prepare` and `finished`.
        """
        for training in self._trainings:
            if adapter := finished(self.job(training), self._force):
                self._settle(training, adapter, trained=False)
        if self.left():
            writable_folder(self.folder)
            self.logs.mkdir(exist_ok=True)
            self.marker.touch()
        return self

    def __exit__(self, *exception: object) -> None:
        self._kept.close()
        self.marker.unlink(missing_ok=True)
        if self.logs.is_dir() and not any(self.logs.iterdir()):
            self.logs.rmdir()

    def job(self, training: Training) -> Job:
        """Everything that the training needs, found once."""
        if training.name not in self._jobs:
            self._jobs[training.name] = prepare(training.config, training.out)
        return self._jobs[training.name]

    def left(self) -> list[Training]:
        """The trainings whose adapters are not there yet, whoever is at them."""
        for training in self._trainings:
            if training.name not in self.there and (adapter := finished(self.job(training), self._force)):
                self._settle(training, adapter)
        return [training for training in self._trainings if training.name not in self.there]

    def is_held(self, unit: Training) -> bool:
        """Whether a process is at work on the training."""
        return is_held(unit.out)

    def __call__(self, unit: Training) -> None:
        job = self.job(unit)
        keep_base = getattr(job.trainer, "keep_base", None)
        if keep_base and job.trainer.name not in self._keeping:
            self._keeping.add(job.trainer.name)
            self._kept.enter_context(keep_base())
        with suppress(BusyError):
            self._settle(unit, train_job(job, self._force))

    def _settle(self, training: Training, adapter: Adapter, trained: bool = True) -> None:
        self.there[training.name] = adapter
        self._done(adapter, trained)


def _say_nothing(adapter: Adapter, trained: bool) -> None:
    pass
