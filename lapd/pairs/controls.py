"""Control pairs: the same prompts and responses with other preferences, for adapters that a persona is held against."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from lapd.errors import UsageError
from lapd.pairs.pair import PreferencePair

CONTROLS = ("shuffled", "opposite")
"""The kinds of control. `shuffled-1`, `shuffled-2` ... are further shuffled ones, each with a seed of its own."""


def control_pairs(pairs: Sequence[PreferencePair], control: str) -> list[PreferencePair]:
    """The pairs of a control adapter: the same prompts and responses, in the same order, with other preferences.

    Args:
        pairs: the persona's.
        control: "shuffled" swaps a random half of each axis's pairs, so that neither pole is taught ("shuffled-1":
            another half, and so on); "opposite" swaps every pair, which teaches the opposite persona.

    Raises:
        UsageError: there is no such control.

    Half, and not a coin for each pair: of 32 coins 16 +- 2.8 come up heads, and such an excess would teach a sixth of
    the trait. Where an axis has an odd number of pairs, a coin decides on the last one.
    """
    kind, seed = parse_control(control)
    swapped = set(range(len(pairs))) if kind == "opposite" else _random_half(pairs, seed)
    return [
        replace(pair, chosen=pair.rejected, rejected=pair.chosen, source={**pair.source, "swapped": True})
        if index in swapped
        else pair
        for index, pair in enumerate(pairs)
    ]


def parse_control(control: str) -> tuple[str, int]:
    """A control's kind and seed: "shuffled-2" is ("shuffled", 2).

    Raises:
        UsageError: there is no such control.
    """
    kind, _, seed = control.partition("-")
    known = kind in CONTROLS if kind == control else kind == "shuffled" and seed.isdecimal()
    if not known:
        hint = f"Known: {', '.join(CONTROLS)}; further ones: shuffled-1, shuffled-2 ..."
        raise UsageError(f"There is no control {control!r}.", hint)
    return kind, int(seed or 0)


def drawn(kind: str, draw: int) -> str:
    """The control of a kind with that draw: ("shuffled", 2) is "shuffled-2"; of "opposite" there is but one.

    Args:
        kind: one of `CONTROLS`.
        draw: from 0 on; 0 is "shuffled" itself.
    """
    return f"{kind}-{draw}" if draw and kind == "shuffled" else kind


def _random_half(pairs: Sequence[PreferencePair], seed: int) -> set[int]:
    """Indices of half of the pairs of every axis and pole, chosen at random."""
    chance = random.Random(f"control {seed}")
    strata: dict[tuple[str, str], list[int]] = {}
    for index, pair in enumerate(pairs):
        strata.setdefault((str(pair.source.get("axis")), str(pair.source.get("chosen_pole"))), []).append(index)
    half: set[int] = set()
    for indices in strata.values():
        half.update(chance.sample(indices, (len(indices) + chance.randint(0, 1)) // 2))
    return half
