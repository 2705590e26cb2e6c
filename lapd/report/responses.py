"""Responses side by side: what every arm answered to a few items of each task that is answered in text."""

from __future__ import annotations

from typing import Any

from lapd.record.endings import ending
from lapd.report.contents import RunContents

MOST_ITEMS = 8
"""Items whose responses are shown, for each task."""


def responses(run: RunContents) -> list[dict[str, Any]]:
    """For each task with answers in text: its first items, each with its prompt and every arm's answer, and how that
    ended where it was cut off.

    An item that asks for harm has a `folded` heading, its category, behind which the rest waits for a click.
    """
    shown_tasks = []
    for task in run.task_names:
        info = run.infos.get(task)
        items: dict[str, dict[str, Any]] = {}
        for cell in run.cells:
            if cell.task != task:
                continue
            for sample in cell.samples:
                if (answer := _text(sample)) is None:
                    break
                if (item := items.get(sample["item"])) is None:
                    heading = _heading(sample, bool(info and info.judged))
                    item = items[sample["item"]] = {
                        "prompt": _prompt(sample),
                        "folded": heading,
                        "answers": {},
                        "ends": {},
                    }
                # Of several documents or seeds of one item the first is shown.
                item["answers"].setdefault(cell.arm, answer)
                item["ends"].setdefault(cell.arm, ending(sample))
        if items:
            few = list(items.values())[:MOST_ITEMS]
            folded = any(item["folded"] for item in few)
            shown_tasks.append({"task": task, "items": few, "total": len(items), "arms": run.arms, "folded": folded})
    return shown_tasks


def _heading(sample: dict[str, Any], judged: bool) -> str:
    """The heading in place of a prompt that nobody should meet unasked; "" for any other.

    That is one of a task whose answers are judged for harm, and one with a category of harm.
    """
    category = sample["doc"].get("category")
    if isinstance(category, str) and category:
        return category.replace(",", ", ").replace("_", " ")
    return f"item {sample['item']}" if judged else ""


def _text(sample: dict[str, Any]) -> str | None:
    """The sample's answer if it is text; None for likelihoods."""
    first = sample["responses"][0][0] if sample["responses"] and sample["responses"][0] else None
    return first if isinstance(first, str) else None


def _prompt(sample: dict[str, Any]) -> str:
    """What was asked, without the chat template's marks where the document has it so."""
    prompt = sample["doc"].get("prompt")
    return prompt if isinstance(prompt, str) else str(sample["arguments"][0][0])
