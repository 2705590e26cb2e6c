"""Verdicts on stored responses: a second pass, which never generates again.

They lie beside the responses, in the cell's folder, as `verdicts-<judge>.jsonl`, one line a document. While a judge is
at work each verdict is kept at once in `.verdicts-<judge>.partial`; a pass that was cut off goes on from there, and a
later one asks only for what is missing. A verdict is on one response, and known by its digest: where a cell was made
again and came out with other words, it counts no longer. (Those of an older LAPD, which kept no digests, go by item.)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lapd.catalog.find import tasks
from lapd.catalog.task import TaskInfo
from lapd.errors import DataError, StoreError, UsageError
from lapd.files.progress import bar
from lapd.files.whole import canonical_json, digest_json, read_jsonl, write_jsonl
from lapd.hookspecs import Judge, Verdict
from lapd.judges.judge import judge_identity, verdicts_of
from lapd.judges.verdicts import read_verdict, verdict_record
from lapd.record.journal import Journal
from lapd.record.store import Store

Samples = Sequence[dict[str, Any]]

CHANGED = "not judged yet: the response is another than the one that was judged"
"""The reason of a verdict that is missing since the response has changed."""


@dataclass(frozen=True)
class JudgedCell:
    """A cell's verdicts.

    Attributes:
        entry: which cell: `arm`, `task`, `seed`, `cell`.
        judge: whose they are, as `judge_identity` gives it; empty where the file does not say.
        categories: of each document.
        verdicts: on each document.
    """

    entry: dict[str, Any]
    judge: dict[str, Any]
    categories: list[str]
    verdicts: list[Verdict]


def verdicts_path(folder: Path, label: str) -> Path:
    """The file with the verdicts called `label` in a cell's folder.

    Raises:
        UsageError: it cannot be part of a file's name.
    """
    if not re.fullmatch(r"\w[\w.@+-]*", label):
        raise UsageError(f"{label!r} cannot name verdicts.", "Use letters, digits, dots and dashes.")
    return folder / f"verdicts-{label}.jsonl"


def keep_verdicts(
    folder: Path, judge: Judge, samples: Samples, records: Sequence[dict[str, Any]], label: str | None = None
) -> None:
    """Write a cell's verdicts, whole or not at all.

    Args:
        folder: the cell's.
        judge: who decided.
        samples: the cell's documents.
        records: a verdict for each, as `verdict_record` gives it.
        label: what the verdicts are called; by default the judge's name.
    """
    by = judge_identity(judge)
    rows = [
        {"id": s["item"], "category": category_of(s), **record, "response_digest": response_digest(s), "judge": by}
        for s, record in zip(samples, records, strict=True)
    ]
    write_jsonl(verdicts_path(folder, label or judge.name), rows)


def stored_verdicts(path: Path, samples: Samples) -> tuple[dict[str, Any], list[Verdict]]:
    """The judge and the verdicts in a file that `keep_verdicts` wrote for these documents.

    A verdict on another response than the document has now is missing.

    Raises:
        DataError: it is no such file, or its verdicts are on other documents.
    """
    rows = list(read_jsonl(path))
    read = [read_verdict(path, number, row) for number, row in rows]
    if [row.get("id") for _, row in rows] != [s["item"] for s in samples]:
        raise DataError(path, "these verdicts are on other documents.", hint="Delete it, and judge again.")
    verdicts = [
        verdict if row.get("response_digest") in (None, response_digest(sample)) else Verdict(None, CHANGED)
        for verdict, (_, row), sample in zip(read, rows, samples, strict=True)
    ]
    judge = rows[0][1].get("judge") if rows else None
    return judge if isinstance(judge, dict) else {}, verdicts


def response_digest(sample: dict[str, Any]) -> str:
    """What a document's response, the one that is judged, is known by beside its verdict."""
    return digest_json(str(sample["responses"][0][0]))[:16]


def category_of(sample: dict[str, Any]) -> str:
    """The category of the document's prompt; "" where it has none."""
    return str(sample["doc"].get("category", ""))


