"""Documents and scores of EQ-Bench, from its publisher's files; the rule itself is in scoring.py."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

from lapd.tasks.common import publisher_folder, test_split
from lapd.tasks.eqbench.scoring import (
    choose,
    item_score,
    item_score_later,
    parse,
    parse_leniently,
    parse_passes,
    split_leniently,
    sum_up,
    without_markdown,
)

from lapd.errors import DataError
from lapd.files.whole import cache_dir, read_json, read_jsonl
from lapd.reasoning import answer_of

QUESTIONS = "eq_bench_v2_questions_171.json"
"""The publisher's file: an object of questions by id, with the prompts of version 2.0."""

UNREVISED = "eq_bench_v2_1_norevise_prompts.jsonl"
"""The same as the hub's copy has it, one object a line, with the prompts of version 2.1."""


def documents(data_dir: str | None = None, **_: Any) -> dict[str, Any]:
    """The 171 questions of version 2.1, which asks for no revision.

    Raises:
        DataError: the data can be had neither from `data_dir` nor from a network, or are not what they should be.
    """
    folder = _folder(data_dir)
    if not (folder / QUESTIONS).is_file() and (folder / UNREVISED).is_file():
        return test_split(read_unrevised(folder / UNREVISED))
    return test_split([{**doc, "prompt": without_revision(doc["prompt"])} for doc in read_questions(folder)])


def revised_documents(data_dir: str | None = None, **_: Any) -> dict[str, Any]:
    """The 171 questions of version 2.0, which asks for scores, a critique and revised scores.

    Raises:
        DataError: as `documents`.
    """
    return test_split(read_questions(_folder(data_dir)))


def _folder(data_dir: str | None) -> Path:
    if (folder := publisher_folder("eqbench", data_dir)) is not None:
        return folder
    from lapd.files.fetch import fetch

    return fetch("eqbench", cache_dir() / "data")


def read_questions(folder: Path) -> list[dict[str, Any]]:
    """The questions in the publisher's own file.

    Raises:
        DataError: the file is missing or a question lacks something.
    """
    path = folder / QUESTIONS
    found = read_json(path)
    if not isinstance(found, dict):
        raise DataError(path, "this is no object of questions by their id.")
    return [_document(path, number, row) for number, row in found.items()]


def read_unrevised(path: Path) -> list[dict[str, Any]]:
    """The questions in the hub copy's form, whose references are Python literals in strings.

    Raises:
        DataError: a line lacks something.
    """
    documents = []
    for line, row in read_jsonl(path):
        try:
            reference = ast.literal_eval(row["reference_answer_fullscale"])
        except (KeyError, TypeError, ValueError, SyntaxError):
            raise DataError(path, "a question has no reference_answer_fullscale.", line) from None
        documents.append(_document(path, str(row.get("qid", line)), {**row, "reference_answer_fullscale": reference}))
    return documents


def _document(path: Path, number: str, row: Any) -> dict[str, Any]:
    try:
        reference = row["reference_answer_fullscale"]
        return {
            "id": number,
            "prompt": row["prompt"],
            "emotions": [reference[f"emotion{n}"] for n in range(1, 5)],
            "intensities": [float(reference[f"emotion{n}_score"]) for n in range(1, 5)],
        }
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(path, f"question {number} is not as its publisher has it ({error}).") from None


def without_revision(prompt: str) -> str:
    """Version 2.1's prompt, from version 2.0's: no critique, no headings, no second scores; and a cue at the end."""
    task, _, form = prompt.partition(" Then critique your answer")
    _, _, form = form.partition("revised scores.")
    lines, _, end = form.partition("Critique: ")
    _, marker, end = end.partition("[End of answer]")
    lines = lines.replace("First pass scores:\n", "", 1)
    return f"{task}{lines}\n{marker}{end}\nYour answer:\n"


def _reference(doc: dict[str, Any]) -> dict[str, float]:
    return dict(zip(doc["emotions"], doc["intensities"], strict=True))


def score(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """One answer's metrics; a score that could not be parsed is left out."""
    reference, text = _reference(doc), answer_of(results[0])
    return {
        **_scored("", item_score(reference, parse(text))),
        **_scored("_later", item_score_later(reference, parse(without_markdown(text)))),
        **_scored("_lenient", item_score(reference, parse_leniently(text, doc["emotions"]))),
    }


def _scored(suffix: str, value: float | None) -> dict[str, float]:
    parseable = {f"percent_parseable{suffix}": 100.0 * (value is not None)}
    return parseable if value is None else {f"eqbench{suffix}": value, **parseable}


def score_passes(doc: dict[str, Any], results: list[str]) -> dict[str, Any]:
    """One answer's metrics. What depends on the choice between the passes is settled by `final` over all answers."""
    reference, text = _reference(doc), answer_of(results[0])
    strict = [item_score(reference, answer) for answer in parse_passes(text)]
    later = [item_score_later(reference, answer) for answer in parse_passes(without_markdown(text))]
    lenient = [item_score(reference, parse_leniently(part, doc["emotions"])) for part in split_leniently(text)]
    made: dict[str, Any] = {}
    for name, value in zip(("first_pass", "revised"), strict, strict=True):
        made |= {f"{name}_parseable": 100.0 * (value is not None)} | ({} if value is None else {name: value})
    return {
        **made,
        **dict.fromkeys(("eqbench", "final", "percent_parseable"), strict),
        **dict.fromkeys(("final_later", "percent_parseable_later"), later),
        **dict.fromkeys(("final_lenient", "percent_parseable_lenient"), lenient),
    }


def final(answers: list[list[float | None]]) -> float:
    """The run's score, of the pass that the official rule chooses; not a number where nothing could be parsed."""
    return choose(*map(sum_up, zip(*answers, strict=True))).score


def final_parseable(answers: list[list[float | None]]) -> float:
    """Per cent of the answers that could be parsed in the chosen pass."""
    return 100 * choose(*map(sum_up, zip(*answers, strict=True))).parseable / len(answers)
