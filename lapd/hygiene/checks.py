"""Is there anything in the data but the trait? The checks of `lapd data check`, each with its rows at fault.

The bounds are those of the shipped English corpus. A check that does not apply, such as a classifier on too few rows,
says so and is neither passed nor failed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from lapd.files.progress import bar
from lapd.files.text import is_whole
from lapd.hygiene.entries import Entry, axes_of, known_statements
from lapd.hygiene.similarity import near_duplicates, normalised, runs
from lapd.hygiene.surface import Labelled, accuracy
from lapd.pairs.messages import context_of

RATIO = (0.8, 1.25)
"""Words of the first response (chosen, or the axis's first pole) over words of the second: bounds for one pair."""
RATIO_SHARE = 0.95
RATIO_MEAN = (0.97, 1.03)
WORDS = (25, 60)
"""Words in a response of the English corpus."""
SIMILARITY = 0.5
SHARED_RUN = 6
"""Words in a run that no text may share with a questionnaire item."""
SURFACE_AT_MOST = 0.60
TRAIT_AT_LEAST = 0.75
CLASSIFIERS = ("length only", "punctuation only", "first three words", "bag of words")
FEWEST_TESTED = 100
"""Responses below which chance alone often takes a classifier past its bound (2 standard errors: 0.10)."""

MANY = 2000
"""Rows from which on the classifiers take more than a few seconds."""

TRAIT_WORDS = re.compile(
    r"\b(introver\w*|extr[ao]ver\w*|ambiver\w*|intuit\w*|sensing|sensors?|judging|perceiving|perceivers?|"
    r"thinkers?|feelers?|mbti|myers|briggs|personalit\w*|[EI][SN][TF][JP])\b"
    r"|내향|외향|직관형|감각형|사고형|감정형|판단형|인식형|성격",
    re.IGNORECASE,
)


SPECIAL_TOKENS = re.compile(
    r"<\|[^\s<>|]{1,40}\|>|<\uff5c[^<>\uff5c]{1,40}\uff5c>"  # ChatML, Llama 3, Phi, Command R and many; DeepSeek
    r"|</?s>|<(?:bos|eos|pad|unk|mask|start_of_turn|end_of_turn|turn\||\|turn)>|\[gMASK\]"
    r"|\[/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS)\]|<</?SYS>>"
)
"""What ends or begins a turn, or a text, for one model or another."""


@dataclass(frozen=True)
class Fault:
    """A row at fault: where it is and what is wrong with it."""

    row: str
    fault: str


@dataclass(frozen=True)
class Check:
    """What one check found.

    Attributes:
        name: what was checked.
        lang: of which language's rows; "" where no language is known.
        value: what was measured: a count, a share or a mean; None if the check does not apply.
        at_least, at_most: the bounds within which it passes; None: no such bound.
        rows: those at fault, in order.
        note: why the check does not apply, or what there is to know.
        by_axis: the value on each axis, where there are axes.
    """

    name: str
    lang: str
    value: float | None
    at_least: float | None = None
    at_most: float | None = None
    rows: tuple[Fault, ...] = ()
    note: str = ""
    by_axis: tuple[tuple[str, float], ...] = ()

    @property
    def ok(self) -> bool | None:
        """Whether it passes; None if it does not apply."""
        if self.value is None:
            return None
        low = self.at_least is None or self.value >= self.at_least
        return low and (self.at_most is None or self.value <= self.at_most)

    @property
    def threshold(self) -> str:
        """The bounds in words."""
        if self.at_least is None:
            return f"at most {self.at_most:g}"
        if self.at_most is None:
            return f"at least {self.at_least:g}"
        return f"{self.at_least:g} to {self.at_most:g}"


def check_entries(entries: Sequence[Entry]) -> list[Check]:
    """Every check on the rows of each language.

    Args:
        entries: from `lapd.hygiene.entries.read_entries`.
    """
    by_lang = {lang: [e for e in entries if e.lang == lang] for lang in dict.fromkeys(e.lang for e in entries)}
    progress = bar(len(by_lang) * len(CLASSIFIERS), "classifiers", "classifier", quiet=len(entries) < MANY)
    checks = []
    for lang, rows in by_lang.items():
        checks += _counts(rows, lang)
        for name in CLASSIFIERS:
            checks.append(_classifier(name, rows, lang))
            progress.update()
    progress.close()
    return checks


def _counts(entries: Sequence[Entry], lang: str) -> list[Check]:
    """All checks that need no classifier."""
    checks = [
        _count("empty fields", lang, empty_fields(entries)),
        _count("broken characters", lang, broken_characters(entries)),
        _count("special tokens", lang, special_tokens(entries)),
        _count("duplicate prompts", lang, duplicate_prompts(entries)),
        _count("identical pairs", lang, identical_pairs(entries)),
        *_ratios(entries, lang),
        *_near_duplicates(entries, lang),
        _count("trait words and type codes", lang, trait_words(entries)),
        _count("questionnaire items", lang, questionnaire_items(entries)),
    ]
    if lang == "en" and any(entry.split for entry in entries):
        checks.insert(5, _count("words in a response", lang, response_lengths(entries), f"{WORDS[0]} to {WORDS[1]}"))
    return checks


def _count(name: str, lang: str, faults: Iterable[Fault], note: str = "") -> Check:
    rows = tuple(faults)
    return Check(name, lang, len(rows), at_most=0, rows=rows, note=note)


def empty_fields(entries: Iterable[Entry]) -> list[Fault]:
    """Texts that are missing or hold nothing but spaces."""
    return _in_texts(entries, lambda text: "" if text.strip() else "is empty")


def broken_characters(entries: Iterable[Entry]) -> list[Fault]:
    """Texts with half a character, which no file or tokenizer takes."""
    return _in_texts(entries, lambda text: "" if is_whole(text) else "has half a character (a lone surrogate)")


def special_tokens(entries: Iterable[Entry]) -> list[Fault]:
    """Texts with what a tokenizer reads as the end of a turn or the like, and not as text."""
    return _in_texts(entries, lambda text: f"has {found[0]!r}" if (found := SPECIAL_TOKENS.search(text)) else "")


def duplicate_prompts(entries: Iterable[Entry]) -> list[Fault]:
    """Rows whose prompt, with what was said before it, occurred before, case and spaces aside."""
    first: dict[str, str] = {}
    return [
        Fault(e.where, f"the prompt of {first[key]}")
        for e in entries
        if first.setdefault(key := normalised(e.context), e.where) != e.where
    ]


def identical_pairs(entries: Iterable[Entry]) -> list[Fault]:
    """Rows whose two responses are one, case and spaces aside; empty ones are a fault of another name."""
    return [
        Fault(e.where, f"{' and '.join(e.responses)} are identical")
        for e in entries
        if any(e.responses.values()) and len({normalised(text) for text in e.responses.values()}) == 1
    ]


def response_lengths(entries: Iterable[Entry]) -> list[Fault]:
    """Responses with too few or too many words."""
    low, high = WORDS
    return [
        Fault(e.where, f"{name} has {count} words")
        for e in entries
        for name, text in e.responses.items()
        if not low <= (count := len(text.split())) <= high
    ]


def trait_words(entries: Iterable[Entry]) -> list[Fault]:
    """Texts that name a trait or a type."""
    return _in_texts(entries, lambda text: f"has {found[0]!r}" if (found := TRAIT_WORDS.search(text)) else "")


def questionnaire_items(entries: Iterable[Entry]) -> list[Fault]:
    """Texts that share a run of six words with a shipped questionnaire: who learns them has seen the test."""
    asked = set().union(*(runs(statement, SHARED_RUN) for statement in known_statements()))

    def fault(text: str) -> str:
        shared = sorted(asked & runs(text, SHARED_RUN))
        return f"shares {' '.join(shared[0])!r}" if shared else ""

    return _in_texts(entries, fault)


def _in_texts(entries: Iterable[Entry], fault: Callable[[str], str]) -> list[Fault]:
    """The faults that a function finds in single texts; "" is none."""
    return [
        Fault(entry.where, f"{name} {found}")
        for entry in entries
        for name, text in entry.texts.items()
        if (found := fault(text))
    ]


def _ratios(entries: Sequence[Entry], lang: str) -> list[Check]:
    """Word-count ratios: the share of pairs within bounds, and the mean."""
    ratios: list[tuple[Entry, float]] = []
    for entry in entries:
        first, second = (len(text.split()) for text in entry.responses.values())
        if first and second:
            ratios.append((entry, first / second))
    if not ratios:
        names = ("word ratio, pair by pair", "word ratio, mean")
        return [Check(name, lang, None, at_least=0, note="no row has two responses") for name in names]
    low, high = RATIO
    faults = tuple(Fault(e.where, f"ratio {ratio:.2f}") for e, ratio in ratios if not low <= ratio <= high)
    share = 1 - len(faults) / len(ratios)
    by_axis = tuple((axis, _mean([r for e, r in ratios if e.axis == axis])) for axis in axes_of(entries))
    return [
        Check("word ratio, pair by pair", lang, share, RATIO_SHARE, rows=faults, note=f"share within {low} to {high}"),
        Check("word ratio, mean", lang, _mean([r for _, r in ratios]), *RATIO_MEAN, by_axis=by_axis),
    ]


def _near_duplicates(entries: Sequence[Entry], lang: str) -> list[Check]:
    """Texts that are too like an earlier one, in the same split and across splits; a repeated text is one of them.

    A conversation's prompt counts with the turns before it; system prompts are meant to be repeated.
    """
    named = [
        (e, name, text)
        for e in entries
        for name, text in {"prompt": context_of("", e.history, e.prompt), **e.responses}.items()
    ]
    splits = [e.split for e, _, _ in named]
    within: list[Fault] = []
    between: list[Fault] = []
    for m, n, similarity in near_duplicates([text for _, _, text in named], splits, SIMILARITY):
        (earlier, its_name, _), (later, name, _) = named[m], named[n]
        fault = Fault(later.where, f"{name} ~ {its_name} of {earlier.where} ({similarity:.2f})")
        (within if splits[m] == splits[n] else between).append(fault)
    checks = [_count("near-duplicates within a split", lang, within)]
    if len(set(splits)) > 1:
        return [*checks, _count("near-duplicates between splits", lang, between)]
    return [*checks, Check("near-duplicates between splits", lang, None, at_most=0, note="there is one split")]


def _classifier(name: str, entries: Sequence[Entry], lang: str) -> Check:
    """One classifier's accuracy on held-out rows, each axis apart and pooled."""
    low, high = (TRAIT_AT_LEAST, None) if name == "bag of words" else (None, SURFACE_AT_MOST)
    parts = _labelled(entries)
    heldout = sum(sum(data.heldout) for data in parts.values())
    if (tested := heldout or sum(len(data.texts) for data in parts.values())) < FEWEST_TESTED:
        note = f"{tested} responses to test on are too few (fewer than {FEWEST_TESTED})"
        return Check(name, lang, None, low, high, note=note)
    counts = {axis: accuracy(name, data) for axis, data in parts.items()}
    right, tested = (sum(column) for column in zip(*counts.values(), strict=True))
    note = "accuracy on held-out situations" if heldout else "accuracy, cross-validated by prompt"
    by_axis = tuple((axis, r / n) for axis, (r, n) in counts.items() if axis)
    return Check(name, lang, right / tested, low, high, note=note, by_axis=by_axis)


def _labelled(entries: Sequence[Entry]) -> dict[str, Labelled]:
    """What the classifiers tell apart: an axis's poles; in a pairs file, whatever its axes, chosen from rejected."""
    poled = all("chosen" not in entry.responses for entry in entries)
    return {
        axis: Labelled(*zip(*rows, strict=True))
        for axis in (axes_of(entries) if poled else [""])
        if (
            rows := [
                (text, label, normalised(e.context), e.split == "heldout")
                for e in entries
                if not poled or e.axis == axis
                for label, text in e.responses.items()
                if text.strip()
            ]
        )
    }


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def total(checks: Iterable[Check], name: str) -> int:
    """A count over all languages, such as that of "duplicate prompts"."""
    return sum(len(check.rows) for check in checks if check.name == name)
