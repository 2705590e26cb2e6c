"""The work of one training: a folder that is held, checkpoints in it, and the adapter that appears only when whole."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from lapd.adapters.adapter import KEPT_PAIRS, RUN_CARD, Adapter, resolve_adapter
from lapd.adapters.card import model_card
from lapd.errors import StoreError
from lapd.files.locks import lock
from lapd.files.whole import make_folder_readable, read_json, writable_folder, write_json, write_text
from lapd.hookspecs import TrainResult
from lapd.pairs.pair import write_pairs
from lapd.pictures.curves import training_curves
from lapd.train.card import run_card
from lapd.train.job import Job, finished
from lapd.train.together import by_first, join


class BusyError(StoreError):
    """Another process is at this adapter."""


def train_job(job: Job, force: bool = False) -> Adapter:
    """Train beside `job.out`, and move the adapter there once it is whole; one that is there already is returned.

    Called in several processes of one training (`lapd.train.together`), all train and the first one writes.

    Args:
        job: from `lapd.train.job.prepare`.
        force: replace an adapter that is there.

    Raises:
        BusyError: another process is at it.
        LapdError: training failed.
    """
    out = job.out
    partial = partial_of(out)
    join()
    with ExitStack() as held:

        def begin() -> bool:
            """Whether there is anything to train."""
            writable_folder(out.parent)
            partial.mkdir(exist_ok=True)
            held.enter_context(_held(partial))
            # Another process may have finished it before the folder was this one's.
            if finished(job, force):
                return False
            _begin(partial, job.identity)
            return True

        if by_first(begin):
            started = time.time()
            trainer = job.trainer.scoring(job.heldout) if job.heldout else job.trainer  # type: ignore[attr-defined]
            folder = partial / "adapter"
            result = trainer.train(job.config, job.base, job.pairs, partial / "checkpoints", folder)
            by_first(lambda: _finish(job, result, folder, round(time.time() - started, 1)))
        by_first(lambda: shutil.rmtree(partial, ignore_errors=True))
    return resolve_adapter(out)


def partial_of(out: Path) -> Path:
    """The folder of an unfinished training, by the adapter's."""
    return out.with_name(out.name + ".partial")


def is_held(out: Path) -> bool:
    """Whether a process trains the adapter of the folder `out`."""
    if not partial_of(out).is_dir():
        return False
    try:
        with _held(partial_of(out)):
            return False
    except BusyError:
        return True


def _finish(job: Job, result: TrainResult, folder: Path, seconds: float) -> None:
    """Put what tells of the training beside the weights, and the folder into its place."""
    card = run_card(job, result, seconds)
    write_json(folder / RUN_CARD, card)
    training_curves(result.log, folder / "curves.png", f"{job.config.name} on {job.base.name}", len(job.heldout))
    write_text(folder / "README.md", model_card(card))
    if job.kept:
        write_pairs(folder / KEPT_PAIRS, job.kept)
    make_folder_readable(folder)
    if job.out.exists():
        shutil.rmtree(job.out)
    folder.replace(job.out)


@contextmanager
def _held(partial: Path) -> Iterator[None]:
    """Hold an unfinished training's folder against other processes.

    Raises:
        BusyError: another one holds it.
    """
    busy = BusyError(f"Another process is training into {partial}.", "Wait for it, or give another -o.")
    try:
        stream = (partial / ".lock").open("w")
    except FileNotFoundError:  # whoever has finished it has just taken the folder away
        raise busy from None
    with stream:
        if not lock(stream, wait=False):
            raise busy
        yield


def _begin(partial: Path, identity: str) -> None:
    """Empty the folder if it was for other settings; what was written of an adapter is removed."""
    marker = partial / "identity.json"
    if not marker.is_file() or read_json(marker) != identity:
        shutil.rmtree(partial / "checkpoints", ignore_errors=True)
        write_json(marker, identity)
    shutil.rmtree(partial / "adapter", ignore_errors=True)
    (partial / "adapter").mkdir()
