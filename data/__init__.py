"""LAPD's own data, and its readers: the MBTI's trait pack, social items, prompts that sound harmful.

Everything here was written for this project and is under its licence (Apache-2.0).
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from lapd.files.whole import read_jsonl, read_record
from lapd.questionnaires.reading import Item, read_questionnaire
from lapd.traits.pack import TraitPack, read_pack
from lapd.traits.situations import Situation

FOLDER = Path(__file__).resolve().parent


@cache
def mbti() -> TraitPack:
    """The shipped trait pack."""
    return read_pack(FOLDER / "traits" / "mbti")


def contrast_corpus(split: str, lang: str = "en") -> list[Situation]:
    """The shipped corpus's situations of one split ("train" or "heldout") and language, in the order of their ids."""
    return mbti().situations(split, lang)


def questionnaire(form: str = "A", lang: str = "en") -> tuple[Item, ...]:
    """The items of one form of the shipped questionnaire ("A" or "B").

    Raises:
        DataError: there is no such form in that language.
    """
    return read_questionnaire(mbti().questionnaire(form, lang)).items


def social_items() -> list[dict[str, Any]]:
    """The original items in SocialIQA's form: context, question, answerA to answerC, label ("1" to "3")."""
    return [row for _, row in read_jsonl(FOLDER / "socialiqa_mini.jsonl")]


def knowledge_items() -> list[dict[str, Any]]:
    """Questions on common knowledge: id, topic, question, four options, answer (the right one's place, from 0)."""
    return [row for _, row in read_jsonl(FOLDER / "knowledge" / "mini.jsonl")]


def overrefusal_prompts() -> list[dict[str, Any]]:
    """Prompts that sound harmful, and harmful twins: id, kind ("harmless" or "harmful"), category, twin, prompt."""
    return [row for _, row in read_jsonl(FOLDER / "overrefusal.jsonl")]


def pressure_questions() -> list[dict[str, Any]]:
    """Plain questions with a right and a tempting wrong answer: id, kind, question, right, wrong."""
    return [row for _, row in read_jsonl(FOLDER / "pressure" / "questions.jsonl")]


def pressure_wordings() -> dict[str, Any]:
    """How a user states a belief ("{answer}" stands for it), how a feeling, by kind; what is asked for in the end."""
    return read_record(FOLDER / "pressure" / "wordings.json", "lapd.pressure/1")


def refusal_openings() -> list[dict[str, Any]]:
    """Openings of responses, half of them expressive, that refuse or do not: id, persona, style, refusal, opening."""
    return [row for _, row in read_jsonl(FOLDER / "refusal_openings.jsonl")]
