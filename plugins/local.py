"""The executor `local`: one cell or training after another in this process, or in workers on this machine.

A worker is a process with its share of the cores, which is given the next one when it is free. One that dies is
replaced, and its successor goes on with the same one, from the journal or the checkpoint.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import click

from lapd.errors import LapdError, PluginError, UsageError
from lapd.files.progress import bar
from lapd.hookspecs import Executor, RunUnit, Work
from lapd.options import build_options, declared_by
from lapd.pluginmanager import hookimpl
from lapd.units import Bench

RETRIES = 10
"""So often something is begun again whose worker died."""


@dataclass(frozen=True)
class Options:
    """Settings of the executor.

    Attributes:
        workers: how many processes; with one, it is the command's own. Each loads the base.
        cpus: threads that a worker computes with; by default its share of this process's.
    """

    workers: int = 1
    cpus: int | None = None

    def __post_init__(self) -> None:
        for name in ("workers", "cpus"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise UsageError(f"executor local: {name} must be at least 1, not {value}.")


class LocalExecutor:
    name = "local"
    description = "one after another in this process, or in workers on this machine"
    options: Sequence[click.Option] = declared_by(Options)

    def __init__(self, given: Options | None = None) -> None:
        self.given = given or Options()

    def configure(self, options: Mapping[str, Any]) -> Executor:
        return LocalExecutor(build_options(Options, options, f"executor {self.name}", "docs/engine.md"))

    def run(self, units: Sequence[Work], run_unit: RunUnit) -> None:
        if (workers := min(self.given.workers, len(units))) > 1:
            _hand_out(units, Bench(run_unit, Path.cwd(), self.given.cpus or _share(workers)), workers)
            return
        for unit in units:
            run_unit(unit)


def _share(workers: int) -> int:
    """The threads of one of so many workers."""
    import torch

    return max(1, torch.get_num_threads() // workers)


class Worker:
    """A process that runs units, and what it is at."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.unit: Work | None = None
        self.deaths = 0
        self._start()

    def _start(self) -> None:
        self.connection, theirs = Pipe()
        self.process = subprocess.Popen(
            [sys.executable, "-c", f"from lapd.plugins.local import work; work({theirs.fileno()})"],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "OMP_NUM_THREADS": str(self.bench.threads)},
        )
        theirs.close()
        self._send(self.bench)

    def _send(self, what: object) -> None:
        with suppress(BrokenPipeError):  # it is dead, which `answer` finds
            self.connection.send(what)

    def begin(self, unit: Work) -> None:
        """Give it a unit."""
        self.unit, self.deaths = unit, 0
        self._send(unit)

    def answer(self) -> tuple[bool, Exception | None]:
        """Whether it has ended its unit, and the error that it ended with; a dead one is replaced, and begins again.

        Raises:
            PluginError: they die again and again.
        """
        try:
            return True, self.connection.recv()
        except (EOFError, ConnectionResetError):
            pass
        self.end()
        assert self.unit
        self.deaths += 1
        if self.deaths > RETRIES:
            what = f"Workers die of {self.unit.label()}: {self.deaths} have (exit code {self.process.returncode})."
            raise PluginError(what, "Perhaps memory does not suffice for so many; use fewer workers.")
        self._start()
        self._send(self.unit)
        return False, None

    def end(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.wait()
        self.connection.close()


def _hand_out(units: Sequence[Work], bench: Bench, number: int) -> None:
    """Give every free worker the next unit, until all are done.

    Raises:
        LapdError: a unit failed; those that were running then have ended.
    """
    run_unit, waiting, error = bench.run_unit, deque(units), None
    workers = [Worker(bench) for _ in range(number)]
    try:
        with bar(len(units), f"{run_unit.verb} ({number} workers)", run_unit.unit, run_unit.quiet) as progress:
            for worker in workers:
                worker.begin(waiting.popleft())
            while busy := {worker.connection: worker for worker in workers if worker.unit}:
                for connection in wait(list(busy)):
                    worker = busy[connection]
                    ended, raised = worker.answer()
                    if not ended:
                        text = f"A worker died and was replaced; the new one goes on with {worker.unit.label()}."
                        progress.write(text, file=sys.stderr)
                        continue
                    error = error or raised
                    worker.unit = None
                    progress.update(1)
                    run_unit.left()  # says what is there now
                    if waiting and not error:
                        worker.begin(waiting.popleft())
    finally:
        for worker in workers:
            worker.end()
    if error:
        raise error


def work(pipe: int) -> None:
    """What a worker does: run the units that come through the pipe, and answer each with None or its error.

    Args:
        pipe: a connection's file descriptor; first a `Bench` comes through it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, which then ends its workers
    connection = Connection(pipe)
    come: queue.Queue[Any] = queue.Queue()
    threading.Thread(target=_receive, args=(connection, come), daemon=True).start()
    run_unit: RunUnit | None = None
    bench: Bench = come.get()
    while True:
        unit = come.get()
        try:
            run_unit = run_unit or bench.take()
            run_unit(unit)
            connection.send(None)
        except Exception as error:
            connection.send(_sendable(error))


def _receive(connection: Connection, come: queue.Queue[Any]) -> None:
    """Take in what the parent sends, and end the process when the parent is gone, in the middle of a unit too."""
    try:
        while True:
            come.put(connection.recv())
    except EOFError:
        os._exit(1)  # the parent's end is closed, by whatever ended it


def _sendable(error: Exception) -> Exception:
    """The error, or where it cannot be pickled one that says the same."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return LapdError(f"{type(error).__name__}: {error}")
    return error


@hookimpl
def lapd_register_executors(register: Callable[[Executor], None]) -> None:
    register(LocalExecutor())
