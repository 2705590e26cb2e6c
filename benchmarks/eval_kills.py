"""Does an evaluation that is killed again and again end in the store of one that is not?

    python benchmarks/eval_kills.py --json                       on a tiny model made for it, within minutes
    python benchmarks/eval_kills.py --base smollm2 --kills 10    on another base, without an adapter

The same `lapd eval` is started again after each `kill -9`, until it finishes: one in four kills is at a random moment
of the time that the whole takes (so, at times, while the model is being loaded), the others are a random moment behind
a random batch, however slow the machine is. Then every file of its cells is held against those of the evaluation that
nobody killed (apart from times and what is noted of the process), and the next one begins. Each batch that was
finished, that is, written into its cell's journal, is counted: none may be computed twice.

This process imports everything once and each command runs in a fork of it: a kill then hits the evaluation and not the
ten seconds of imports before it.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from train_kills import wait

OF_ONE_PROCESS = ("finished", "seconds", "provenance")
"""Fields of a result that are not the same for two processes."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", help="a base model; by default a tiny one with an adapter is made")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--limit", type=int, default=16, help="documents a task")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        arguments = ["--base", options.base] if options.base else make_models(folder)
        command = ["eval", *arguments, "--persona", "INFP", "--tasks", "situations,mbti", "--batch-size", "1"]
        command += ["--limit", str(options.limit)]
        result = kill_evaluations(command, folder, options.kills, random.Random(options.seed))
    print(json.dumps(result, indent=1) if options.json else "\n".join(f"{k}: {v}" for k, v in result.items()))
    if result["different"] or result["computed_twice"]:
        sys.exit(1)


def make_models(folder: Path) -> list[str]:
    """A tiny Llama and an adapter on it, made by a fork, so that nothing is computed in this process."""
    sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))

    def make() -> None:
        from lora import make_lora
        from tiny import make_tiny_base

        from lapd.models.base import resolve_base

        make_lora(folder / "INFP", resolve_base(str(make_tiny_base(folder / "base"))), seed=1)

    if wait(fork(make)) != 0:
        sys.exit("The tiny model could not be made.")
    return ["--base", str(folder / "base"), "--adapter", str(folder / "INFP")]


def kill_evaluations(command: list[str], folder: Path, kills: int, chance: random.Random) -> dict[str, Any]:
    """Kill so often, and count what came of it.

    Args:
        command: of `lapd`, without its output folder.
        folder: everything is done below it.
        kills: how many.
        chance: when.
    """
    import_everything()
    began = time.monotonic()
    if wait(start([*command, "-o", str(folder / "whole")], folder / "whole.log")) != 0:
        sys.exit("The evaluation that nobody kills failed.")
    seconds = time.monotonic() - began
    expected, planned = outcome(folder / "whole"), counted(folder / "whole.log")
    killed, runs, different, twice, missing = 0, 0, 0, 0, 0
    reached = []
    while killed < kills:
        out, log = folder / f"killed{runs}", folder / f"killed{runs}.log"
        code = None
        while code is None:
            process = start([*command, "-o", str(out)], log)
            if killed == kills:
                code = wait(process)
            elif chance.random() < 0.25:
                code = wait(process, chance.uniform(0, seconds))
            else:
                target = sum(counted(log).values()) + chance.randint(1, len(planned) // 4)
                code = wait_for_batches(process, log, target)
                code = wait(process, chance.uniform(0, 0.1)) if code is None else code
            if code is None:
                os.kill(process, signal.SIGKILL)
                wait(process)
                killed += 1
                reached.append(sum(counted(log).values()))
        if code != 0:
            sys.exit(f"The evaluation failed with exit code {code} after {killed} kills.")
        batches = counted(log)
        twice += sum(count > 1 for count in batches.values())
        missing += len(planned.keys() - batches.keys())
        different += outcome(out) != expected
        runs += 1
        shutil.rmtree(out)
    return {
        "kills": killed,
        "evaluations": runs,
        "different": different,
        "batches_of_one": len(planned),
        "computed_twice": twice,
        "not_counted": missing,
        "batches_finished_at_each_kill": reached,
        "seconds_of_the_whole_evaluation": round(seconds, 1),
    }


def wait_for_batches(process: int, log: Path, target: int) -> int | None:
    """Wait until so many batches are finished; the process's exit code if it has ended before."""
    while sum(counted(log).values()) < target:
        if (code := wait(process, 0.01)) is not None:
            return code
    return None


def outcome(run: Path) -> dict[str, Any]:
    """Every file of the run's cells, locks aside, and which cells there are."""
    found: dict[str, Any] = {"run.json": (run / "run.json").read_bytes()}
    for path in sorted(run.glob("cells/*/*")):
        name = str(path.relative_to(run))
        if path.name == "result.json":
            record = json.loads(path.read_bytes())
            found[name] = {key: value for key, value in record.items() if key not in OF_ONE_PROCESS}
        elif path.name != ".lock":
            found[name] = path.read_bytes()
    return found


def counted(log: Path) -> Counter[str]:
    """How often each batch was finished: cell, call to the model and number."""
    return Counter(log.read_text().splitlines() if log.exists() else [])


def import_everything() -> None:
    """Import what an evaluation imports.

    Nothing is computed before a fork: a fork inherits no threads, and a thread pool without its threads hangs.
    """
    import lm_eval.evaluator
    import lm_eval.tasks  # noqa: F401
    import peft  # noqa: F401
    import transformers.models.llama.modeling_llama  # noqa: F401

    import lapd.answering.lm  # noqa: F401


def start(arguments: list[str], log: Path) -> int:
    """Start `lapd` in a fork of this process, and have it note in `log` each batch that it has finished."""

    def run() -> None:
        from lapd.cli import main as lapd
        from lapd.record.journal import Journal

        put = Journal.put

        def noted(journal: Journal, call: int, batch: int, results: Any) -> None:
            put(journal, call, batch, results)
            with log.open("a") as stream:
                stream.write(f"{Path(journal._stream.name).parent.name} {call} {batch}\n")

        Journal.put = noted  # type: ignore[method-assign]
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), 1)
            os.dup2(nowhere.fileno(), 2)
        sys.argv = ["lapd", *arguments]
        lapd()

    return fork(run)


def fork(work: Callable[[], None]) -> int:
    """Do the work in a fork of this process; its process id."""
    if process := os.fork():
        return process
    code = 1
    try:
        work()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        os._exit(code)


if __name__ == "__main__":
    main()
