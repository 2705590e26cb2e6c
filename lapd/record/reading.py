"""A run's finished cells as comparisons and reports read them: judged ones with the metrics of their verdicts.

The verdicts are those that lie beside the responses now: by the judge that the run was evaluated with (a later
`lapd judge` may have filled in what was missing), or by another that is named. The task's own scoring makes metrics
of them. Verdicts on refusals are values of the task's own metrics, and take the place of those that it gave itself.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from lapd.catalog.find import tasks
from lapd.catalog.task import TaskInfo
from lapd.errors import PluginError, StoreError
from lapd.files.whole import digest_json
from lapd.hookspecs import Verdict
from lapd.judges.choosing import note_of
from lapd.judges.questions import REFUSAL
from lapd.judges.verdicts import verdict_record
from lapd.record.coherence import with_coherence
from lapd.record.grades import with_grades
from lapd.record.second_pass import Samples
from lapd.record.store import Store
from lapd.record.verdicts import VERDICTS, judged_cells, stored_verdicts


@dataclass(frozen=True)
class ReadCell:
    """A finished cell as it is read for comparisons and reports.

    Attributes:
        entry: which cell: `arm`, `task`, `seed`, `cell`.
        result: its result.json.
        samples: its documents, in order; those of a judged task with their `verdict` and the metrics that it comes to,
            those that are answered in writing with what the answers are like (`coherence`).
        judge: who judged it, as `describe_judge` gives it, and under `verdicts` what the verdicts are called; None
            where nobody did.
        graders: who graded it, as `grader_identity` gives it, by what the grades are called; their grades are among
            the samples' metrics (`grade_metric`), and with their reasons in the samples' `grades`.
    """

    entry: dict[str, Any]
    result: dict[str, Any]
    samples: list[dict[str, Any]]
    judge: dict[str, Any] | None
    graders: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def arm(self) -> str:
        """The arm's name."""
        return str(self.entry["arm"])

    @property
    def task(self) -> str:
        """The task's name."""
        return str(self.entry["task"])

    @property
    def seed(self) -> int:
        """Its seed."""
        return int(self.entry["seed"])


def read_cells(folder: Path, label: str | None = None) -> list[ReadCell]:
    """A run's finished cells, judged ones with the metrics of the verdicts that lie beside the responses.

    Args:
        folder: the run's.
        label: which verdicts: a judge's name, or what `lapd judge --as` called them; None for those of the judge that
            each cell was evaluated with.

    A task of which no cell has verdicts called `label` is read as it was evaluated, if another task has any.

    Raises:
        StoreError: this is no run, a newer LAPD wrote it, or a cell of a task with verdicts called `label` has none, or
            those of several judges are called so, or no cell has any.
        DataError: the verdicts are damaged, or on other documents.
        PluginError: the task's own scoring cannot be loaded.
        UsageError: `label` cannot name verdicts.
    """
    store = Store(folder)
    infos = {name: info for name, info in tasks().items() if info.question}
    judged = _judged_so(store, label) if label else set()
    cells = [
        _read_cell(store, entry, infos.get(entry["task"]), label if entry["task"] in judged else None)
        for entry in store.finished()
    ]
    for task in judged:
        _refuse_two_judges(folder, str(label), [cell.judge for cell in cells if cell.task == task])
    return cells


def _judged_so(store: Store, label: str) -> set[str]:
    """The tasks that are to be read by the verdicts called `label`: those with any, or else all judged ones."""
    cells = judged_cells(store)
    there = {e["task"] for e, _ in cells if VERDICTS.path(store.cell_folder(e["cell"]), label).is_file()}
    return there or {entry["task"] for entry, _ in cells}


def _read_cell(store: Store, entry: dict[str, Any], info: TaskInfo | None, label: str | None) -> ReadCell:
    """One finished cell; `info` is that of a task that a judge may decide on, None for any other."""
    result, samples = store.result(entry["cell"]), store.samples(entry["cell"])
    folder, judge = store.cell_folder(entry["cell"]), result.get("judge")
    verdicts = None
    if info and label:
        judge, verdicts = _verdicts_called(folder, label, entry, samples)
    elif info and info.scorer and judge:
        verdicts = _own_verdicts(folder, judge, samples)
    if info and verdicts is not None:
        samples = _scored(info, samples, verdicts) if info.judged else _refused(info, samples, verdicts)
    graders, samples = with_grades(folder, samples)
    return ReadCell(entry, result, [with_coherence(sample) for sample in samples], judge, graders)


