"""A run's items, task by task: every document with every arm's answer, each arm's value, its change and its flip."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from typing import Any

from lapd.adapters.personas import persona_of_card
from lapd.catalog.task import USUAL, TaskInfo
from lapd.items.answers import Answer, Prompts, answers_of, options_of
from lapd.items.flips import Scale, scale_of
from lapd.names import sign_of
from lapd.personas import Persona
from lapd.record.reading import ReadCell

JUDGED_UNITS = ("share", "percent", "points", "nats")
"""A change in one of these says what became of an answer; a change of its length does not."""

LONGEST = 20_000
"""Characters of an answer whose words are held against the baseline's."""


@dataclass
class Question:
    """One document of an item.

    Attributes:
        prompt: what was asked.
        options: to choose from; empty where the answer is written.
        right: the place of the right option, where one is right and known.
        answers: of each arm that has any, by its name.
    """

    prompt: str
    options: list[str]
    right: int | None = None
    answers: dict[str, list[Answer]] = field(default_factory=dict)


@dataclass
class Item:
    """One item of a task.

    Attributes:
        id: as the task has it.
        category: of its document; "" where it has none.
        folded: the heading in place of a prompt that nobody should meet unasked; "" for any other.
        questions: its documents, by their number in the task.
        values: each arm's on the metric that sums the task up, in that metric's unit.
        changes: each arm's change against its baseline; towards the persona, where the metric has an axis.
        flips: of each arm that came out on the other side than its baseline: "right to wrong".
    """

    id: str
    category: str
    folded: str
    questions: dict[int, Question] = field(default_factory=dict)
    values: dict[str, float] = field(default_factory=dict)
    changes: dict[str, float] = field(default_factory=dict)
    flips: dict[str, str] = field(default_factory=dict)


@dataclass
class TaskItems:
    """The items of one task.

    Attributes:
        info: the task.
        arms: the names of the arms that have finished it, in the run's order.
        metric: what `values` are of: the metric or family that sums the task up; "" where it has none.
        reworded: whether `changes` count the words that differ, in per cent, since no metric says what changed.
        items: in the task's order.
    """

    info: TaskInfo
    arms: list[str]
    metric: str = ""
    reworded: bool = False
    items: list[Item] = field(default_factory=list)


@dataclass(frozen=True)
class Arm:
    """What the items need to know of an arm.

    Attributes:
        name: its name.
        baseline: what it is held against, or None.
        persona: whose poles its changes count towards, or None.
    """

    name: str
    baseline: str | None
    persona: Persona | None


def arms_of(record: Mapping[str, Any], persona: str | None = None) -> dict[str, Arm]:
    """The run's arms by name.

    Args:
        record: its run.json.
        persona: whose poles adapters count towards that have no persona of their own.
    """
    return {name: Arm(name, arm["baseline"], _persona(arm, persona)) for name, arm in record["arms"].items()}


def _persona(arm: Mapping[str, Any], default: str | None) -> Persona | None:
    prompt, own = arm["prompt"] or {}, arm["adapter_persona"]
    if arm["adapter"] and not own and default:
        return persona_of_card({"persona": default})
    poles = arm.get("adapter_poles") if own else prompt.get("poles")
    return persona_of_card({"persona": own or prompt.get("code"), "poles": poles})


def items_of(cells: Sequence[ReadCell], infos: Mapping[str, TaskInfo], arms: Mapping[str, Arm]) -> Iterator[TaskItems]:
    """The items of each task with a finished cell.

    Args:
        cells: the run's finished ones.
        infos: the tasks that are known, by name.
        arms: of `arms_of`.
    """
    for task in dict.fromkeys(cell.task for cell in cells):
        mine = [cell for cell in cells if cell.task == task]
        finished = {cell.arm for cell in mine}
        info = infos.get(task) or TaskInfo(task, Path(), None, "")
        found = TaskItems(info, [name for name in arms if name in finished])
        _fill(found, mine)
        _measure(found, mine, arms)
        yield found


def _fill(task: TaskItems, cells: Sequence[ReadCell]) -> None:
    """Every document with every arm's answers, in the order of the first arm's cell."""
    items: dict[str, Item] = {}
    by_length = task.info.primary == "acc_norm"
    prompts = Prompts(cells[0].samples)
    for cell in cells:
        for sample in cell.samples:
            if (item := items.get(sample["item"])) is None:
                item = items[sample["item"]] = _item(sample, bool(task.info.judged))
            if (question := item.questions.get(sample["doc_id"])) is None:
                options = [] if _is_written(sample) else options_of(sample)
                question = Question(prompts.of(sample), options, _right(sample, task.info, options))
                item.questions[sample["doc_id"]] = question
            question.answers.setdefault(cell.arm, []).extend(answers_of(sample, by_length))
    task.items = list(items.values())


def _is_written(sample: Mapping[str, Any]) -> bool:
    responses = sample["responses"]
    return bool(responses and responses[0] and isinstance(responses[0][0], str))


