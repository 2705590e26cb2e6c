"""Held-out pairs: what a training does not learn from, how often it is scored on them, and when that ends it early.

Of each pair the margin is scored: the log-odds of chosen against rejected under the policy, less those under the base
model, in nats. The scores are `heldout_margin`, the mean, and `heldout_accuracy`, the share of pairs that moved towards
chosen (a tie counts half, so that an untrained adapter has 0.5).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lapd.errors import UsageError

SCORES = ("heldout_margin", "heldout_accuracy")

MOST = 24
"""Held-out pairs that are scored where none is said: enough to see a trend, few enough to cost little."""

SHARE = 0.1
"""How much longer a training may take for scoring held-out pairs, about; `--eval-every` overrides it."""

FORWARD = 0.45
"""What scoring a pair costs, as a share of a training step on it: forward only, one pair at a time (measured: 2
cores, float32, the embedded model)."""


@dataclass(frozen=True)
class StopRule:
    """Ends a training as soon as a held-out score is high enough.

    Attributes:
        score: one of `SCORES`.
        threshold: the score that ends it.
    """

    score: str
    threshold: float

    @classmethod
    def parse(cls, text: str) -> StopRule:
        """A rule such as "heldout_accuracy>=0.95".

        Raises:
            UsageError: it is no such rule.
        """
        found = re.fullmatch(r"\s*(\w+)\s*>=\s*([-+.\deE]+)\s*", text)
        hint = "Write heldout_accuracy>=0.95 or heldout_margin>=5, in quotation marks."
        if found is None or found[1] not in SCORES:
            raise UsageError(f"--stop-when {text!r} is no rule.", hint)
        try:
            threshold = float(found[2])
        except ValueError:
            raise UsageError(f"--stop-when {text!r}: {found[2]!r} is no number.", hint) from None
        return cls(found[1], threshold)

    def met(self, scores: Mapping[str, float]) -> bool:
        """Whether these scores end the training."""
        return scores[self.score] >= self.threshold

    def __str__(self) -> str:
        return f"{self.score}>={self.threshold!r}"


def scores_of(margins: Sequence[float]) -> dict[str, float]:
    """The scores of held-out margins (nats), by name."""
    moved = sum((margin > 0) + 0.5 * (margin == 0) for margin in margins)
    return {"heldout_margin": sum(margins) / len(margins), "heldout_accuracy": moved / len(margins)}


def default_pairs(trained: int) -> int:
    """How many held-out pairs are scored beside so many training pairs, where none is said."""
    return min(MOST, max(4, trained // 8))


def default_interval(steps: int, pairs_a_step: int, heldout: int) -> int:
    """Steps between two scorings where none is said: a quarter of all, or more where that would cost too much."""
    return max(math.ceil(steps / 4), math.ceil(heldout * FORWARD / (pairs_a_step * SHARE)))
