"""When a training has diverged."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean

from lapd.errors import LapdError

LAST, FAR = 10, 10
"""A training has diverged once the mean loss of so many steps is so many times that of the first step."""


def check_log(log: Sequence[Mapping[str, float]], kept: Path | None = None) -> None:
    """Refuse a training that has diverged.

    That is: the loss or the gradient's norm is not a finite number, or the mean loss of the last ten steps is more
    than ten times that of the first step.

    Args:
        log: the training's so far, as in a `TrainResult`.
        kept: the newest checkpoint, for the message.

    Raises:
        LapdError: with advice.
    """
    losses = [entry["loss"] for entry in log if "loss" in entry]
    reason = ""
    for entry in log:
        for name, what in (("loss", "loss"), ("grad_norm", "gradient")):
            if not reason and not math.isfinite(entry.get(name, 0.0)):
                reason = f"the {what} is not a number at step {entry['step']:.0f}"
    if not reason and len(losses) > LAST and mean(losses[-LAST:]) > FAR * abs(losses[0]):
        reason = f"the loss is {mean(losses[-LAST:]):.3g} on average over the last {LAST} steps, from {losses[0]:.3g}"
    if reason:
        hint = "Lower --lr, raise --beta or --warmup, or train with --precision float32."
        where = f" {kept} is the last good checkpoint." if kept else ""
        raise LapdError(f"Training diverged: {reason}.", hint + where)
