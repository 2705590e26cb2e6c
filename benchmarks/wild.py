"""Inputs as they come from the wild: does LAPD read each as it is meant, and never end in a traceback?

    python benchmarks/wild.py                      some fifteen minutes on 2 cores
    python benchmarks/wild.py --quick              without what loads models, below three minutes
    python benchmarks/wild.py --only models,files
    python benchmarks/wild.py --json               {"tried": ..., "wrong": ..., "traceback": ..., "kinds": {...}}

A kind is a way in which software of this sort goes wrong without a word: the modules of `wild_cases` have them, each
with inputs that it makes itself. The exit code is 1 if any input was read wrongly or ended in a traceback.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from wild_cases import AREAS, Kind, kinds


@dataclass
class Outcome:
    """How one kind went.

    Attributes:
        area: the module that has it.
        tried: inputs.
        wrong: those that came out otherwise than they should, with what came out.
        traceback: what was raised that no user should meet, at most once a kind.
        seconds: that it took.
    """

    area: str
    tried: int = 0
    wrong: list[str] = field(default_factory=list)
    traceback: list[str] = field(default_factory=list)
    seconds: float = 0.0


def outcome_of(kind: Kind) -> Outcome:
    """Try every input of a kind in a folder of its own, with a cache of its own."""
    outcome, started = Outcome(kind.area), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        try:
            for label, problem in kind.cases(Path(folder)):
                outcome.tried += 1
                outcome.wrong += [f"{label}: {problem}"] if problem else []
        except Exception:
            outcome.tried += 1
            outcome.traceback.append(traceback.format_exc())
    outcome.seconds = round(time.monotonic() - started, 1)
    return outcome


def main(argv: Sequence[str] | None = None) -> int:
    """Try the kinds, print what came out, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="leave out the kinds that load models")
    parser.add_argument("--only", default=",".join(AREAS), metavar="AREAS", help=f"of {', '.join(AREAS)}")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args(argv)
    if unknown := sorted(set(args.only.split(",")) - set(AREAS)):
        parser.error(f"there is no area {unknown[0]!r}; known: {', '.join(AREAS)}")
    chosen = [kind for kind in kinds() if kind.area in args.only.split(",") and not (args.quick and kind.slow)]
    outcomes = {}
    for kind in chosen:
        outcomes[kind.name] = outcome = outcome_of(kind)
        print(f"{outcome.seconds:6.1f} s  {outcome.tried:3} tried  {kind.name}", file=sys.stderr)
        for text in (*outcome.wrong, *outcome.traceback):
            print(f"          {text}", file=sys.stderr)
    sums = {
        "tried": sum(o.tried for o in outcomes.values()),
        "wrong": sum(len(o.wrong) for o in outcomes.values()),
        "traceback": sum(len(o.traceback) for o in outcomes.values()),
    }
    if args.json:
        print(json.dumps({**sums, "kinds": {name: asdict(outcome) for name, outcome in outcomes.items()}}, indent=1))
    else:
        print(f"{len(outcomes)} kinds: {sums['tried']} tried, {sums['wrong']} wrong, {sums['traceback']} tracebacks")
    return 1 if sums["wrong"] or sums["traceback"] else 0


if __name__ == "__main__":
    os.environ["HF_HUB_OFFLINE"] = "1"
    sys.exit(main())
