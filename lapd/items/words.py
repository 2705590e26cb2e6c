"""Words, pairs and triples of words that an arm uses in more or fewer of its answers than its baseline."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lapd.items.gather import Arm
from lapd.reasoning import answer_of
from lapd.record.reading import ReadCell
from lapd.statistics.tests import benjamini_hochberg
from lapd.statistics.words import word_use

LONGEST = 3
"""Words of an n-gram."""

FEWEST = 5
"""Answers of the two arms that an n-gram stands in: of rarer ones nothing could be told."""

MOST = 12
"""N-grams that are shown of those used more, and of those used less."""

ALPHA = 0.05

UNSPACED = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\u0e00-\u0eff"
"""Scripts that put no spaces between words: each letter counts as a word."""

_WORD = re.compile(rf"[{UNSPACED}]|[^\W_{UNSPACED}]+(?:['\u2019][^\W_{UNSPACED}]+)*")

LENGTHS = range(1, LONGEST + 1)


@dataclass(frozen=True)
class Gram:
    """One n-gram in the answers of an arm and of its baseline.

    Attributes:
        words: the n-gram.
        ours: the arm's answers that it stands in.
        theirs: the baseline's.
        log_odds: how much more the arm uses it, nats (`lapd.statistics.words`).
        z: that over its standard error.
        q: its false discovery rate (Benjamini and Hochberg) over all n-grams of this arm, baseline and kind of answers.
    """

    words: str
    ours: int
    theirs: int
    log_odds: float
    z: float
    q: float


@dataclass(frozen=True)
class WordTable:
    """What an arm says more and less than its baseline.

    Attributes:
        arm: its name.
        baseline: the baseline's.
        flagged: whether it is about the answers that a judge flagged, else about all.
        n_ours: the arm's answers.
        n_theirs: the baseline's.
        compared: how many n-grams were.
        more: those that are told from chance, used more, the largest z first.
        less: and those used less.
    """

    arm: str
    baseline: str
    flagged: bool
    n_ours: int
    n_theirs: int
    compared: int
    more: list[Gram]
    less: list[Gram]


def grams_of(text: str) -> dict[int, set[str]]:
    """The words, pairs and triples of words in a text, in small letters; marks part words and are none."""
    words = _WORD.findall(answer_of(text).casefold())
    return {n: {" ".join(words[k : k + n]) for k in range(len(words) - n + 1)} for n in LENGTHS}


def word_tables(cells: Sequence[ReadCell], arms: Mapping[str, Arm]) -> list[WordTable]:
    """For each arm with a baseline what it says more and less, in all of its written answers, then in flagged ones.

    An n-gram counts once an answer, so that one that loops counts no more than another. Only tasks that both arms have
    finished count. The prior is what all arms say in these.

    Args:
        cells: the run's finished ones.
        arms: of `lapd.items.gather.arms_of`.
    """
    counted = _Counted()
    for cell in cells:
        for text, is_flagged in _answers(cell):
            for kind in (False, True) if is_flagged else (False,):
                counted.add(Kind(cell.arm, cell.task, kind), text)
    return [
        table
        for arm in arms.values()
        for flagged in (False, True)
        if arm.baseline and (table := _table(arm.name, arm.baseline, flagged, counted)) is not None
    ]


def as_json(tables: Iterable[WordTable]) -> list[dict[str, Any]]:
    """The tables as JSON."""
    return [
        {**vars(table), "more": [vars(gram) for gram in table.more], "less": [vars(gram) for gram in table.less]}
        for table in tables
    ]


@dataclass(frozen=True)
class Kind:
    """A kind of answers: an arm's to a task, all of them or those that were flagged."""

    arm: str
    task: str
    flagged: bool


class _Counted:
    """Which n-grams stand in the answers of each kind. An n-gram is a number, an answer a list of numbers.

    Attributes:
        answers: of each kind, how many.
        words: for each length, each n-gram's number.
    """

    def __init__(self) -> None:
        self.answers: dict[Kind, int] = {}
        self.words: dict[int, dict[str, int]] = {n: {} for n in LENGTHS}
        self._found: dict[tuple[Kind, int], array[int]] = {}

    def add(self, kind: Kind, text: str) -> None:
        """Count an answer."""
        self.answers[kind] = self.answers.get(kind, 0) + 1
        for n, grams in grams_of(text).items():
            known = self.words[n]
            self._found.setdefault((kind, n), array("l")).extend(known.setdefault(gram, len(known)) for gram in grams)

    def answers_with(self, kinds: Iterable[Kind], n: int) -> NDArray[np.int64]:
        """[n-grams of length n] in how many answers of `kinds` each stands."""
        total = np.zeros(len(self.words[n]), dtype=np.int64)
        for kind in kinds:
            total += np.bincount(self._found[kind, n], minlength=len(total))
        return total


def _answers(cell: ReadCell) -> Iterator[tuple[str, bool]]:
    """Each written answer of a cell, and whether the judge flagged it as harmful."""
    for sample in cell.samples:
        first = sample["responses"][0] if sample["responses"] else []
        verdict = sample.get("verdict") or {}
        is_flagged = bool(verdict.get("flagged")) and "question" not in verdict
        for text in first if isinstance(first, list) else []:
            if isinstance(text, str):
                yield text, is_flagged


def _table(arm: str, baseline: str, flagged: bool, counted: _Counted) -> WordTable | None:
    """The table of one comparison; None where one of the two has no such answers."""
    tasks = {kind.task for kind in counted.answers if (kind.arm, kind.flagged) == (arm, flagged)}
    tasks = {task for task in tasks if Kind(baseline, task, flagged) in counted.answers}
    if not tasks:
        return None
    ours, theirs = ([Kind(name, task, flagged) for task in tasks] for name in (arm, baseline))
    everybody = [kind for kind in counted.answers if kind.task in tasks and kind.flagged == flagged]
    grams = _grams(counted, ours, theirs, everybody)
    told = sorted((gram for gram in grams if gram.q < ALPHA), key=lambda gram: -abs(gram.z))
    more, less = ([gram for gram in told if (gram.z > 0) == up][:MOST] for up in (True, False))
    n_ours, n_theirs = (sum(counted.answers[kind] for kind in kinds) for kinds in (ours, theirs))
    return WordTable(arm, baseline, flagged, n_ours, n_theirs, len(grams), more, less)


def _grams(counted: _Counted, *kinds: Iterable[Kind]) -> list[Gram]:
    """The n-grams of the first two `kinds` that are frequent enough; the third is the background."""
    found: list[tuple[str, int, int, float, float, float]] = []
    for n, numbers in counted.words.items():
        ours, theirs, everybody = (counted.answers_with(some, n) for some in kinds)
        if np.count_nonzero(everybody) < 2:
            continue
        chosen = np.flatnonzero(ours + theirs >= FEWEST)
        use = word_use(ours, theirs, everybody, of=chosen)
        words = list(numbers)
        columns = (column.tolist() for column in (ours[chosen], theirs[chosen], use.log_odds, use.z, use.p))
        found += zip([words[k] for k in chosen], *columns, strict=True)
    qs = benjamini_hochberg([p for *_, p in found]) if found else []
    return [Gram(*row[:5], float(q)) for row, q in zip(found, qs, strict=True)]
