"""What an audit asks: the tasks of the trait side and of the cost side that can be asked here without anything else."""

from __future__ import annotations

from collections.abc import Sequence

from lapd.adapters.adapter import Adapter
from lapd.adapters.personas import persona_of
from lapd.catalog.find import tasks
from lapd.catalog.gathered import OURS, task_folders
from lapd.catalog.groups import find_tasks
from lapd.catalog.task import GRADE, TaskInfo
from lapd.names import pack_of, packs

COST = "lapd_cost"
"""The group of the cost side's tasks."""


def bundle(subjects: Sequence[Adapter], written: bool = False) -> list[TaskInfo]:
    """The tasks, those of the trait first.

    Those of the trait are of the packs that the subjects' personas are of; where one has no persona, of all that are
    installed: which of their axes moved?

    Args:
        subjects: the adapters and whole models.
        written: only those that are answered in writing: of a server whose tokenizer is not at hand there are no
            log-likelihoods.
    """
    of_packs, known = _packs_of(subjects), tasks().values()
    trait = [
        info for info in known if info.side == "trait" and info.traits in of_packs and _can_be_asked(info, written)
    ]
    if written:
        ours = task_folders()[OURS]
        cost = [i for i in known if i.side == "cost" and i.include_path == ours and _can_be_asked(i, written)]
    else:
        cost = find_tasks([COST], quiet=True)
    return [*sorted(trait, key=lambda info: (info.traits, info.self_report)), *cost]


def _can_be_asked(info: TaskInfo, written: bool) -> bool:
    """Whether a task needs no data from elsewhere, no judge and no grader, and is answered in the way there is."""
    elsewhere = info.publisher or info.pairs or info.judged or info.primary in (None, GRADE)
    return not elsewhere and not info.parallel and info.writes == written


def _packs_of(subjects: Sequence[Adapter]) -> set[str]:
    """The names of the packs whose axes the subjects' personas take a side on; of all packs where one has none."""
    found: set[str] = set()
    for subject in subjects:
        persona = persona_of(subject)
        if persona is None or not persona.poles:
            return set(packs())
        found |= {pack_of(axis).name for axis in persona.poles}
    return found
