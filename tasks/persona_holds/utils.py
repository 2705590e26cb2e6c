"""Documents and scores of the held-out situations behind other turns: what is left there of a persona's shift?

`log_odds_*` is as in `situations`: the log-likelihood of the first pole's response less that of the second's, in nats.
The situation and the two responses are the same in every context; only what was said before differs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from lapd.tasks.common import test_split
from lapd.tasks.persona_holds.contexts import DROPS, REPLY, TALKS

from lapd.names import find_pack
from lapd.personas import axis_tag
from lapd.traits.situations import Situation

VOICES = ("after_first", "after_second")
"""Contexts of one turn in the voice of the axis's first pole, or of its second."""

LENGTHS = (2, 4, 8)
"""Turns of talk; two are a question and its answer."""


def documents(traits: str = "mbti", lang: str = "en", per_axis: int = 15, **_: Any) -> dict[str, Any]:
    """Up to eight documents for each of the first `per_axis` held-out situations of each axis, the axes in turn.

    Args:
        traits: the trait pack's name or folder.
        lang: the language of the situations; what stands before them is in English.
        per_axis: situations of each axis.
    """
    pack = find_pack(traits)
    order = list(pack.ends)
    heldout, train = (_by_axis(pack.situations(split, lang)) for split in ("heldout", "train"))
    chosen = [(n, s) for of_axis in heldout.values() for n, s in enumerate(of_axis[:per_axis])]
    chosen.sort(key=lambda numbered: (numbered[0], order.index(numbered[1].axis)))
    return test_split([doc for n, s in chosen for doc in _in_contexts(n, s, train[s.axis] or heldout[s.axis])])


def _by_axis(situations: Sequence[Situation]) -> defaultdict[str, list[Situation]]:
    found = defaultdict(list)
    for situation in sorted(situations, key=lambda s: s.id.rpartition("-")[2]):
        found[situation.axis].append(situation)
    return found


def _in_contexts(number: int, situation: Situation, spoken: Sequence[Situation]) -> Iterator[dict[str, Any]]:
    """An item's documents: plain, two of the ways to drop the role, one talk at three lengths, and both voices.

    Args:
        number: the situation's among its axis's, by which its variants go.
        situation: what is asked.
        spoken: situations of its axis; one of them, another one, is the turn in either pole's voice.
    """
    yield _document(situation, "plain")
    for n in (2 * number, 2 * number + 1):
        yield _document(situation, "drop", DROPS[n % len(DROPS)], REPLY)
    for length in LENGTHS:
        yield _document(situation, f"talk_{length}", *TALKS[number % len(TALKS)][:length])
    if others := [s for s in spoken if s.id != situation.id]:
        before = others[number % len(others)]
        for way, response in zip(VOICES, before.responses.values(), strict=True):
            yield _document(situation, way, before.situation, response)


def _document(situation: Situation, way: str, *turns: str) -> dict[str, Any]:
    return {
        "item": situation.id,
        "axis": situation.axis,
        "topic": situation.topic,
        "way": way,
        "turns": list(turns),
        "prompt": situation.situation,
        "choices": list(situation.responses.values()),
    }


def score(doc: dict[str, Any], results: list[tuple[float, bool]]) -> dict[str, float]:
    """One document's metric from the log-likelihood (nats) of each pole's response."""
    first, second = (r[0] for r in results)
    return {f"log_odds_{doc['way']}_{axis_tag(doc['axis'])}": first - second}
