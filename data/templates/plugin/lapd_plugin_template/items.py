"""The items that the benchmark asks and the generator makes pairs of."""

import json
from pathlib import Path
from typing import Any

TASK = Path(__file__).resolve().parent / "task"

AXIS = "J/P"
"""The axis on which the two responses of an item differ: the MBTI's fourth. `lapd traits` lists all that there are."""


def items(split: str) -> list[dict[str, Any]]:
    """The items of one split: "train", which the generator makes pairs of, or "heldout", which the benchmark asks."""
    lines = (TASK / "items.jsonl").read_text(encoding="utf-8").splitlines()
    return [item for item in map(json.loads, lines) if item["split"] == split]
