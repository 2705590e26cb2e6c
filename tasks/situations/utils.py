"""Documents and scores of the held-out situations: which pole's response does the model find likelier?

`log_odds_*` is the log-likelihood of the first pole's response less that of the second's, in nats: what an adapter
shifts. `prefer_*` is 100 where the first pole's response is the likelier one per token, 50 where they tie:
the raw preference.
"""

from __future__ import annotations

from itertools import zip_longest
from typing import Any

from lapd.tasks.common import length_in_tokens, preference, test_split

from lapd.names import find_pack
from lapd.personas import axis_tag
from lapd.reasoning import answer_of
from lapd.traits.pack import TraitPack
from lapd.traits.situations import Situation


def documents(traits: str = "mbti", lang: str = "en", **model: Any) -> dict[str, Any]:
    """One document a held-out situation, with the response of each pole of its axis as the choices.

    Args:
        traits: the trait pack's name or folder.
        lang: the language of the situations.
        model: what lm-eval tells of the model.
    """
    situations = _in_turn(find_pack(traits), lang)
    lengths = length_in_tokens([r for s in situations for r in s.responses.values()], **model)
    return test_split(
        [
            {**_describe(s), "choices": list(s.responses.values()), "lengths": lengths[2 * n : 2 * n + 2]}
            for n, s in enumerate(situations)
        ]
    )


def open_documents(traits: str = "mbti", lang: str = "en", per_axis: int | None = None, **_: Any) -> dict[str, Any]:
    """The held-out situations, to be answered freely: all, or the first `per_axis` of each axis."""
    return test_split([_describe(s) for s in _in_turn(find_pack(traits), lang, per_axis)])


def _in_turn(pack: TraitPack, lang: str, per_axis: int | None = None) -> list[Situation]:
    """The pack's held-out situations, the axes in turn, so that `--limit` takes evenly of them."""
    heldout = pack.situations("heldout", lang)
    by_axis = [[s for s in heldout if s.axis == axis][:per_axis] for axis in pack.ends]
    return [situation for some in zip_longest(*by_axis) for situation in some if situation]


def _describe(situation: Situation) -> dict[str, Any]:
    return {"item": situation.id, "axis": situation.axis, "topic": situation.topic, "prompt": situation.situation}


def score(doc: dict[str, Any], results: list[tuple[float, bool]]) -> dict[str, float]:
    """One situation's metrics from the log-likelihood (nats) of each pole's response."""
    first, second = (r[0] for r in results)
    axis = axis_tag(doc["axis"])
    per_token = first / doc["lengths"][0] - second / doc["lengths"][1]
    return {f"log_odds_{axis}": first - second, f"prefer_{axis}": preference(per_token)}


def describe(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """The length of a free answer, in words, without reasoning; left out where reasoning is all that there is."""
    answer = answer_of(results[0])
    return {"words": float(len(answer.split()))} if answer or not results[0] else {}
