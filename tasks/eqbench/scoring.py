"""EQ-Bench's published rule: how an answer is parsed, scored against the reference, and summed up over a run.

Source: Paech 2023, "EQ-Bench: An Emotional Intelligence Benchmark for Large Language Models", arXiv 2312.06281, as
changed by the benchmark's version 2 (references from 0 to 10 that are not normalised, small differences scaled down,
a constant that gives random answers 0). Item scores are on the published scale: 100 is the reference itself, and
answers that are worse than random ones are below 0.

The publisher's code has had two rules of parsing. The published runs were scored by the earlier one (lib/scoring.py at
commit 0114d23 of github.com/EQ-bench/EQ-Bench); the later one (at 92e4a8f) takes `*` and `#` out first and compares
names without their case. Scoring and summing up are the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, nan
from statistics import mean

Answer = dict[str, float]
"""An intensity (0 to 10) for each emotion that was found in a text."""

ADJUSTMENT = 0.7477
"""Weight of a point of difference; published, chosen so that random answers come to 0."""

OFFICIAL = re.compile(r"(\w+):\s+(\d+)")
"""A word, a colon, a space, an integer."""

FIRST, REVISED = "First pass scores:", "Revised scores:"

RANGE = re.compile(r"[ \t]*(?:[-~\u2013]|to\b|or\b)[ \t]*\d")
"""What makes a range of a score in the lenient parse: "7-9", "3 to 4"."""

MARKUP = r"[\s*_`\"']*"
"""What may stand between a name and its score in the lenient parse, beside one separator."""


def parse(text: str) -> Answer:
    """Everything in `text` that looks like `Word: 7`; of a word that comes twice, the last."""
    return {word: float(number) for word, number in OFFICIAL.findall(text)}


def without_markdown(text: str) -> str:
    """The text that the later rule parses."""
    return text.replace("*", "").replace("#", "")


def parse_passes(text: str) -> tuple[Answer, Answer]:
    """The answers below the two headings; empty where a heading is missing, as the published rule has it."""
    first, end, _ = text.partition(FIRST)[2].partition(REVISED)
    return parse(first) if end else {}, parse(text.partition(REVISED)[2])


def parse_leniently(text: str, emotions: Sequence[str]) -> Answer:
    """The first score of each emotion, as a reader would find it: `**Name**: 7.5`, `name - 7`, `Name = 7/10`.

    Other words with numbers are ignored, and so are a score beyond 0 to 10 and a range.
    """
    found = {}
    for emotion in emotions:
        pattern = rf"\b{re.escape(emotion)}\b{MARKUP}[:=|(–—-]{MARKUP}(\d+(?:[.,]\d+)?)"  # noqa: RUF001
        match = re.search(pattern, text, re.IGNORECASE)
        if match and not RANGE.match(text, match.end()):
            score = float(match[1].replace(",", "."))
            if score <= 10:
                found[emotion] = score
    return found


def split_leniently(text: str) -> tuple[str, str]:
    """The text before and after a line that announces revised scores; all of it comes first if there is none."""
    parts = re.split(r"^\W*revised (?:scores|answers?)\b", text, maxsplit=1, flags=re.IGNORECASE | re.MULTILINE)
    return parts[0], parts[1] if len(parts) == 2 else ""


def item_score(reference: Mapping[str, float], answer: Mapping[str, float]) -> float | None:
    """One item's score, at most 100; None (missing) unless the answer names the reference's emotions and no others.

    Each emotion's difference d counts as an S-shaped 6.5 / (1 + exp(-1.2 (d - 4))) up to 5, and as itself above.
    """
    if answer.keys() != reference.keys():
        return None
    return 100 - 10 * ADJUSTMENT * sum(_scaled(abs(answer[name] - reference[name])) for name in reference)


def item_score_later(reference: Mapping[str, float], answer: Mapping[str, float]) -> float | None:
    """One item's score by the later rule: the same, whatever the names' case."""
    folded = {name.lower(): score for name, score in answer.items()}
    if len(folded) < len(answer):
        return None
    return item_score({name.lower(): score for name, score in reference.items()}, folded)


def _scaled(difference: float) -> float:
    if difference == 0 or difference > 5:
        return difference
    return 6.5 / (1 + exp(-1.2 * (difference - 4)))


@dataclass(frozen=True)
class Pass:
    """A pass over the questions: the mean score of the answers that parse (not a number without any), and how many."""

    score: float
    parseable: int


def sum_up(scores: Sequence[float | None]) -> Pass:
    """The mean of the item scores that are not missing."""
    parsed = [score for score in scores if score is not None]
    return Pass(mean(parsed) if parsed else nan, len(parsed))


def choose(first: Pass, revised: Pass) -> Pass:
    """The official choice: the revised pass only where it scores at least as much and parses 95 % as often.

    A pass without any parseable answer is never taken before one that has some.
    """
    if not first.parseable:
        return revised
    better = revised.score >= first.score
    return revised if better and revised.parseable >= 0.95 * first.parseable else first
