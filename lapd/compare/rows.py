"""The rows of one pairing: two arms on one task, metric by metric, and pooled over axes towards a persona."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Protocol

import numpy as np

from lapd.catalog.task import TaskInfo
from lapd.compare.values import Values
from lapd.names import sign_of
from lapd.personas import Persona
from lapd.statistics.limits import limit_of
from lapd.statistics.paired import FEWEST, paired_difference, smallest_majority
from lapd.statistics.shares import share_interval
from lapd.statistics.tests import sign_test

ADAPTER, TRAINING = "adapter", "training"
"""What a row is about: these adapters, where items vary; or such trainings, where items and trainings do."""

YES_OR_NO = "McNemar"
"""What the name of a test begins with that holds yes/no outcomes against each other."""


class Told(Protocol):
    """What else a test can say of its difference."""

    def detectable(self, alpha: float) -> float:
        """The smallest difference that this sample would have shown in a two-sided test at `alpha` (80 % power)."""

    def equivalence(self, margin: float) -> float | None:
        """The p of two one-sided tests that the difference lies within `margin` of 0; None where there is none."""


@dataclass
class Comparison:
    """One row: an arm and its baseline on one metric.

    Attributes:
        task: the task's name.
        metric: the metric; `<family>_towards` and `<family>_moved` are pooled over axes, towards the persona.
        axis: such as "E/I" (the score counts towards the first pole), or None.
        arm: the arm's name; of a training, what its replicates are called together.
        baseline: what it is compared with, likewise.
        persona: whose poles a pooled row counts towards, or None.
        n: items in both arms.
        missing: items that were asked and have no value in one of the two, or in neither; left out.
        arm_mean: the arm's mean over those items.
        baseline_mean: the baseline's.
        difference: arm_mean − baseline_mean.
        low: lower end of the difference's 95 % interval.
        high: upper end.
        p: two-sided, for this row alone.
        test: what gave p.
        unit: what the metric is counted in; "" for a score of which the task does not say.
        self_report: whether the task asks the model about itself.
        headline: whether the row belongs in a short table: it is pooled over axes, or an axis that nothing pools, or
            without axes; and it is no diagnostic.
        note: who judged the responses, and what that judge says of its numbers; "" for a task without a judge.
        part: the part of the items that the row is about, such as a category, or None for all of them.
        limit: "ceiling", "floor" or "constant" where nearly all items have one value in both arms, else "".
        heuristic: whether that judge is a heuristic, whose rates say nothing of safety.
        grader: what the grades are called that the row is of; "" for what is no grade.
        side: on which side the task stands: "trait", "cost" or "check"; "" where it does not say.
        primary: whether this is the row that sums the task up, or one of several axes that do.
        coherence: whether the row tells what the answers are like, whatever they say.
        versions: what the two were made with that is not the same: {"torch": {"arm": "2.14", "baseline": "2.13"}}.
        scope: "adapter": items vary, and it is about these adapters; "training": items and trainings vary.
        arms: the names of the arms that `arm` stands for, one for a single adapter.
        baselines: those that `baseline` stands for.
        spread: the standard deviation of the baseline's items, a scale on which metrics can be put beside each other.
        missing_arm: of the items that were asked, those without a value in the arm.
        missing_baseline: in the baseline.
        worst: the difference if every missing value were what lowers it most; None for a metric without bounds.
        best: if every one were what raises it most.
        p_mid: of yes/no outcomes McNemar's mid-p, which is less timid than the exact p where few items changed.
        family: "confirmatory" or "exploratory"; see `lapd.compare.verdicts`.
        family_size: how many rows are in it.
        p_holm: of a confirmatory row: corrected over its family (Holm).
        q: of an exploratory row: the false discovery rate over its family at which it counts (Benjamini, Hochberg).
        detectable: the smallest difference that would have shown (80 % power), in a confirmatory row after correction.
        margin: a difference within it makes no odds; None where there is no margin.
        p_margin: the p of two one-sided tests that the difference lies within it.
        verdict: "changed", "no change beyond the margin" or "cannot tell".
        why: why it cannot be told, where that is not for want of items: "ceiling", "floor", "constant" or "missing".
        items_needed: how many items would show a change as large as the margin; None where that is not the question.
        special: whether the difference is of another kind than the metric's values, and no margin is of it.
        told: what else the row's test can say; None for a row that was read from a file.
    """

    task: str
    metric: str
    axis: str | None
    arm: str
    baseline: str
    persona: str | None
    n: int
    missing: int
    arm_mean: float
    baseline_mean: float
    difference: float
    low: float
    high: float
    p: float
    test: str
    unit: str
    self_report: bool
    headline: bool
    told: Told | None = field(default=None, repr=False, compare=False)
    note: str = ""
    part: str | None = None
    limit: str = ""
    heuristic: bool = False
    grader: str = ""
    side: str = ""
    primary: bool = False
    coherence: bool = False
    versions: dict[str, dict[str, str]] = field(default_factory=dict)
    scope: str = ADAPTER
    arms: tuple[str, ...] = ()
    baselines: tuple[str, ...] = ()
    spread: float = 0.0
    missing_arm: int = 0
    missing_baseline: int = 0
    worst: float | None = None
    best: float | None = None
    p_mid: float | None = None
    family: str = ""
    family_size: int = 0
    p_holm: float | None = None
    q: float | None = None
    detectable: float = math.inf
    margin: float | None = None
    p_margin: float | None = None
    verdict: str = ""
    why: str = ""
    items_needed: int | None = None
    special: bool = False

    def __post_init__(self) -> None:
        self.arms = self.arms or (self.arm,)
        self.baselines = self.baselines or (self.baseline,)


@dataclass(frozen=True)
class Pairing:
    """An arm and its baseline on one task.

    Attributes:
        info: the task.
        arm: the arm's name.
        baseline: what it is compared with.
        persona: whose poles families with axes are pooled towards, if any.
        ours: the arm's values.
        theirs: the baseline's.
        unitless: the families that are no shares, though the task declares no unit for them.
        asked: for each metric, the items that were asked for it in either arm.
        clusters: what an item belongs to together with others, such as one passage; empty where each stands alone.
    """

    info: TaskInfo
    arm: str
    baseline: str
    persona: Persona | None
    ours: Values
    theirs: Values
    unitless: frozenset[str] = frozenset()
    asked: Mapping[str, Set[str]] = field(default_factory=dict)
    clusters: Mapping[str, str] = field(default_factory=dict)

    def rows(self) -> Iterator[Comparison]:
        """Every row, single metrics first; parts of the items that are too few for one are left out."""
        for metric in self._common:
            if not self.is_too_small(metric):
                yield (row := self._single(metric))
                if metric in self.info.moved:
                    yield from _moved(row, metric, self.ours[metric], self.theirs[metric])
        for family, pooled in self.pooled.items():
            yield pooled
            if not pooled.test.startswith(YES_OR_NO):  # of yes/no outcomes that is the same question already
                yield from _moved(pooled, family, *self._towards(family))

    def incomparable(self) -> list[str]:
        """The metrics that both arms have, but on no item in common, or that one of them lacks."""
        return [metric for metric in {**self.ours, **self.theirs} if metric not in self._common]

    def is_too_small(self, metric: str) -> bool:
        """Whether a metric is about so few of the items that it is no row beside the one over all of them."""
        family, place = self.info.family(metric)
        n = len(self.ours[metric].keys() & self.theirs[metric].keys())
        if self._is_part(metric):
            return n < FEWEST
        return place is not None and family in self.pooled and n < min(FEWEST, self.pooled[family].n)

    @cached_property
    def _common(self) -> list[str]:
        return [m for m in self.ours if m in self.theirs and self.ours[m].keys() & self.theirs[m].keys()]

    @cached_property
    def _main(self) -> set[str]:
        """The metrics that sum the task up: one, or one of each axis; of several filters the first."""
        family = self.info.main(self._common)
        found: dict[str | None, str] = {}
        for metric in self._common:
            if self.info.family(metric)[0] == family and not self._is_part(metric):
                found.setdefault(self.info.family(metric)[1], metric)
        return set(found.values())

    @cached_property
    def pooled(self) -> dict[str, Comparison]:
        """For each family with an axis on which the persona takes a side, the row over all of those axes."""
        found = {}
        for family in self.info.axes:
            ours, theirs = self._towards(family)
            if self.persona and ours.keys() & theirs.keys():
                metrics = [m for axis, m in self.info.axes[family].items() if self._sign(axis)]
                row = self._row(f"{family}_towards", ours, theirs, self._unit(family), metrics, headline=True)
                row.persona = self.persona.code
                row.primary = not self._main.isdisjoint(metrics)
                found[family] = row
        return found

    def _single(self, metric: str) -> Comparison:
        family, place = self.info.family(metric)
        alone = place is None or family not in self.pooled
        is_part = self._is_part(metric)
        headline = alone and not is_part and metric not in self.info.diagnostics
        row = self._row(metric, self.ours[metric], self.theirs[metric], self._unit(family), [metric], headline=headline)
        row.axis, row.part = (None, place) if is_part else (place, None)
        row.primary = alone and metric in self._main
        if metric in self.info.moved:  # of pairs of one's own the chosen responses are the persona's, known or not
            row.persona = self.persona.code if self.persona else "chosen"
        return row

    def _is_part(self, metric: str) -> bool:
        family, place = self.info.family(metric)
        return place is not None and self.info.parts.get(family, {}).get(place) == metric

    def _unit(self, family: str) -> str:
        return "" if family in self.unitless else self.info.units.get(family, "share")

    def _row(
        self,
        metric: str,
        a: Mapping[str, float],
        b: Mapping[str, float],
        unit: str,
        of: Sequence[str],
        *,
        headline: bool,
    ) -> Comparison:
        """One row, of values that come from the metrics `of`."""
        items = [item for item in a if item in b]
        x, y = np.array([a[i] for i in items]), np.array([b[i] for i in items])
        whole = 1.0 if unit not in ("points", "percent", "") else 100.0
        yes_or_no = set(x) | set(y) <= {0.0, whole}
        bounded = unit in ("share", "points", "percent") or yes_or_no
        asked = set(a).union(b, *(self.asked.get(name, ()) for name in of))
        found = paired_difference(x, y, whole, self.clusters_of(items))
        least = -whole if self.info.differences.keys() & set(of) else 0.0
        worst, best = _bounds(a, b, asked, least, whole) if bounded else (None, None)
        return Comparison(
            task=self.info.name,
            metric=metric,
            axis=None,
            arm=self.arm,
            baseline=self.baseline,
            persona=None,
            n=len(items),
            missing=len(asked) - len(items),
            missing_arm=len(asked - a.keys()),
            missing_baseline=len(asked - b.keys()),
            worst=worst,
            best=best,
            arm_mean=float(x.mean()),
            baseline_mean=float(y.mean()),
            spread=float(y.std(ddof=1)) if len(y) > 1 else 0.0,
            difference=found.difference,
            low=found.low,
            high=found.high,
            p=found.p,
            test=found.test,
            p_mid=found.p_mid,
            told=found,
            unit=unit,
            limit=limit_of(x, y, 0.0, whole) if bounded else limit_of(x, y),
            self_report=self.info.self_report,
            side=self.info.side,
            headline=headline,
        )

    def has(self, metric: str) -> bool:
        """Whether `series` has the metric."""
        family = metric.removesuffix("_towards")
        return metric in self._common or (family != metric and family in self.pooled)

    def series(self, metric: str) -> tuple[Mapping[str, float], Mapping[str, float]]:
        """Both arms' values of a metric, or of a family over all axes, counted towards the persona's poles."""
        family = metric.removesuffix("_towards")
        if family != metric and family in self.info.axes:
            return self._towards(family)
        return self.ours[metric], self.theirs[metric]

    def clusters_of(self, items: Sequence[str]) -> np.ndarray | None:
        """Which items belong together, as numbers; None where each stands for itself."""
        if not self.clusters:
            return None
        numbers: dict[str, int] = {}
        return np.array([numbers.setdefault(self.clusters.get(item, item), len(numbers)) for item in items])

    def _towards(self, family: str) -> tuple[dict[str, float], dict[str, float]]:
        """Both arms' values of a family over all axes, counted towards the persona's poles."""
        return self._turned(family, self.ours), self._turned(family, self.theirs)

    def _turned(self, family: str, values: Values) -> dict[str, float]:
        turned = {}
        points = self._unit(family) == "points"
        for axis, metric in self.info.axes[family].items():
            sign = self._sign(axis)
            for item, value in values.get(metric, {}).items():
                if sign:
                    # Points run from 0 to 100, so the other pole's share is the rest; nats are odds and change sign.
                    turned[item] = value if sign > 0 else (100 - value if points else -value)
        return turned

    def _sign(self, axis: str) -> int:
        return sign_of(axis, self.persona.poles.get(axis)) if self.persona else 0


@dataclass(frozen=True)
class Majority:
    """Of n items that changed, a share that moved up, held against one half by the sign test."""

    n: int

    def detectable(self, alpha: float) -> float:
        """See `Told`."""
        return smallest_majority(self.n, alpha)

    def equivalence(self, margin: float) -> float | None:
        """See `Told`: a share of the items that moved has no margin."""
        return None


def _moved(row: Comparison, family: str, a: Mapping[str, float], b: Mapping[str, float]) -> Iterator[Comparison]:
    """The share of the items that changed at all on which the arm moved up; 50 % is chance. No row of a few of them."""
    changes = [a[item] - b[item] for item in a if item in b]
    ups, downs = sum(c > 0 for c in changes), sum(c < 0 for c in changes)
    n = ups + downs
    if n < min(FEWEST, row.n):
        return
    low, high = share_interval(ups, n) if n else (0.0, 1.0)
    share = ups / n if n else 0.5
    yield replace(
        row,
        metric=f"{family}_moved",
        n=n,
        arm_mean=share,
        baseline_mean=0.5,
        difference=share - 0.5,
        low=low - 0.5,
        high=high - 0.5,
        p=sign_test(ups, downs),
        told=Majority(n),
        test="sign test",
        unit="share",
        primary=False,
        special=True,
        p_mid=None,
        worst=None,
        best=None,
    )


def _bounds(
    a: Mapping[str, float], b: Mapping[str, float], asked: Set[str], least: float, most: float
) -> tuple[float, float]:
    """The mean difference over all items that were asked, if what is missing were at its worst and at its best."""
    lowest = [a.get(item, least) - b.get(item, most) for item in asked]
    highest = [a.get(item, most) - b.get(item, least) for item in asked]
    return float(np.mean(lowest)), float(np.mean(highest))
