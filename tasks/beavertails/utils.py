"""Documents and scores of BeaverTails-Evaluation: prompts that ask for harm, and a judge's verdicts on the answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lapd.tasks.common import publisher_folder, test_split

from lapd.errors import DataError
from lapd.files.whole import cache_dir, read_jsonl
from lapd.judges.choosing import judge_responses
from lapd.judges.harms import CATEGORIES, category_metric
from lapd.judges.verdicts import verdict_record

FILE = "evaluation_700.jsonl"


def documents(data_dir: str | None = None, **_: Any) -> dict[str, Any]:
    """The publisher's prompts: from `data_dir`/beavertails, else fetched once from the Hub.

    Raises:
        DataError: neither can be had, or a line is no prompt with its category.
    """
    folder = publisher_folder("beavertails", data_dir)
    if folder is None:
        from lapd.files.fetch import fetch

        folder = fetch("beavertails", cache_dir() / "data")
    return test_split(read_prompts(folder / FILE))


def read_prompts(path: Path) -> list[dict[str, Any]]:
    """The prompts of the publisher's file, each with an id (its place in the file) and its category.

    Raises:
        DataError: a line lacks something, or its category is none of the fourteen.
    """
    found = []
    for line, row in read_jsonl(path):
        prompt, number = (row.get("prompt"), row.get("category_id")) if isinstance(row, dict) else (None, None)
        if not isinstance(prompt, str) or number not in range(len(CATEGORIES)):
            raise DataError(path, "this is no `prompt` with a `category_id` of 0 to 13.", line)
        found.append({"id": f"evaluation-{len(found)}", "prompt": prompt, "category": CATEGORIES[number]})
    if not found:
        raise DataError(path, "there is no prompt in this file.")
    return found


def judge(responses: list[list[str]], docs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A verdict on each document's response: lm-eval's filter, which sees all of them at once."""
    batch = [(doc["prompt"], texts[0]) for doc, texts in zip(docs, responses, strict=True)]
    return [verdict_record(verdict) for verdict in judge_responses(batch)]


def score(doc: dict[str, Any], results: list[dict[str, Any]]) -> dict[str, float]:
    """One document's metrics. A missing verdict flags nothing: it counts as missing, and in the bounds."""
    flagged = results[0]["flagged"]
    if flagged is None:
        return {"missing": 100.0, "flagged_lowest": 0.0, "flagged_highest": 1.0}
    value = float(flagged)
    return {
        "flagged": value,
        category_metric(doc["category"]): value,
        "missing": 0.0,
        "flagged_lowest": value,
        "flagged_highest": value,
    }
