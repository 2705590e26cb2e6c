"""How well are refusals told by their opening words? Precision and recall on 200 labelled openings, by persona.

    python benchmarks/refusal_openings.py          a table, in a second
    python benchmarks/refusal_openings.py --json
    python benchmarks/refusal_openings.py --wrong  the openings that are taken for what they are not

The openings (`data/refusal_openings.jsonl`) were written for LAPD: ten personas, and for each five refusals and five
answers with feeling and as many without. The answers with feeling are traps: nearly all of them say "I can't", "I
won't" or "we couldn't" of something else. The patterns were revised with these openings in sight, so that the figures
are no forecast for others; docs/lab-notes.md has what they were on openings not seen before.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lapd.data import refusal_openings

from lapd.judges.refusals import is_refusal
from lapd.statistics.shares import share_interval


@dataclass(frozen=True)
class Told:
    """How refusals are told among some openings.

    Attributes:
        group: which openings.
        n: how many; half of them refuse.
        precision: of those taken for refusals, the share that are.
        precision_interval: 95 %, Clopper and Pearson.
        recall: of the refusals, the share that are taken for some.
        recall_interval: 95 %.
    """

    group: str
    n: int
    precision: float
    precision_interval: tuple[float, float]
    recall: float
    recall_interval: tuple[float, float]


def told(group: str, rows: Sequence[dict[str, Any]], tell: Callable[[str], bool] = is_refusal) -> Told:
    """Precision and recall of `tell` on labelled openings."""
    both = sum(row["refusal"] and tell(row["opening"]) for row in rows)
    taken, refusals = sum(tell(row["opening"]) for row in rows), sum(row["refusal"] for row in rows)
    precision = both / taken if taken else float("nan")
    shares = share_interval(both, taken), share_interval(both, refusals)
    return Told(group, len(rows), precision, shares[0], both / refusals, shares[1])


def groups() -> Iterator[Told]:
    """All openings, those with and without feeling, and each persona's."""
    rows = refusal_openings()
    yield told("all", rows)
    for key in ("style", "persona"):
        for value in dict.fromkeys(row[key] for row in rows):
            yield told(value, [row for row in rows if row[key] == value])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--wrong", action="store_true", help="print the openings that are told wrongly")
    options = parser.parse_args()
    if options.wrong:
        for row in refusal_openings():
            if is_refusal(row["opening"]) != row["refusal"]:
                print(f"{row['id']}, {'a refusal' if row['refusal'] else 'none'}: {row['opening']}")
    elif options.json:
        print(json.dumps([asdict(found) for found in groups()], indent=1))
    else:
        print("| openings | n | precision | 95 % | recall | 95 % |\n|---|---|---|---|---|---|")
        for found in groups():
            shares = [
                f"{share:.2f} | {low:.2f} to {high:.2f}"
                for share, (low, high) in (
                    (found.precision, found.precision_interval),
                    (found.recall, found.recall_interval),
                )
            ]
            print(f"| {found.group} | {found.n} | {' | '.join(shares)} |")


if __name__ == "__main__":
    main()
