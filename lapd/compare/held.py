"""What is left of a persona's shift behind other talk: the share of the plain shift, with its interval.

A task tells in its metadata, under `held`, which family of metrics is of the plain items and which of each context. A
share is of two means over items, of one pairing of arms: single items have none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from lapd.compare.rows import Comparison, Pairing
from lapd.names import sign_of
from lapd.statistics.paired import FEWEST, Paired, paired_difference
from lapd.statistics.ratios import ratio_of_means

PLAIN = "plain"


def held_rows(pairing: Pairing) -> Iterator[Comparison]:
    """A row for each context: the arm's share of its plain shift from the baseline, against all of it.

    There is none where the plain shift itself is not told from zero, or the items are fewer than `FEWEST`. Its p is
    that of the paired difference of the two shifts, which is zero where all is left.
    """
    held = pairing.info.held
    if pairing.persona is None or PLAIN not in held:
        return
    plain = _shifts(pairing, held[PLAIN])
    for context, families in held.items():
        found = _shifts(pairing, families)
        items = [item for item in plain if item in found]
        if context != PLAIN and len(items) >= FEWEST:
            behind, before = (np.array([shifts[item] for item in items]) for shifts in (found, plain))
            yield from _row(pairing, context, behind, before, len(plain.keys() | found.keys()))


def without_share(pairings: Iterable[Pairing]) -> Iterator[str]:
    """Why an arm has no row of what is left, in a sentence for each."""
    for pairing in pairings:
        if pairing.persona and PLAIN in pairing.info.held and not list(held_rows(pairing)):
            yield (
                f"No share of the shift in {pairing.info.name} of {pairing.arm} against {pairing.baseline}: the shift "
                "itself is not told from zero."
            )


def _row(pairing: Pairing, context: str, behind: np.ndarray, before: np.ndarray, asked: int) -> Iterator[Comparison]:
    if (share := ratio_of_means(behind, before)) is None:
        return
    lost = paired_difference(behind, before)
    yield Comparison(
        task=pairing.info.name,
        metric=f"held_{context}",
        axis=None,
        arm=pairing.arm,
        baseline=pairing.baseline,
        persona=None,
        n=len(before),
        missing=asked - len(before),
        arm_mean=share.ratio,
        baseline_mean=1.0,
        difference=share.ratio - 1,
        low=share.low - 1,
        high=share.high - 1,
        p=lost.p,
        told=_Share(lost, abs(float(before.mean()))),
        test=f"{lost.test}, Fieller's interval",
        unit="share",
        self_report=pairing.info.self_report,
        headline=True,
        side=pairing.info.side,
        special=True,
    )


@dataclass(frozen=True)
class _Share:
    """The difference of two shifts, as a share of one of them."""

    lost: Paired
    whole: float

    def detectable(self, alpha: float) -> float:
        return self.lost.detectable(alpha) / self.whole

    def equivalence(self, margin: float) -> float | None:
        return None


def _shifts(pairing: Pairing, families: str | Sequence[str]) -> dict[str, float]:
    """How far the arm lies from its baseline on each item, towards the persona's poles.

    Args:
        pairing: the arms.
        families: a family of metrics; or two, behind a turn in the voice of each axis's first and second pole, of which
            the one counts that the persona does not have.
    """
    assert pairing.persona is not None
    found: dict[str, float] = {}
    for axis, pole in pairing.persona.poles.items():
        sign = sign_of(axis, pole)
        if not sign:
            continue
        family = families if isinstance(families, str) else families[sign > 0]
        metric = pairing.info.axes.get(family, {}).get(axis, "")
        ours, theirs = pairing.ours.get(metric, {}), pairing.theirs.get(metric, {})
        found |= {item: sign * (ours[item] - theirs[item]) for item in ours if item in theirs}
    return found
