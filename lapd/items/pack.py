"""Items packed for a page: JSON, deflated, in base64, one pack a task, so that a reader unpacks what is asked for.

A pack is `{arms, baselines, personas, metric, unit, reworded, items}`; arms are named once and counted from then on. An
item is `{id, category, folded, values, changes, flips, asked}`, with one entry an arm in each list (null where there is
none), and a question `{prompt, options, right, answers}` with a list of answers an arm. An answer is `{text, end, loop,
flagged, question, reason, categories, grades}` or `{logprobs, chosen}`; what an answer has not is left out.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lapd.items.answers import Answer
from lapd.items.gather import Arm, Item, Question, TaskItems
from lapd.items.visible import named, visible

LEVEL = 6
"""zlib's: at 9 a pack is a hundredth smaller, and takes three times as long."""


def pack(value: Any) -> str:
    """JSON, deflated without a header (RFC 1951), in base64."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    squeezer = zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    return base64.b64encode(squeezer.compress(text.encode()) + squeezer.flush()).decode()


def unpack(packed: str) -> Any:
    """What `pack` was given."""
    return json.loads(zlib.decompress(base64.b64decode(packed), -zlib.MAX_WBITS))


def most_changed(items: Sequence[Item], most: int | None) -> list[Item]:
    """The items in their order, or so many of those that changed most in any arm."""
    if most is None or len(items) <= most:
        return list(items)
    largest = sorted(range(len(items)), key=lambda n: -max(map(abs, items[n].changes.values()), default=0.0))
    return [items[n] for n in sorted(largest[:most])]


def task_record(task: TaskItems, arms: Mapping[str, Arm], items: Iterable[Item]) -> dict[str, Any]:
    """What a task's pack holds.

    Args:
        task: the task.
        arms: the run's.
        items: those of the task's that are to be in it.
    """
    unit = task.info.unit(task.metric) if task.metric else ""
    scale = 100 if unit == "share" else 1
    place = {name: n for n, name in enumerate(task.arms)}
    return {
        "arms": [named(name) for name in task.arms],
        "baselines": [place.get(arms[name].baseline or "") for name in task.arms],
        "personas": [named(persona.code) if (persona := arms[name].persona) else None for name in task.arms],
        "metric": visible(task.metric),
        "unit": "%" if unit in ("share", "percent") else visible(unit),
        "reworded": task.reworded,
        "items": [_item_record(item, task.arms, scale, 1 if task.reworded else scale) for item in items],
    }


def _item_record(item: Item, arms: Sequence[str], scale: float, scale_of_changes: float) -> dict[str, Any]:
    return {
        "id": visible(item.id),
        "category": visible(item.category),
        "folded": visible(item.folded),
        "values": [_scaled(item.values.get(arm), scale) for arm in arms],
        "changes": [_scaled(item.changes.get(arm), scale_of_changes) for arm in arms],
        "flips": [item.flips.get(arm, "") for arm in arms],
        "asked": [_question_record(question, arms) for question in item.questions.values()],
    }


def _scaled(value: float | None, scale: float) -> float | None:
    return None if value is None else round(scale * value, 3)


def _question_record(question: Question, arms: Sequence[str]) -> dict[str, Any]:
    answers = [[answer_record(answer) for answer in question.answers.get(arm, ())] for arm in arms]
    return {"prompt": question.prompt, "options": question.options, "right": question.right, "answers": answers}


def answer_record(answer: Answer) -> dict[str, Any]:
    """An answer as JSON, without what it has not."""
    if answer.text is None:
        return {"logprobs": [round(value, 3) for value in answer.logprobs], "chosen": answer.chosen}
    record: dict[str, Any] = {"text": answer.text, "end": answer.end, "loop": answer.loop}
    if answer.verdict is not None:
        record["flagged"] = answer.verdict["flagged"]
        record["question"] = answer.verdict.get("question")
        record["reason"] = visible(answer.verdict["reason"])
        record["categories"] = list(map(visible, answer.verdict["categories"]))
    if answer.grades:
        record["grades"] = [
            {**row, **{key: visible(str(row[key])) for key in ("grader", "dimension", "reason")}}
            for row in answer.grades
        ]
    return {key: value for key, value in record.items() if value or key in ("text", "flagged")}
