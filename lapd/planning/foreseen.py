"""What the plan at hand would let one see, and what it would with one more training seed.

Like `lapd.planning.power`, but before anything has to be finished: how far values vary is taken from the run's finished
cells where there are some, else from `data/variances.json`, what another run measured on the shipped tasks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from lapd.catalog.task import TaskInfo
from lapd.compare.controls import Arms, baselines_of, is_shuffled, pooled_controls
from lapd.compare.rows import ADAPTER, TRAINING
from lapd.compare.verdicts import ALPHA, CONFIRMATORY, EXPLORATORY
from lapd.designs.outcomes import groups_of_arms, strength_of
from lapd.evaluate.estimate import WouldShow
from lapd.files.whole import read_record
from lapd.planning.finished import is_plain, spreads_of_finished
from lapd.planning.power import of_items, smallest, with_trainings
from lapd.planning.variances import Spreads, condition_of
from lapd.record.cells import Cell
from lapd.record.store import Store

SCHEMA = "lapd.variances/1"

THIS_RUN = "this run"


@dataclass(frozen=True)
class Design:
    """What arms there would be.

    Attributes:
        replicates: by condition ("adapter", "adapter+prompt", "prompt"), how many trainings of a persona there are, the
            most of any, and how many shuffled controls they can be held against together.
        comparisons: how many confirmatory ones there are on each task.
    """

    replicates: Mapping[str, tuple[int, int]]
    comparisons: int


def design_of(arms: Arms) -> Design:
    """What arms allow to say, by the rule of `lapd.compare.verdicts`.

    Args:
        arms: by name, as a run's record has them.
    """
    found: dict[str, tuple[int, int]] = {}
    comparisons = 0
    for group in groups_of_arms(arms).values():
        first = arms[group[0]]
        if first.get("adapter_control") or strength_of(first) != 1:
            continue
        controls = len(pooled_controls(arms, group)) if first["adapter"] else 0
        found[condition_of(first)] = max(found.get(condition_of(first), (0, 0)), (len(group), controls))
        single = [base for arm in group for base in baselines_of(arms, arm) if is_shuffled(arms[base])]
        comparisons += 1 + (1 if controls else len(single))
    return Design(found, comparisons)


def would_show(
    store: Store, cells: Sequence[Cell], arms: Arms, with_another: Arms
) -> tuple[list[WouldShow], list[str]]:
    """What the cells of a plan would show of what sums each task up, and the tasks of which that cannot be told.

    Args:
        store: the run folder, which need not be there yet.
        cells: the plan's.
        arms: the plan's, by name, as the run's record would have them.
        with_another: the same with one more training seed.
    """
    infos = {cell.task.name: cell.task for cell in cells}
    limits = {cell.task.name: cell.settings.limit for cell in cells}
    trained = [cell.name for cell in cells if cell.arm.adapter is None or cell.arm.adapter.digest]
    known = _known(spreads_of_finished(store, trained, infos), infos)
    now, then = design_of(arms), design_of(with_another)
    confirmatory = sum(is_plain(info) and info.side in ("trait", "cost") for info in infos.values())
    rows = [
        row
        for task, by_condition in known.items()
        for condition in now.replicates
        if condition in by_condition
        for row in _Told(*_limited(*by_condition[condition], limits[task]), condition, confirmatory).rows(now, then)
    ]
    return rows, [name for name in infos if name not in {row.task for row in rows}]


def _limited(found: Spreads, source: str, limit: int | None) -> tuple[Spreads, str]:
    """Another run's items are no more than this one asks; its own are what it asked."""
    less = not source.startswith(THIS_RUN) and limit is not None and limit < found.items
    return (of_items(found, limit) if less and limit else found), source


def _known(ours: Sequence[Spreads], infos: Mapping[str, TaskInfo]) -> dict[str, dict[str, tuple[Spreads, str]]]:
    """By task and condition, how far values vary, and by what that is known: this run's cells first."""
    source, others = typical()
    known: dict[str, dict[str, tuple[Spreads, str]]] = {name: {} for name in infos}
    for found in others:
        if found.task in known:
            known[found.task][found.condition] = found, source
    for by_condition in known.values():  # that another run asked without the prompt is near enough
        if "adapter" in by_condition:
            by_condition.setdefault("adapter+prompt", by_condition["adapter"])
    for found in ours:
        other, _ = known[found.task].get(found.condition, (found, ""))
        if found.trainings_sd is None and other.trainings_sd is not None and other.metric == found.metric:
            with_theirs = with_trainings(found, other.trainings_sd)
            known[found.task][found.condition] = with_theirs, f"{THIS_RUN}; between trainings {source}"
        else:
            known[found.task][found.condition] = found, THIS_RUN
    return known


def typical() -> tuple[str, list[Spreads]]:
    """What `data/variances.json` is from, and how far values varied there on the shipped tasks."""
    from lapd.data import FOLDER

    record = read_record(FOLDER / "variances.json", SCHEMA)
    return str(record["source"]), [Spreads(**row) for row in record["rows"]]


@dataclass(frozen=True)
class _Told:
    """One task under one condition."""

    found: Spreads
    source: str
    condition: str
    tasks: int

    def rows(self, now: Design, then: Design) -> Iterator[WouldShow]:
        """About one adapter where each is trained once, and about trainings where it is known how far they differ."""
        (seeds, controls), (more, more_controls) = now.replicates[self.condition], then.replicates[self.condition]
        trained = self.found.trainings_sd is not None and self.condition != "prompt"
        if seeds == 1 or not trained:
            yield self._row(ADAPTER, (now, 1, 0), None)
        if trained:
            yield self._row(TRAINING, (now, seeds, 0), (then, more, 0))
        if trained and more_controls:
            yield self._row(TRAINING, (now, seeds, controls), (then, more, more_controls))

    def _row(self, scope: str, now: tuple[Design, int, int], then: tuple[Design, int, int] | None) -> WouldShow:
        (design, seeds, controls), found = now, self.found
        held = controls or (then[2] if then else 0)
        apart = bool(held) and not controls  # too few controls yet
        return WouldShow(
            task=found.task,
            metric=found.metric,
            unit=found.unit,
            condition=self.condition,
            against="controls" if held else "base",
            scope=scope,
            items=found.items,
            clusters=found.units if found.units < found.items else None,
            seeds=seeds if scope == TRAINING else None,
            controls=controls,
            family=CONFIRMATORY if found.confirmatory else EXPLORATORY,
            family_size=self._family(design),
            detectable_alone=None if apart else self._smallest(scope, seeds, controls, 1),
            detectable=None if apart else self._smallest(scope, seeds, controls, self._family(design)),
            another_seed=self._smallest(scope, then[1], then[2], self._family(then[0])) if then else None,
            source=self.source,
        )

    def _family(self, design: Design) -> int:
        return max(1, design.comparisons * self.tasks) if self.found.confirmatory else 1

    def _smallest(self, scope: str, seeds: int, controls: int, family: int) -> float | None:
        return smallest(replace(self.found, seeds=seeds), scope, controls, ALPHA / family)
