"""How much faster are several personas in one command than in one command each?

    python benchmarks/train_all.py --json                       sixteen, 64 pairs each: 35 to 40 minutes on 2 cores
    python benchmarks/train_all.py --personas INFP,ESTJ --json  two of them

Separate commands are timed from start to end, each with an empty reference cache, as on sixteen machines; `lapd train
--all --workers 2` from start to end with one empty cache. Both have all the cores. To spare time, only the first few
of the separate commands are run (--separate), and their mean stands for the rest: they all have as much to do.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean
from typing import Any

LAPD = Path(sys.executable).with_name("lapd")


def run(personas: list[str], more: list[str], folder: Path) -> float:
    """Seconds of a `lapd train` with an empty cache."""
    with tempfile.TemporaryDirectory() as cache:
        started = time.perf_counter()
        done = subprocess.run(
            [LAPD, "train", *personas, *more, "-o", folder],
            capture_output=True, text=True, env={**os.environ, "LAPD_CACHE": cache}, check=False,
        )  # fmt: skip
    if done.returncode:
        sys.exit(f"lapd train {' '.join(personas)} failed:\n{done.stderr[-3000:]}")
    return time.perf_counter() - started


def accuracies(folder: Path) -> dict[str, float]:
    """The last held-out accuracy of each adapter in a folder."""
    found = {}
    for path in sorted(folder.glob("*/run_card.json")):
        log = json.loads(path.read_text())["log"]
        scores = [entry["heldout_accuracy"] for entry in log if "heldout_accuracy" in entry]
        found[path.parent.name] = scores[-1] if scores else float("nan")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--personas", help="codes, with commas between (default: the sixteen)")
    parser.add_argument("--pairs", type=int, default=64)
    parser.add_argument("--epochs", type=float, default=1.0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--separate", type=int, default=3, help="how many of the separate commands to run")
    parser.add_argument("--json", action="store_true", help="print JSON instead of lines")
    options = parser.parse_args()
    personas = options.personas.split(",") if options.personas else sixteen()
    settings = ["--base", embedded_model(), "--pairs", str(options.pairs), "--epochs", str(options.epochs)]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        alone = []
        for persona in personas[: options.separate]:
            alone.append(run([persona], settings, folder / "alone" / persona))
            print(f"{persona} alone: {alone[-1]:.1f} s", file=sys.stderr)
        together = run(personas, [*settings, "--workers", str(options.workers)], folder / "together")
        print(f"{len(personas)} together: {together:.1f} s", file=sys.stderr)
        result: dict[str, Any] = {
            "personas": len(personas),
            "workers": options.workers,
            "seconds_alone": alone,
            "seconds_together": together,
            "ratio_all": together / (mean(alone) * len(personas)),
            "heldout_accuracy": accuracies(folder / "together"),
        }
    print(json.dumps(result, indent=1) if options.json else "\n".join(f"{k}: {v}" for k, v in result.items()))


def embedded_model() -> str:
    """Its folder: under its name, an empty cache would have it unpacked first."""
    from lapd.models.base import resolve_base

    return str(resolve_base("smollm2").path)


def sixteen() -> list[str]:
    from lapd.names import all_personas

    return [code for code, persona in all_personas().items() if len(persona.poles) == 4]


if __name__ == "__main__":
    main()