def _own_verdicts(folder: Path, judge: dict[str, Any], samples: Samples) -> list[Verdict] | None:
    """The verdicts of the judge that the cell was evaluated with; a later pass may have filled in what was missing."""
    path = VERDICTS.path(folder, judge["name"])
    if not path.is_file():
        return None
    by, verdicts = stored_verdicts(path, samples)
    same = all(by.get(key) == judge.get(key) for key in ("name", "version", "settings"))
    return verdicts if same else None


def _verdicts_called(
    folder: Path, label: str, entry: dict[str, Any], samples: Samples
) -> tuple[dict[str, Any], list[Verdict]]:
    path = VERDICTS.path(folder, label)
    if not path.is_file():
        there = sorted(p.stem.removeprefix("verdicts-") for p in folder.glob("verdicts-*.jsonl"))
        known = f"There are: {', '.join(there)}." if there else "It has none."
        run = folder.parent.parent
        hint = f"{known} `lapd judge {run} --judge {label}` makes them."
        raise StoreError(f"{entry['arm']} on {entry['task']} has no verdicts called {label!r}.", hint)
    by, verdicts = stored_verdicts(path, samples)
    note = {"note": note} if (note := note_of(by)) else {}
    return {"name": label, **by, **note, "verdicts": label}, verdicts


def _refuse_two_judges(folder: Path, label: str, judges: Sequence[dict[str, Any] | None]) -> None:
    """Arms that were judged differently would be compared as if they were the same."""
    if any(judge != judges[0] for judge in judges):
        hint = "Delete those of one of them, and judge again."
        raise StoreError(f"{folder}: the verdicts called {label!r} are of judges of different settings.", hint)


def _scored(info: TaskInfo, samples: Samples, verdicts: Sequence[Verdict]) -> list[dict[str, Any]]:
    """The documents with their `verdict`, and the metrics that the task's own scoring makes of it."""
    if info.scorer is None:
        raise PluginError(f"The task {info.name} has no process_results, which would score the verdicts.")
    score = _scorer(info.scorer)
    made = []
    for sample, verdict in zip(samples, verdicts, strict=True):
        record = verdict_record(verdict)
        metrics = score(sample["doc"], [record])
        numbers = {name: float(v) for name, v in metrics.items() if isinstance(v, (bool, int, float))}
        made.append({**sample, "metrics": numbers, "verdict": record})
    return made


def _refused(info: TaskInfo, samples: Samples, verdicts: Sequence[Verdict]) -> list[dict[str, Any]]:
    """The documents with their `verdict` in place of what the task's own scoring made of the response.

    One without a verdict has no value: it is missing, and in the bounds of what is compared.
    """
    assert info.refusals is not None
    made = []
    for sample, verdict in zip(samples, verdicts, strict=True):
        metric, metrics = info.refusals.metric_of(sample["doc"]), dict(sample["metrics"])
        if verdict.flagged is None:
            metrics.pop(metric, None)
        else:
            metrics[metric] = verdict.flagged * (100.0 if info.unit(metric) == "percent" else 1.0)
        made.append({**sample, "metrics": metrics, "verdict": verdict_record(verdict) | {"question": REFUSAL}})
    return made


@cache
def _scorer(place: str) -> Callable[[dict[str, Any], list[Any]], dict[str, Any]]:
    """The function at "FOLDER/module.function": in a file beside the YAML, else by its name, as lm-eval looks for it.

    Raises:
        PluginError: it is not there.
    """
    folder, _, qualified = place.rpartition("/")
    module_name, _, name = qualified.rpartition(".")
    file = Path(folder) / f"{module_name.replace('.', '/')}.py"
    try:
        if file.is_file():
            spec = importlib.util.spec_from_file_location(f"lapd_scorer_{digest_json(place)[:8]}", file)
            assert spec is not None and spec.loader is not None, "a .py file has a loader"
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
        else:
            module = importlib.import_module(module_name)
        found: Callable[[dict[str, Any], list[Any]], dict[str, Any]] = getattr(module, name)
    except (ImportError, AttributeError) as error:
        raise PluginError(f"{place}, which scores verdicts, cannot be loaded ({error}).") from None
    return found
