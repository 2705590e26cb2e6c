"""Whether two arms of a run may be compared at all: were they asked the same, and by the same software?

A difference between two arms is put down to the adapter or the prompt. It is something else where the chat template
wrote another date, or a newer library renders, tokenizes or scores otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lapd.errors import StoreError
from lapd.record.reading import ReadCell

PACKAGES = ("lapd", "lm-eval", "transformers", "torch")
"""Packages of which another version can change prompts or scores; of torch another patch release does not."""

SHOWN = 30
"""Characters on either side of the first place where two prompts part."""

Pair = tuple[ReadCell, ReadCell]


def pairs(cells: Iterable[ReadCell], baselines: Mapping[str, Sequence[str]]) -> list[Pair]:
    """Each finished cell with the finished cells of its baselines on the same task and seed."""
    by_place = {(cell.entry["arm"], cell.entry["task"], cell.entry["seed"]): cell for cell in cells}
    return [
        (cell, other)
        for (arm, task, seed), cell in by_place.items()
        for baseline in baselines.get(arm, ())
        if (other := by_place.get((baseline, task, seed)))
    ]


def version_differences(ours: ReadCell, theirs: ReadCell) -> dict[str, dict[str, str]]:
    """What the two cells were made with that is not the same: {"torch": {"arm": "2.14", "baseline": "2.13"}}.

    What a record does not say, as one of an older LAPD, is not told apart.
    """
    arm, baseline = _versions(ours.result), _versions(theirs.result)
    return {
        name: {"arm": arm[name], "baseline": baseline[name]}
        for name in arm
        if name in baseline and arm[name] != baseline[name]
    }


def _versions(result: Mapping[str, Any]) -> dict[str, str]:
    made_with = result.get("provenance", {})
    found = {name: str(made_with[name]) for name in PACKAGES if made_with.get(name)}
    if "torch" in found:
        found["torch"] = ".".join(found["torch"].split(".")[:2])
    version = result.get("task_version")
    return found | ({"task": str(version)} if version else {})


def version_warnings(compared: Iterable[Pair]) -> list[str]:
    """A line for each way in which arms that are compared were made with different versions."""
    said: dict[str, dict[str, None]] = {}
    for ours, theirs in compared:
        for name, found in version_differences(ours, theirs).items():
            arm, baseline, task = ours.entry["arm"], theirs.entry["arm"], ours.entry["task"]
            what = f"version {found['arm']} of the task" if name == "task" else f"{name} {found['arm']}"
            than = found["baseline"] if name == "task" else f"{name} {found['baseline']}"
            said.setdefault(f"{arm} was made with {what}, {baseline} with {than}", {})[task] = None
    advice = "What differs may come from that: evaluate both with the same."
    return [f"{what} ({', '.join(tasks)}). {advice}" for what, tasks in said.items()]


def averaged_filters(cells: Iterable[ReadCell]) -> list[str]:
    """A line for each task whose filters LAPD 0.1 put together: its cells have a document once for each."""
    found: dict[str, None] = {}
    for cell in cells:
        places = [(sample["doc_id"], sample.get("sample")) for sample in cell.samples if "doc_id" in sample]
        if len(places) > len(set(places)):
            found[cell.entry["task"]] = None
    return [
        f"{task} has several filters, over which an older LAPD averaged: evaluate it again to have each apart."
        for task in found
    ]


def differing(cell: ReadCell) -> list[str]:
    """What a whole model read otherwise than the base: "tokenizer", "chat template"; nothing of other arms."""
    return [str(what) for what in cell.result.get("provenance", {}).get("differs", ())]


def read_otherwise(cells: Iterable[ReadCell]) -> list[str]:
    """A line for each arm whose model has another tokenizer or chat template than the base."""
    found = {cell.arm: differs for cell in cells if (differs := differing(cell))}
    return [
        f"{arm} has another {' and another '.join(differs)} than the base, and was asked in its own: that is part of "
        "what is compared."
        for arm, differs in found.items()
    ]


def check_prompts(folder: Path, compared: Iterable[Pair]) -> None:
    """Refuse to compare arms that were asked otherwise than their system prompts say.

    Args:
        folder: the run's, for the message.
        compared: cells and their baselines'.

    Raises:
        StoreError: a document's requests differ in more than the system prompt.
    """
    for ours, theirs in compared:
        if "chat template" in differing(ours):  # a whole model is asked in its own template, and said to be
            continue
        prompts = _system_prompt(ours), _system_prompt(theirs)
        others = {sample.get("doc_id"): sample.get("arguments") for sample in theirs.samples}
        for sample in ours.samples:
            asked, other = sample.get("arguments"), others.get(sample.get("doc_id"))
            if asked is not None and other is not None and not _alike(asked, other, *prompts):
                what = f"{ours.entry['arm']} and {theirs.entry['arm']} were asked differently on {ours.entry['task']}"
                place = f"item {sample['item']}: {_parting(asked, other)}"
                hint = "Evaluate both anew, into another folder; a date in a chat template is then the same for all."
                raise StoreError(f"{folder}: {what} ({place}), in more than the system prompt.", hint)


def _system_prompt(cell: ReadCell) -> str | None:
    return cell.result.get("cell", {}).get("system_prompt")


def _alike(ours: Sequence[Any], theirs: Sequence[Any], our_prompt: str | None, their_prompt: str | None) -> bool:
    """Whether two documents' requests are the same but for the system prompts."""
    if our_prompt == their_prompt or len(ours) != len(theirs):
        return ours == theirs
    known: dict[tuple[str, str], bool] = {}
    for (first, *rest), (other, *others) in zip(ours, theirs, strict=True):
        if rest != others:
            return False
        key = str(first), str(other)
        if key not in known:
            known[key] = differs_only_in_system_prompt(*key, our_prompt, their_prompt)
        if not known[key]:
            return False
    return True


