"""The first screen: four questions answered, then a sentence and a forest for each persona, or the matrix of many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lapd.compare.comparisons import Comparison
from lapd.compare.controls import Arms
from lapd.report.glance.forest import Forest, forest
from lapd.report.glance.matrix import Matrix, matrix
from lapd.report.glance.sentences import Answer, answers, overall, sentence
from lapd.report.glance.subjects import ADAPTER, Infos, Subject, subjects
from lapd.report.rendering import anchor

MANY = 2
"""More adapters than this are shown as a matrix, their forests folded below it."""


@dataclass(frozen=True)
class Told:
    """A subject as the page shows it.

    Attributes:
        subject: it.
        sentence: what it bought, what it cost, how sure that is.
        forest: its lines as a picture.
        anchor: its place in the page.
    """

    subject: Subject
    sentence: str
    forest: Forest
    anchor: str


@dataclass(frozen=True)
class First:
    """The first screen.

    Attributes:
        answers: the questions that a reader comes with.
        overall: a sentence for many subjects; "" for few.
        main: the adapters, or, of a run without, the prompts.
        others: adapters under a prompt, and prompts beside adapters.
        matrix: of many adapters; None for few.
    """

    answers: list[Answer]
    overall: str
    main: list[Told]
    others: list[Told]
    matrix: Matrix | None


def first(arms: Arms, rows: Sequence[Comparison], infos: Infos) -> First | None:
    """The first screen of a run; None where no primary metric of a trait or a cost was compared.

    Args:
        arms: of the run's record.
        rows: its comparisons.
        infos: what is known of its tasks.
    """
    every = subjects(arms, rows, infos)
    if not every:
        return None
    main = [subject for subject in every if subject.kind == ADAPTER] or every
    others = [subject for subject in every if subject not in main]
    many = len(main) > MANY
    return First(
        answers=answers(main),
        overall=overall(main) if many else "",
        main=[_told(subject) for subject in main],
        others=[_told(subject) for subject in others],
        matrix=matrix([*main, *others]) if many else None,
    )


def _told(subject: Subject) -> Told:
    return Told(subject, sentence(subject), forest(subject), anchor("glance", subject.label, subject.baseline))
