"""Checkpoints of one training beside each other: when was the trait there, and when did something break?"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lapd.compare.comparisons import Comparison
from lapd.compare.controls import Arms
from lapd.report.glance.sentences import amount, pole
from lapd.report.glance.subjects import Line, Subject, coherence_of

CHECKPOINT = re.compile(r"checkpoint-(\d+)$")
"""What Hugging Face's trainers call what they save on the way: by the number of steps."""


SIDES = ("trait", "cost", "coherence")
"""In the order in which they are told."""


@dataclass(frozen=True)
class Training:
    """Two or more checkpoints of one training.

    Attributes:
        name: what stands before the step in their names; the folder that they are in where two trainings share that;
            "" where nothing does.
        checkpoints: by how many steps they were trained, the fewest first: what sums up traits and costs of each, then
            how coherent its written answers are.
    """

    name: str
    checkpoints: dict[int, list[Line]]


@dataclass(frozen=True)
class Step:
    """One checkpoint on what sums one task up.

    Attributes:
        training: the training's name.
        step: how many steps it was trained.
        task: the task's name.
        side: "trait", "cost" or "coherence".
        metric: in words, with its axis where it has one.
        difference: from the base, in words.
        outcome: "up" for more of the persona or better, "down", "same" or "untold".
        change: what has changed, in words: "has moved towards INFP", "is worse"; "" where nothing is known to have.
    """

    training: str
    step: int
    task: str
    side: str
    metric: str
    difference: str
    outcome: str
    change: str = ""


def trainings(found: Sequence[Subject], arms: Arms, rows: Sequence[Comparison]) -> list[Training]:
    """The trainings of which there are two checkpoints, by their names; what lies in another folder is of another one.

    Args:
        found: every way of moving the model.
        arms: of the run's record.
        rows: its comparisons.
    """
    by: dict[tuple[str, str], dict[int, list[Line]]] = {}
    for subject in found:
        if match := CHECKPOINT.search(subject.label):
            place = Path(str(arms[subject.lines[0].row.arms[0]]["adapter"].get("path", "")))
            before = subject.label[: match.start()].rstrip("-")
            by.setdefault((before, str(place.parent)), {})[int(match[1])] = [
                *subject.lines,
                *coherence_of(subject, rows),
            ]
    several = {key: dict(sorted(some.items())) for key, some in sorted(by.items()) if len(some) > 1}
    alike = Counter(before for before, _ in several)
    return [
        Training(before if alike[before] == 1 else Path(folder).name, some)
        for (before, folder), some in several.items()
    ]


def steps_of(training: Training) -> list[Step]:
    """Trait, cost and coherence over a training's steps."""
    made = [
        Step(training.name, step, line.row.task, line.side, line.name, amount(line), line.outcome, _change(line))
        for step, lines in training.checkpoints.items()
        for line in lines
    ]
    return sorted(made, key=lambda s: (SIDES.index(s.side), s.task, s.metric, s.step))


def _change(line: Line) -> str:
    if line.outcome not in ("up", "down"):
        return ""
    if line.side == "trait" and line.row.persona:
        return f"has moved {'towards' if line.outcome == 'up' else 'away from'} {line.row.persona}"
    if line.row.axis:
        return f"has moved towards {pole(line)}"
    if not line.way:
        return "has changed"
    return "is better" if line.outcome == "up" else "is worse"


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
        name = f"{training}: " if training else ""
        told.append(
            f"{name}{task} ({metric}) {last.change} from step {over[since].step} on "
            f"({over[since].difference}; at the last, {last.step}, {last.difference})."
        )
    return told
