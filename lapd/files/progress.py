"""Progress bars on standard error: what is running, how far, how long to go."""

from __future__ import annotations

import sys
from typing import Any


def bar(total: int, what: str, unit: str, quiet: bool = False) -> Any:
    """A tqdm bar that leaves its last state on the screen; silent where standard error is no terminal or file wanted.

    Args:
        total: how many units there are.
        what: shown in front.
        unit: shown in the rate.
        quiet: show nothing.
    """
    from tqdm import tqdm

    return tqdm(
        total=total,
        desc=what,
        unit=unit,
        disable=quiet,
        file=sys.stderr,
        dynamic_ncols=True,
        unit_scale=total > 9999,
        # A log file gets a line now and then, not ten a second.
        mininterval=0.2 if sys.stderr.isatty() else 20,
        smoothing=0.1,
    )


def say(text: str) -> None:
    """A line on standard error, above a bar if one is there."""
    from tqdm import tqdm

    tqdm.write(text, file=sys.stderr)
