"""Reading the chosen label out of what a model wrote.

Where none was named, or two that differ, wherever they stand, there is no answer; a caller counts it as missing, never
as wrong. `mentions` has what tells an answer from a label that is denied, explained or meant for others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from lapd.tasks.mentions import NEAR, is_defined, is_denied, is_explained, is_for_others

from lapd.reasoning import answer_of

_MARKUP = re.compile(r"</?[a-z]{2,}>|<\|\w+\|>|[*_`#>$\\]|\b(?:boxed|text)(?=\s*\{)")
_QUOTES = str.maketrans({"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "{": "(", "}": ")"})
_OPEN = r"[\s(\[\"'<:\-]*"

_STATEMENT = re.compile(
    r"\b(?:answers?|choice|option|pick)\b(?: here)?\s*(?:is|are|would be|must be|[:=])\s*", re.IGNORECASE
)
"""What comes before an answer: "The best answer is: ", "Answer: ", "My choice would be "."""

_OTHER = re.compile(rf"[)\].]?\s*(?:/|&|,|\bor\b|\band\b)\s*(?:option |answer )?{_OPEN}(?P<label>[A-Z]|\d)\b(?!')")
"""A second label beside the first: "A or B"."""

_LEAD = rf"{_OPEN}(?i:the )?(?i:option|answer|choice|number|statement)?{_OPEN}"
_END = r"(?=\s*(?:$|[)\].:;,!/&\"'\-\u2013\u2014(]|(?:because|since|as|for|or|and|instead of|rather than)\b)|\s*\n)"
_ALONE = r"(?!'?\w)"
_LABEL = re.compile(rf"{_LEAD}(?P<label>[A-Za-z]|\d){_ALONE}{_END}")
_STATED_LABEL = re.compile(rf"{_LEAD}(?P<label>[B-Z](?=\s)|(?:[A-Za-z]|\d){_ALONE}{_END})")
"""A label at the start. "A good friend" and "2 days later" begin with none; "B it is" does after "The answer is"."""

_AFTER = re.compile(
    r"\b(?:option |answer |choice )?[(\[]?(?P<label>[A-Z]|\d)[)\]]? is (?:clearly |probably )?(?:the|my) "
    r"(?:best|correct|right|better|most \w+) ?(?:answer|choice|option|one|response)?",
)
"""An answer that comes first: "(B) is the best answer"."""

_PICKED = re.compile(
    r"\b(?:[Ii](?:'d|'ll| would| will)? (?:\w+ )?(?:pick|choose|select|say|go (?:with|for))"
    r"|(?:[Ii]t|[Tt]hat)(?:'s| is| would be|'d be))\b"
    rf"{_LEAD}(?P<label>[A-Z]|\d){_ALONE}{_END}"
)
"""An answer behind a verb: "I would choose B.", "It's B."."""

_LEADING_MARKS = re.compile(r"^[)\].:;,\s\-\u2013\u2014(\"']+")

_ELSEWHERE = re.compile(
    r"(?<![\w'])[(\[\"']?(?P<label>[A-Z])(?!'?\w)"
    r"(?=[)\]\"']*\s*(?:$|[.:;,!?/&\n(\u2013\u2014-]|(?:on|in|at|for|if|when|while|with|to|or|and|otherwise|sometimes"
    r"|most|because|since|as|is (?:the|my) (?:best|better|right|correct))\b))"
)
"""A letter that stands somewhere as an answer does: "..., B at home", "or B". "A man" and "B says" do not."""

_BOTH = re.compile(
    r"\b(?i:between|both|of) (?:options? |statements? |answers? )?\(?[A-Z]\)? (?:and|or) \(?[A-Z]\)?(?!\w)"
)
"""What a choice is among: no answer."""


def plain(text: str) -> str:
    """The text without markdown and TeX, with straight quotes."""
    return _MARKUP.sub("", text).translate(_QUOTES).strip()


def read_choice(text: str, options: Mapping[str, str]) -> str | None:
    """Which option a model chose, or None if that cannot be told.

    Args:
        text: what it wrote; its reasoning is left out.
        options: each label ("A", "B" ...) and the option's own words.

    Understood are the label, its number (1 for the first) and the option's own words: after "The best answer is" or
    the like, before "is the best answer", after "I choose", or at the beginning; else, anywhere, the own words of one
    option and no other. Whatever stands in the text as an answer must be the same.
    """
    text = _BOTH.sub("", plain(answer_of(text)))
    if given := list(_given(text, options)):
        own = [labels for labels, aside in given if not aside]
        return _one(set().union(*(own or [labels for labels, _ in given]), _elsewhere(text, options, not own)))
    return _one({label for label, words in options.items() if _found(words, text)})


def _given(text: str, options: Mapping[str, str]) -> Iterator[tuple[set[str], bool]]:
    """The labels that are given as the answer, and whether only in a reason, for others or in a list of the options."""
    for match in _STATEMENT.finditer(text):
        start = match.end()
        labels, length = _at_start(text[start : start + NEAR], options, True)
        if labels and not is_denied(text, start, start + length):
            yield labels, is_for_others(text, start + length)
    for pattern in (_AFTER, _PICKED):
        for match in pattern.finditer(text):
            labels, (start, end) = _labels(match["label"], options), match.span("label")
            if labels and not is_denied(text, start, end):
                weak = pattern is _AFTER and is_explained(text, start)
                yield labels, weak or is_for_others(text, match.end())
    labels, length = _at_start(text[:NEAR], options, False)
    if labels and not is_denied(text, 0, length):
        yield labels, is_for_others(text, length) or _is_listed(text, 0, labels, options)


def _elsewhere(text: str, options: Mapping[str, str], listed: bool) -> set[str]:
    """The labels that stand anywhere as an answer does, but in a reason or for others; and in a list if `listed`."""
    return {
        match["label"]
        for match in _ELSEWHERE.finditer(text)
        if match["label"] in options
        and not is_denied(text, *match.span("label"))
        and not is_explained(text, match.start())
        and not is_for_others(text, match.end("label"))
        and (listed or not _is_listed(text, match.start(), {match["label"]}, options))
    }


def _is_listed(text: str, start: int, labels: set[str], options: Mapping[str, str]) -> bool:
    """Whether a label stands before its option's own words, as in the list that the question ends with."""
    rest = _LEADING_MARKS.sub("", text[start : start + NEAR].lstrip("([\"' ")[1:])
    return all(_starts(_normal(rest), _normal(options[label])) for label in labels)


