"""What a label or number is doing in a text: not every one that stands there is the answer.

It may be denied ("not A", "A is wrong", "more than 5"), asked about ("A?"), explained ("7 means completely"), or meant
for somebody else ("the better choice for others"). English only.
"""

from __future__ import annotations

import re
from functools import lru_cache

NEAR = 300
"""So many characters around a label can say something of it."""

_CLAUSE = re.compile(
    r"[.!?;:\n]|\b(?:but|however|so|therefore|thus|hence|then|instead(?! of))\b|\band (?=(?:I|my|so|would)\b)",
    re.IGNORECASE,
)
"""What a denial does not reach across."""

_STEP = re.compile(r",|\bI(?:'d|'ll| would| will)? (?=(?:choose|pick|select|say|answer|rate|give|go)\b)")
"""What only a denied opinion reaches across: "I don't think that, all in all, A ..."."""

_DENIED_OPINION = re.compile(
    r"(?:\bnot|\bnever|n't)\s+(?:\w+\s+){0,2}?"
    r"(?:think|believe|say|suppose|claim|mean|consider|call|agree that)\b(?! so\b|,)"
    r"|(?<!no )(?<!without )(?<!a )(?<!any )(?<!beyond )\bdoubt\b|\b(?:disagree|unlikely|untrue|false|wrong) that\b",
    re.IGNORECASE,
)

_DENIAL = re.compile(
    r"n't\b|\b(?:not|never|neither|nor|none|nobody|cannot|hardly|unlikely|unlike|except|excluding|than|instead of)\b"
    r"|\bworst\b|(?<!at )\bleast\b|\bno (?:way|chance|reason)\b|\bif (?:the|my|it|that)\b"
    r"|\b(?:wrong|incorrect|false|bad|worse|weaker|poorer|other|opposite|rejected|second[ -]best)\s+(?:\w+\s+){0,2}?"
    r"(?:answer|choice|option|number|rating|statement|response|letter|pick|one)s?\b",
    re.IGNORECASE,
)

_OTHERS_SAY = re.compile(
    r"\b(?:others|(?:some|most|many|other)(?: people)?|people|(?:some|every)(?:body|one)(?: else)?) (?:\w+ )?"
    r"(?:choose|chose|pick|prefer|select|say|answer|think|go)\b[^,]*$",
    re.IGNORECASE,
)

_DENIED_BY_THE_WORD_BEFORE = re.compile(
    r"(?:\b(?:not|never|except|over|above|below|under|beyond|versus|vs|less|more|at least|at most|up to"
    r"|(?:anything|everything|all) but|rul(?:e|ed|ing) out|(?:reject|dismiss|eliminat|exclud|discard)\w*)|n't)\W*"
    r"(?:\ban? )?$",
    re.IGNORECASE,
)

_BE = r"(?:is|are|was|were|would be|seems?|feels?|sounds?|looks?)"
_DENIED_AFTERWARDS = re.compile(
    r"[)\]\"']*(?:(?:\s*(?:,|/|&|\band\b|\bor\b)\s*)[(\[]?[A-Z\d]\b[)\]]?){,5}(?:\s*\?"
    r"|\s+(?:is|are|was|were|would|does|do|did|can|could|should|may|might|will|has)(?:n't|\s+(?:\w+\s+)?(?:not|never))\b"
    r"|,?\s+(?:at (?:most|least)|or (?:more|less|fewer|higher|lower|greater|above|below))\b"
    rf"|\s+(?:cannot|won't|can't)\b|\s+{_BE}\s+(?:\w+\s+)?(?:too|out|wrong|incorrect|false|worse|unlikely|less)\b"
    rf"|\s+{_BE}\s+the (?:wrong|worst|weaker|least|incorrect)\b)",
    re.IGNORECASE,
)
"""Of a label, or of several in a row: "A is not ...", "A and C are wrong", "A?"."""

_DEFINED = re.compile(
    r"[)\]\"']*\s*(?:=|(?:means?|meaning|being|stands? for|represents?|would (?:be|mean)(?! my\b| the\b)"
    r"|is (?:not at all|completely|reserved|the (?:highest|lowest|middle|maximum|minimum)))\b)",
    re.IGNORECASE,
)

_EXPLAINS = re.compile(
    r"\b(?:because|since|given that|due to)\b(?:\.{2,}|[^.!?\n])*"
    r"|\b(?:reason(?:ing|s)?|explanation|rationale|justification|why)\s*:.*",
    re.IGNORECASE | re.DOTALL,
)

_FOR_OTHERS = re.compile(
    r"(?:(?!because|since)[^,.!?;\n]){0,60}?\bfor (?:others?|some|somebody|someone|most|many|people|every\w+|those"
    r"|them|him|her|strangers)\b",
    re.IGNORECASE,
)


def is_denied(text: str, start: int, end: int) -> bool:
    """Whether the label at `start` to `end` is said not to be the answer, is asked about, or is what others answer."""
    before = text[max(0, start - NEAR) : start]
    sentence = _CLAUSE.split(before)[-1]
    return bool(
        _DENIED_OPINION.search(sentence)
        or _OTHERS_SAY.search(sentence)
        or _DENIAL.search(_STEP.split(sentence)[-1])
        or _DENIED_BY_THE_WORD_BEFORE.search(before)
        or _DENIED_AFTERWARDS.match(text, end)
    )


def is_defined(text: str, end: int) -> bool:
    """Whether the number that ends at `end` is only said to mean something, as on a scale."""
    return _DEFINED.match(text, end) is not None


def is_explained(text: str, start: int) -> bool:
    """Whether what begins at `start` belongs to the reasons that are given for an answer."""
    return any(first < start < end for first, end in _reasons(text))


@lru_cache(maxsize=2)
def _reasons(text: str) -> list[tuple[int, int]]:
    return [match.span() for match in _EXPLAINS.finditer(text)]


def is_for_others(text: str, end: int) -> bool:
    """Whether what ends at `end` is said to suit other people than whoever answers."""
    return _FOR_OTHERS.match(text, end) is not None
