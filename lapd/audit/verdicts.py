"""What an audit came to: a verdict for each thing that was asked, sentences, and what it could not see."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lapd.audit.plan import AuditPlan
from lapd.compare.comparisons import Comparison, compare_measured
from lapd.compare.measured import read_measured
from lapd.compare.verdicts import adjusted
from lapd.report.contents import read_run
from lapd.report.glance.checkpoints import SIDES, Step, steps_of, trainings
from lapd.report.glance.sentences import Answer, answers, sentence
from lapd.report.glance.subjects import ADAPTER, Line, Subject, coherence_of, subjects
from lapd.report.labels import in_words, shown, unit_of_difference, verdict
from lapd.report.limits import limits

GRADED = {"up": "better", "down": "worse"}
WORDS = {"trait": {"up": "bought", "down": "lost"}, "cost": GRADED, "coherence": GRADED}
"""What a change is called, by side and outcome; of a trait without a persona, either way is bought."""


@dataclass(frozen=True)
class Verdict:
    """What can be said of one arm on what sums one task up, or on how coherent its written answers are.

    Attributes:
        arm: its name.
        side: "trait", "cost" or "coherence".
        task: the task's name.
        metric: what sums it up, or one of `COHERENCE`.
        axis: that it is on, where each axis is a row of its own; the difference counts towards its first pole.
        persona: whose poles it counts towards; None without one.
        verdict: "changed", "no change", "cannot tell", "at a ceiling" ..., as reports have it.
        change: of what changed: "bought", "lost", "better" or "worse"; else "".
        difference: from the base, in `unit`; shares are of 1.
        low, high: its 95 % interval; None without bounds.
        unit: what it is counted in.
        p: of this one alone.
        adjusted: corrected over its family.
        would_show: the smallest difference that would have shown; None where none would.
        margin: a difference within it makes no odds.
        items: how many.
        control: whether the arm is a control of another.
    """

    arm: str
    side: str
    task: str
    metric: str
    axis: str | None
    persona: str | None
    verdict: str
    change: str
    difference: float
    low: float | None
    high: float | None
    unit: str
    p: float
    adjusted: float
    would_show: float | None
    margin: float | None
    items: int
    control: bool = False


@dataclass(frozen=True)
class Told:
    """What an audit came to.

    Attributes:
        run: the run folder.
        page: its report.
        base: the base's name.
        plan: what was planned.
        verdicts: of each arm on each task, those of traits first.
        sentences: for each arm, what it bought, what it cost, how sure that is.
        answers: the questions that a reader comes with.
        rows: the comparisons behind the verdicts.
        written: what is behind the verdicts on how coherent written answers are.
        not_seen: what the audit could not see, in sentences.
        steps: where checkpoints of a training were audited: trait, cost and coherence over its steps.
        took_s: seconds, all in all.
    """

    run: Path
    page: Path
    base: str
    plan: AuditPlan
    verdicts: list[Verdict]
    sentences: dict[str, str]
    answers: list[Answer]
    rows: list[Comparison]
    written: list[Line]
    not_seen: list[str]
    steps: list[Step] = field(default_factory=list)
    took_s: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """What `lapd audit --json` prints."""
        return {
            "run": str(self.run),
            "report": str(self.page),
            "base": self.base,
            "verdicts": [asdict(one) for one in self.verdicts],
            "sentences": self.sentences,
            "not_seen": self.not_seen,
            **({"steps": [asdict(step) for step in self.steps]} if self.steps else {}),
            "plan": self.plan.as_json(),
            "planned_s": self.plan.planned_s,
            "took_s": self.took_s,
        }


def tell(folder: Path, page: Path, plan: AuditPlan) -> Told:
    """What a finished audit came to.

    Args:
        folder: its run folder.
        page: its report.
        plan: what was asked.

    Raises:
        StoreError: there is nothing to compare.
    """
    measured, run = read_measured(folder), read_run(folder)
    compared = compare_measured(measured)
    found = subjects(measured.arms, compared.rows, measured.infos, every=True)
    ours = [subject for subject in found if subject.kind == ADAPTER and not _is_control(subject, measured.arms)]
    verdicts, rows, written = [], [], []
    for subject in found:
        control = _is_control(subject, measured.arms)
        told = coherence_of(subject, compared.rows)
        verdicts += [_verdict(line, control) for line in (*subject.lines, *told)]
        rows += [line.row for line in subject.lines]
        written += told
    return Told(
        run=folder,
        page=page,
        base=str(measured.store.run()["base"]["name"]),
        plan=plan,
        verdicts=sorted(verdicts, key=lambda one: SIDES.index(one.side)),
        sentences={subject.label: sentence(subject) for subject in found},
        answers=answers(ours) if ours else [],
        rows=rows,
        written=written,
        not_seen=[*limits(run, compared.rows), *_left_out(plan, verdicts)],
        steps=[step for one in trainings(found, measured.arms, compared.rows) for step in steps_of(one)],
    )


def coherence_lines(written: Sequence[Line]) -> list[str]:
    """For each arm and task, whether what was written is as coherent as the base's, in a sentence."""
    found: dict[tuple[str, str], list[str]] = {}
    for line in written:
        row, numbers = line.row, shown(line.row)
        said = _change(line) or verdict(row)
        text = f"{in_words(row)} {numbers.difference} {unit_of_difference(row)} {numbers.interval}, {said}"
        found.setdefault((row.arm, row.task), []).append(text)
    return [f"What {arm} writes in {task}: {'; '.join(texts)}." for (arm, task), texts in found.items()]


def _is_control(subject: Subject, arms: Any) -> bool:
    return bool(arms[subject.lines[0].row.arms[0]].get("adapter_control"))


def _left_out(plan: AuditPlan, verdicts: Sequence[Verdict]) -> list[str]:
    lines = []
    if empty := [task for task in plan.names if not any(one.task == task for one in verdicts)]:
        lines.append(f"Of {', '.join(empty)} there is nothing to compare: the page says why.")
    if plan.left_out:
        lines.append(f"There was no time for {', '.join(plan.left_out)}: give more --minutes than {plan.minutes:g}.")
    if not any(one.side == "coherence" for one in verdicts):
        lines.append("Nothing was answered in writing: whether the answers are still coherent was not looked at.")
    return lines


def _change(line: Line) -> str:
    change = WORDS[line.side].get(line.outcome, "")
    return "bought" if change and line.side == "trait" and line.row.persona is None else change


def _verdict(line: Line, control: bool) -> Verdict:
    row = line.row
    return Verdict(
        arm=row.arm,
        side=line.side,
        task=row.task,
        metric=row.metric,
        axis=row.axis,
        persona=row.persona,
        verdict="cannot tell" if row.heuristic else verdict(row),
        change=_change(line),
        difference=row.difference,
        low=_finite(row.low),
        high=_finite(row.high),
        unit=row.unit,
        p=row.p,
        adjusted=adjusted(row),
        would_show=_finite(row.detectable),
        margin=row.margin,
        items=row.n,
        control=control,
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
