"""Words that one text uses more than another: log-odds with an informative Dirichlet prior.

Monroe, Colaresi and Quinn, "Fightin' Words: Lexical Feature Selection and Evaluation for Identifying the Content of
Political Conflict" (Political Analysis 2008, 16:372). Plain frequencies bring up words that are frequent anyway, plain
log-odds those that are hardly used at all; the prior, which says how often a word is used in general, shrinks both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import erfc, log, sqrt

PRIOR = 100.0
"""So many words the prior is worth, about one long answer: each has its share of them by the background."""


@dataclass(frozen=True)
class WordUse:
    """How much more one text uses a word than another.

    Attributes:
        log_odds: the difference of the word's log-odds in the two texts, nats (eq. 16).
        z: that over its standard error (eq. 22).
        p: two-sided, of z under the normal law.
    """

    log_odds: float
    z: float
    p: float


def word_use(
    ours: Mapping[str, int], theirs: Mapping[str, int], background: Mapping[str, int], prior: float = PRIOR
) -> dict[str, WordUse]:
    """How much more one text uses each word of either than the other does.

    With y uses of a word among n words and a prior worth `a` of it among `a0`, its log-odds in a text are
    log((y + a) / (n + a0 - y - a)) (eq. 15), with the variance 1 / (y + a) + 1 / (n + a0 - y - a) (eq. 18). Those of
    two texts are subtracted (eq. 16), their variances added.

    Args:
        ours: uses of each word in the one.
        theirs: in the other.
        background: how often words are used in general; every word of the two texts is in it.
        prior: what the background is worth, in words.

    Raises:
        ValueError: a word is not in the background, or there is but one.
    """
    words = dict.fromkeys([*ours, *theirs])
    total = sum(background.values())
    if missing := [word for word in words if not background.get(word)]:
        raise ValueError(f"{missing[0]!r} is not in the background")
    if len(background) < 2 and words:
        raise ValueError("with one word in all there is nothing to use less")
    sizes = sum(ours.values()), sum(theirs.values())
    found = {}
    for word in words:
        share = prior * background[word] / total
        logs, variance = [], 0.0
        for text, size in zip((ours, theirs), sizes, strict=True):
            of_word = text.get(word, 0) + share
            of_others = size + prior - of_word
            logs.append(log(of_word / of_others))
            variance += 1 / of_word + 1 / of_others
        difference = logs[0] - logs[1]
        z = difference / sqrt(variance)
        found[word] = WordUse(difference, z, erfc(abs(z) / sqrt(2)))
    return found
