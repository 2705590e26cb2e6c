"""What a training came to, in words that say how many pairs speak, from its run card."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import mean
from typing import Any

from lapd.statistics.tests import sign_test

ALPHA = 0.05
"""A share of held-out pairs is told from chance when the sign test's p is below this."""

FEWEST = 6
"""With fewer held-out pairs no share of them can be told from chance."""

FALLEN = 0.8
"""A loss has fallen once its mean over the last quarter of the steps is below so much of the first step's."""

SMALL = 0.2
"""Where pairs are too few for a test: a held-out shift below so much of the training pairs' own counts as none."""


@dataclass(frozen=True)
class Outcome:
    """The ends of a training's curves.

    Attributes:
        steps: of the optimizer.
        first: the first step's loss.
        last: the mean loss over the last quarter of the steps.
        shift: how far the training pairs moved towards chosen over that quarter, in nats; NaN where it is not known.
        heldout: how far the held-out pairs moved at the last scoring, in nats on average; None if none were scored.
        share: of the held-out pairs, those that moved towards chosen.
        pairs: how many held-out pairs there are; 0 where it is not known.
        chosen: how far the chosen responses' log-probability moved over that quarter, in nats; NaN where it is not
            known.
    """

    steps: int
    first: float
    last: float
    shift: float
    heldout: float | None
    share: float
    pairs: int
    chosen: float = math.nan

    @property
    def fell(self) -> bool:
        """Whether the training loss fell clearly."""
        return self.last < FALLEN * self.first

    @property
    def p(self) -> float:
        """Of the held-out pairs' share against chance: two-sided, by the sign test."""
        ups = round(self.share * self.pairs)
        return sign_test(ups, self.pairs - ups)

    @property
    def nothing_heldout(self) -> bool:
        """Whether held-out pairs were scored and their shift is none that could be told."""
        if self.heldout is None:
            return False
        if self.pairs < FEWEST:
            return abs(self.heldout) < SMALL * self.shift
        return self.p >= ALPHA

    @property
    def scores(self) -> str:
        """The held-out scores: "+1.90 nats, 88% of 24 pairs"."""
        if self.heldout is None:
            return "none"
        return f"{self.heldout:+.2f} nats, {self.share:.0%} of {self.pairs or '?'} pairs"


def outcome(card: Mapping[str, Any]) -> Outcome | None:
    """The outcome of the training that a run card is of; None for an adapter that was not trained, or kept no log."""
    log = card.get("log") or []
    losses = [(entry["loss"], entry.get("margin", math.nan)) for entry in log if "loss" in entry]
    if not losses:
        return None
    quarter = math.ceil(len(losses) / 4)
    end = losses[-quarter:]
    rewards = [entry.get("chosen_reward", math.nan) for entry in log if "loss" in entry][-quarter:]
    settings, heldout = card.get("settings", {}), card.get("data", {}).get("heldout", {})
    scored = [entry for entry in log if "heldout_margin" in entry]
    last = scored[-1] if scored else {}
    return Outcome(
        int(settings.get("steps", len(losses))),
        losses[0][0],
        mean(loss for loss, _ in end),
        mean(margin for _, margin in end) / settings.get("beta", math.nan),
        last.get("heldout_margin"),
        last.get("heldout_accuracy", math.nan),
        int(heldout.get("pairs", 0)),
        mean(rewards) / settings.get("beta", math.nan),
    )


def told(card: Mapping[str, Any], name: str) -> list[str]:
    """What a training came to, in sentences.

    Args:
        card: the adapter's run card.
        name: what the adapter is called.
    """
    if (found := outcome(card)) is None:
        return []
    fell = f"from {found.first:.2f} to {found.last:.2f}"
    lines = [f"Loss {fell} in {found.steps} steps; held-out: {found.scores}."]
    if place := (settings := card.get("settings", {})).get("steered"):
        loss = f"loss {fell} on the {settings['pairs_for_choice']} pairs that chose it"
        lines = [f"Steers {place} of {settings['layers']} layers, {loss}; held-out: {found.scores}."]
    if found.chosen < 0 < found.shift:
        lines.append(
            f"The chosen responses became less likely too ({found.chosen:+.1f} nats over the last quarter of steps): "
            "the margin rose because the rejected ones fell further."
        )
    if found.heldout is None:
        return lines
    if card.get("control") and found.fell and found.nothing_heldout:
        shift = f"{found.heldout:+.2f} nats on {found.pairs} pairs"
        lines.append(
            f"{name} memorised its pairs: the training loss fell {fell}, as a persona's does, and the held-out shift "
            f"stays near 0 ({shift}). So it should be with a control."
        )
    elif found.pairs < FEWEST:
        lines.append(f"So few held-out pairs cannot be told from chance (--eval-pairs, from {FEWEST} on).")
    elif found.nothing_heldout:
        but = ": nothing of what the loss gained shows on other pairs" if found.fell else ""
        lines.append(f"That share is what chance gives (p = {found.p:.2f}, sign test){but}.")
    return lines
