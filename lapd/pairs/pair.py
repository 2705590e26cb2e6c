"""Preference pairs: what one is, and reading and writing them.

A pairs file holds one JSON object a line: `prompt`, `chosen` and `rejected`, and where the pair came from (`source`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lapd.errors import DataError
from lapd.files.whole import digest_json, read_jsonl, write_jsonl

FIX = "`lapd data fix` leaves such rows out."


@dataclass(frozen=True)
class PreferencePair:
    """Two responses to one prompt, the first of which is wanted.

    Attributes:
        prompt: what the user says.
        chosen: the response that training should make likelier.
        rejected: the response that it should make less likely.
        source: where the pair came from, such as {"id": "ei-001", "axis": "E/I", "chosen_pole": "I"}.
    """

    prompt: str
    chosen: str
    rejected: str
    source: dict[str, Any] = field(default_factory=dict)


def read_pairs(path: Path) -> list[PreferencePair]:
    """The preference pairs of a JSON-lines file, in order.

    Raises:
        DataError: the file is missing, empty, or a line is no pair: not JSON, a field missing or empty, chosen and
            rejected identical. The message names the file, the line and the fault.
    """
    pairs = [make_pair(path, number, row) for number, row in read_jsonl(path)]
    if not pairs:
        raise DataError(path, "there is no pair in this file.", hint="`lapd generate` writes one.")
    return pairs


def make_pair(where: object, line: int, row: Any, source: dict[str, Any] | None = None) -> PreferencePair:
    """The pair that one row is.

    Args:
        where: the file, for the message.
        line: the row's number in it, from 1.
        row: what the row holds.
        source: where the pair came from, instead of the row's own field.

    Raises:
        DataError: as `read_pairs`.
    """
    if not isinstance(row, dict):
        raise DataError(where, f"a pair is a JSON object, not {type(row).__name__}.", line)
    for name in ("prompt", "chosen", "rejected"):
        if not isinstance(row.get(name), str) or not row[name].strip():
            raise DataError(where, f"{name!r} is missing, empty or not text.", line, FIX)
    if row["chosen"].strip() == row["rejected"].strip():
        raise DataError(where, "chosen and rejected are identical: there is nothing to prefer.", line, FIX)
    source = source if source is not None else row.get("source")
    return PreferencePair(row["prompt"], row["chosen"], row["rejected"], source if isinstance(source, dict) else {})


def write_pairs(path: Path, pairs: Iterable[PreferencePair]) -> int:
    """Write `pairs` to `path`, whole or not at all, and return how many there were."""
    rows = [asdict(pair) for pair in pairs]
    write_jsonl(path, rows)
    return len(rows)


def pairs_digest(pairs: Iterable[PreferencePair]) -> str:
    """SHA-256 over what training sees of `pairs`: prompt, chosen and rejected, in order."""
    return digest_json([(p.prompt, p.chosen, p.rejected) for p in pairs])
