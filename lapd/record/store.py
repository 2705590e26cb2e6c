"""The run folder on disk: which arms and cells belong to the run, and each cell's results.

    RUN/run.json              arms and cells (schema lapd.run/1)
    RUN/requests              a byte for each request that was sent to a server
    RUN/cells/<name>/         one cell, named by the digest of what determines it
        cell.json                 its identity, for people
        journal.jsonl             finished batches; gone once the cell is done
        samples.jsonl             one line a document: what was asked, answered and scored
        verdicts-<judge>.jsonl    one line a response that a judge decided on
        result.json               written last: a cell with one is done

A cell is worked on under a lock that the system lets go of when the process dies.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

from lapd.adapters.adapter import Adapter
from lapd.adapters.personas import persona_of
from lapd.adapters.replicates import training_of
from lapd.adapters.whole import WHOLE, WholeModel
from lapd.catalog.task import Group
from lapd.errors import StoreError, UsageError
from lapd.files.locks import lock
from lapd.files.whole import digest_json, read_jsonl, read_record, writable_folder, write_json
from lapd.models.base import BaseModel
from lapd.models.identity import changed_files
from lapd.record.cells import Arm, Cell

RUN_SCHEMA = "lapd.run/1"
RESULT_SCHEMA = "lapd.result/1"

PERSONAL = ("adapter_persona", "adapter_poles")
"""What of an arm's record says whose adapter it has."""


class Store:
    """A run folder.

    Args:
        folder: where it is or shall be.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def cell_folder(self, name: str) -> Path:
        """The folder of the cell of that name."""
        return self.folder / "cells" / name

    def is_done(self, name: str) -> bool:
        """Whether the cell has its result."""
        # os.path is three times as fast as pathlib here, and a run may have ten thousand cells.
        return os.path.isfile(f"{self.folder}/cells/{name}/result.json")  # noqa: PTH113

    def batches(self, name: str) -> int:
        """How many finished batches an unfinished cell has in its journal, as far as it is readable."""
        try:
            with open(f"{self.folder}/cells/{name}/journal.jsonl", "rb") as stream:  # noqa: PTH123
                return max(0, sum(line.endswith(b"\n") for line in stream) - 1)  # the first line is a header
        except FileNotFoundError:
            return 0

    def tidy(self, name: str) -> None:
        """Remove the journal of a finished cell, which is left if its process was killed between the two."""
        path = f"{self.folder}/cells/{name}/journal.jsonl"
        if os.path.exists(path):  # noqa: PTH110
            with self.claim(name) as mine:
                if mine:
                    Path(path).unlink(missing_ok=True)

    def run(self) -> dict[str, Any]:
        """The run's record.

        Raises:
            StoreError: this is no run folder, or one that a newer LAPD wrote.
        """
        path = self.folder / "run.json"
        if not path.is_file():
            raise StoreError(
                f"{self.folder} is no run folder: it has no run.json.", "`lapd eval` or `lapd run` makes one."
            )
        return read_record(path, RUN_SCHEMA)

    def check_base(self, base: BaseModel) -> dict[str, Any] | None:
        """The run's record, or None where there is no run yet; refuses a run on another base model.

        Raises:
            StoreError: the folder belongs to a run on another base model, or to a newer LAPD.
        """
        old = self.run() if (self.folder / "run.json").is_file() else None
        if old and old["base"]["digest"] != base.digest:
            raise StoreError(f"{self.folder} holds a run on {_other_base(old['base'], base)}.", "Give another -o.")
        return old

    def enter(self, cells: Sequence[Cell]) -> None:
        """Make `cells` part of the run; nothing is written if they already are.

        Raises:
            UsageError: there are no cells.
            StoreError: the folder belongs to a run on another base model, or to a newer LAPD.
        """
        if not cells:
            raise UsageError("There is nothing to evaluate.", "Name at least one task and one arm.")
        writable_folder(self.folder)
        path = self.folder / "run.json"
        with self._lock(self.folder / ".lock"):
            _remove_leftovers(self.folder, "run.json")
            old = self.check_base(cells[0].base)
            record = old or {"schema": RUN_SCHEMA, "base": _base_record(cells[0].base), "arms": {}, "cells": {}}
            before = str(record)
            _enter_cells(record, cells)
            if "date" not in record and not all(self.is_done(cell.name) for cell in cells):
                record["date"] = self._begun(record)
            if str(record) != before or old is None:
                write_json(path, record)

    def date(self) -> str:
        """The day that the run's chat templates are told, on every day that it goes on; ISO 8601.

        Raises:
            StoreError: this is no run folder, or one that a newer LAPD wrote.
        """
        record = self.run()
        return str(record.get("date") or self._begun(record))

    def _begun(self, record: dict[str, Any]) -> str:
        """Today, or the day on which the first finished cell was begun: an older LAPD noted none in the record."""
        finished = (self.result(e["cell"]) for e in record["cells"].values() if self.is_done(e["cell"]))
        started = [day for r in finished if (day := r.get("provenance", {}).get("started"))]
        return str(min(started))[:10] if started else date.today().isoformat()

    def result(self, name: str) -> dict[str, Any]:
        """A finished cell's record.

        Raises:
            StoreError: it was written by a newer LAPD.
            DataError: it is not there or not JSON.
        """
        return read_record(self.cell_folder(name) / "result.json", RESULT_SCHEMA)

    def results(self) -> list[dict[str, Any]]:
        """The arm, task, seed, cell and metrics of every finished cell; and its coherence and judge, if it has them."""
        found = []
        for entry in self.finished():
            result = self.result(entry["cell"])
            known = {k: entry[k] for k in ("arm", "task", "seed", "cell")} | {"metrics": result["metrics"]}
            found.append(known | {key: result[key] for key in ("coherence", "judge") if key in result})
        return found

    def finished(self) -> list[dict[str, Any]]:
        """The record of every finished cell of the run: arm, task, seed, way, cell."""
        return [entry for entry in self.run()["cells"].values() if self.is_done(entry["cell"])]

    def samples(self, name: str) -> list[dict[str, Any]]:
        """A finished cell's documents with their answers and metrics, in order."""
        return [row for _, row in read_jsonl(self.cell_folder(name) / "samples.jsonl")]

    @contextmanager
    def claim(self, name: str) -> Iterator[bool]:
        """Hold the cell while working on it; False if another process holds it."""
        folder = self.cell_folder(name)
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ".lock").open("w") as stream:
            if not lock(stream, wait=False):
                yield False
                return
            _remove_leftovers(folder)
            yield True

    def is_held(self, name: str) -> bool:
        """Whether a process is at work on the cell."""
        with self.claim(name) as mine:
            return not mine

    @contextmanager
    def _lock(self, path: Path) -> Iterator[None]:
        with path.open("a") as stream:
            lock(stream)
            yield


