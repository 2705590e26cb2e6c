"""Is all right on this machine's GPU, and how fast is it? One command, no network, at most ten minutes.

    python benchmarks/check_cuda.py --json                     `make check-cuda`, with JSON instead of a table
    python benchmarks/check_cuda.py --only scoring,study       some of the stages
    python benchmarks/check_cuda.py --tiny                     at tiny sizes, on a CPU too: that it runs, no measurement

Any Python will do in which `import lapd` works. The stages, in order; what would not end within --minutes is skipped:

- machine: the device, its measured matrix products
- scoring: packed scores against lm-eval's `hf`, in float32 (without TF32) and bfloat16, with a system prompt or none
- texts: greedy answers against `hf`'s, in float32
- switching: adapter A, B, A again, A at half its strength, none: as loaded afresh
- training: trainer `trl` against stock TRL, `unsloth` against both, on the small model: losses, speed, memory
- study: two personas trained, evaluated, compared, reported
- large: the trainers on a random model of Llama 3 8B's shape, also in 4 bit
- speed: packed scores against `hf` on that model, and what a switch of adapters costs

The small model is the embedded one, or a random one of its shape (with 2,000 tokens) where that is not installed. What
is missing (a package, memory, time) is said, and no fault. Exit status: 0 if all that ran is right, 1 if something is
wrong, 2 where there is no GPU.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from importlib import metadata
from pathlib import Path
from typing import Any

# Before anything asks the Hub for what is not there.
os.environ.update(dict.fromkeys(("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE"), "1"))

import cuda_place
import cuda_scoring
import cuda_study
import cuda_training
from cuda_place import Place, Skipped, make_place

STAGES: dict[str, tuple[Callable[[Place], dict[str, Any]], int]] = {
    "machine": (cuda_place.machine, 5),
    "scoring": (cuda_scoring.scoring, 20),
    "texts": (cuda_scoring.texts, 15),
    "switching": (cuda_scoring.switching, 15),
    "training": (cuda_training.small, 40),
    "study": (cuda_study.study, 40),
    "large": (cuda_training.large, 60),
    "speed": (cuda_scoring.speed, 30),
}
"""What each stage runs, and the seconds that have to be left for it."""

PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "lm_eval", "unsloth", "bitsandbytes")


def run(place: Place, names: list[str], out: Path | None) -> dict[str, Any]:
    """Every stage's figures, or why there are none; written to `out` after each."""
    started = time.monotonic()
    found: dict[str, Any] = {
        "versions": {"python": platform.python_version(), **_versions()},
        "small_model": "random" if place.stands_in else str(place.base),
        "tiny": place.tiny,
        "stages": {},
    }
    for name in names:
        print(f"{name} ({place.left:.0f} s left)", file=sys.stderr, flush=True)
        found["stages"][name] = _stage(place, *STAGES[name])
        found |= {"seconds": round(time.monotonic() - started, 1), **_summary(found["stages"])}
        if out:
            out.write_text(json.dumps(found, indent=1))
    return found


def _stage(place: Place, check: Callable[[Place], dict[str, Any]], needed: int) -> dict[str, Any]:
    """A stage's figures with its seconds, or why there are none: it was skipped, or it failed."""
    if place.left < needed and not place.tiny:
        return {"skipped": f"{place.left:.0f} s are left, and it takes some {needed} (--minutes)"}
    started = time.monotonic()
    try:
        with redirect_stdout(sys.stderr):  # libraries print what they like, and the table or the JSON is ours
            result = check(place)
    except Skipped as reason:
        result = {"skipped": str(reason)}
    except Exception as error:  # whatever a library raises, the other stages shall run
        if os.environ.get("LAPD_DEBUG"):
            raise
        result = {"wrong": [f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"]}
    place.tidy()
    return {**result, "seconds": round(time.monotonic() - started, 1)}


def _summary(stages: dict[str, Any]) -> dict[str, list[str]]:
    """What is wrong and what was skipped, a line each."""
    wrong = [f"{name}: {what}" for name, stage in stages.items() for what in stage.get("wrong", ())]
    skipped = [f"{name}: {stage['skipped']}" for name, stage in stages.items() if "skipped" in stage]
    sides = [(f"{n}, {side}", figures) for n, s in stages.items() for side, figures in s.get("sides", {}).items()]
    return {"wrong": wrong, "skipped": skipped + [f"{name}: {f['skipped']}" for name, f in sides if "skipped" in f]}


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def print_table(found: dict[str, Any]) -> None:
    """Each stage's figures, the sides of a training as a table, then what is wrong and what was skipped."""
    print(", ".join(f"{name} {version}" for name, version in found["versions"].items()))
    print(f"small model: {found['small_model']}")
    for name, stage in found["stages"].items():
        print(f"\n{name}" + (f"  {stage['seconds']} s" if "seconds" in stage else ""))
        for key, value in stage.items():
            if key == "sides":
                _print_sides(value)
            elif key not in ("seconds", "wrong", "skipped"):
                print(f"  {key:32} {_short(value)}")
    print()
    for kind in ("skipped", "wrong"):
        for line in found[kind]:
            print(f"{kind}  {line}")
    print(f"{'Something is wrong.' if found['wrong'] else 'All that ran is right.'} {found['seconds']} s")


def _print_sides(sides: dict[str, dict[str, Any]]) -> None:
    print(f"  {'':24}{'s/step':>9}{'tokens/s':>10}{'of stock':>10}{'of matmul':>11}{'GiB':>8}{'losses off':>12}")
    for name, side in sides.items():
        if "seconds_a_step" not in side:
            print(f"  {name:24}{side.get('skipped') or side['failed']}")
            continue
        ratio = f"{side['ratio']:.2f}" if "ratio" in side else ""
        off = next((f"{value:.2g}" for key, value in side.items() if key.startswith("loss_from")), "")
        speed = f"{side['seconds_a_step']:9.3f}{side['tokens_per_second']:10.0f}{ratio:>10}{side['share']:11.1%}"
        print(f"  {name:24}{speed}{side['gib']:8.1f}{off:>12}")


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_short(inner)}" for key, inner in value.items())
    return ", ".join(map(_short, value)) if isinstance(value, list) else str(value)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=9.0, help="that all may take [default: 9]")
    parser.add_argument("--only", metavar="A,B", help="these stages")
    parser.add_argument("--skip", metavar="A,B", help="all but these stages")
    parser.add_argument("--base", metavar="FOLDER", help="a model in place of the embedded one")
    parser.add_argument("--tiny", action="store_true", help="tiny sizes, on a CPU too")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("-o", "--out", type=Path, metavar="FILE", help="a file for the JSON, written after each stage")
    options = parser.parse_args()
    only = options.only.split(",") if options.only else list(STAGES)
    left_out = options.skip.split(",") if options.skip else []
    if unknown := [name for name in (*only, *left_out) if name not in STAGES]:
        parser.error(f"there is no stage {unknown[0]!r}; known: {', '.join(STAGES)}")
    import torch

    if not options.tiny and not torch.cuda.is_available():
        parser.exit(2, "There is no CUDA GPU here. (--tiny runs on a CPU, and shows that the check works.)\n")
    with tempfile.TemporaryDirectory(prefix="lapd-cuda-") as folder:
        place = make_place(Path(folder), options.base, options.tiny, options.minutes)
        found = run(place, [name for name in STAGES if name in only and name not in left_out], options.out)
    if options.json:
        print(json.dumps(found, indent=1))
    else:
        print_table(found)
    sys.exit(1 if found["wrong"] else 0)


if __name__ == "__main__":
    main()
