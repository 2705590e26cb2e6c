"""What is known of graders on text of another make: LAPD's own checks, and those of this machine's user.

A check holds for what was checked: the grader, its version and settings, and what an axis's grades depend on beside.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lapd.files.whole import cache_dir, digest_json, write_json
from lapd.hookspecs import Dimension, Grader
from lapd.judges.grader_check import foreign_note
from lapd.judges.grades import COHERENCE, grader_identity
from lapd.judges.judge import judge_note
from lapd.pluginmanager import registry


def keep_check(grader: Grader, dimensions: Sequence[Dimension], auc: Mapping[str, float | None]) -> None:
    """Keep a grader's AUC on foreign text, by axis, for the notes beside its numbers."""
    by = grader_identity(grader, dimensions)
    measured = {_key(by, axis): value for axis, value in auc.items() if value is not None}
    path = _own()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {**_read(path), **measured})


def note_of_grades(by: Mapping[str, Any]) -> str:
    """What is said wherever the grades of this grader, as `grader_identity` gives it, appear; "" for nothing."""
    grader = registry("graders").get(str(by.get("name", "")))
    known = {**_shipped(), **_read(_own())}
    axes = [name for name in by.get("dimensions", {}) if name != COHERENCE.name]
    auc = {axis: known.get(_key(by, axis)) for axis in axes}
    unknown = [axis for axis, value in auc.items() if value is None]
    unchecked = f"not checked on text of another make for {', '.join(unknown)}" if unknown else ""
    return "; ".join(filter(None, [judge_note(grader) if grader else "", foreign_note(auc), unchecked]))


def _key(by: Mapping[str, Any], axis: str) -> str:
    return digest_json([by["name"], by["version"], by["settings"], axis, by["dimensions"][axis]])[:16]


def _own() -> Path:
    return cache_dir() / "graders" / "foreign.json"


def _shipped() -> dict[str, float]:
    from lapd.data import FOLDER

    return _read(FOLDER / "graders" / "foreign.json")


def _read(path: Path) -> dict[str, float]:
    """What is in such a file; nothing where it is missing or damaged: it is only what was measured once."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return (
        {str(k): float(v) for k, v in found.items() if isinstance(v, (int, float))} if isinstance(found, dict) else {}
    )
