"""How much a sequence repeats itself: the share of its n-grams that are repeated, and its longest loop.

The shares are those by which degenerate text is told. `repeated_share` is seq-rep-n of Welleck, Kulikov, Roller, Dinan,
Cho and Weston, "Neural Text Generation with Unlikelihood Training" (ICLR 2020); Holtzman, Buys, Du, Forbes and Choi,
"The Curious Case of Neural Text Degeneration" (ICLR 2020), show the loops that likely text falls into. `distinct_share`
is distinct-n of Li, Galley, Brockett, Gao and Dolan, "A Diversity-Promoting Objective Function for Neural Conversation
Models" (NAACL 2016), by n-grams instead of words, so that it is 1 where all are distinct.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np


def distinct_share(words: Sequence[Hashable], n: int) -> float | None:
    """How many distinct n-grams a sequence has, for each that it has; None where it is shorter than one."""
    grams = [tuple(words[start : start + n]) for start in range(len(words) - n + 1)]
    return len(set(grams)) / len(grams) if grams else None


def repeated_share(words: Sequence[Hashable], n: int) -> float | None:
    """The share of a sequence's n-grams that occurred before in it; None where it is shorter than one."""
    distinct = distinct_share(words, n)
    return None if distinct is None else 1 - distinct


def longest_loop(words: Sequence[Hashable]) -> int:
    """The most words in a row that only say again, at once, what stands directly before them; 0 where none do.

    A stretch counts if, for some p, each of its words is the one p places before it, and it has at least p words: a
    phrase of p words is said again whole, once or more, and perhaps begun another time. The first time does not count:
    "a b a b a" has a loop of 3 words, "very very" one of 1.
    """
    numbers: dict[Hashable, int] = {}
    ids = np.array([numbers.setdefault(word, len(numbers)) for word in words])
    longest = 0
    for period in range(1, len(ids) // 2 + 1):
        if len(ids) - period <= longest:
            break
        run = _longest_run(ids[period:] == ids[:-period])
        if run >= period:
            longest = max(longest, run)
    return longest


def _longest_run(same: np.ndarray) -> int:
    """The most true values in a row."""
    ends = np.flatnonzero(~same)
    return int(np.diff(ends, prepend=-1, append=len(same)).max()) - 1
