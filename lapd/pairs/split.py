"""Which pairs of a data set are kept from training: told by their content, so that it is the same ones every time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from lapd.files.whole import digest_json
from lapd.pairs.pair import PreferencePair

SHARE, LEAST, MOST, FEWEST = 0.2, 4, 200, 10
"""A fifth of the pairs is kept, from 4 to 200; of fewer than ten pairs none."""


def split_by_content(pairs: Sequence[PreferencePair]) -> tuple[list[PreferencePair], list[PreferencePair]]:
    """What is trained on, and what is kept from training; each in the order given.

    Pairs with the same system prompt, turns and prompt stay together, and which are kept depends neither on their order
    nor on which response is the chosen one: a control adapter keeps the same pairs.
    """
    wanted = min(MOST, max(LEAST, round(SHARE * len(pairs)))) if len(pairs) >= FEWEST else 0
    by_context: dict[str, list[int]] = defaultdict(list)
    for number, pair in enumerate(pairs):
        by_context[digest_json([pair.system, pair.history, pair.prompt])].append(number)
    kept: set[int] = set()
    for _, numbers in sorted(by_context.items()):
        if len(kept) + len(numbers) <= wanted:
            kept.update(numbers)
    train = [pair for number, pair in enumerate(pairs) if number not in kept]
    return train, [pairs[number] for number in sorted(kept)]