def _base_record(base: BaseModel) -> dict[str, Any]:
    return {"name": base.name, "digest": base.digest, **({"files": base.files} if base.files else {})}


def _other_base(old: dict[str, Any], base: BaseModel) -> str:
    """The base of an existing run, in words that tell it from `base`."""
    if old["name"] != base.name:
        return f"{old['name']}, not on {base.name}"
    if old["digest"] in base.digests:
        return f"{base.name} by an older LAPD, which did not count all of its files"
    changed = changed_files(old.get("files", {}), base.files) if "files" in old else ["its files"]
    return f"{base.name} as it was before {', '.join(changed)} changed"


def _remove_leftovers(folder: Path, name: str = "*") -> None:
    """Remove what a process left that was killed while it wrote the file `name`; the caller holds its lock."""
    for left in folder.glob(f".{name}.*.tmp"):
        left.unlink(missing_ok=True)


def _enter_cells(record: dict[str, Any], cells: Sequence[Cell]) -> None:
    """Make each cell the one of its arm, task and seed, and drop from the record what they cannot stand beside.

    An arm is one adapter under one prompt, and a task is scored in one way: cells of an adapter that was trained
    again since, or of other settings, would be compared as if they were the same. (They stay on disk, and come back
    into the record with the command that made them.)
    """
    arms = {cell.arm: arm_record(cell.arm) for cell in cells}
    ways = {cell.task.name: _way(cell) for cell in {cell.task.name: cell for cell in cells}.values()}
    stale = {
        arm.name
        for arm, new in arms.items()
        if arm.name in record["arms"] and _weights_and_words(record["arms"][arm.name]) != _weights_and_words(new)
    }
    record["cells"] = {
        key: entry
        for key, entry in record["cells"].items()
        if entry["arm"] not in stale and ways.get(entry["task"], entry.get("way")) == entry.get("way")
    }
    named = {arm.name: new for arm, new in arms.items()}
    for name, new in named.items():
        if new["adapter_persona"] is None and name not in stale:  # it may have been given before
            new |= {key: v for key, v in record["arms"].get(name, {}).items() if key in PERSONAL}
    record["arms"] = _in_order(record["arms"] | named)
    if groups := {group.name: group for cell in cells for group in cell.task.groups}:
        record["groups"] = record.get("groups", {}) | {name: _group_record(group) for name, group in groups.items()}
    for cell in cells:
        arm, task, seed = cell.arm.name, cell.task.name, cell.settings.seed
        entry = {"arm": arm, "task": task, "seed": seed, "way": ways[task], "cell": cell.name}
        record["cells"][f"{arm} / {task} / seed {seed}"] = entry


