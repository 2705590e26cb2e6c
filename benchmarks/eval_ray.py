"""How much faster are two Ray workers than one? Each has one core; both sides in one run, alternating, medians.

    python benchmarks/eval_ray.py --json                         about half an hour on 2 cores
    python benchmarks/eval_ray.py --adapters 1 --limit 8 --repeats 1    for a look only

A side is a whole `lapd eval --executor ray` process on the embedded model, into a run folder of its own: base and
adapters (random LoRA weights) on SocialIQA's small set, the situations and the questionnaire. So the ratio counts Ray's
start and the loading of each worker's model, which two workers do at the same time on cores that they share with Ray.
The time without them is taken from the cells' records: from the first cell's start to the last one's end, in whole
seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from calendar import timegm
from pathlib import Path
from statistics import median
from time import strptime
from typing import Any

from eval_cpu import BIN, Plan, make_adapters, run_process, say

TASKS = "socialiqa_mini,situations"
"""Beside the questionnaire."""


def run_ray(plan: Plan, workers: int, out: Path) -> tuple[float, int]:
    """Seconds of the whole command, and of its cells alone."""
    command: list[object] = [BIN / "lapd", "eval", "--base", "smollm2", "--tasks", plan.tasks, "-o", out]
    command += ["--arms", "base,adapter", "--batch-size", plan.batch]
    command += [word for adapter in plan.adapters for word in ("--adapter", adapter)]
    command += ["--limit", plan.limit] if plan.limit else []
    options = {"workers": workers, "cpus": 1, "gpus": 0, "address": "local"}
    command += ["--executor", "ray"]
    command += [word for key, value in options.items() for word in ("--executor-option", f"{key}={value}")]
    return run_process(command, plan)[0], seconds_of_cells(out)


def seconds_of_cells(run: Path) -> int:
    """From the first cell's start to the last one's end."""
    results = [json.loads(path.read_text()) for path in run.glob("cells/*/result.json")]
    return max(_seconds(r["finished"]) for r in results) - min(_seconds(r["provenance"]["started"]) for r in results)


def _seconds(utc: str) -> int:
    return timegm(strptime(utc, "%Y-%m-%dT%H:%M:%SZ"))


def same_samples(one: Path, other: Path) -> bool:
    """Whether two runs hold the same cells, byte for byte."""
    files = [{p.parent.name: p.read_bytes() for p in run.glob("cells/*/samples.jsonl")} for run in (one, other)]
    return bool(files[0]) and files[0] == files[1]


def compare(plan: Plan, folder: Path) -> dict[str, Any]:
    """One worker against two, in turns."""
    whole: dict[int, list[float]] = {1: [], 2: []}
    cells: dict[int, list[int]] = {1: [], 2: []}
    for number in range(plan.repeats):
        for workers in (1, 2):
            seconds, within = run_ray(plan, workers, folder / f"{number}-{workers}")
            whole[workers].append(seconds)
            cells[workers].append(within)
            say(f"  {number + 1}/{plan.repeats}: {workers} of 1 core: {seconds:.1f} s, {within} s of them in cells")
    return {
        "ratio_ray": median(whole[1]) / median(whole[2]),
        "ratio_ray_without_start": median(cells[1]) / median(cells[2]),
        "seconds": whole,
        "seconds_of_cells": cells,
        "same_samples": all(same_samples(folder / f"{n}-1", folder / f"{n}-2") for n in range(plan.repeats)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--adapters", type=int, default=4, help="how many beside the base")
    parser.add_argument("--limit", type=int, help="documents of every task; all by default")
    parser.add_argument("--batch-size", type=int, default=32, help="contexts computed at once")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each side")
    parser.add_argument("--json", action="store_true", help="print JSON instead of lines")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lapd-ray-") as name:
        folder = Path(name)
        adapters = make_adapters(folder / "adapters", options.adapters)
        plan = Plan(TASKS, None, options.limit, 0, adapters, options.repeats, options.batch_size)
        found = compare(plan, folder)
    found |= {"adapters": options.adapters, "limit": options.limit, "repeats": options.repeats, "cores": os.cpu_count()}
    if options.json:
        print(json.dumps(found, indent=1))
        return
    for key, value in found.items():
        print(f"{key:26} {value:.4g}" if isinstance(value, float) else f"{key:26} {value}")


if __name__ == "__main__":
    main()
