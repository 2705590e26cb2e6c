"""Flips: items on which an arm came out on the other side than its baseline, and what the two sides are called."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lapd.catalog.task import USUAL, TaskInfo

OUTCOMES = {"flagged": ("not flagged", "flagged"), "refused": ("answered", "refused")}
"""What the two outcomes of a yes/no metric are called, by how its name begins."""


@dataclass(frozen=True)
class Scale:
    """Where a metric's values change sides.

    Attributes:
        middle: on neither side; higher values are on the second.
        sides: what the two are called.
        pole: whether the second side is an axis's first pole, or a persona's, and not a yes or a right answer.
    """

    middle: float
    sides: tuple[str, str]
    pole: bool = False

    def flip(self, before: float, after: float, sign: int = 1) -> str:
        """ "right to wrong", where the two values lie on different sides; else "".

        Args:
            before: the baseline's value.
            after: the arm's.
            sign: of the persona's pole on the axis; with -1 the persona's is the lower side.
        """
        one, other = sign * (before - self.middle), sign * (after - self.middle)
        if one * other >= 0:
            return ""
        return f"{self.sides[one > 0]} to {self.sides[other > 0]}"


def scale_of(info: TaskInfo, metric: str, values: Iterable[float]) -> Scale | None:
    """Where a metric's values change sides; None where they have none, such as a length.

    Args:
        info: the task.
        metric: one of its metrics, or families of axis metrics.
        values: all that there are, one a document: only a metric that is always yes or no has an outcome.
    """
    family, place = info.family(metric)
    unit = info.unit(metric)
    if place is not None and family in info.axes:
        return Scale(50.0 if unit == "points" else 0.0, ("away", "towards"), pole=True)
    if family in info.moved:
        return Scale(50.0 if unit == "points" else 0.0, ("rejected", "chosen"))
    full = {"share": 1.0, "percent": 100.0}.get(unit)
    if full is None or not {0.0, full}.issuperset(values):
        return None
    if family in USUAL:
        return Scale(full / 2, ("wrong", "right"))
    words = family.replace("_", " ")
    known = next((sides for start, sides in OUTCOMES.items() if family.startswith(start)), (f"not {words}", words))
    return Scale(full / 2, known)