def _group_record(group: Group) -> dict[str, Any]:
    return {"tasks": list(group.tasks), "metrics": [asdict(metric) for metric in group.metrics]}


def _way(cell: Cell) -> str:
    """The digest of how the cell's task is scored: the same for every arm and seed."""
    settings = cell.settings
    judge = [identity] if (identity := cell.identity().get("judge")) else []
    folded = ["folded"] if settings.fold_system_prompt else []
    drawn = [settings.sampling] if settings.sampling else []
    items = ["balanced", settings.seed] if settings.draws_items else []
    return digest_json([cell.task_digest, settings.limit, settings.dtype, *judge, *folded, *drawn, *items])[:16]


def _in_order(arms: dict[str, Any]) -> dict[str, Any]:
    """The arms as they are, but for one adapter's strengths: those stand together, the weakest first."""
    if all(_strength(entry) == 1 for entry in arms.values()):
        return arms
    names = [entry["adapter"] and entry["adapter"]["name"] for entry in arms.values()]
    first: dict[str, int] = {}
    for index, name in enumerate(names):
        first.setdefault(name, index)
    places = {
        arm: (index, 1.0) if name is None else (first[name], _strength(arms[arm]))
        for index, (arm, name) in enumerate(zip(arms, names, strict=True))
    }
    return {arm: arms[arm] for arm in sorted(arms, key=lambda arm: places[arm])}


def _strength(arm: dict[str, Any]) -> float:
    return float(arm["adapter"].get("strength", 1)) if arm["adapter"] else 1.0


def _weights_and_words(arm: dict[str, Any]) -> list[Any]:
    """What makes an arm the same arm: its adapter's weights and strength and its prompt's words, wherever they lie."""
    digest = arm["adapter"] and arm["adapter"]["digest"]
    return [digest, _strength(arm), arm["prompt"] and arm["prompt"]["system_prompt"]]


def _poles(adapter: Adapter | None) -> dict[str, str]:
    """The poles of an adapter's persona, so that the run can be read without its plugin."""
    if adapter and adapter.given and (persona := persona_of(adapter)):
        return persona.poles
    return dict((adapter.card or {}).get("poles") or {}) if adapter else {}


def arm_record(arm: Arm) -> dict[str, Any]:
    """What a run's record has of an arm."""
    adapter: dict[str, Any] | None = None
    if arm.adapter:
        adapter = {"name": arm.adapter.name, "path": str(arm.adapter.path), "digest": arm.adapter.digest}
        if arm.adapter.strength != 1:
            adapter["strength"] = arm.adapter.strength
        if isinstance(arm.adapter, WholeModel):
            adapter |= {"kind": WHOLE, "differs": list(arm.adapter.differs)}
    persona = arm.persona or None
    return {
        "adapter": adapter,
        "adapter_persona": arm.adapter.persona if arm.adapter else None,
        **({"adapter_poles": poles} if (poles := _poles(arm.adapter)) else {}),
        "adapter_control": arm.adapter.control if arm.adapter else None,
        **training_of(arm.adapter.card if arm.adapter else None),
        "prompt": persona.record() if persona else None,
        "baseline": arm.baseline.name if arm.baseline else None,
    }
