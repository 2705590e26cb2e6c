"""How difficult each item of the shipped tasks with a right answer is to a run's base: `data/difficulty.json`.

    python benchmarks/difficulty.py runs/study --source "docs/study.md" -o data/difficulty.json

Nothing is evaluated: the base's finished cells are read. Thirds of a task's items, by the log-likelihood of the right
answer less that of the likeliest wrong one; of `pressure` in the neutral framing. A balanced draw of items
(`lapd.catalog.balance`) takes of each third alike.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from lapd.catalog.balance import SCHEMA
from lapd.files.whole import write_text
from lapd.record.reading import read_cells

TASKS = ("pressure", "knowledge_mini", "socialiqa_mini")

THIRDS = ("easy", "middling", "hard")


def thirds(samples: list[dict[str, Any]]) -> dict[str, str]:
    """Each item's third."""
    lead = {}
    for sample in samples:
        if sample["doc"].get("way", "neutral") == "neutral":
            scores = [float(response[0][0]) for response in sample["responses"]]
            right = scores.pop(int(sample["target"]))
            lead[sample["item"]] = right - max(scores)
    order = sorted(lead, key=lambda item: -lead[item])
    found = {item: THIRDS[len(THIRDS) * place // len(order)] for place, item in enumerate(order)}
    return dict(sorted(found.items()))


def main() -> None:
    """Print the record, or write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--source", help="where it is from  [default: the run folder]")
    parser.add_argument("-o", dest="out", type=Path, help="write it there")
    args = parser.parse_args()
    cells = {cell.task: cell for cell in read_cells(args.run) if cell.arm == "base"}
    lines = ",\n".join(f"  {json.dumps(task)}: {json.dumps(thirds(cells[task].samples))}" for task in TASKS)
    head = json.dumps({"schema": SCHEMA, "licence": "Apache-2.0", "source": args.source or str(args.run)})
    text = f'{head[:-1]}, "tasks": {{\n{lines}\n}}}}\n'
    if args.out:
        write_text(args.out, text)
    else:
        print(text, end="")


if __name__ == "__main__":
    main()
