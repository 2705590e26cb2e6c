"""Does a training that is killed again and again end in the weights of one that is not?

    python benchmarks/train_kills.py                    30 kills of `lapd train` on the embedded model, float32
    python benchmarks/train_kills.py --base FOLDER --fork    the same within two minutes, for a tiny model

The same command is started again after each `kill -9`, at a random moment of the time that the whole training takes,
until it finishes; then its weights and its log are held against those of the training that nobody killed, and the next
one begins. Printed: how many kills, in how many trainings, how far each had come, and whether all ended alike.

With `--fork`, this process imports everything once and each command runs in a fork of it: a kill then hits the
training and not the ten seconds of imports before it.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SETTINGS = ("--pairs", "12", "--batch-size", "2", "--epochs", "2", "--save-steps", "2", "--lr", "2e-3")
"""Twelve steps, a checkpoint after every second one."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", default="smollm2")
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fork", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    start = fork_server() if options.fork else start_process
    with tempfile.TemporaryDirectory() as folder:
        result = kill_trainings(start, options.base, Path(folder), options.kills, random.Random(options.seed))
    print(json.dumps(result, indent=1) if options.json else "\n".join(f"{k}: {v}" for k, v in result.items()))
    if result["different"]:
        sys.exit(1)


def kill_trainings(
    start: Callable[[list[str]], int], base: str, folder: Path, kills: int, chance: random.Random
) -> dict[str, Any]:
    """Kill so often, and count what came of it.

    Args:
        start: starts `lapd` with arguments and returns the process's id.
        base: the base model.
        folder: everything is done below it.
        kills: how many.
        chance: when.
    """
    command = ["train", "INFP", "--base", base, "--precision", "float32", "--trainer", "trl", *SETTINGS]
    began = time.monotonic()
    if wait(start([*command, "-o", str(folder / "whole")])) != 0:
        sys.exit("The training that nobody kills failed.")
    seconds = time.monotonic() - began
    expected = outcome(folder / "whole")
    killed, trainings, different, reached = 0, 0, 0, []
    while killed < kills:
        out = folder / f"killed{trainings}"
        while not out.exists() and killed < kills:
            process = start([*command, "-o", str(out)])
            if wait(process, chance.uniform(0, seconds)) is not None:
                break
            os.kill(process, signal.SIGKILL)
            wait(process)
            killed += 1
            reached.append(newest(out))
        if (code := 0 if out.exists() else wait(start([*command, "-o", str(out)]))) != 0:
            sys.exit(f"The training failed with exit code {code} after {killed} kills.")
        different += outcome(out) != expected
        trainings += 1
        shutil.rmtree(out)
    return {
        "kills": killed,
        "trainings": trainings,
        "different": different,
        "newest_checkpoint_at_each_kill": reached,
        "seconds_of_the_whole_training": round(seconds, 1),
    }


def outcome(adapter: Path) -> tuple[bytes, Any]:
    """What must be equal: the weights byte for byte, and the log."""
    return (
        (adapter / "adapter_model.safetensors").read_bytes(),
        json.loads((adapter / "run_card.json").read_text())["log"],
    )


def newest(out: Path) -> int:
    """The step of the newest whole checkpoint of an unfinished training; 0 if there is none."""
    marks = out.with_name(out.name + ".partial").glob("checkpoints/checkpoint-*/lapd_complete")
    return max((int(mark.parent.name.rpartition("-")[2]) for mark in marks), default=0)


def wait(process: int, seconds: float | None = None) -> int | None:
    """The process's exit code (negative: the signal that ended it), or None if it has not ended after so long."""
    deadline = None if seconds is None else time.monotonic() + seconds
    while deadline is None or time.monotonic() < deadline:
        ended, status = os.waitpid(process, os.WNOHANG if deadline else 0)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    return None


def start_process(arguments: list[str]) -> int:
    """Start `lapd` in a process of its own."""
    script = Path(sys.executable).with_name("lapd")
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen([str(script), *arguments], **quiet).pid  # type: ignore[call-overload, no-any-return]


def fork_server() -> Callable[[list[str]], int]:
    """Import everything, and return what starts `lapd` in a fork of this process.

    Nothing is computed before a fork: a fork inherits no threads, and a thread pool without its threads hangs.
    """
    import datasets  # noqa: F401
    import lapd.plugins.packed_dpo
    import lapd.plugins.watch
    import matplotlib.backends.backend_agg  # noqa: F401
    import peft  # noqa: F401
    import transformers.models.llama.modeling_llama  # noqa: F401

    from lapd.cli import main as lapd

    def start(arguments: list[str]) -> int:
        if process := os.fork():
            return process
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), 1)
            os.dup2(nowhere.fileno(), 2)
        sys.argv = ["lapd", *arguments]
        try:
            lapd()
        except SystemExit as end:
            os._exit(end.code if isinstance(end.code, int) else 0)
        finally:
            os._exit(1)

    return start


if __name__ == "__main__":
    main()
