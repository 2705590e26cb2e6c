"""Preference pairs: what one is, and reading and writing them.

A pairs file holds one JSON object a line: `prompt`, `chosen` and `rejected`, and where the pair came from (`source`).
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from lapd.errors import DataError, UsageError
from lapd.files import digest_json, read_jsonl, write_jsonl

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


CONTROLS = ("shuffled", "opposite")
"""The kinds of control. `shuffled-1`, `shuffled-2` ... are further shuffled ones, each with a seed of its own."""


def control_pairs(pairs: Sequence[PreferencePair], control: str) -> list[PreferencePair]:
    """The pairs of a control adapter: the same prompts and responses, in the same order, with other preferences.

    Args:
        pairs: the persona's.
        control: "shuffled" swaps a random half of each axis's pairs, so that neither pole is taught ("shuffled-1":
            another half, and so on); "opposite" swaps every pair, which teaches the opposite persona.

    Raises:
        UsageError: there is no such control.

    Half, and not a coin for each pair: of 32 coins 16 +- 2.8 come up heads, and such an excess would teach a sixth of
    the trait. Where an axis has an odd number of pairs, a coin decides on the last one.
    """
    kind, seed = parse_control(control)
    swapped = set(range(len(pairs))) if kind == "opposite" else _random_half(pairs, seed)
    return [
        replace(pair, chosen=pair.rejected, rejected=pair.chosen, source={**pair.source, "swapped": True})
        if index in swapped
        else pair
        for index, pair in enumerate(pairs)
    ]


def parse_control(control: str) -> tuple[str, int]:
    """A control's kind and seed: "shuffled-2" is ("shuffled", 2).

    Raises:
        UsageError: there is no such control.
    """
    kind, _, seed = control.partition("-")
    known = kind in CONTROLS if kind == control else kind == "shuffled" and seed.isdecimal()
    if not known:
        hint = f"Known: {', '.join(CONTROLS)}; further ones: shuffled-1, shuffled-2 ..."
        raise UsageError(f"There is no control {control!r}.", hint)
    return kind, int(seed or 0)


def _random_half(pairs: Sequence[PreferencePair], seed: int) -> set[int]:
    """Indices of half of the pairs of every axis and pole, chosen at random."""
    chance = random.Random(f"control {seed}")
    strata: dict[tuple[str, str], list[int]] = {}
    for index, pair in enumerate(pairs):
        strata.setdefault((str(pair.source.get("axis")), str(pair.source.get("chosen_pole"))), []).append(index)
    half: set[int] = set()
    for indices in strata.values():
        half.update(chance.sample(indices, (len(indices) + chance.randint(0, 1)) // 2))
    return half


def pairs_digest(pairs: Iterable[PreferencePair]) -> str:
    """SHA-256 over what training sees of `pairs`: prompt, chosen and rejected, in order."""
    return digest_json([(p.prompt, p.chosen, p.rejected) for p in pairs])
