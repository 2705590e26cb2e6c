"""What a trait pack is good for, and what it lacks for the rest."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from lapd.traits.pack import TraitPack

TRAIN, HELDOUT = 40, 15
"""Situations an axis that are enough to train on and to see a change by: what the Big Five's example pack has."""


@dataclass(frozen=True)
class Feature:
    """Something that a pack can be used for.

    Attributes:
        name: a command or a task.
        there: whether the pack has what it needs.
        note: what it has, or what is missing and where it goes.
    """

    name: str
    there: bool
    note: str


def features(pack: TraitPack, lang: str = "en") -> list[Feature]:
    """What the pack can be used for, in the order in which one fills it.

    Raises:
        DataError: a line of the corpus is no situation.
    """
    poles = [code for ends in pack.ends.values() for code in ends]
    return [
        Feature(f"personas: {', '.join(poles)}", True, f"{len(pack.personas)} more in personas.json"),
        _situations(pack, lang, f"lapd train {poles[0]}", "train", TRAIN),
        _situations(pack, lang, f"task {pack.situations_task}", "heldout", HELDOUT),
        _form(pack, lang, pack.name, "A"),
        _form(pack, lang, f"{pack.name}_b", "B"),
    ]


def _situations(pack: TraitPack, lang: str, name: str, split: str, enough: int) -> Feature:
    counts = Counter(situation.axis for situation in pack.situations(split, lang))
    few = [f"{axis} {counts[axis]}" for axis in pack.ends if counts[axis] < enough]
    note = ", ".join(f"{axis} {counts[axis]}" for axis in pack.ends)
    if few:
        note = f"{', '.join(few)}: fewer than {enough} situations of split {split}; they go to contrast/{lang}/*.jsonl"
    return Feature(name, all(counts[axis] for axis in pack.ends), note)


def _form(pack: TraitPack, lang: str, task: str, form: str) -> Feature:
    path = pack.questionnaire(form, lang)
    what = "questionnaire" if form == "A" else "parallel form, for its reliability"
    return Feature(f"task {task}", path.is_file(), path.name if path.is_file() else f"no {path.name}: the {what}")
