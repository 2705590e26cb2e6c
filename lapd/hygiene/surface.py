"""Can two kinds of response be told apart by what is on the surface? Classifiers that see nothing else.

Where a file has held-out rows, they are trained on the others; elsewhere they are cross-validated, and a prompt's
responses stay together. All of it is deterministic.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lapd.hygiene.similarity import words

FOLDS = 5
PUNCTUATION = ".,;:!?'\"-()\u2014\u2026*#\n"
TOKEN = r"[\w']+"


@dataclass(frozen=True)
class Labelled:
    """Responses to be told apart.

    Attributes:
        texts: the responses.
        labels: what each is, such as its pole.
        groups: responses of one group are never on both sides of a split.
        heldout: whether each is to be tested on; none or all of them: cross-validate.
    """

    texts: Sequence[str]
    labels: Sequence[str]
    groups: Sequence[str]
    heldout: Sequence[bool]


def features() -> dict[str, Any]:
    """What each classifier sees of a text, as scikit-learn transformers, by the classifier's name."""
    from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    def counted(measure: Any) -> Any:
        return make_pipeline(FunctionTransformer(lambda texts: [measure(t) for t in texts]), StandardScaler())

    return {
        "length only": counted(lambda text: [len(text.split()), len(text)]),
        "punctuation only": counted(lambda text: [text.count(mark) for mark in PUNCTUATION]),
        "first three words": CountVectorizer(
            preprocessor=lambda text: " ".join(words(text)[:3]), ngram_range=(1, 3), token_pattern=TOKEN
        ),
        "bag of words": TfidfVectorizer(token_pattern=TOKEN, sublinear_tf=True),
    }


def accuracy(name: str, data: Labelled) -> tuple[int, int]:
    """How many responses a logistic regression on one of `features` puts right, and how many it was tested on.

    Args:
        name: of the classifier.
        data: with two labels.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    right = tested = 0
    for train, test in _splits(data):
        model = make_pipeline(features()[name], LogisticRegression(solver="liblinear", max_iter=2000, random_state=0))
        with warnings.catch_warnings():
            # Labels that length or punctuation separates perfectly have no finite optimum; near it is good enough.
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit([data.texts[n] for n in train], [data.labels[n] for n in train])
        predicted = model.predict([data.texts[n] for n in test])
        right += sum(str(p) == data.labels[n] for p, n in zip(predicted, test, strict=True))
        tested += len(test)
    return right, tested


def _splits(data: Labelled) -> list[tuple[list[int], list[int]]]:
    """Indices to train on and to test on: the file's own split, else five folds of whole groups."""
    test = [n for n, held in enumerate(data.heldout) if held]
    if 0 < len(test) < len(data.texts):
        return [([n for n, held in enumerate(data.heldout) if not held], test)]
    # Groups are dealt out in turn, in the order in which they first come.
    fold = {group: n % FOLDS for n, group in enumerate(dict.fromkeys(data.groups))}
    folds = [fold[group] for group in data.groups]
    return [
        ([n for n, f in enumerate(folds) if f != out], [n for n, f in enumerate(folds) if f == out])
        for out in range(FOLDS)
    ]