# Numbers

_NUMBER = re.compile(r"(?<![\w.])(?:-(?=\d))?\d+(?:[.,]\d+)*(?![\w%+])")
_JOINED = re.compile(r"(?<=\d)\s*(?:[-\u2013\u2014~/]|\.\.+)\s*(?=\d)")
_WORDS = {word: str(n) for n, word in enumerate(("two", "three", "four", "five", "six", "seven"), 2)}
_WORD = re.compile(rf"\b(?:{'|'.join(_WORDS)})\b(?!-(?!(?:{'|'.join(_WORDS)})\b)\w)", re.IGNORECASE)
_COUNTS = re.compile(
    r"\s+(?!(?:sometimes|always|perhaps|besides|as|this|is|was|has|does|seems|fits|suits|describes|feels|means|points"
    r"|stars)\b)(?:[A-Za-z]+s|people|children|percent|of)\b"
)
"""After a number that counts something ("2 kids", "3 of my friends"): it rates nothing."""

MOST_ON_ANY_SCALE = 10
"""A number above it, such as a year, is no second answer beside a rating."""


def read_number(text: str, most: int = 7) -> str | None:
    """Which whole number from 1 to `most` a model gave, or None if that cannot be told.

    All numbers that stand in its text as an answer must be the same: a range, a fraction or two different numbers,
    wherever they stand, are no answer. Not counted are the scale itself ("from 1 to 7", "5/7", "7 means completely"),
    what is denied, and beside another number what is explained or counts something.
    """
    text = _digits(plain(answer_of(text)))
    meaning = r"(?: \([^)]*\))?"
    scale = rf"\s*(?:/|\bout of|\bof)\s*{most}\b|\b(?:from )?1{meaning}\s*(?:to|-|\u2013|and)\s*{most}\b{meaning}"
    text = _JOINED.sub(" to ", re.sub(scale, " ", text))
    mentions = [m for m in _NUMBER.finditer(text) if not is_denied(text, *m.span()) and not is_defined(text, m.end())]
    ratings = [
        mention
        for mention in mentions
        if not _COUNTS.match(text, mention.end())
        and not is_explained(text, mention.start())
        and not (mention[0].isdigit() and int(mention[0]) > MOST_ON_ANY_SCALE)
    ]
    number = _one({mention[0] for mention in ratings or mentions})
    return number if number and number.isdigit() and 1 <= int(number) <= most else None


