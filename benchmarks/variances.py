"""How far a run's values vary on what sums each of its tasks up: what `lapd run --plan` goes by before a run has cells.

    python benchmarks/variances.py runs/study
    python benchmarks/variances.py runs/study --source "docs/study.md: SmolLM2-135M, 64 pairs" -o data/variances.json

Nothing is evaluated: the run's finished cells are read. Standard deviations are in the metric's own unit, to four
digits: between items (or clusters) of one arm's changes, of items' own changes, between trainings, and of the rest;
of yes/no outcomes the share that changes either way. Adapters at their own strength, and prompts, on registered tasks.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lapd.compare.measured import read_measured
from lapd.errors import LapdError
from lapd.files.whole import write_text
from lapd.planning.foreseen import SCHEMA
from lapd.planning.variances import Spreads, spreads


def record(run: Path, source: str) -> dict[str, Any]:
    """The content of `data/variances.json`."""
    rows = [_rounded(found) for found in spreads(read_measured(run)) if "@" not in found.condition]
    return {"schema": SCHEMA, "licence": "Apache-2.0", "source": source, "rows": rows}


def _rounded(found: Spreads) -> dict[str, Any]:
    numbers = {name: float(f"{v:.4g}") for name, v in vars(found).items() if isinstance(v, float)}
    return {**asdict(found), **numbers}


def main() -> int:
    """Print the record, or write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--source", help="where it is from  [default: the run folder]")
    parser.add_argument("-o", dest="out", type=Path, help="write it there")
    args = parser.parse_args()
    try:
        found = record(args.run, args.source or str(args.run))
    except LapdError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    lines = ",\n".join(f"  {json.dumps(row)}" for row in found.pop("rows"))
    text = f'{json.dumps(found)[:-1]}, "rows": [\n{lines}\n]}}\n'
    if args.out:
        write_text(args.out, text)
    else:
        print(text, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
