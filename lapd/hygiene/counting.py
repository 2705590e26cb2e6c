"""What is in the data: counts by axis, split, topic and language, and how long the texts are."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from lapd.hygiene.entries import Entry, axes_of

COUNTED = ("axis", "split", "topic", "lang", "turns")
QUANTILES = (0, 5, 25, 50, 75, 95, 100)
"""Per cent."""


@dataclass(frozen=True)
class DataStats:
    """What is in a corpus or a pairs file.

    Attributes:
        rows: how many.
        counts: rows by value, for each of `COUNTED` that the rows tell; the most frequent first.
        lengths: the length in words of every text, by language ("" where that is not known) and by what the text is:
            "prompt", and "chosen" and "rejected" or the poles; of conversations also "system prompt", "earlier turns".
        splits: rows by axis and split, for the picture; empty if no row has an axis.
    """

    rows: int
    counts: dict[str, dict[str, int]]
    lengths: dict[str, dict[str, list[int]]]
    splits: dict[str, dict[str, int]]

    def quantiles(self) -> dict[str, dict[str, dict[str, float]]]:
        """Of `lengths`: {"en": {"prompt": {"p0": 4, ..., "p100": 61}, ...}}, in words."""
        import numpy as np

        def of(counts: list[int]) -> dict[str, float]:
            return {f"p{q}": float(v) for q, v in zip(QUANTILES, np.percentile(counts, QUANTILES), strict=True)}

        return {lang: {name: of(counts) for name, counts in found.items()} for lang, found in self.lengths.items()}


def data_stats(entries: Sequence[Entry]) -> DataStats:
    """Count what `lapd.hygiene.entries.read_entries` gives."""
    counts = {name: Counter(str(getattr(e, name)) for e in entries if getattr(e, name)) for name in COUNTED}
    lengths: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    splits: dict[str, Counter[str]] = {axis: Counter() for axis in axes_of(entries)}
    for entry in entries:
        for name, text in _measured(entry).items():
            lengths[entry.lang][name].append(len(text.split()))
        if entry.axis:
            splits[entry.axis][entry.split or "all"] += 1
    return DataStats(
        rows=len(entries),
        counts={name: dict(found.most_common()) for name, found in counts.items() if found},
        lengths={lang: dict(found) for lang, found in lengths.items()},
        splits={axis: dict(found) for axis, found in splits.items()},
    )


def _measured(entry: Entry) -> dict[str, str]:
    """An entry's texts, its earlier turns as one."""
    system = {"system prompt": entry.system} if entry.system else {}
    earlier = {"earlier turns": " ".join(turn.text for turn in entry.history)} if entry.history else {}
    return {**system, **earlier, "prompt": entry.prompt, **entry.responses}
