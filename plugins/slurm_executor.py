"""The executor `slurm`: jobs on a Slurm cluster, through submitit. They share the folder that they write into alone.

Each job goes through all cells or trainings and takes those that no other process holds. Slurm may take a job's machine
away, or its time may run out: submitit then submits it again, and it goes on from the journal or the checkpoint.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from lapd.errors import LapdError, PluginError, UsageError
from lapd.files.progress import bar
from lapd.hookspecs import Executor, RunUnit, Work
from lapd.options import build_options, declared_by
from lapd.pluginmanager import hookimpl
from lapd.units import Bench, check_installed

CLUSTERS = ("slurm", "local", "debug")

LOOK_SECONDS = 1.0
"""So long is waited between two looks at the jobs, and longer if a look takes long: a run may have many cells."""

CANCEL_SECONDS = 10.0
"""So long jobs that were cancelled may take to end before they are left alone."""


@dataclass(frozen=True)
class Options:
    """Settings of the executor.

    Attributes:
        workers: how many jobs.
        cpus: cores of a job, and threads that it computes with.
        gpus: GPUs of a job.
        minutes: after so long submitit stops a job and submits it again, three times at most.
        memory: gigabytes of a job; the partition's default if not given.
        partition: Slurm's; its own default if not given.
        account: whom Slurm counts the jobs for; its own default if not given.
        folder: for submitit's files and the jobs' logs; by default `slurm` in the run folder, of trainings
            `.workers/slurm` beside the adapters. All machines share it.
        cluster: "slurm" (the default), "local" (processes on this machine) or "debug" (this process).
    """

    workers: int = 1
    cpus: int = 1
    gpus: int = 0
    minutes: int = 240
    memory: float | None = None
    partition: str | None = None
    account: str | None = None
    folder: str | None = None
    cluster: str | None = None

    def __post_init__(self) -> None:
        for name, least in (("workers", 1), ("cpus", 1), ("gpus", 0), ("minutes", 1)):
            if getattr(self, name) < least:
                raise UsageError(f"executor slurm: {name} must be at least {least}, not {getattr(self, name)}.")
        if self.memory is not None and self.memory <= 0:
            raise UsageError(f"executor slurm: memory must be above 0, not {self.memory}.")
        if self.cluster not in (None, *CLUSTERS):
            raise UsageError(f"executor slurm: there is no cluster {self.cluster!r}.", f"Known: {', '.join(CLUSTERS)}.")


class SlurmExecutor:
    name = "slurm"
    description = "jobs on a Slurm cluster, through submitit (pip install 'lapd[slurm]')"
    options: Sequence[click.Option] = declared_by(Options)

    def __init__(self, given: Options | None = None) -> None:
        self.given = given or Options()

    def configure(self, options: Mapping[str, Any]) -> Executor:
        made = build_options(Options, options, f"executor {self.name}", "docs/engine.md")
        check_installed("submitit", self.name)
        made = replace(made, cluster=made.cluster or "slurm")
        if made.cluster == "slurm" and not shutil.which("sbatch"):
            hint = "Give the command where jobs are submitted, or --executor-option cluster=local to try it here."
            raise UsageError("executor slurm: this machine has no sbatch, Slurm's command.", hint)
        return SlurmExecutor(made)

    def run(self, units: Sequence[Work], run_unit: RunUnit) -> None:
        folder = Path(self.given.folder or run_unit.logs / "slurm").absolute()
        folder.mkdir(parents=True, exist_ok=True)
        stop = folder / f"stop-{os.getpid()}-{time.time_ns()}"
        bench = Bench(run_unit, Path.cwd(), self.given.cpus)
        jobs = self._submit(folder, [Job(units, bench, stop)] * min(self.given.workers, len(units)))
        try:
            _wait(jobs, units, run_unit)
            errors = [error for job in jobs if (error := _outcome(job, run_unit.quiet))]
        except BaseException:
            _cancel(jobs)
            raise
        finally:
            stop.unlink(missing_ok=True)
        if errors:
            raise errors[0]

    def _submit(self, folder: Path, work: list[Job]) -> list[Any]:
        """The submitted jobs.

        Raises:
            PluginError: Slurm refuses them.
        """
        import submitit
        from submitit.core.utils import FailedJobError

        executor = submitit.AutoExecutor(folder, cluster=self.given.cluster)
        executor.update_parameters(
            name="lapd",
            timeout_min=self.given.minutes,
            cpus_per_task=self.given.cpus,
            gpus_per_node=self.given.gpus,
            mem_gb=self.given.memory,
            slurm_partition=self.given.partition,
            slurm_account=self.given.account,
        )
        # The processes that look after local jobs print a traceback when they are cancelled.
        local = _stderr_to(folder / "local.log") if self.given.cluster == "local" else nullcontext()
        try:
            with local:
                jobs: list[Any] = executor.submit_array(work)
        except FailedJobError as error:
            raise PluginError(f"Slurm does not take the jobs: {_last_line(str(error))}") from None
        return jobs


class Job:
    """What a job does; submitit calls it.

    Args:
        units: to be run, by this job or another.
        bench: where.
        stop: a file; once it is there, no further unit is begun.
    """

    def __init__(self, units: Sequence[Work], bench: Bench, stop: Path) -> None:
        self.units, self.bench, self.stop = units, bench, stop

    def __call__(self) -> Exception | None:
        """Run what is to be had; an error is returned, since submitit would only hand on its traceback."""
        try:
            run_unit = self.bench.take()
            for unit in self.units:
                if self.stop.exists():
                    break
                run_unit(unit)
        except (LapdError, OSError) as error:
            self.stop.touch()
            return error
        return None

    def checkpoint(self) -> Any:
        """What is to be submitted again when the job's time is up, or its machine is wanted: the same."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def _wait(jobs: Sequence[Any], units: Sequence[Work], run_unit: RunUnit) -> None:
    """Wait until all jobs have ended; a bar counts the units that are done."""
    with bar(len(units), f"{run_unit.verb} ({len(jobs)} jobs)", run_unit.unit, run_unit.quiet) as progress:
        while True:
            started = time.monotonic()
            ended = all(job.done() for job in jobs)
            left = {unit.name for unit in run_unit.left()}
            progress.update(sum(unit.name not in left for unit in units) - progress.n)
            if ended:
                return
            time.sleep(max(LOOK_SECONDS, 9 * (time.monotonic() - started)))


