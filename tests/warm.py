"""Commands in forks of a process that has imported everything: anew each time, that takes ten seconds.

A fork is a process of its own, with the environment, the folder and the script that it is given: it can be killed, and
what it prints is its own. Only what libraries read while they are imported, such as HF_HUB_OFFLINE, is the server's.
"""

from __future__ import annotations

import gc
import importlib.util
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import time
from itertools import count
from pathlib import Path
from typing import Any

HEAVY = (
    "datasets",
    "lapd.answering.lm",
    "lapd.cli",
    "lapd.plugins.packed_dpo",
    "lapd.plugins.watch",
    "lm_eval.evaluator",
    "lm_eval.models.huggingface",
    "matplotlib.backends.backend_agg",
    "openai",
    "peft",
    "transformers.models.llama.modeling_llama",
)


class Warm:
    """The server; with a `with` block's end it is gone.

    Args:
        python: the interpreter, of whichever environment.
        site: a folder whose packages come before the environment's.
    """

    def __init__(self, python: Path | str = sys.executable, site: Path | None = None) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.numbers = count()
        # One thread: a fork inherits no others.
        fixed = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
        fixed["HF_HOME"] = str(Path(self.folder.name, "huggingface"))
        self.server = subprocess.Popen(
            [str(python), __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/",
            env={**os.environ, **fixed, **({"PYTHONPATH": str(site)} if site else {})},
        )  # fmt: skip

    def __enter__(self) -> Warm:
        return self

    def __exit__(self, *_: object) -> None:
        self.server.communicate()  # which closes its input
        self.folder.cleanup()

    def ask(self, **message: Any) -> Any:
        """What the server answers to a message."""
        assert self.server.stdin and self.server.stdout
        print(json.dumps(message), file=self.server.stdin, flush=True)
        return json.loads(self.server.stdout.readline())

    def start(
        self,
        *command: object,
        env: dict[str, str] | None = None,
        cwd: Path | None = None,
        said: str = "",
        log: Path | None = None,
    ) -> Fork:
        """Start a script of Python's, such as `lapd`, with arguments.

        Args:
            env: added to this process's environment.
            cwd: where; by default here.
            said: its standard input.
            log: gets all that it prints.
        """
        paths = [Path(self.folder.name, f"{next(self.numbers)}.{name}") for name in ("in", "out", "err")]
        paths[0].write_text(said, encoding="utf-8")
        if log:
            paths[1:] = [log, log]
        for path in paths[1:]:
            path.touch()  # who reads on at once finds nothing in it, not no file
        pid = self.ask(
            command=[str(word) for word in command],
            env={**os.environ, **(env or {})},
            cwd=str(cwd or Path.cwd()),
            streams=[str(path) for path in paths],
        )
        return Fork(self, pid, paths[1], paths[2])

    def run(self, *command: object, timeout: float = 300, **how: Any) -> subprocess.CompletedProcess[str]:
        """As `subprocess.run`."""
        fork = self.start(*command, **how)
        out, err = fork.communicate(timeout)
        assert fork.returncode is not None
        return subprocess.CompletedProcess([*command], fork.returncode, out, err)


class Fork:
    """A command that was started, to be used as a `subprocess.Popen` is."""

    def __init__(self, warm: Warm, pid: int, out: Path, err: Path) -> None:
        self.warm, self.pid, self.out, self.err = warm, pid, out, err
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit code; the signal, negative, that ended it; None while it runs."""
        if self.returncode is None:
            self.returncode = self.warm.ask(pid=self.pid)
        return self.returncode

    def communicate(self, timeout: float = 300) -> tuple[str, str]:
        """Wait for its end; what it printed."""
        deadline = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > deadline:
                self.send_signal(signal.SIGKILL)
                raise subprocess.TimeoutExpired("a fork", timeout, self.out.read_text(), self.err.read_text())
            time.sleep(0.01)
        return self.out.read_text(encoding="utf-8"), self.err.read_text(encoding="utf-8")

    def send_signal(self, number: int) -> None:
        """As long as it runs: its number may be another's later."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def serve() -> dict[str, Any]:
    """Start commands, until there are no more messages; in a fork, return what it was asked to do."""
    for line in sys.stdin:
        message: dict[str, Any] = json.loads(line)
        if "pid" in message:
            ended, status = os.waitpid(message["pid"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if ended else None
        else:
            answer = os.fork()
            if answer == 0:
                return message
        print(json.dumps(answer), flush=True)
    sys.exit()


def become(message: dict[str, Any]) -> None:
    """Be the process that was asked for, and run its script to the end."""
    for number, path in enumerate(message["streams"]):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), number)
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    os.chdir(message["cwd"])
    os.environ.clear()
    os.environ.update(message["env"])
    sys.path[:0] = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    sys.modules.pop("sitecustomize", None)
    if importlib.util.find_spec("sitecustomize"):
        importlib.import_module("sitecustomize")
    sys.argv = message["command"]
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    sys.path.pop(0)  # this folder
    for name in HEAVY:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    become(serve())
