"""Runs made by hand that a page can be made of: cells with answers, versions and times."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from made_up import adapter, make_run

from lapd.adapters.adapter import Adapter
from lapd.files.whole import read_json, write_json, write_jsonl
from lapd.record.store import Store


def adapters(*names: str) -> list[Adapter]:
    """Of "INFP", or "INFP.1" with its seed; "shuffled-INFP.1" is a control."""
    found = []
    for name in names:
        kind, _, seed = name.partition(".")
        control = ("shuffled" if seed in ("", "0") else f"shuffled-{seed}") if kind.startswith("shuffled") else None
        found.append(adapter(kind.removeprefix("shuffled-"), name=name, control=control, seed=int(seed or 0)))
    return found


def value(arm: str, task: str, item: int) -> dict[str, float]:
    """Items drawn by arm; an adapter lies higher than its base."""
    draw = np.random.default_rng([item, sum(map(ord, arm))])
    if task == "knowledge_mini":
        return {"acc": float(draw.random() < 0.6), "acc_norm": 0.5}
    axis = ("EI", "SN", "TF", "JP")[item % 4]
    return {f"log_odds_{axis}": 0.0 if arm == "base" else draw.normal(1, 2), f"prefer_{axis}": 100.0}


def shown_run(
    folder: Path, names: Sequence[str] = ("INFP", "shuffled-INFP"), tasks: Sequence[str] = ("situations",), **more: Any
) -> Path:
    """A finished run of 24 items a task; `more` stands in each cell's provenance."""
    make_run(folder, adapters(*names), {task: range(24) for task in tasks}, value, ["base", "adapter"])
    for path in folder.glob("cells/*/result.json"):
        provenance = {"lapd": "0.1.0", "torch": "2.13.0", **more}
        write_json(path, read_json(path) | {"provenance": provenance, "finished": "2026-05-01T00:00:00Z"})
        samples = path.with_name("samples.jsonl")
        rows = [json.loads(line) for line in samples.read_text().splitlines()]
        doc = {"prompt": "What?", "choices": ["a", "b"]}
        more_of = {"doc": doc, "target": 0, "arguments": [["What?"]], "responses": [[[-1.0, False]]]}
        write_jsonl(samples, [{"doc_id": n, **more_of, **row} for n, row in enumerate(rows)])
    return folder


def unfinish(folder: Path, *keep: str) -> None:
    """Take away the results of all cells but those of the arms that are named."""
    for entry in Store(folder).run()["cells"].values():
        if entry["arm"] not in keep:
            (folder / "cells" / entry["cell"] / "result.json").unlink(missing_ok=True)