def _outcome(job: Any, quiet: bool) -> Exception | None:
    """The error that a job ended with. One that died has none: the units that it leaves are given out again."""
    from submitit.core.utils import FailedJobError, UncompletedJobError

    try:
        error: Exception | None = job.result()
    except UncompletedJobError:
        if not quiet:
            print(f"Job {job.job_id} died ({job.paths.stderr}); what it leaves is run again.", file=sys.stderr)
        return None
    except FailedJobError:
        reason = _last_line(job.stderr() or "")
        return PluginError(f"Job {job.job_id} failed: {reason}", f"All of it is in {job.paths.stderr}.")
    return error


def _cancel(jobs: Sequence[Any]) -> None:
    """Cancel what still runs, and wait a little, so that the units are free when this returns."""
    for job in jobs:
        job.cancel(check=False)
    deadline = time.monotonic() + CANCEL_SECONDS
    while time.monotonic() < deadline and not all(job.done() for job in jobs):
        time.sleep(0.1)


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no reason was given"])[-1]


@contextmanager
def _stderr_to(path: Path) -> Iterator[None]:
    """Have processes that are started inside write their standard error to a file."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with path.open("a") as stream:
            os.dup2(stream.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


@hookimpl
def lapd_register_executors(register: Callable[[Executor], None]) -> None:
    register(SlurmExecutor())