def differs_only_in_system_prompt(ours: str, theirs: str, our_prompt: str | None, their_prompt: str | None) -> bool:
    """Whether two rendered prompts are the same but for what they have as a system prompt.

    A template may write a default where none is given, or leave the whole turn out. Either way, what stands before the
    one's system prompt and what stands behind it are in the other too, or the other is what is left when the turn goes.

    Args:
        ours, theirs: as the model was given them; messages as JSON where a server renders them.
        our_prompt, their_prompt: the system prompts; None for none of one's own.
    """
    if ours == theirs or our_prompt == their_prompt:
        return ours == theirs
    if our_prompt and their_prompt:
        a, b = list(_around(ours, our_prompt)), list(_around(theirs, their_prompt))
        return not (a and b) or a == b
    if not our_prompt:
        ours, theirs, our_prompt = theirs, ours, their_prompt
    for before, behind in _around(ours, our_prompt or ""):
        replaced = theirs.startswith(before) and theirs.endswith(behind) and len(theirs) >= len(before) + len(behind)
        return replaced or _is_insertion(theirs, ours)
    return True  # the template has worked on the prompt: where it stands cannot be told


def _around(text: str, prompt: str) -> Iterator[tuple[str, str]]:
    """What stands before and behind a system prompt, where it is found: as it is, trimmed, or in JSON."""
    for form in (prompt, prompt.strip(), json.dumps(prompt, ensure_ascii=False)[1:-1]):
        if form and form in text:
            before, _, behind = text.partition(form)
            yield before, behind
            return


def _is_insertion(short: str, long: str) -> bool:
    """Whether `long` is `short` with something put in at one place."""
    head = _common(short, long)
    tail = _common(short[::-1], long[::-1])
    return head + tail >= len(short)


def _common(a: str, b: str) -> int:
    """How many characters two texts begin with in common."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if a[:middle] == b[:middle] else (low, middle - 1)
    return low


def _parting(ours: Any, theirs: Any) -> str:
    """The first place where two documents' requests part, for people."""
    a, b = (json.dumps(part, ensure_ascii=False) for part in (ours, theirs))
    at = _common(a, b)
    start = max(0, at - SHOWN)
    return f"...{a[start : at + SHOWN]}... against ...{b[start : at + SHOWN]}..."
