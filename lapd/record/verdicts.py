"""Verdicts on stored responses: a judge's second pass over a run (`lapd.record.second_pass`)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lapd.catalog.find import tasks
from lapd.catalog.task import TaskInfo
from lapd.errors import StoreError, UsageError
from lapd.hookspecs import Judge, Verdict
from lapd.judges.judge import judge_identity
from lapd.judges.questions import HARM, REFUSAL, decided_on, judge_for
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
        question: what was asked, of `lapd.judges.questions`.
        categories: of each document; where refusals were told, the metric that its verdict is a value of.
        verdicts: on each document.
    """

    entry: dict[str, Any]
    judge: dict[str, Any]
    question: str
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


def judged_cells(store: Store, names: Collection[str] = ()) -> list[tuple[dict[str, Any], TaskInfo]]:
    """The run's finished cells whose responses a judge decides on, or may.

    Args:
        store: the run's.
        names: of tasks, if only these count.

    Raises:
        StoreError: there are none.
        UsageError: nobody judges the responses to one of these tasks.
    """
    infos = {name: info for name, info in tasks().items() if info.question}
    known = f"Judged tasks: {', '.join(sorted(infos))}."
    if unjudged := [name for name in names if name not in infos]:
        raise UsageError(f"Nobody judges the responses to {unjudged[0]}.", known)
    found = [(entry, infos[entry["task"]]) for entry in store.finished() if entry["task"] in (names or infos)]
    found = [(entry, info) for entry, info in found if entry["task"] in infos]
    if not found:
        of = f" of {', '.join(names)}" if names else ""
        raise StoreError(f"{store.folder} has no finished cell{of} that can be judged.", known)
    return found


def asked_alike(folder: Path, names: Collection[str] = ()) -> list[str]:
    """Which of a run's tasks two judges are compared on: these, which ask one question; by default those of harm.

    Raises:
        StoreError: this is no run, or it has no such task.
        UsageError: nobody judges one of these, or they ask two questions.
    """
    infos = {info.name: info for _, info in judged_cells(Store(folder), names)}
    if not names:
        return [name for name, info in infos.items() if info.question == HARM] or list(infos)
    if len({info.question for info in infos.values()}) > 1:
        what = f"Judges are asked of {' and '.join(infos)} different things."
        raise UsageError(what, "Name tasks that are judged for the same.")
    return list(infos)


def judge_run(
    folder: Path,
    get_judge: Callable[[], Judge],
    label: str,
    names: Collection[str] = (),
    *,
    again: bool = True,
    quiet: bool = False,
) -> list[JudgedCell]:
    """Have the stored responses of a run's judged cells judged, where they are not yet.

    Args:
        folder: the run's.
        get_judge: makes the judge; called only if there is something to judge or `again`.
        label: what the verdicts are called, `verdicts-<label>.jsonl`.
        names: of the tasks; by default all that this judge can decide on.
        again: ask once more for verdicts that are missing in a file that is there.
        quiet: show no progress, and do not say which tasks are left out.

    Raises:
        StoreError: this is no run, it has nothing to judge, another process is at it, or the verdicts of that name are
            another judge's.
        UsageError: the judge does not decide on what one of these tasks asks, or on anything that this run has.
        LapdError: the judge cannot be used. What was judged is kept.
    """
    store = Store(folder)
    cells = judged_cells(store, names)
    paths = [VERDICTS.path(store.cell_folder(entry["cell"]), label) for entry, _ in cells]
    judges: dict[str, Judge] = {}
    if again or not all(path.is_file() for path in paths):
        judge = get_judge()
        asked = {info.question for _, info in cells}
        judges = {question: made for question in asked if (made := judge_for(judge, question))}
        cells = _decidable(cells, judge, judges, bool(names), quiet)
    infos = {entry["cell"]: info for entry, info in cells}

    def make(cell: str) -> CellPass[Verdict]:
        path, samples = VERDICTS.path(store.cell_folder(cell), label), store.samples(cell)
        return _cell_pass(path, samples, infos[cell], judges.get(infos[cell].question))

    passes = run_passes(store, list(infos), make, f"judge {label}", quiet)
    return [
        JudgedCell(entry, one.by, info.question, _kinds(info, one.samples), one.made)
        for (entry, info), one in zip(cells, passes, strict=True)
    ]


def _decidable(
    cells: list[tuple[dict[str, Any], TaskInfo]],
    judge: Judge,
    questions: Collection[str],
    named: bool,
    quiet: bool,
) -> list[tuple[dict[str, Any], TaskInfo]]:
    """The cells whose question a judge decides on; a line says which tasks are left out, if they were not named."""
    left = [(entry, info) for entry, info in cells if info.question in questions]
    out = sorted({info.name for _, info in cells if info.question not in questions})
    why = f"the judge {judge.name} does not tell refusals"
    if out and (named or not left):
        hint = "`--judge openai --judge-option model=NAME` does."
        raise UsageError(f"{', '.join(out)} cannot be judged so: {why}.", hint)
    if out and not quiet:
        print(f"{', '.join(out)} is left out: {why}.", file=sys.stderr)
    return left


def _cell_pass(path: Path, samples: Samples, info: TaskInfo, judge: Judge | None) -> CellPass[Verdict]:
    """A judge's pass over one cell; without a judge what is there is read."""
    field = info.judged or (info.refusals.prompt if info.refusals else "")
    asked = [Asked(n, str(s["doc"][field]), str(s["responses"][0][0])) for n, s in enumerate(samples)]

    def decide(some: Sequence[Asked]) -> Iterator[Verdict]:
        assert judge is not None
        return decided_on(judge, info.question, [(one.prompt, one.response) for one in some])

    return CellPass(VERDICTS, path, samples, asked, judge_identity(judge) if judge else None, decide)


def _kinds(info: TaskInfo, samples: Samples) -> list[str]:
    """What verdicts are counted apart by."""
    if info.question == REFUSAL and info.refusals:
        return [info.refusals.metric_of(sample["doc"]) for sample in samples]
    return [category_of(sample) for sample in samples]
