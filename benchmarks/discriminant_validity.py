"""Does an adapter for one pole move its own axis, and only that? Trains eight and prints the 8 x 4 matrix.

    python benchmarks/discriminant_validity.py            about 20 minutes on 2 cores
    python benchmarks/discriminant_validity.py --json

Each adapter sees the pairs of one pole alone, with one budget for all. A cell of the matrix is the mean shift of the
held-out log-odds from the base's, in nats with a 95 % interval, paired by situation. The own axis counts towards the
trained pole, the other three towards their first pole: there the sign means nothing, and the size should be small.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from lapd.data import mbti

from lapd import TrainConfig, compare_run, evaluate_arms, make_arms, resolve_base, train_adapter
from lapd.compare.comparisons import Comparison

AXES = mbti().ends
POLES = [pole for poles in AXES.values() for pole in poles]


def measure(folder: Path, pairs: int, epochs: float) -> dict[tuple[str, str], Comparison]:
    """Train what is not trained, evaluate what is not evaluated: each (pole, axis)'s shift of the log-odds."""
    configs = [TrainConfig(pole, pairs=pairs, epochs=epochs) for pole in POLES]
    adapters = [train_adapter(config, folder / "adapters" / config.persona) for config in configs]
    arms = make_arms(adapters, ["base", "adapter"])
    evaluate_arms(resolve_base("smollm2"), arms, ["situations"], folder)
    rows = [row for row in compare_run(folder) if row.axis and row.metric.startswith("log_odds")]
    return {(row.arm, row.axis): row for row in rows if row.axis}


def towards(pole: str, row: Comparison) -> tuple[float, float, float]:
    """The shift and its interval, counted towards the pole on its own axis and as it is on the others."""
    if row.axis and pole == AXES[row.axis][1]:
        return -row.difference, -row.high, -row.low
    return row.difference, row.low, row.high


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/discriminant"), help="where adapters and cells are kept")
    parser.add_argument("--pairs", type=int, default=100, help="pairs for each pole")
    parser.add_argument("--epochs", type=float, default=1.0, help="passes over them")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    rows = measure(options.out, options.pairs, options.epochs)
    matrix = {pole: {axis: towards(pole, rows[pole, axis]) for axis in AXES} for pole in POLES}
    own = [matrix[pole][axis][0] for axis, poles in AXES.items() for pole in poles]
    other = [abs(matrix[pole][axis][0]) for pole in POLES for axis in AXES if pole not in AXES[axis]]
    summary = {"own_axis": float(np.mean(own)), "other_axes": float(np.mean(other))}
    if options.json:
        print(json.dumps({"matrix": matrix, **summary}, indent=1))
        return
    print("trained  " + "".join(f"{axis:^24}" for axis in AXES))
    for pole in POLES:
        cells = []
        for axis in AXES:
            mean, low, high = matrix[pole][axis]
            mark = "*" if pole in AXES[axis] else " "
            cells.append(f"{mark}{mean:+6.1f} [{low:+6.1f}, {high:+6.1f}]")
        print(f"{pole:^8} " + " ".join(f"{cell:>23}" for cell in cells))
    print(f"\n* own axis, towards the trained pole: {summary['own_axis']:+.1f} nats on average;")
    print(f"  size on the other axes: {summary['other_axes']:.1f} nats on average.")


if __name__ == "__main__":
    main()
