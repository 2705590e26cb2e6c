"""Training adapters: one in this process, or several by an executor.

While one is trained, everything is kept in `<out>.partial/`; the same call again goes on from its newest whole
checkpoint, and the finished adapter is moved to `<out>` in one step.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lapd.adapters.adapter import Adapter
from lapd.errors import UsageError
from lapd.hookspecs import Executor
from lapd.options import configured
from lapd.train.config import TrainConfig
from lapd.train.job import Job, finished, prepare
from lapd.train.runner import Training, TrainingRunner
from lapd.train.together import only_first_speaks, processes
from lapd.train.work import train_job
from lapd.units import run_units

IN_PROCESS = "local"
"""The executor that, with one worker, trains in this process."""


def train_adapter(config: TrainConfig, out: Path, *, force: bool = False, quiet: bool = False) -> Adapter:
    """Train an adapter into the folder `out`, or return the one that is there already from the same settings.

    Where `accelerate launch` has started several processes, they train it together, each calling this.

    Raises:
        UsageError: `out` holds something else and `force` is not set.
        LapdError: no such persona, trainer, generator or model; pairs that cannot be used; training failed.
    """
    with only_first_speaks():
        job = prepare(config, out)
        if (adapter := finished(job, force)) is None:
            if not quiet:
                _say_trainer([job])
            return train_job(job, force)
        if not quiet:
            print(f"{out} is there already, trained with these settings.", file=sys.stderr)
        return adapter


def train_adapters(
    configs: Sequence[TrainConfig],
    folder: Path,
    *,
    force: bool = False,
    executor: str = IN_PROCESS,
    executor_options: Mapping[str, Any] | None = None,
    done: Callable[[Adapter, bool], None] = lambda adapter, trained: None,
) -> list[Adapter]:
    """Train several adapters, each into the folder of its name below `folder`, loading each base model once.

    Each is the same, byte for byte on a CPU, as `train_adapter` makes it alone, with as many threads. Everything is
    checked before the first training starts; those that are there already from the same settings are left as they are.
    Two processes may be at it at once: each takes what the other is not at, and returns when all are there.

    Args:
        configs: one an adapter; no two with one name.
        folder: the parent of the adapters' folders.
        force: replace adapters that were trained with other settings.
        executor: which executor runs the trainings; by default one after the other in this process.
        executor_options: what it takes, such as how many workers.
        done: called with each adapter once it is there, and whether it was trained now, by whichever process.

    Raises:
        UsageError: two configurations have one name, workers are to replace adapters, or as `train_adapter`.
        LapdError: as `train_adapter`; what is finished by then stays.
    """
    names = Counter(config.name for config in configs)
    if twice := [name for name, count in names.items() if count > 1]:
        raise UsageError(f"Two adapters would be called {twice[0]!r}.", "Train them into different folders.")
    trainings = [Training(config, folder / config.name) for config in configs]
    return train_all(trainings, executor, executor_options, force=force, done=done)


def train_all(
    trainings: Sequence[Training],
    executor: str = IN_PROCESS,
    executor_options: Mapping[str, Any] | None = None,
    *,
    force: bool = False,
    done: Callable[[Adapter, bool], None] = lambda adapter, trained: None,
) -> list[Adapter]:
    """Train adapters into folders side by side; see `train_adapters`."""
    if processes() > 1:
        what = "Several processes were launched to train one adapter, and this is for several or an executor."
        raise UsageError(what, "Launch one persona's training, or give --executor without a launcher.")
    executing: Executor = configured("executors", executor, executor_options)
    if force and (executor.lower() != IN_PROCESS or executor_options):
        raise UsageError("Several workers would each replace what another has just trained.", "Use one with --force.")
    with TrainingRunner(trainings, force, done) as run:
        _say_trainer(run.job(training) for training in run.left())
        run_units(executing, run)
        return [run.there[training.name] for training in trainings]


def _say_trainer(jobs: Iterable[Job]) -> None:
    """Say once which trainer `auto` chose, and why."""
    for line in sorted({f"Trainer {job.trainer.name}: {job.why}" for job in jobs if job.why}):
        print(line, file=sys.stderr)
