"""How answers ended, and which settings a server was asked without: kept with them, and said beside their numbers.

A sample has `finish_reasons` in the form of its `responses`, as the server gave them, or by the same words where the
model is loaded here; a result has `asked_without`, the settings that the server refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lapd.endpoints.replies import CUT_OFF, FILTER

NAMED = 4
"""So many arms are named in a line; more are counted."""


def finish_reasons(responses: Sequence[Sequence[Any]]) -> dict[str, Any]:
    """`finish_reasons` of a document's responses, as a sample has it; nothing where nobody said any."""
    found = [[getattr(response, "finish_reason", "") for response in some] for some in responses]
    return {"finish_reasons": found} if any(map(any, found)) else {}


def asked_without(responses: Iterable[Sequence[Sequence[Any]]]) -> dict[str, Any]:
    """`asked_without` of all documents' responses, as a result has it; nothing where the server took every setting."""
    named = {name for doc in responses for some in doc for one in some for name in getattr(one, "without", ())}
    return {"asked_without": sorted(named)} if named else {}


def ending(sample: Mapping[str, Any]) -> str:
    """How the first answer of a sample was ended from without, for people; "" where the model ended it itself."""
    reason = next((reason for some in sample.get("finish_reasons", ()) for reason in some), "")
    return "cut off" if reason in CUT_OFF else "cut off by a content filter" if reason == FILTER else ""


def remarks(cells: Iterable[Any]) -> list[str]:
    """What the numbers of each task need said of its answers, in sentences.

    Args:
        cells: `lapd.record.reading.ReadCell`s.
    """
    ends: dict[str, dict[str, list[bool]]] = {}
    sampled: dict[str, None] = {}
    for cell in cells:
        task, arm = cell.entry["task"], cell.entry["arm"]
        ends.setdefault(task, {}).setdefault(arm, []).extend(bool(ending(sample)) for sample in cell.samples)
        if "temperature" in cell.result.get("asked_without", ()):
            sampled[task] = None
    said = []
    for task, arms in ends.items():
        if counts := [f"{sum(cut)} of {len(cut)} of {arm}" for arm, cut in arms.items() if any(cut)]:
            more = [f"and of {len(counts) - NAMED} more arms"] if len(counts) > NAMED else []
            said.append(f"{task}: answers were cut off ({', '.join([*counts[:NAMED], *more])}).")
    if sampled:
        tasks = ", ".join(sampled)
        said.append(f"{tasks}: the server takes no temperature, so the answers are sampled, not the likeliest.")
    return said
