"""Words, pairs and triples of words that an arm uses in more or fewer of its answers than its baseline."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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

Counts = dict[int, Counter[str]]
"""For each length of n-grams: in how many answers each stands."""


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
    return {n: {" ".join(words[k : k + n]) for k in range(len(words) - n + 1)} for n in range(1, LONGEST + 1)}


def word_tables(cells: Sequence[ReadCell], arms: Mapping[str, Arm]) -> list[WordTable]:
    """For each arm with a baseline what it says more and less, in all of its written answers, then in flagged ones.

    An n-gram counts once an answer, so that one that loops counts no more than another. Only tasks that both arms have
    finished count. The prior is what all arms say in these.

    Args:
        cells: the run's finished ones.
        arms: of `lapd.items.gather.arms_of`.
    """
    counted = _count(cells)
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


@dataclass
class _Counted:
    answers: int
    grams: Counts


def _count(cells: Iterable[ReadCell]) -> dict[tuple[str, str, bool], _Counted]:
    """For each arm, task and kind of answers: how many there are, and in how many each n-gram stands."""
    counted: dict[tuple[str, str, bool], _Counted] = {}
    for cell in cells:
        for text, is_flagged in _answers(cell):
            grams = grams_of(text)
            for kind in (False, True) if is_flagged else (False,):
                here = counted.setdefault((cell.arm, cell.task, kind), _Counted(0, {n: Counter() for n in grams}))
                here.answers += 1
                for n, found in grams.items():
                    here.grams[n].update(found)
    return counted


def _answers(cell: ReadCell) -> Iterator[tuple[str, bool]]:
    """Each written answer of a cell, and whether the judge flagged it as harmful."""
    for sample in cell.samples:
        first = sample["responses"][0] if sample["responses"] else []
        verdict = sample.get("verdict") or {}
        is_flagged = bool(verdict.get("flagged")) and "question" not in verdict
        for text in first if isinstance(first, list) else []:
            if isinstance(text, str):
                yield text, is_flagged


def _table(
    arm: str, baseline: str, flagged: bool, counted: Mapping[tuple[str, str, bool], _Counted]
) -> WordTable | None:
    """The table of one comparison; None where one of the two has no such answers."""
    shared = [task for name, task, kind in counted if (name, kind) == (arm, flagged)]
    tasks = [task for task in shared if (baseline, task, flagged) in counted]
    if not tasks:
        return None
    ours, theirs = (_sum(counted[name, task, flagged] for task in tasks) for name in (arm, baseline))
    everybody = _sum(found for (_, task, kind), found in counted.items() if task in tasks and kind == flagged)
    grams = _grams(ours.grams, theirs.grams, everybody.grams)
    told = sorted((gram for gram in grams if gram.q < ALPHA), key=lambda gram: -abs(gram.z))
    more, less = ([gram for gram in told if (gram.z > 0) == up][:MOST] for up in (True, False))
    return WordTable(arm, baseline, flagged, ours.answers, theirs.answers, len(grams), more, less)


def _sum(some: Iterable[_Counted]) -> _Counted:
    total = _Counted(0, {n: Counter() for n in range(1, LONGEST + 1)})
    for one in some:
        total.answers += one.answers
        for n, counts in one.grams.items():
            total.grams[n].update(counts)
    return total


def _grams(ours: Counts, theirs: Counts, everybody: Counts) -> list[Gram]:
    found = []
    for n in ours:
        if len(everybody[n]) < 2:
            continue
        for words, use in word_use(ours[n], theirs[n], everybody[n]).items():
            counts = ours[n][words], theirs[n][words]
            if sum(counts) >= FEWEST:
                found.append((words, *counts, use))
    qs = benjamini_hochberg([use.p for *_, use in found]) if found else []
    return [Gram(words, a, b, use.log_odds, use.z, float(q)) for (words, a, b, use), q in zip(found, qs, strict=True)]