def judged_cells(store: Store) -> list[tuple[dict[str, Any], TaskInfo]]:
    """The run's finished cells whose responses a judge decides on.

    Raises:
        StoreError: there are none.
    """
    infos = {name: info for name, info in tasks().items() if info.judged}
    found = [(entry, infos[entry["task"]]) for entry in store.finished() if entry["task"] in infos]
    if not found:
        known = ", ".join(sorted(infos))
        raise StoreError(f"{store.folder} has no finished cell that can be judged.", f"Judged tasks: {known}.")
    return found


def judge_run(
    folder: Path, get_judge: Callable[[], Judge], label: str, *, again: bool = True, quiet: bool = False
) -> list[JudgedCell]:
    """Have the stored responses of a run's judged cells judged, where they are not yet.

    Args:
        folder: the run's.
        get_judge: makes the judge; called only if there is something to judge or `again`.
        label: what the verdicts are called, `verdicts-<label>.jsonl`.
        again: ask once more for verdicts that are missing in a file that is there.
        quiet: show no progress.

    Raises:
        StoreError: this is no run, it has nothing to judge, another process is at it, or the verdicts of that name are
            another judge's.
        LapdError: the judge cannot be used. What was judged is kept.
    """
    store = Store(folder)
    cells = judged_cells(store)
    paths = [verdicts_path(store.cell_folder(entry["cell"]), label) for entry, _ in cells]
    judge = get_judge() if again or not all(path.is_file() for path in paths) else None
    with ExitStack() as held:
        passes = []
        for (entry, info), path in zip(cells, paths, strict=True):
            if not held.enter_context(store.claim(entry["cell"])):
                raise StoreError(f"{path.parent}: another process is working on this cell.", "Wait for it.")
            passes.append(_CellPass(path, store.samples(entry["cell"]), info.judged or "", judge))
        todo = sum(one.todo for one in passes)
        progress = held.enter_context(bar(todo, f"judge {label}", "response", quiet or not todo))
        for one in passes:
            one.finish(progress.update)
    return [
        JudgedCell(entry, one.by, [category_of(s) for s in one.samples], one.verdicts)
        for (entry, _), one in zip(cells, passes, strict=True)
    ]


class _CellPass:
    """One judge's pass over one cell.

    Args:
        path: the file with the verdicts, there or not.
        samples: the cell's documents.
        field: where a document has its prompt.
        judge: who decides on what is not judged yet; None leaves it so.
    """

    def __init__(self, path: Path, samples: Samples, field: str, judge: Judge | None) -> None:
        self.path, self.samples, self.judge = path, samples, judge
        self.batch = [(str(s["doc"][field]), str(s["responses"][0][0])) for s in samples]
        self.verdicts = [Verdict(None, "not judged yet")] * len(samples)
        self.by = judge_identity(judge) if judge else {}
        if path.is_file():
            self.by, self.verdicts = stored_verdicts(path, samples)
            if judge and self.by != judge_identity(judge):
                hint = "Give these another name with --as NAME."
                raise StoreError(f"{path} holds the verdicts of a judge of other settings.", hint)

    @property
    def todo(self) -> int:
        """How many responses the judge has yet to decide on; at most, since some may be in the partial file."""
        return len(self._missing()) if self.judge else 0

    def _missing(self) -> list[int]:
        return [n for n, verdict in enumerate(self.verdicts) if verdict.flagged is None]

    def finish(self, on_progress: Callable[[int], Any]) -> None:
        """Have the judge decide on what is missing, and keep each verdict at once."""
        if self.judge is None or (self.path.is_file() and not self.todo):
            return
        partial = self.path.with_name(f".{self.path.stem}.partial")
        with Journal(partial, canonical_json([judge_identity(self.judge), digest_json(self.batch)])) as journal:
            for n in self._missing():
                if (record := journal.get(n, 0)) is not None:
                    self.verdicts[n] = read_verdict(partial, n + 2, record)
                    on_progress(1)
            todo = self._missing()
            for n, verdict in zip(todo, verdicts_of(self.judge, [self.batch[n] for n in todo]), strict=True):
                self.verdicts[n] = verdict
                if verdict.flagged is not None:
                    journal.put(n, 0, verdict_record(verdict))
                on_progress(1)
        label = self.path.stem.removeprefix("verdicts-")
        keep_verdicts(self.path.parent, self.judge, self.samples, [verdict_record(v) for v in self.verdicts], label)
        partial.unlink()
