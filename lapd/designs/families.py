"""The correction of a design's p values, over its confirmatory and its exploratory family."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from lapd.compare.verdicts import CONFIRMATORY, EXPLORATORY
from lapd.statistics.tests import benjamini_hochberg, holm


class Tested(Protocol):
    """What has a p that is corrected over its family."""

    p: float
    family: str
    family_size: int
    p_holm: float | None
    q: float | None


def correct(found: Iterable[Tested]) -> None:
    """Give each confirmatory one its `p_holm` (Holm), each exploratory one its `q` (Benjamini and Hochberg)."""
    every = list(found)
    for family, adjust in ((CONFIRMATORY, holm), (EXPLORATORY, benjamini_hochberg)):
        members = [one for one in every if one.family == family]
        for one, corrected in zip(members, adjust([one.p for one in members]), strict=True):
            one.family_size = len(members)
            one.p_holm, one.q = (corrected, None) if family == CONFIRMATORY else (None, corrected)


def adjusted(one: Tested) -> float:
    """Its p after the correction."""
    if one.p_holm is not None:
        return one.p_holm
    return one.p if one.q is None else one.q
