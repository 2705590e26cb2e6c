"""How the minutes are given to the tasks: each step to where it lets one see most for its time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from lapd.audit.speed import Pace
from lapd.catalog.task import TaskInfo
from lapd.compare.rows import ADAPTER
from lapd.compare.verdicts import ALPHA, NATS_MARGIN, POINTS_MARGIN
from lapd.planning.foreseen import typical
from lapd.planning.power import MOST, of_items, smallest
from lapd.planning.variances import Spreads

FEWEST = 8
"""Items of a task at least: with fewer not even a change in every second one would show after correction."""

FAR = 20.0
"""How many margins a task is taken to be blind for that is not asked, where there is no largest change."""

STEPS = 12
"""In so many steps, each larger than the last by the same factor, a task grows from the fewest items to all."""


@dataclass(frozen=True)
class Candidate:
    """A task that may be asked.

    Attributes:
        info: the task.
        counts: the documents of each of its items, in the order in which they are drawn.
        pace: of all arms together, by documents.
        rows: how many confirmatory comparisons of an arm it brings: one, or one of each axis, which share the items.
        family: how many of them the whole audit has, by which they are corrected.
    """

    info: TaskInfo
    counts: Sequence[int]
    pace: Pace
    rows: int
    family: int

    @property
    def items(self) -> int:
        """How many it has."""
        return len(self.counts)

    def documents(self, items: int) -> int:
        """How many documents so many items have."""
        return sum(self.counts[:items])

    def seconds(self, items: int) -> float:
        """How long so many items take in all arms."""
        return self.pace.seconds(self.documents(items))

    def sizes(self) -> list[int]:
        """The numbers of items that it may be asked with."""
        low = min(FEWEST * self.rows, self.items)
        factor = self.items / low
        return sorted({round(low * factor ** (step / STEPS)) for step in range(STEPS + 1)})

    def shows(self, items: int, corrected: bool = True) -> float | None:
        """The smallest change that so many items show, in its unit; None where none does, or that is not known."""
        spread = self.spread
        if spread is None:
            return None
        counted = min(1.0, spread.items / self.items) if spread.task == self.info.name else 1.0
        each = of_items(spread, max(2, int(items * counted / self.rows)))
        return smallest(each, ADAPTER, 0, ALPHA / self.family if corrected else ALPHA)

    def blindness(self, items: int) -> float:
        """That change in margins, changes within which make no odds: the less, the more one sees.

        A task that is answered in writing also tells whether answers are still coherent, the sooner the better.
        """
        return self._blindness(items) + (FAR / (1 + items) ** 0.5 if self.info.writes else 0.0)

    def _blindness(self, items: int) -> float:
        if self.spread is None:
            return float((self.items / items) ** 0.5) if items else FAR
        scale = 100 if self.spread.unit == "share" else 1
        most = MOST.get(self.spread.unit)
        shown = self.shows(items) if items else None
        if shown is None:
            return FAR if most is None else most * scale / self.margin
        return shown * scale / self.margin

    @property
    def spread(self) -> Spreads | None:
        """How far changes on what sums the task up vary, by the study's measurements."""
        return spread_of(self.info)

    @property
    def margin(self) -> float:
        """What makes no odds, in shown units."""
        names = (str(self.info.primary), self.info.name)
        usual = NATS_MARGIN if self.info.unit(str(self.info.primary)) == "nats" else POINTS_MARGIN
        return next((self.info.margins[name] for name in names if name in self.info.margins), usual)


def spread_of(info: TaskInfo) -> Spreads | None:
    """How far an adapter's changes vary on a task; of a task that was not in the study, as on its like there.

    Its like is the task with the same primary metric, or one of which its name is made ("sycophancy_of_all"); else that
    which varies most of those in the same unit. None where there is none.
    """
    every, primary = _of_adapters(), str(info.primary)
    found = [spread for spread in every if spread.task == info.name]
    found += [spread for spread in every if primary == _family(spread)]
    found += [spread for spread in every if primary.startswith(f"{_family(spread)}_")]
    found += sorted((s for s in every if s.unit == info.unit(primary)), key=lambda spread: -spread.sd)
    return found[0] if found else None


def _family(spread: Spreads) -> str:
    return spread.metric.removesuffix("_towards")


@cache
def _of_adapters() -> tuple[Spreads, ...]:
    return tuple(spread for spread in typical()[1] if spread.condition == "adapter")


def allot(candidates: Sequence[Candidate], seconds: float) -> dict[str, int]:
    """The items of each task that fit into so many seconds; tasks that are better not asked are left out.

    No task has any at first. Then the step, to one size or over several, that takes most blindness
    (`Candidate.blindness`) for its seconds is made, again and again, as long as one fits. The first ones are those of a
    side that has no task yet, so that neither goes unseen for the other, of what the model does, not says of itself.
    """
    ways = {
        c.info.name: [_Way(n, c.blindness(n), c.seconds(n) if n else 0.0) for n in (0, *c.sizes())] for c in candidates
    }
    sides = {c.info.name: c.info.side for c in candidates if not c.info.self_report}
    at = {task: some[0] for task, some in ways.items()}
    left = seconds
    while further := [
        (task, way)
        for task, some in ways.items()
        for way in some
        if way.items > at[task].items and way.seconds - at[task].seconds <= left
    ]:
        seen = {sides.get(task) for task, way in at.items() if way.items}
        unseen = [step for step in further if step[0] in sides and sides[step[0]] not in seen]
        task, best = max(unseen or further, key=lambda step: _worth(at[step[0]], step[1]))
        left -= best.seconds - at[task].seconds
        at[task] = best
    return {task: way.items for task, way in at.items() if way.items}


@dataclass(frozen=True)
class _Way:
    """A task asked with so many items: what stays unseen, in margins, and how long it takes."""

    items: int
    blindness: float
    seconds: float


def _worth(now: _Way, then: _Way) -> tuple[float, float]:
    """How much less is unseen for each second more; where nothing is, the shorter step first."""
    seconds = max(1e-9, then.seconds - now.seconds)
    return (now.blindness - then.blindness) / seconds, -seconds
