"""What the first screen tells of: each way of moving the model towards a persona, one line for each primary metric."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from lapd.catalog.task import USUAL, TaskInfo
from lapd.compare.comparisons import Comparison
from lapd.compare.controls import Arms, is_shuffled
from lapd.compare.rows import TRAINING
from lapd.compare.verdicts import CHANGED, SAME
from lapd.report.labels import family, in_words, phrase
from lapd.report.table import told_of

ADAPTER, PROMPTED, PROMPT = "adapter", "adapter under the prompt", "prompt"

Infos = Mapping[str, TaskInfo]
"""What is known of each task, by name."""

COHERENCE = {"base_logprob": 1, "repeated_4grams": -1}
"""By what it is told whether written answers are still coherent, whatever they say, and whether more of it is better:
how likely the base finds them, and how much of them was said before."""


@dataclass(frozen=True)
class Line:
    """One primary metric of a subject.

    Attributes:
        row: against its baseline: of the training where there is one, else of the adapter or the prompt.
        way: 1 where more is better or more of the persona, -1 where less is better, 0 where nobody says.
        topic: what the task is about, one of `lapd.catalog.task.TOPICS`, or "".
        singles: the rows of the single adapters behind a training.
        controls: the shuffled controls' own rows against the same baseline.
        beyond: against the shuffled controls; None where there are none.
    """

    row: Comparison
    way: int
    topic: str = ""
    singles: tuple[Comparison, ...] = ()
    controls: tuple[Comparison, ...] = ()
    beyond: Comparison | None = None

    @property
    def side(self) -> str:
        """ "trait", "cost", or "coherence" of what tells how coherent written answers are."""
        return "coherence" if self.row.coherence else str(self.row.side)

    @property
    def outcome(self) -> str:
        """ "up" for more of the persona or better, "down", "same", "untold"; of a heuristic's count "untold"."""
        if self.row.heuristic or self.row.verdict not in (CHANGED, SAME):
            return "untold"
        if self.row.verdict == SAME:
            return "same"
        return "up" if self.row.difference * (self.way or 1) > 0 else "down"

    @property
    def due(self) -> str:
        """What a change is due to: "persona", "training", or "" where that cannot be told."""
        if self.beyond is None or self.outcome not in ("up", "down"):
            return ""
        if self.beyond.verdict == CHANGED and self.beyond.difference * self.row.difference > 0:
            return "persona"
        return "training" if self.beyond.verdict == SAME else ""

    @property
    def name(self) -> str:
        """The metric in words: "accuracy", "log-odds"; with its axis where it has one and nothing pools it."""
        return f"{in_words(self.row)} on {self.row.axis}" if self.row.axis else in_words(self.row)

    def in_margins(self, value: float) -> float:
        """A difference in margins, to the right what is better or more of the persona; not-a-number without one."""
        return value * (self.way or 1) / self.row.margin if self.row.margin else math.nan


@dataclass(frozen=True)
class Subject:
    """One way of moving the model: an adapter or its replicates, with or without a prompt, or a prompt alone.

    Attributes:
        label: the arm's name, or what its replicates are called together.
        baseline: what it is held against.
        kind: "adapter", "adapter under the prompt" or "prompt".
        persona: whose poles it counts towards; "" without one.
        trainings: how many stand behind it; 0 for a prompt.
        what: "adapter", "whole model" or "prompt".
        lines: what was bought, then what it cost.
    """

    label: str
    baseline: str
    kind: str
    persona: str
    trainings: int
    what: str = "adapter"
    lines: list[Line] = field(default_factory=list)

    @cached_property
    def bought(self) -> list[Line]:
        """The lines of traits."""
        return [line for line in self.lines if line.row.side == "trait"]

    @cached_property
    def cost(self) -> list[Line]:
        """The lines of costs."""
        return [line for line in self.lines if line.row.side == "cost"]

    @property
    def controlled(self) -> bool:
        """Whether any line is held against shuffled controls."""
        return any(line.beyond for line in self.lines)

    @property
    def towards(self) -> str:
        """What it moves the model towards, for a reader."""
        return self.persona or "its persona"


