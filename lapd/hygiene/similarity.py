"""How alike texts are: words, shingles, shared runs, and a search for near-duplicates that thousands of texts bear."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from math import ceil

from lapd.files.progress import bar

Shingle = tuple[str, ...]

SHINGLE = 3
"""Words in a shingle."""

_WORD = re.compile(r"\w+(?:['\u2019]\w+)*")
_MANY = 20000
"""Texts from which on the search takes more than a few seconds."""


def words(text: str) -> list[str]:
    """The words of a text in lower case, without punctuation; "don't" is one."""
    return _WORD.findall(text.lower())


def normalised(text: str) -> str:
    """A text without what does not make it another text: case, and spaces at the ends and beyond one.

    Line breaks stay: they can be part of what is asked.
    """
    return "\n".join(" ".join(line.split()) for line in text.strip().splitlines()).casefold()


def runs(text: str, length: int) -> set[Shingle]:
    """All runs of `length` words in a text; none if it is shorter."""
    found = words(text)
    return {tuple(found[n : n + length]) for n in range(len(found) - length + 1)}


def shingles(text: str) -> set[Shingle]:
    """The runs of three words in a text; a shorter text is one shingle, an empty one has none."""
    found = words(text)
    return runs(text, SHINGLE) or ({tuple(found)} if found else set())


def jaccard(one: set[Shingle], other: set[Shingle]) -> float:
    """The share of all shingles that both have, 0 to 1."""
    shared = len(one & other)
    return shared / (len(one) + len(other) - shared)


def near_duplicates(
    texts: Sequence[str], groups: Sequence[str], threshold: float = 0.5
) -> Iterator[tuple[int, int, float]]:
    """Each text with the first earlier text of each group that it is too like.

    Args:
        texts: any number.
        groups: the group of each text, such as its split.
        threshold: the Jaccard similarity of word 3-shingles from which on two texts count as near-duplicates.

    Yields:
        The earlier text's index, the later one's, and their similarity.

    The search is exact. Two texts that are similar enough share a shingle among the rarest of each, so only those are
    indexed (prefix filtering: Bayardo, Ma and Srikant, "Scaling up all pairs similarity search", 2007).
    """
    sets = [shingles(text) for text in texts]
    frequency = Counter(shingle for own in sets for shingle in own)
    index: dict[Shingle, list[int]] = defaultdict(list)
    progress = bar(len(texts), "near-duplicates", "text", quiet=len(texts) < _MANY)
    for n, own in enumerate(sets):
        rarest = sorted(own, key=lambda shingle: (frequency[shingle], shingle))
        prefix = rarest[: len(own) - ceil(threshold * len(own)) + 1]
        found: set[str] = set()
        for m in sorted({m for shingle in prefix for m in index[shingle]}):
            if groups[m] not in found and (similarity := jaccard(sets[m], own)) >= threshold:
                found.add(groups[m])
                yield m, n, similarity
        for shingle in prefix:
            index[shingle].append(n)
        progress.update()
    progress.close()
