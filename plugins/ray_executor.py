"""The executor `ray`: workers on this machine or on a Ray cluster, each with the base and the adapters beside it.

A worker is a Ray actor, and a cell or a training one call of it. The driver hands the next one to the worker that is
free, so that fast and slow ones are busy to the end. Ray starts a worker that died anew and calls it again with the
same one, which then goes on from its journal or its checkpoint; nothing but the folder that they write into is shared.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from lapd.errors import LapdError, PluginError, UsageError, first_line
from lapd.files.progress import bar
from lapd.hookspecs import Executor, RunUnit, Work
from lapd.options import build_options, declared_by
from lapd.pluginmanager import hookimpl
from lapd.units import Bench, check_installed

ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # under `uv run`, Ray would send the working folder to the cluster
}
"""What Ray shall find in the environment, unless it says something else there already."""

CONNECT_SECONDS = 10.0
"""So long a cluster may take to answer."""


@dataclass(frozen=True)
class Options:
    """Settings of the executor.

    Attributes:
        workers: how many; by default as many as there is room for, one a GPU where there are GPUs.
        cpus: cores of a worker, and threads that it computes with.
        gpus: GPUs of a worker; by default one where the cluster has any. 0.5 puts two workers on one.
        address: of a Ray cluster. By default it is left to Ray: RAY_ADDRESS, a cluster that runs on this machine, or a
            new one for this command on this machine alone ("local" always starts one).
        retries: how often a cell or training is run again whose worker died; -1 for always.
    """

    workers: int | None = None
    cpus: int = 1
    gpus: float | None = None
    address: str | None = None
    retries: int = 10

    def __post_init__(self) -> None:
        for name, least in (("workers", 1), ("cpus", 1), ("gpus", 0), ("retries", -1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise UsageError(f"executor ray: {name} must be at least {least}, not {value}.")


class RayExecutor:
    name = "ray"
    description = "workers on this machine or a cluster, through Ray (pip install 'lapd[ray]')"
    options: Sequence[click.Option] = declared_by(Options)

    def __init__(self, given: Options | None = None) -> None:
        self.given = given or Options()

    def configure(self, options: Mapping[str, Any]) -> Executor:
        made = build_options(Options, options, f"executor {self.name}", "docs/engine.md")
        check_installed("ray", self.name)
        return RayExecutor(made)

    def run(self, units: Sequence[Work], run_unit: RunUnit) -> None:
        with _cluster(self.given.address) as ray:
            gpus, room = _room(self.given, ray.nodes())
            wanted = min(self.given.workers or room, len(units))
            if wanted > room and not run_unit.quiet:
                print(f"Ray has room for {room} of {wanted} workers; the others join when there is.", file=sys.stderr)
            make = ray.remote(Worker).options(
                num_cpus=self.given.cpus, num_gpus=gpus, max_restarts=-1, max_task_retries=self.given.retries
            )
            workers = [make.remote() for _ in range(wanted)]
            try:
                _hand_out(ray, workers, units, Bench(run_unit, Path.cwd(), self.given.cpus))
            finally:
                for worker in workers:
                    ray.kill(worker)


class Worker:
    """An actor. It takes nothing and does nothing when it is made: what goes wrong there would reach nobody."""

    def __init__(self) -> None:
        self._run_unit: RunUnit | None = None

    def run(self, bench: Sequence[Any], unit: Work | None) -> int:
        """Run the unit, if it is one, and return this process's id.

        Args:
            bench: a reference to a `Bench`, in a list: Ray then leaves it to us to get it, once.
            unit: None for a worker that only reports.
        """
        if self._run_unit is None:
            import ray

            self._run_unit = ray.get(bench[0]).take()
        if unit is not None:
            self._run_unit(unit)
        return os.getpid()


def _hand_out(ray: Any, workers: Sequence[Any], units: Sequence[Work], bench: Bench) -> None:
    """Give every worker that is there and free the next unit, until all are done.

    Raises:
        LapdError: a unit failed; those that were running then have ended.
    """
    run_unit, waiting, processes = bench.run_unit, deque(units), dict[Any, int]()
    sent = [ray.put(bench)]
    # A worker is asked for its process first: one for which the cluster has no room yet must not sit on a unit.
    calls: dict[Any, tuple[Any, Work | None]] = {worker.run.remote(sent, None): (worker, None) for worker in workers}
    error: Exception | None = None
    with bar(len(units), f"{run_unit.verb} (waiting for Ray's workers)", run_unit.unit, run_unit.quiet) as progress:
        while any(unit for _, unit in calls.values()) or (waiting and calls):
            call = ray.wait(list(calls))[0][0]
            worker, unit = calls.pop(call)
            try:
                process = ray.get(call)
            except Exception as raised:
                error = error or _reason(ray, raised, unit)
                waiting.clear()
                continue
            if processes.setdefault(worker, process) != process and not run_unit.quiet:
                progress.write(f"A worker died and was started anew; it went on with {_label(unit)}.", file=sys.stderr)
            processes[worker] = process
            progress.set_description(f"{run_unit.verb} ({len(processes)} Ray workers)")
            progress.update(int(unit is not None))
            if waiting:
                following = waiting.popleft()
                calls[worker.run.remote(sent, following)] = worker, following
    if error:
        raise error


def _label(unit: Work | None) -> str:
    return unit.label() if unit else "its start"


def _reason(ray: Any, raised: Exception, unit: Work | None) -> Exception:
    """What a call failed of: the error that was raised in the worker, or one that says that the worker is gone."""
    if isinstance(raised, ray.exceptions.RayTaskError):
        cause: Exception = raised.cause
        cause.__cause__ = None if isinstance(cause, LapdError) else raised  # with the worker's own traceback
        return cause
    hint = "It may have run out of memory, or LAPD is not installed on every machine; Ray's logs say more."
    return PluginError(f"The Ray worker is gone that was at {_label(unit)} ({first_line(raised).rstrip('.')}).", hint)


def _room(options: Options, nodes: Iterable[Mapping[str, Any]]) -> tuple[float, int]:
    """How many GPUs a worker has, and how many workers the cluster has room for, by what its machines have in all.

    Raises:
        UsageError: no machine is large enough.
    """
    machines = [node["Resources"] for node in nodes if node["Alive"]]
    gpus = options.gpus
    if gpus is None:
        gpus = 1.0 if any(machine.get("GPU", 0) for machine in machines) else 0.0
    room = 0
    for machine in machines:
        fit = machine.get("CPU", 0) // options.cpus
        room += int(min(fit, machine.get("GPU", 0) // gpus) if gpus else fit)
    if room == 0:
        needs = f"cpus={options.cpus}" + (f" and gpus={gpus:g}" if gpus else "")
        raise UsageError(f"executor ray: no machine of the Ray cluster has room for a worker with {needs}.")
    return gpus, room


@contextmanager
def _cluster(address: str | None) -> Iterator[Any]:
    """Ray, connected or started; if this did it, it is left or stopped again.

    What Ray says of dead workers goes to standard output, where it would spoil `--json`, and is dropped: its own logs
    have it.

    Raises:
        PluginError: there is no cluster at the address, or none can be started.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import ray
    import ray.exceptions

    theirs = ray.is_initialized()
    if not theirs:
        _check_reachable(address or os.environ.get("RAY_ADDRESS", ""))
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
        try:
            if not theirs:
                ray.init(address, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        except Exception as error:  # Ray raises whatever it happens to meet
            where = f" at {address}" if address else ""
            hint = "If the cluster asks for a token, set RAY_AUTH_MODE=token here."
            raise PluginError(f"Ray{where} cannot be used: {first_line(error).rstrip('.')}.", hint) from None
        try:
            yield ray
        finally:
            if not theirs:
                ray.shutdown()


def _check_reachable(address: str) -> None:
    """Refuse a host and port where nobody listens: Ray would try for more than ten minutes.

    Raises:
        PluginError: nobody does.
    """
    parts = urlsplit("//" + address.removeprefix("ray://"))
    try:
        if parts.hostname and parts.port:
            socket.create_connection((parts.hostname, parts.port), CONNECT_SECONDS).close()
    except (OSError, ValueError) as error:
        raise PluginError(f"There is no Ray cluster at {address}: {first_line(error)}.") from None


@hookimpl
def lapd_register_executors(register: Callable[[Executor], None]) -> None:
    register(RayExecutor())