def subjects(arms: Arms, rows: Sequence[Comparison], infos: Infos, *, every: bool = False) -> list[Subject]:
    """Every adapter at its own strength, and every prompt, that has a primary metric of a trait or a cost.

    An adapter that is not there at its own strength is told of at those that it is there at.

    Args:
        arms: of the run's record.
        rows: its comparisons.
        infos: what is known of its tasks.
        every: controls, and strengths beside an adapter's own, are among them.

    Returns:
        Adapters without a prompt first, then those under one, then prompts.
    """
    headed = [row for row in rows if row.primary and not row.special and row.side in ("trait", "cost")]
    beside = _Beside(headed, arms)
    at_own = {_digest(arm) for arm in arms.values() if arm["adapter"] and _strength(arm) == 1}
    found: dict[tuple[str, str], Subject] = {}
    for row in told_of(headed):
        first, baseline = arms[row.arms[0]], arms[row.baselines[0]]
        if (first.get("adapter_control") and not every) or baseline.get("adapter_control"):
            continue
        if not every and _strength(first) != 1 and _digest(first) in at_own:
            continue
        subject = found.setdefault((row.arm, row.baseline), _subject(row, first))
        subject.lines.append(beside.line(row, infos.get(row.task)))
    order = [ADAPTER, PROMPTED, PROMPT]
    for subject in found.values():
        subject.lines.sort(key=lambda line: (line.row.side != "trait", line.row.self_report))
    return sorted(found.values(), key=lambda subject: order.index(subject.kind))


def coherence_of(subject: Subject, rows: Sequence[Comparison]) -> list[Line]:
    """The lines that tell whether what a subject writes is as coherent as its baseline's.

    Args:
        subject: from `subjects`.
        rows: the run's comparisons.
    """
    mine = [row for row in rows if (row.arm, row.baseline) == (subject.label, subject.baseline) and row.part is None]
    return [Line(row, COHERENCE[row.metric]) for row in mine if row.coherence and row.metric in COHERENCE]


def _subject(row: Comparison, arm: Mapping[str, Any]) -> Subject:
    kind = (PROMPTED if arm["prompt"] else ADAPTER) if arm["adapter"] else PROMPT
    code = arm["adapter_persona"] or (arm["prompt"] or {}).get("code") or ""
    what = str(arm["adapter"].get("kind", ADAPTER)) if arm["adapter"] else PROMPT
    return Subject(row.arm, row.baseline, kind, str(code), len(row.arms) if arm["adapter"] else 0, what)


def _strength(arm: Mapping[str, Any]) -> float:
    adapter = arm["adapter"]
    return float(adapter.get("strength", 1)) if isinstance(adapter, Mapping) else 1.0


def _digest(arm: Mapping[str, Any]) -> str | None:
    return arm["adapter"]["digest"] if arm["adapter"] else None


def way_of(row: Comparison, info: TaskInfo | None) -> int:
    """1 where more is better or more of the persona, -1 where less is better, 0 where nobody says."""
    if row.persona is not None or row.axis is not None:
        return 1
    metric = row.metric.partition(",")[0]
    if info and metric in info.lower:
        return -1
    return 1 if metric in USUAL or row.grader or (info and metric in info.metrics) else 0


class _Beside:
    """What stands beside a row on the same task and metric: single adapters, controls."""

    def __init__(self, rows: Sequence[Comparison], arms: Arms) -> None:
        self._arms = arms
        self._by: dict[tuple[str, str], list[Comparison]] = {}
        for row in rows:
            self._by.setdefault((row.task, row.metric), []).append(row)

    def line(self, row: Comparison, info: TaskInfo | None) -> Line:
        alike = self._by[row.task, row.metric]
        beyond = next((r for r in alike if r.arms == row.arms and self._against_shuffled(r)), None)
        return Line(
            row=row,
            way=way_of(row, info),
            topic=info.topic if info else "",
            singles=tuple(self._singles(row, alike)),
            controls=tuple(self._controls(row, beyond, alike)) if beyond else (),
            beyond=beyond,
        )

    def _against_shuffled(self, row: Comparison) -> bool:
        return all(is_shuffled(self._arms[name]) for name in row.baselines)

    def _singles(self, row: Comparison, alike: Sequence[Comparison]) -> Iterator[Comparison]:
        if row.scope == TRAINING:
            for other in alike:
                if other.scope != TRAINING and other.baseline == row.baseline and other.arm in row.arms:
                    yield other

    def _controls(self, row: Comparison, beyond: Comparison, alike: Sequence[Comparison]) -> Iterator[Comparison]:
        for other in alike:
            held = other.scope != TRAINING and other.arm in beyond.baselines and other.baseline == row.baseline
            # What counts towards another persona's poles is another number.
            if held and other.persona == row.persona:
                yield other


def metric_of(row: Comparison) -> str:
    """The metric of a line in words, without what it is pooled over."""
    return phrase(family(row)) if not row.grader else in_words(row)
