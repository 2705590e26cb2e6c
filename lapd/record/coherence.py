"""What written answers are like, whatever they say: how they repeat themselves, how long they are, how they ended.

Every document that is answered in writing has these measures under `coherence`, beside its task's own metrics. They
need no judge, and all but the last need no model:

- `repeated_4grams`: the share of the answer's 4-grams that occurred before in it;
- `longest_loop`: the most words in a row that only say again what stands directly before them;
- `distinct_2`: how many distinct 2-grams there are, for each that there is;
- `words`, and `tokens` of the base model's tokenizer;
- `cut_off`: 1 where the limit ended the answer, 0 where it ended by itself;
- `base_logprob`: the log-likelihood of the answer a token, by the base without adapter and behind the same prompt.

`lapd.statistics.repetition` has formulas and sources. A block of reasoning is no part of an answer. What an answer has
no value of is missing: an answer without a word has nothing but `cut_off`, one of fewer than four words no 4-grams.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from statistics import mean
from typing import Any

from lapd.catalog.task import TaskInfo
from lapd.endpoints.replies import CUT_OFF
from lapd.reasoning import answer_of
from lapd.statistics.repetition import distinct_share, longest_loop, repeated_share

UNITS = {
    "repeated_4grams": "share",
    "longest_loop": "words",
    "distinct_2": "share",
    "words": "words",
    "tokens": "tokens",
    "cut_off": "share",
    "base_logprob": "nats",
}
"""The measures, and what each is counted in."""

UNSPACED = ("CJK", "IDEOGRAPHIC", "HIRAGANA", "KATAKANA", "HALFWIDTH KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR")
"""How Unicode's names of letters begin whose scripts put no spaces between words: each letter counts as a word."""

WITHIN = "'\u2019"
"""Apostrophes part no words."""


def words_of(text: str) -> list[str]:
    """A text's words, in small letters: runs of letters and digits of any script; every other mark stands for itself.

    Marks count, since a text may be nothing but "!!!!!!"; of an unspaced script every letter does.
    """
    found: list[list[str]] = []
    going_on = False
    for char in unicodedata.normalize("NFC", text).casefold():
        kind = unicodedata.category(char)[0]
        if kind == "M" and found:
            found[-1].append(char)
        elif kind in "LN" and not unicodedata.name(char, "").startswith(UNSPACED):
            if going_on:
                found[-1].append(char)
            else:
                found.append([char])
            going_on = True
        elif not (char in WITHIN and going_on):
            going_on = False
            if kind in "LNPS":
                found.append([char])
    return ["".join(letters) for letters in found]


def of_answer(text: str, finish_reason: str = "") -> dict[str, float]:
    """The measures of one response that need nothing but its text.

    Args:
        text: as it was written, reasoning and all.
        finish_reason: why it ended, as servers call it; "" where that is not known.
    """
    words = words_of(answer_of(text))
    measured: dict[str, float | None] = {
        "repeated_4grams": repeated_share(words, 4),
        "longest_loop": longest_loop(words) if words else None,
        "distinct_2": distinct_share(words, 2),
        "words": sum(word[0].isalnum() for word in words) if words else None,
        "cut_off": finish_reason in CUT_OFF if finish_reason else None,
    }
    return {name: float(value) for name, value in measured.items() if value is not None}


def texts_of(sample: Mapping[str, Any]) -> Iterator[tuple[int, str, str]]:
    """A document's written responses: of which of its requests, the text, and why it ended ("" where nobody said)."""
    reasons = sample.get("finish_reasons", ())
    for n, responses in enumerate(sample.get("responses", ())):
        for k, text in enumerate(responses if isinstance(responses, list) else ()):
            if isinstance(text, str):
                yield n, text, str(reasons[n][k]) if reasons else ""


def over_answers(measured: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """A document's measures from those of its responses: the mean of each over the responses that have it."""
    return {name: mean(values) for name in UNITS if (values := [one[name] for one in measured if name in one])}


def over_documents(samples: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """The mean of each measure over the documents that have it; empty where none is answered in writing."""
    return over_answers([sample["coherence"] for sample in samples if "coherence" in sample])


def with_coherence(sample: dict[str, Any]) -> dict[str, Any]:
    """The document; one of an older LAPD with the measures that its responses alone give."""
    if "coherence" in sample or not (texts := list(texts_of(sample))):
        return sample
    return {**sample, "coherence": over_answers([of_answer(text, reason) for _, text, reason in texts])}


def coherence_names(samples: Sequence[Mapping[str, Any]]) -> list[str]:
    """The measures that any of a task's documents has, but for those that the task has a metric of the same name as."""
    found = {name for sample in samples for name in sample.get("coherence", ())}
    found -= {name for sample in samples for name in sample["metrics"]}
    return [name for name in UNITS if name in found]


def unmeasured(cells: Iterable[Any]) -> list[str]:
    """A line for each reason why the answers to some tasks lack a measure.

    Args:
        cells: `lapd.record.reading.ReadCell`s.
    """
    found: dict[tuple[str, str], dict[str, None]] = {}
    for cell in cells:
        for name, reason in cell.result.get("unmeasured", {}).items():
            found.setdefault((name, reason), {})[cell.entry["task"]] = None
    return [f"No {name} of the answers to {', '.join(tasks)}: {reason}." for (name, reason), tasks in found.items()]


def among_diagnostics(info: TaskInfo, names: Iterable[str]) -> TaskInfo:
    """The task with these measures among its diagnostics."""
    units = {name: UNITS[name] for name in names}
    return replace(info, diagnostics=(*info.diagnostics, *units), units={**info.units, **units})
