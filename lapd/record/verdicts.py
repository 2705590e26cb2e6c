"""Verdicts on stored responses: a judge's second pass over a run (`lapd.record.second_pass`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lapd.catalog.find import tasks
from lapd.catalog.task import TaskInfo
from lapd.errors import StoreError
from lapd.hookspecs import Judge, Verdict
from lapd.judges.judge import judge_identity, verdicts_of
from lapd.judges.verdicts import read_verdict, verdict_record
from lapd.record.second_pass import Asked, CellPass, Form, Samples, run_passes
from lapd.record.store import Store


def _more(sample: Mapping[str, Any], asked: Asked) -> dict[str, Any]:
    return {"category": category_of(sample)}


VERDICTS = Form(
    "verdicts",
    "judge",
    "judged",
    read_verdict,
    verdict_record,
    _more,
    is_missing=lambda verdict: verdict.flagged is None,
    without=lambda reason: Verdict(None, reason),
)
"""How verdicts are kept."""


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


def keep_verdicts(folder: Path, judge: Judge, samples: Samples, records: Sequence[dict[str, Any]]) -> None:
    """Write a cell's verdicts, whole or not at all.

    Args:
        folder: the cell's.
        judge: who decided, and what the verdicts are called by.
        samples: the cell's documents.
        records: a verdict for each, as `verdict_record` gives it.
    """
    path, asked = VERDICTS.path(folder, judge.name), [Asked(n, "", "") for n in range(len(samples))]
    made = [read_verdict(path, n, record) for n, record in enumerate(records, 1)]
    VERDICTS.keep(path, judge_identity(judge), samples, asked, made)


def stored_verdicts(path: Path, samples: Samples) -> tuple[dict[str, Any], list[Verdict]]:
    """The judge and the verdicts in a file that `keep_verdicts` wrote for these documents.

    A verdict on another response than the document has now is missing.

    Raises:
        DataError: it is no such file, or its verdicts are on other documents.
    """
    judge, found = VERDICTS.stored(path, samples)
    if len(found) != len(samples):
        raise VERDICTS.foreign(path)
    return judge, [verdict for _, verdict in found]


def category_of(sample: Mapping[str, Any]) -> str:
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
    infos = {entry["cell"]: info for entry, info in cells}
    paths = [VERDICTS.path(store.cell_folder(cell), label) for cell in infos]
    judge = get_judge() if again or not all(path.is_file() for path in paths) else None
    by = judge_identity(judge) if judge else None

    def decide(asked: Sequence[Asked]) -> Iterator[Verdict]:
        assert judge is not None
        return verdicts_of(judge, [(one.prompt, one.response) for one in asked])

    def make(cell: str) -> CellPass[Verdict]:
        samples, field = store.samples(cell), infos[cell].judged or ""
        asked = [Asked(n, str(s["doc"][field]), str(s["responses"][0][0])) for n, s in enumerate(samples)]
        return CellPass(VERDICTS, VERDICTS.path(store.cell_folder(cell), label), samples, asked, by, decide)

    passes = run_passes(store, list(infos), make, f"judge {label}", quiet)
    return [
        JudgedCell(entry, one.by, [category_of(s) for s in one.samples], one.made)
        for (entry, _), one in zip(cells, passes, strict=True)
    ]
