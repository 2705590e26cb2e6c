"""Drafts for a trait pack in the form of its files, in a folder of their own: somebody has to read them first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lapd.errors import DataError
from lapd.files.whole import write_json, write_jsonl
from lapd.personas import axis_tag
from lapd.traits.pack import TraitPack

UNREVIEWED = "Drafted by a model; not reviewed."


def write_drafts(folder: Path, pack: TraitPack, drafts: Iterable[Mapping[str, Any]]) -> dict[Path, int]:
    """Write drafts below `folder`/drafts, whole or not at all, and return how many each file has.

    Args:
        folder: the pack's.
        pack: whose axes they are for.
        drafts: rows of a contrast corpus, and items of a questionnaire (those have `statements`).

    Raises:
        DataError: there is none.
    """
    rows: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    items = []
    for draft in drafts:
        if "statements" in draft:
            items.append(draft)
        else:
            rows[draft["axis"]].append({**draft, "licence": pack.licence})
    if not rows and not items:
        raise DataError(folder, "no draft could be made.", hint="Try a more able model.")
    written = {}
    for axis, found in rows.items():
        path = folder / "drafts" / "contrast" / "en" / f"{axis_tag(axis)}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_jsonl(path, sorted(found, key=lambda row: row["id"]))
        written[path] = len(found)
    if items:
        path = folder / "drafts" / "questionnaire-a.en.json"
        about = {"schema": "lapd.questionnaire/1", "name": pack.name, "form": "A", "lang": "en"}
        write_json(path, {**about, "licence": pack.licence, "provenance": UNREVIEWED, "items": items})
        written[path] = len(items)
    return written
