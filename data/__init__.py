"""LAPD's own data, and its readers: the contrast corpus, the questionnaires, social items, prompts that sound harmful.

Everything here was written for this project and is under its licence (Apache-2.0).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lapd.errors import DataError
from lapd.files.whole import read_jsonl
from lapd.personas import AXES
from lapd.questionnaires.reading import Item, read_questionnaire

FOLDER = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Situation:
    """An everyday situation with one response from each pole of an axis.

    Attributes:
        id: stable, such as "ei-001".
        axis: such as "E/I".
        lang: ISO 639-1 code of the language.
        split: "train", or "heldout" (which training never sees).
        topic: what it is about, such as "work".
        situation: what the user says.
        responses: what somebody at each pole says, by pole.
    """

    id: str
    axis: str
    lang: str
    split: str
    topic: str
    situation: str
    responses: dict[str, str]


def read_situations(path: Path) -> list[Situation]:
    """The situations of one corpus file, one JSON object a line.

    Raises:
        DataError: a line lacks a field, or its poles are not its axis's.
    """
    situations = []
    for number, row in read_jsonl(path):
        try:
            situation = Situation(**{name: row[name] for name in Situation.__dataclass_fields__})
        except (KeyError, TypeError) as error:
            raise DataError(path, f"a situation has no {error}.", number) from None
        if tuple(situation.responses) != AXES.get(situation.axis):
            raise DataError(path, f"the responses are not keyed by the poles of {situation.axis!r}.", number)
        situations.append(situation)
    return situations


def contrast_corpus(split: str, lang: str = "en") -> list[Situation]:
    """The shipped corpus's situations of one split ("train" or "heldout") and language, in the order of their ids."""
    files = sorted((FOLDER / "contrast" / lang).glob("*.jsonl"))
    return [s for path in files for s in read_situations(path) if s.split == split]


def questionnaire(form: str = "A", lang: str = "en") -> tuple[Item, ...]:
    """The items of one form of the shipped questionnaire ("A" or "B").

    Raises:
        DataError: there is no such form in that language.
    """
    return read_questionnaire(FOLDER / "questionnaires" / f"mbti-{form.lower()}.{lang}.json").items


def social_items() -> list[dict[str, Any]]:
    """The original items in SocialIQA's form: context, question, answerA to answerC, label ("1" to "3")."""
    return [row for _, row in read_jsonl(FOLDER / "socialiqa_mini.jsonl")]


def overrefusal_prompts() -> list[dict[str, Any]]:
    """Prompts that sound harmful, and harmful twins: id, kind ("harmless" or "harmful"), category, twin, prompt."""
    return [row for _, row in read_jsonl(FOLDER / "overrefusal.jsonl")]
