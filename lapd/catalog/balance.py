"""Which documents a limit takes where they are drawn: whole items, so that each part of a task is there in turn.

The order is one and the same for every limit: what a smaller draw takes, a larger one takes too.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from itertools import zip_longest
from typing import Any

from lapd.files.whole import read_record

PARTS = ("axis", "kind", "difficulty", "category", "topic", "facet")
"""Fields of a document that tell which part of its task it belongs to; those that come first are balanced first."""

SCHEMA = "lapd.difficulty/1"


def drawn(documents: Iterable[Mapping[str, Any]], limit: int, item: str | None, seed: int, task: str = "") -> list[int]:
    """The numbers of the documents of as many whole items as fit into `limit`, at least of one, in rising order.

    Args:
        documents: all of the task's.
        limit: documents.
        item: the field that tells which item a document belongs to; None where each stands for itself.
        seed: of the draw.
        task: the task's name, by which it is known how difficult its items are (see `difficulties`).
    """
    found: list[int] = []
    for numbers in items_in_turn(documents, item, seed, task):
        if found and len(found) + len(numbers) > limit:
            break
        found += numbers
    return sorted(found)


def items_in_turn(
    documents: Iterable[Mapping[str, Any]], item: str | None, seed: int, task: str = ""
) -> list[list[int]]:
    """Each item's documents, by their numbers: drawn by the seed, the task's parts in turn."""
    known, of_item, parts = difficulties().get(task, {}), dict[str, list[int]](), dict[str, Sequence[str]]()
    for number, document in enumerate(documents):
        name = str(document[item]) if item else str(number)
        of_item.setdefault(name, []).append(number)
        if name not in parts:
            there = {"difficulty": known.get(name, ""), **document}
            parts[name] = [str(there.get(part, "")) for part in PARTS]
    return [of_item[name] for name in _in_turn(list(of_item), parts, random.Random(f"{seed} {task}"))]


def _in_turn(names: list[str], parts: Mapping[str, Sequence[str]], rng: random.Random, depth: int = 0) -> list[str]:
    """The names, those of each part at this depth in turn, and among a part's those of the parts below it."""
    if depth == len(PARTS):
        return rng.sample(names, len(names))
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(parts[name][depth], []).append(name)
    ordered = [_in_turn(groups[key], parts, rng, depth + 1) for key in rng.sample(sorted(groups), len(groups))]
    return [name for turn in zip_longest(*ordered) for name in turn if name is not None]


@cache
def difficulties() -> dict[str, dict[str, str]]:
    """How difficult items of the shipped tasks are to one base model: "easy", "middling" or "hard", by task and item.

    As `data/difficulty.json` has it, which says whose answers that is from. What is hard for one model need not be so
    for another, but an order that spreads the one's errors spreads the other's better than chance.
    """
    from lapd.data import FOLDER

    tasks: dict[str, dict[str, str]] = read_record(FOLDER / "difficulty.json", SCHEMA)["tasks"]
    return tasks
