"""Training adapters: the configuration, the run card, and a folder that appears only when it is whole.

While it runs, everything is kept in `<out>.partial/`; the same command goes on from its newest whole checkpoint, and
the finished adapter is moved to `<out>` in one step.
"""

from __future__ import annotations

import fcntl
import functools
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from lapd.adapters.adapter import KEPT_PAIRS, RUN_CARD, Adapter, resolve_adapter
from lapd.adapters.card import model_card
from lapd.errors import StoreError, UsageError
from lapd.files.whole import make_folder_readable, read_json, writable_folder, write_json, write_text
from lapd.pairs.pair import write_pairs
from lapd.pictures.curves import training_curves
from lapd.train.card import run_card
from lapd.train.config import TrainConfig
from lapd.train.helpers import helpers
from lapd.train.job import Job, finished, prepare

BUSY_SECONDS = 5
"""So long is waited before looking again whether another process has finished an adapter."""


def train_adapter(config: TrainConfig, out: Path, *, force: bool = False, quiet: bool = False) -> Adapter:
    """Train an adapter into the folder `out`, or return the one that is there already from the same settings.

    Raises:
        UsageError: `out` holds something else and `force` is not set.
        LapdError: no such persona, trainer, generator or model; pairs that cannot be used; training failed.
    """
    job = prepare(config, out)
    if (adapter := finished(job, force)) is None:
        if not quiet:
            _say_trainer([job])
        return _train(job)
    if not quiet:
        print(f"{out} is there already, trained with these settings.", file=sys.stderr)
    return adapter


def train_adapters(
    configs: Sequence[TrainConfig],
    folder: Path,
    *,
    force: bool = False,
    workers: int = 1,
    done: Callable[[Adapter, bool], None] = lambda adapter, trained: None,
) -> list[Adapter]:
    """Train several adapters, each into the folder of its name below `folder`, loading each base model once.

    Each is the same, byte for byte on a CPU, as `train_adapter` makes it alone. Everything is checked before the first
    training starts; those that are there already from the same settings are left as they are. Two processes may be at
    it at once: each takes what the other is not at, and returns when all are there.

    Args:
        configs: one an adapter; no two with one name.
        folder: the parent of the adapters' folders.
        force: replace adapters that were trained with other settings.
        workers: processes that share the adapters, this one among them. Each loads the base and has its share of the
            threads; with another number of them, weights agree to rounding instead of byte for byte.
        done: called with each adapter once it is there, and whether it was trained now, by whichever process.

    Raises:
        UsageError: two configurations have one name, several workers are to replace adapters, or as `train_adapter`.
        LapdError: as `train_adapter`; what is finished by then stays.
    """
    names = Counter(config.name for config in configs)
    if twice := [name for name, count in names.items() if count > 1]:
        raise UsageError(f"Two adapters would be called {twice[0]!r}.", "Train them into different folders.")
    if force and workers > 1:
        raise UsageError("Several workers would each replace what another has just trained.", "Use one with --force.")
    jobs = [prepare(config, folder / config.name) for config in configs]
    there = {job.out: adapter for job in jobs if (adapter := finished(job, force)) is not None}
    _say_trainer([job for job in jobs if job.out not in there])
    for job in jobs:
        if job.out in there:
            done(there[job.out], False)
    with ExitStack() as stack:
        others = max(0, min(workers, len(jobs) - len(there)) - 1)
        stack.enter_context(helpers(others, functools.partial(train_adapters, list(configs), folder)))
        for trainer in {job.trainer.name: job.trainer for job in jobs}.values():
            if keep_base := getattr(trainer, "keep_base", None):
                stack.enter_context(keep_base())
        said = False
        while waiting := [job for job in jobs if job.out not in there]:
            for job in waiting:
                try:
                    # Another process may have finished it meanwhile.
                    there[job.out] = finished(job, force) or _train(job)
                except _BusyError:
                    continue
                done(there[job.out], True)
            if all(job.out not in there for job in waiting):
                if not said:
                    print("Another process trains what is left; waiting for it.", file=sys.stderr)
                said = True
                time.sleep(BUSY_SECONDS)
    return [there[job.out] for job in jobs]


def _say_trainer(jobs: Sequence[Job]) -> None:
    """Say once which trainer `auto` chose, and why."""
    for line in sorted({f"Trainer {job.trainer.name}: {job.why}" for job in jobs if job.why}):
        print(line, file=sys.stderr)


def _train(job: Job) -> Adapter:
    """Train in the folder beside `job.out`, and move the adapter there once it is whole."""
    config, out = job.config, job.out
    writable_folder(out.parent)
    partial = out.with_name(out.name + ".partial")
    with _working_folder(partial, job.identity) as work:
        started = time.time()
        folder = work / "adapter"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        trainer = job.trainer.scoring(job.heldout) if job.heldout else job.trainer  # type: ignore[attr-defined]
        result = trainer.train(config, job.base, job.pairs, work / "checkpoints", folder)
        card = run_card(job, result, round(time.time() - started, 1))
        write_json(folder / RUN_CARD, card)
        training_curves(result.log, folder / "curves.png", f"{config.name} on {job.base.name}", len(job.heldout))
        write_text(folder / "README.md", model_card(card))
        if job.kept:
            write_pairs(folder / KEPT_PAIRS, job.kept)
        make_folder_readable(folder)
        if out.exists():
            shutil.rmtree(out)
        folder.replace(out)
    shutil.rmtree(partial, ignore_errors=True)
    return resolve_adapter(out)


class _BusyError(StoreError):
    """Another process is at this adapter."""


@contextmanager
def _working_folder(partial: Path, identity: str) -> Iterator[Path]:
    """The folder of an unfinished training, held against other processes; emptied if it was for other settings."""
    partial.mkdir(parents=True, exist_ok=True)
    with (partial / ".lock").open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _BusyError(
                f"Another process is training into {partial}.", "Wait for it, or give another -o."
            ) from None
        marker = partial / "identity.json"
        if not marker.is_file() or read_json(marker) != identity:
            shutil.rmtree(partial / "checkpoints", ignore_errors=True)
            write_json(marker, identity)
        yield partial
