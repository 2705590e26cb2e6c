"""Words that one text uses more than another: log-odds with an informative Dirichlet prior.

Monroe, Colaresi and Quinn, "Fightin' Words: Lexical Feature Selection and Evaluation for Identifying the Content of
Political Conflict" (Political Analysis 2008, 16:372). Plain frequencies bring up words that are frequent anyway, plain
log-odds those that are hardly used at all; the prior, which says how often a word is used in general, shrinks both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

PRIOR = 100.0
"""So many words the prior is worth, about one long answer: each has its share of them by the background."""


@dataclass(frozen=True)
class WordUse:
    """How much more one text uses each of some words than another.

    Attributes:
        log_odds: [words] the difference of the word's log-odds in the two texts, nats (eq. 16).
        z: [words] that over its standard error (eq. 22).
        p: [words] two-sided, of z under the normal law.
    """

    log_odds: NDArray[np.float64]
    z: NDArray[np.float64]
    p: NDArray[np.float64]


def word_use(
    ours: ArrayLike,
    theirs: ArrayLike,
    background: ArrayLike,
    prior: float = PRIOR,
    of: NDArray[np.int64] | slice = slice(None),
) -> WordUse:
    """How much more one text uses each word than the other does.

    With y uses of a word among n words and a prior worth `a` of it among `a0`, its log-odds in a text are
    log((y + a) / (n + a0 - y - a)) (eq. 15), with the variance 1 / (y + a) + 1 / (n + a0 - y - a) (eq. 18). Those of
    two texts are subtracted (eq. 16), their variances added.

    Args:
        ours: [words] uses of each word in the one.
        theirs: [words] in the other.
        background: [words] how often words are used in general.
        prior: what the background is worth, in words.
        of: [words asked about] their places among the words; all where left out.

    Raises:
        ValueError: a word of a text is not in the background, or there is but one.
    """
    from scipy.special import erfc

    texts = np.asarray([ours, theirs], dtype=float)
    general = np.asarray(background, dtype=float)
    if np.any(texts[:, general == 0]):
        raise ValueError("a word that is used is not in the background")
    if np.count_nonzero(general) < 2 and texts.any():
        raise ValueError("with one word in all there is nothing to use less")
    sizes = texts.sum(axis=1, keepdims=True)
    of_word = texts[:, of] + prior * general[of] / max(general.sum(), 1.0)
    of_others = sizes + prior - of_word
    with np.errstate(divide="ignore", invalid="ignore"):  # of a word that nobody uses, there is nothing to say
        logs = np.log(of_word / of_others)
        difference = logs[0] - logs[1]
        z: Any = difference / np.sqrt((1 / of_word + 1 / of_others).sum(axis=0))
    return WordUse(difference, z, erfc(np.abs(z) / np.sqrt(2)))
