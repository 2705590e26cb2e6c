"""Checkpoints of one training beside each other: when was the trait there, and when did something break?"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from lapd.report.glance.sentences import amount
from lapd.report.glance.subjects import Subject

CHECKPOINT = re.compile(r"checkpoint-(\d+)$")
"""What Hugging Face's trainers call what they save on the way: by the number of steps."""


@dataclass(frozen=True)
class Step:
    """One checkpoint on what sums one task up.

    Attributes:
        training: what stands before the step in the checkpoint's name; "" where nothing does.
        step: how many steps it was trained.
        task: the task's name.
        side: "trait" or "cost".
        metric: in words, with its axis where it has one.
        difference: from the base, in words.
        outcome: "up" for more of the persona or better, "down", "same" or "untold".
    """

    training: str
    step: int
    task: str
    side: str
    metric: str
    difference: str
    outcome: str


def steps(found: Sequence[Subject]) -> list[Step]:
    """Trait and cost over the steps of each training of which there are two checkpoints; empty where there are none."""
    made = [
        Step(
            subject.label[: match.start()].rstrip("-"),
            int(match[1]),
            line.row.task,
            line.row.side,
            line.name,
            amount(line),
            line.outcome,
        )
        for subject in found
        if (match := CHECKPOINT.search(subject.label))
        for line in subject.lines
    ]
    trainings = {step.training: len({s.step for s in made if s.training == step.training}) for step in made}
    several = [step for step in made if trainings[step.training] > 1]
    return sorted(several, key=lambda s: (s.training, s.side != "trait", s.task, s.metric, s.step))


def first_changes(made: Sequence[Step]) -> list[str]:
    """For each training and task in which something changed for good, from which step on, in a sentence.

    A change that a later checkpoint no longer shows is none from there on.
    """
    lines: dict[tuple[str, str, str], list[Step]] = {}
    for step in made:
        lines.setdefault((step.training, step.task, step.metric), []).append(step)
    told = []
    for (training, task, metric), over in lines.items():
        last = over[-1]
        if last.outcome not in ("up", "down"):
            continue
        since = next(n for n in range(len(over)) if all(step.outcome == last.outcome for step in over[n:]))
        word = {"trait": {"up": "has moved", "down": "has moved back"}, "cost": {"up": "is better", "down": "is worse"}}
        name = f"{training}: " if training else ""
        told.append(
            f"{name}{task} ({metric}) {word[last.side][last.outcome]} from step {over[since].step} on "
            f"({over[since].difference}; at the last, {last.step}, {last.difference})."
        )
    return told
