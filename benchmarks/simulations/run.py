"""The command line of `benchmarks/statistics.py`."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from simulations import claims, coverage, estimates
from simulations.values import KINDS

Rows = list[dict[str, Any]]


def main() -> None:
    """Simulate, print, and exit with 1 if families err too often."""
    parser = argparse.ArgumentParser(description="Are the statistics right? Simulations with a known truth.")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--quick", action="store_true", help="fewer samples and sizes: below three minutes")
    options = parser.parse_args()
    found = simulate(options.quick)
    if options.json:
        print(json.dumps(found, indent=1))
    else:
        for line in lines(found):
            print(line)
    sys.exit(found["family_error"] > 0.05 + found["simulation_error"])


def simulate(quick: bool) -> dict[str, Any]:
    """All figures by name."""
    started = time.monotonic()
    some = (80, 700) if quick else coverage.SIZES
    kinds = ("normal", "heavy-tailed", "rate .03", "rate .3") if quick else KINDS
    many, few = (300, 300) if quick else (2000, 1000)
    parts: dict[str, Callable[[], Rows]] = {
        "family_errors": lambda: claims.family_error(few, (2, 3, 5), (0.2,) if quick else (0.1, 0.2, 0.5)),
        "coverage_adapter": lambda: coverage.of_adapters(many, some, kinds),
        "coverage_training": lambda: coverage.of_trainings(many, some, kinds),
        "power": lambda: estimates.power(many),
        "bias": lambda: estimates.factorial(many) + estimates.opposites(many),
        "mcnemar": lambda: claims.mcnemar_error((20, 80) if quick else (20, 50, 80, 171)),
        "equivalence": lambda: claims.equivalence_error(many),
        "few": lambda: coverage.of_few(many),
        "clusters": lambda: coverage.of_clusters(few),
    }
    found: dict[str, Any] = {"family_error": 0.0, "simulation_error": 2.5 * float(np.sqrt(0.05 * 0.95 / few))}
    for name, simulated in parts.items():
        found[name] = [
            {key: round(value, 6) if isinstance(value, float) else value for key, value in row.items()}
            for row in simulated()
        ]
        print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr)
    found["family_error"] = max(row["family_error"] for row in found["family_errors"])
    for name in ("coverage_adapter", "coverage_training"):
        found[f"{name}_summary"] = summary(found[name])
    return {**found, "samples": many, "quick": quick, "seconds": round(time.monotonic() - started)}


def summary(rows: Rows) -> Rows:
    """A table of coverage by seeds (or as a whole): least, mean and most, and the share within 94 to 96 %."""
    of = {row.get("seeds") for row in rows}
    found = []
    for seeds in sorted(of, key=lambda number: number or 0):
        covered = np.array([row["coverage"] for row in rows if row.get("seeds") == seeds])
        near = float(np.mean((covered >= 0.94) & (covered <= 0.96)))
        ends = {"least": covered.min(), "mean": covered.mean(), "most": covered.max()}
        found.append({"seeds": seeds, **{name: float(end) for name, end in ends.items()}, "within_94_to_96": near})
    return found


def lines(found: dict[str, Any]) -> list[str]:
    """The same for reading: a table for each part."""
    told = [f"family_error: {found['family_error']:.3f} (5 % and {found['simulation_error']:.3f} of simulation error)"]
    for name, rows in found.items():
        if isinstance(rows, list):
            told += ["", name, *table(rows)]
    return [*told, "", f"{found['samples']} samples, {found['seconds']} s"]


def table(rows: Rows) -> list[str]:
    """Rows of like keys, below each other."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [names, *([_cell(row.get(name, "")) for name in names] for row in rows)]
    widths = [max(len(row[place]) for row in cells) for place in range(len(names))]
    return ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in cells]


def _cell(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