def _digits(text: str) -> str:
    """The text with number words as digits, "5.0" as "5"; "one" only where it stands alone or beside another number."""
    text = _WORD.sub(lambda word: _WORDS[word[0].lower()], text)
    text = re.sub(r"(?<=\d)\s*(?:and a half\b|\u00bd)", ".5", text)
    text = re.sub(r"(?<![\d.,])(\d+)\.0+(?![\d.,]\d|\d)", r"\1", text)
    return re.sub(r"(?i)^\W*one\W*$|\bone(?= (?:to|or|and) \d)|(?:(?<=\d to )|(?<=\d or ))one\b", "1", text)


# Both


def _one(labels: set[str]) -> str | None:
    return next(iter(labels)) if len(labels) == 1 else None


def _labels(mark: str, options: Mapping[str, str]) -> set[str]:
    """The label that a letter or a number stands for, if there is such an option."""
    numbered = {str(n): label for n, label in enumerate(options, 1)}
    return {numbered.get(mark, mark.upper())} & options.keys()


def _at_start(text: str, options: Mapping[str, str], stated: bool) -> tuple[set[str], int]:
    """The option that the text begins with, by its own words or by its label, and how far its label goes.

    Two if those name different ones. A lone letter or digit counts if it cannot be the beginning of a sentence ("A good
    friend", "2 days later").
    """
    if by_words := _begins(text, options):
        return by_words, len(text)
    if (match := (_STATED_LABEL if stated else _LABEL).match(text)) is None:
        return set(), 0
    named = _labels(match["label"], options)
    rest = text[match.end() :]
    if other := _OTHER.match(rest):
        named |= _labels(other["label"], options)
    return named | (_begins(_LEADING_MARKS.sub("", rest), options) if named else set()), match.end()


def _begins(text: str, options: Mapping[str, str]) -> set[str]:
    """The option whose own words the text begins with: of several, the longest; of those that are alike, all."""
    start = _normal(text)
    hits = [(len(_normal(own)), label) for label, own in options.items() if _starts(start, _normal(own))]
    longest = max(hits, default=(0, ""))[0]
    return {label for length, label in hits if length == longest}


def _starts(text: str, own: str) -> bool:
    return bool(own) and (text + " ").startswith(own + " ")


def _found(own: str, text: str) -> bool:
    """Whether an option's own words stand in the text, and are not denied where they first do."""
    words = re.findall(r"[\w']+", own.lower())
    pattern = r"(?<![\w'])" + r"[^\w']+".join(map(re.escape, words)) + r"(?![\w'])"
    match = re.search(pattern, text.lower()) if words else None
    return match is not None and not is_denied(text, *match.span())


def _normal(text: str) -> str:
    """Lower-case words with single spaces."""
    return " ".join(re.findall(r"[\w']+", text.lower()))
