"""A run as pandas DataFrames: one of its documents, one of its comparisons.

pandas comes with `datasets`, which LAPD needs anyway; it is imported when a DataFrame is asked for.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lapd.compare.comparisons import as_json, compare
from lapd.errors import LapdError
from lapd.record.reading import ReadCell, read_cells
from lapd.record.store import Store

if TYPE_CHECKING:
    from pandas import DataFrame

COLUMNS = (
    *("arm", "adapter", "strength", "prompt", "persona", "control", "training_seed", "seed", "task", "item", "doc_id"),
    *("sample", "doc", "target", "response", "responses", "finish_reason", "cell"),
)
"""The columns of `samples` before those of metrics; docs/runs.md says what is in them."""

NESTED = ("doc", "target", "responses", "arms", "baselines", "versions")
"""What is a list or a dictionary, or can be one: JSON where a file has no place for these."""


class LoadedRun:
    """A run's finished cells, as far as it has any.

    Args:
        folder: the run's.
        judge: whose verdicts judged tasks are scored by; None for the evaluation's own judge.
        persona: whose poles adapters count towards that have no persona of their own.

    Raises:
        StoreError: this is no run.
    """

    def __init__(self, folder: Path, judge: str | None = None, persona: str | None = None) -> None:
        self.folder, self.judge, self.persona = Path(folder), judge, persona
        self.record = Store(self.folder).run()

    @cached_property
    def cells(self) -> list[ReadCell]:
        """The finished cells with their documents."""
        return read_cells(self.folder, self.judge)

    @cached_property
    def samples(self) -> DataFrame:
        """A row for each document (or each answer, where several were drawn) that an arm has finished.

        The columns are `COLUMNS`, then what written answers are like and the metrics of all tasks, by their names: a
        document has those of its own task. A metric that is called as one of `COLUMNS` stands under `metrics.NAME`.
        """
        rows = [row for cell in self.cells for row in _rows(cell, self.record["arms"][cell.entry["arm"]])]
        metrics = list(dict.fromkeys(name for row in rows for name in row if name not in COLUMNS))
        frame = pandas().DataFrame(rows, columns=[*COLUMNS, *metrics])
        whole = dict.fromkeys(("training_seed", "seed", "doc_id", "sample"), "Int64")
        return frame.astype({**whole, "strength": float, **dict.fromkeys(metrics, float)})

    @cached_property
    def comparisons(self) -> DataFrame:
        """A row for each comparison, with the fields of `lapd compare --json`; what has no bound is not a number.

        Raises:
            StoreError: there is nothing to compare, or arms were asked differently.
        """
        return pandas().DataFrame(as_json(compare(self.folder, self.judge, self.persona).rows))


def load_run(folder: Path | str, judge: str | None = None, persona: str | None = None) -> LoadedRun:
    """A run as two pandas DataFrames: `.samples`, a row a document, and `.comparisons`, a row a comparison.

    Args:
        folder: the run's.
        judge: whose verdicts judged tasks are scored by; None for the evaluation's own judge.
        persona: whose poles adapters count towards that have no persona of their own.

    Raises:
        StoreError: this is no run.
        LapdError: pandas is not installed; when a DataFrame is asked for.
    """
    return LoadedRun(Path(folder), judge, persona)


def pandas() -> Any:
    """The module.

    Raises:
        LapdError: it is not installed.
    """
    try:
        import pandas as module
    except ImportError:
        raise LapdError("pandas is not installed, which DataFrames need.", "pip install pandas") from None
    return module


def flat(frame: DataFrame) -> DataFrame:
    """The frame with what is nested as JSON text, for files."""
    texts = {name: [_text(value) for value in frame[name]] for name in NESTED if name in frame}
    return frame.assign(**texts)


def _text(value: Any) -> str | None:
    return None if value is None or value != value else json.dumps(value, ensure_ascii=False)


def _rows(cell: ReadCell, arm: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    adapter, prompt = arm["adapter"] or {}, arm["prompt"] or {}
    of_cell = {
        "arm": cell.entry["arm"],
        "adapter": adapter.get("name"),
        "strength": adapter.get("strength", 1) if adapter else None,
        "prompt": prompt.get("code"),
        "persona": arm["adapter_persona"] or prompt.get("code"),
        "control": arm["adapter_control"],
        "training_seed": arm.get("adapter_seed"),
        **{name: cell.entry[name] for name in ("seed", "task", "cell")},
    }
    for sample in cell.samples:
        responses, reasons = sample.get("responses", []), sample.get("finish_reasons") or [[]]
        first = responses[0][0] if responses and responses[0] else None
        yield {
            **of_cell,
            **{name: sample.get(name) for name in ("item", "doc_id", "sample", "doc", "target")},
            "response": first if isinstance(first, str) else None,
            "responses": responses,
            "finish_reason": (reasons[0][0] if reasons[0] else None) or None,
            **{_column(name): value for name, value in sample.get("coherence", {}).items()},
            **{_column(name): value for name, value in sample["metrics"].items()},
        }


def _column(metric: str) -> str:
    return f"metrics.{metric}" if metric in COLUMNS else metric