def _right(sample: Mapping[str, Any], info: TaskInfo, options: Sequence[str]) -> int | None:
    """Where the right option stands: only a task that counts right answers has one, the others put 0 for no target."""
    target = sample.get("target")
    told = info.primary in USUAL and isinstance(target, int) and 0 <= target < len(options)
    return target if told else None


def _item(sample: Mapping[str, Any], judged: bool) -> Item:
    category = sample["doc"].get("category")
    if not isinstance(category, str):
        category = ""
    return Item(sample["item"], category, heading(sample, judged))


def heading(sample: Mapping[str, Any], judged: bool) -> str:
    """The heading in place of a prompt that nobody should meet unasked; "" for any other.

    That is one of a task whose answers are judged for harm, and one with a category of harm.
    """
    category = sample["doc"].get("category")
    if isinstance(category, str) and category:
        return category.replace(",", ", ").replace("_", " ")
    return f"item {sample['item']}" if judged else ""


def _measure(task: TaskItems, cells: Sequence[ReadCell], arms: Mapping[str, Arm]) -> None:
    """Each item's values, changes and flips."""
    metrics = list(dict.fromkeys(name for cell in cells for sample in cell.samples for name in sample["metrics"]))
    task.metric = task.info.main(metrics) or ""
    values, every = _values(task, cells)
    scales = {metric: scale_of(task.info, metric, every[metric]) for metric in every}
    task.reworded = task.info.unit(task.metric) not in JUDGED_UNITS
    for item in task.items:
        by_arm = values.get(item.id, {})
        item.values = {name: value for name, (_, value) in by_arm.items()}
        for name in task.arms:
            arm = arms[name]
            if (baseline := arm.baseline) is None:
                continue
            if task.reworded:
                if (share := _reworded(item, name, baseline)) is not None:
                    item.changes[name] = share
            elif name in by_arm and baseline in by_arm and by_arm[name][0] == by_arm[baseline][0]:
                metric, after = by_arm[name]
                _change(item, arm, task.info, scales[metric], (metric, by_arm[baseline][1], after))


def _change(item: Item, arm: Arm, info: TaskInfo, scale: Scale | None, moved: tuple[str, float, float]) -> None:
    """Note an arm's change on an item: `moved` is its metric, the baseline's value and the arm's."""
    metric, before, after = moved
    axis = info.family(metric)[1] if scale and scale.pole else None
    poles = arm.persona.poles if arm.persona else {}
    sign = sign_of(axis, poles.get(axis)) if axis else 1
    item.changes[arm.name] = (sign or 1) * (after - before)
    if scale and sign and (flip := scale.flip(before, after, sign)):
        item.flips[arm.name] = flip


Values = dict[str, dict[str, tuple[str, float]]]


def _values(task: TaskItems, cells: Sequence[ReadCell]) -> tuple[Values, dict[str, list[float]]]:
    """Each item's metric and mean value by arm, and each metric's values of single documents."""
    collected: dict[str, dict[str, dict[str, list[float]]]] = {}
    every: dict[str, list[float]] = {}
    for cell in cells:
        for sample in cell.samples:
            if metric := _metric_of(sample["metrics"], task):
                value = sample["metrics"][metric]
                every.setdefault(metric, []).append(value)
                of_arm = collected.setdefault(sample["item"], {}).setdefault(cell.arm, {})
                of_arm.setdefault(metric, []).append(value)
    means = {
        item: {arm: next((metric, mean(found)) for metric, found in of_arm.items()) for arm, of_arm in by_arm.items()}
        for item, by_arm in collected.items()
    }
    return means, every


def _metric_of(metrics: Mapping[str, float], task: TaskItems) -> str | None:
    """The metric of a document that sums its task up; of a document without it the first that is no diagnostic."""
    families = {name: task.info.family(name) for name in metrics}
    of_main = [name for name, (family, _) in families.items() if family == task.metric]
    whole = [name for name in of_main if families[name][1] not in task.info.parts.get(task.metric, {})]
    others = [name for name, (family, _) in families.items() if family not in task.info.diagnostics]
    return next(iter([*whole, *others]), None)


def _reworded(item: Item, arm: str, baseline: str) -> float | None:
    """The words of an arm's first answers that are not its baseline's, in per cent: 0 for the same words in any order.

    100 less Dice's coefficient of the two bags of words; None where one of them wrote nothing.
    """
    ours, theirs = (_words(item, name) for name in (arm, baseline))
    total = ours.total() + theirs.total()
    return 100 * (1 - 2 * (ours & theirs).total() / total) if total else None


def _words(item: Item, arm: str) -> Counter[str]:
    first = [answers[0].text for q in item.questions.values() if (answers := q.answers.get(arm))]
    return Counter(word for text in first if text for word in re.findall(r"\w+", text[:LONGEST].casefold()))
