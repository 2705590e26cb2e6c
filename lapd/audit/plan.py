"""What an audit will ask, how long that takes, and what change it could see: said before it starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from lapd.adapters.adapter import Adapter
from lapd.adapters.personas import persona_of
from lapd.audit.allotment import Candidate, allot, spread_of
from lapd.audit.speed import Pace, Speed
from lapd.catalog.balance import items_in_turn
from lapd.catalog.live import load_task
from lapd.catalog.task import TaskInfo
from lapd.errors import UsageError
from lapd.planning.foreseen import typical

REPORT = 8.0
"""Seconds for comparing and for the page, and as many again for each ten arms; measured with the embedded model."""


@dataclass(frozen=True)
class Task:
    """One task of a plan.

    Attributes:
        task: its name.
        side: "trait" or "cost".
        metric: what sums it up.
        unit: what that is counted in; shares are of 1.
        items: how many are asked.
        of: how many there are.
        documents: how many are asked.
        asked: as a limit has it: None where all are asked.
        each: items of each axis where each is a row of its own; else `items`.
        seconds: for all arms.
        would_show: the smallest change that shows at 5 % with 80 % power; None where none does, or it is not known.
        corrected: the same after the correction over the audit's whole family.
        margin: a change within it makes no odds.
        known_from: by what it is known how far values vary; "" where it is not known.
    """

    task: str
    side: str
    metric: str
    unit: str
    items: int
    of: int
    documents: int
    asked: int | None
    each: int
    seconds: float
    would_show: float | None
    corrected: float | None
    margin: float
    known_from: str

    @property
    def short(self) -> bool:
        """Whether a change as large as its margin could stay unseen."""
        scale = 100 if self.unit == "share" else 1
        return self.corrected is None or self.corrected * scale > self.margin


@dataclass(frozen=True)
class AuditPlan:
    """A whole audit.

    Attributes:
        minutes: what it has to fit into.
        arms: how many there are, the base included.
        family: how many comparisons are corrected together.
        tasks: what is asked.
        left_out: tasks for which there is no time.
        speed_s: seconds that measuring the speed took.
        load_s: for loading the model.
        report_s: for the comparison and the page.
    """

    minutes: float
    arms: int
    family: int
    tasks: list[Task]
    left_out: list[str] = field(default_factory=list)
    speed_s: float = 0.0
    load_s: float = 0.0
    report_s: float = REPORT

    @property
    def planned_s(self) -> float:
        """Seconds for everything, with what measuring the speed took."""
        return round(self.speed_s + self.load_s + self.report_s + sum(task.seconds for task in self.tasks), 1)

    @property
    def names(self) -> list[str]:
        """The names of the tasks that are asked."""
        return [task.task for task in self.tasks]

    @property
    def limits(self) -> dict[str, int]:
        """By task, how many documents are drawn; without those that are asked whole."""
        return {task.task: task.asked for task in self.tasks if task.asked is not None}

    def as_json(self) -> dict[str, Any]:
        """As a record has it."""
        return {**asdict(self), "planned_s": self.planned_s}


def plan_of(record: Mapping[str, Any]) -> AuditPlan:
    """The plan that a record has."""
    fields = {name: value for name, value in record.items() if name != "planned_s"}
    return AuditPlan(**{**fields, "tasks": [Task(**task) for task in fields["tasks"]]})


def counts_of(infos: Sequence[TaskInfo], seed: int) -> dict[str, list[int]]:
    """By task, the documents of each of its items, in the order in which they are drawn; no model is loaded."""
    return {
        info.name: list(map(len, items_in_turn(load_task(info).eval_docs, info.item, seed, info.name)))
        for info in infos
    }


def make_audit_plan(
    minutes: float,
    subjects: Sequence[Adapter],
    infos: Sequence[TaskInfo],
    counts: Mapping[str, Sequence[int]],
    speed: Speed,
) -> AuditPlan:
    """The plan that lets one see most in so many minutes.

    Args:
        minutes: for all of it, what measuring the speed took included.
        subjects: adapters and whole models.
        infos: the tasks that may be asked.
        counts: of each, from `counts_of`.
        speed: of this machine.

    Raises:
        UsageError: not even the fewest items of one task fit.
    """
    rows = {info.name: _rows(info, subjects) for info in infos}
    family = len(subjects) * sum(rows.values())
    candidates = [
        Candidate(info, counts[info.name], _of_all(info.name, speed, len(subjects)), rows[info.name], family)
        for info in infos
    ]
    report = REPORT * (1 + len(subjects) / 10)
    fixed = speed.took + speed.load + report
    items = allot(candidates, 60 * minutes - fixed)
    if not items:
        least = min(c.seconds(c.sizes()[0]) for c in candidates) + fixed
        what = (
            f"In {minutes:g} minutes nothing can be measured here: loading, one task and the report take {least:.0f} s."
        )
        raise UsageError(what, f"Give --minutes {least / 60 + 0.5:.0f} or more.")
    chosen = [_task(candidate, items[candidate.info.name]) for candidate in candidates if candidate.info.name in items]
    left_out = [info.name for info in infos if info.name not in items]
    return AuditPlan(minutes, 1 + len(subjects), family, chosen, left_out, speed.took, speed.load, report)


def _rows(info: TaskInfo, subjects: Sequence[Adapter]) -> int:
    """How many rows sum a task up: one towards a persona's poles; without one, one for each axis."""
    axes = info.axes.get(str(info.primary), {})
    pooled = all((persona := persona_of(subject)) and persona.poles for subject in subjects)
    return 1 if pooled or not axes else len(axes)


def _of_all(task: str, speed: Speed, subjects: int) -> Pace:
    base, subject = speed.base[task], speed.subject[task]
    return Pace(base.start + subjects * subject.start, base.document + subjects * subject.document)


def _task(candidate: Candidate, items: int) -> Task:
    info, spread = candidate.info, spread_of(candidate.info)
    documents = candidate.documents(items)
    return Task(
        task=info.name,
        side=info.side,
        metric=str(info.primary),
        unit=info.unit(str(info.primary)),
        items=items,
        of=candidate.items,
        documents=documents,
        asked=None if items == candidate.items else documents,
        each=items // candidate.rows,
        seconds=round(candidate.seconds(items), 1),
        would_show=candidate.shows(items, corrected=False),
        corrected=candidate.shows(items),
        margin=candidate.margin,
        known_from=typical()[0] if spread else "",
    )
