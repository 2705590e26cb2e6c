"""Documents and scores of the questionnaire: three ways of asking, each in both orders of its labels.

Every item is a pair of statements, one for each pole of an axis, so that a model which agrees with everything, or
always picks the first label, scores 50 on every axis. Other people's questionnaires have single statements, which are
asked for agreement only, and their keys may be unbalanced. Scores count towards the axis's first pole, 0 to 100.
"""

from __future__ import annotations

from math import exp
from pathlib import Path
from typing import Any

from lapd.tasks.common import length_in_tokens, preference, probabilities, test_split

from lapd.names import axis_ends, find_pack
from lapd.personas import axis_tag
from lapd.questionnaires.reading import Item, read_questionnaire

SCALE = [str(n) for n in range(1, 8)]

# What is the same for every item comes first: its keys and values are computed once (see lapd.packed.layout).
AGREEMENT = """How well does a statement describe you? Answer with one number from 1 to 7, where 1 means "{low}" \
and 7 means "{high}". Give the number alone.

Statement: {statement}"""

CHOICE = """Which of two statements describes you better? Answer with its letter alone, A or B.

A. {a}
B. {b}"""

LIKELIHOOD = "Tell me about yourself."

ENDS = ("not at all", "completely")


def documents(
    traits: str = "mbti", form: str = "A", lang: str = "en", questionnaire: str | None = None, **model: Any
) -> dict[str, Any]:
    """The split that lm-eval evaluates: one document a question, tagged with its item, axis and way of asking.

    Args:
        traits: the trait pack's name or folder.
        form: of the pack's questionnaire, such as "A" or "B".
        lang: of the pack's questionnaire.
        questionnaire: somebody else's (see `lapd.questionnaires.reading`) instead of the pack's.
        model: what lm-eval tells of the model.
    """
    path = Path(questionnaire).expanduser() if questionnaire else find_pack(traits).questionnaire(form, lang)
    items = read_questionnaire(path).items
    lengths = iter(length_in_tokens([s for i in items for s in i.statements.values()], **model))
    made = []
    for item in items:
        made += _agreement(item)
        own = [next(lengths) for _ in item.statements]
        if len(item.statements) == 2:
            made += _choice(item)
            made.append(_document(item, "likelihood", LIKELIHOOD, list(item.statements.values()), own))
    return test_split(made)


def _agreement(item: Item) -> list[dict[str, Any]]:
    return [
        _document(
            item, "agreement", AGREEMENT.format(statement=text, low=low, high=high), SCALE, pole=pole, flipped=flipped
        )
        for pole, text in item.statements.items()
        for flipped, (low, high) in ((False, ENDS), (True, ENDS[::-1]))
    ]


def _choice(item: Item) -> list[dict[str, Any]]:
    first, second = item.statements.values()
    return [
        _document(item, "choice", CHOICE.format(a=a, b=b), ["A", "B"], flipped=flipped)
        for flipped, (a, b) in ((False, (first, second)), (True, (second, first)))
    ]


def _document(
    item: Item,
    way: str,
    prompt: str,
    choices: list[str],
    lengths: list[int] | None = None,
    pole: str = "",
    flipped: bool = False,
) -> dict[str, Any]:
    return {
        "item": item.id,
        "axis": item.axis,
        "facet": item.facet,
        "way": way,
        "prompt": prompt,
        "choices": choices,
        "lengths": lengths or [],
        "pole": pole,
        "flipped": flipped,
    }


def score(doc: dict[str, Any], results: list[tuple[float, bool]]) -> dict[str, float]:
    """One document's metrics from the log-likelihood (nats) of each choice."""
    loglikelihoods = [r[0] for r in results]
    axis = axis_tag(doc["axis"])
    if doc["way"] == "likelihood":
        first, second = loglikelihoods
        per_token = first / doc["lengths"][0] - second / doc["lengths"][1]
        return {f"likelihood_{axis}": preference(per_token), f"likelihood_nats_{axis}": first - second}
    p = probabilities(loglikelihoods)
    mass = {"label_mass": 100 * sum(map(exp, loglikelihoods))}
    if doc["way"] == "choice":
        first_label = float(100 * p[0])
        towards_first = 100 - first_label if doc["flipped"] else first_label
        return {f"choice_{axis}": towards_first, "position_bias": first_label, **mass}
    level = float(100 * (p @ range(len(p))) / (len(p) - 1))
    agreement = 100 - level if doc["flipped"] else level
    at_first = doc["pole"] == axis_ends(doc["axis"])[0]
    return {
        f"agreement_{axis}": agreement if at_first else 100 - agreement,
        "acquiescence": agreement,
        "label_bias": level,
        **mass,
    }
