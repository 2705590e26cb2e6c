"""The grader `words`: a classifier of words, taught by a trait pack's training split. It needs no model and no network.

Logistic regression (scikit-learn) on the tf-idf of words, pairs of words and runs of two to five letters; the grade is
the probability of the axis's first pole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from lapd.files.whole import digest_json
from lapd.hookspecs import Dimension, Grade, Grader
from lapd.names import find_pack
from lapd.pluginmanager import hookimpl


class WordsGrader:
    name = "words"
    description = "a classifier of words, taught by the trait pack's training split; offline"
    version = "1"
    settings: Mapping[str, Any] = {}
    note = "it was taught by the texts that adapters are trained on, and may grade their words more than their manner"

    def refuses(self, dimension: Dimension) -> str | None:
        if not dimension.pack:
            return "it is taught by a trait pack, and no pack has it"
        return None if _taught_by(dimension) else f"the trait pack {dimension.pack} has no training situations"

    def about(self, dimension: Dimension) -> Mapping[str, Any]:
        """What the grades depend on: the texts that taught it."""
        return {"texts": digest_json(_taught_by(dimension))[:16]}

    def grade(self, batch: Sequence[tuple[str, str]], dimension: Dimension) -> list[Grade]:
        classifier = _classifier(dimension)
        return [Grade(round(100 * float(share), 2)) for share in classifier.predict_proba([r for _, r in batch])[:, 1]]


def _taught_by(dimension: Dimension) -> list[tuple[str, bool]]:
    """Each training text of the dimension's axis, and whether it is of the first pole."""
    pack = find_pack(dimension.pack)
    first, second = pack.ends[dimension.name]
    situations = [one for one in pack.situations("train") if one.axis == dimension.name]
    return [(one.responses[pole], pole == first) for one in situations for pole in (first, second)]


@cache
def _classifier(dimension: Dimension) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline, make_union

    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    letters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True)
    texts, first = zip(*_taught_by(dimension), strict=True)
    return make_pipeline(make_union(words, letters), LogisticRegression(C=10, max_iter=2000)).fit(texts, first)


@hookimpl
def lapd_register_graders(register: Callable[[Grader], None]) -> None:
    register(WordsGrader())
