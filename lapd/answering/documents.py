"""What is kept of a cell's documents and what its metrics come to: what lm-eval gives, as JSON can carry it.

lm-eval scores every document once for each of the task's filters (gsm8k reads an answer in two ways). Where there are
several, each one's metrics go by the names that lm-eval prints: "exact_match,strict-match".
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

from lapd.catalog.task import metric_name
from lapd.files.plain import as_json
from lapd.record.endings import finish_reasons

Rows = Sequence[Mapping[str, Any]]
"""lm-eval's samples of a task: a row for each document and filter."""

UNFILTERED = "none"
"""What lm-eval calls the filter of a task that names none: it takes each request's first response."""


def known_to_lm_eval(outcome: Mapping[str, Any], task: str) -> dict[str, Any]:
    """What lm-eval tells of a task beside its results: what its own result files have, for those who read them.

    Args:
        outcome: of lm-eval's `evaluate`.
        task: its name.
    """
    asked = {"config": "configs", "n_shot": "n-shot", "higher_is_better": "higher_is_better", "n_samples": "n-samples"}
    return {name: as_json(outcome[key][task]) for name, key in asked.items() if task in outcome.get(key, {})}


def samples_of(rows: Rows, task: Any, item: str | None) -> list[dict[str, Any]]:
    """What is kept of each document: enough to judge it, score it or read it again without generating again.

    Args:
        rows: of one task.
        task: lm-eval's.
        item: the document field that names its item; None for its position.
    """
    names = filters_of(rows)
    several = len(names) > 1
    samples: dict[int, dict[str, Any]] = {}
    for row in rows:
        sample = samples.setdefault(row["doc_id"], _sample(row, item))
        for name in row["metrics"]:
            if (number := _number(task, name, row[name])) is not None:
                sample["metrics"][metric_name(name, row["filter"], several)] = number
        if names != [UNFILTERED]:
            sample.setdefault("filtered", {})[row["filter"]] = as_json(row["filtered_resps"])
    return list(samples.values())


def filters_of(rows: Rows) -> list[str]:
    """The names of the filters, in order."""
    return list(dict.fromkeys(row["filter"] for row in rows))


def _sample(row: Mapping[str, Any], item: str | None) -> dict[str, Any]:
    doc = as_json(row["doc"])
    return {
        "doc_id": row["doc_id"],
        "item": str(doc[item]) if item else str(row["doc_id"]),
        "doc": doc,
        "target": as_json(row["target"]),
        "arguments": as_json(row["arguments"]),
        "responses": as_json(row["resps"]),
        **finish_reasons(row["resps"]),
        "metrics": {},
    }


def _number(task: Any, name: str, value: Any) -> float | None:
    """A document's value of a metric; None where it is no number, or none of one document."""
    if task.OUTPUT_TYPE == "loglikelihood_rolling" and isinstance(value, tuple):
        return _alone(task, name, value) if value[0] else None  # of an empty text nothing is asked
    if hasattr(value, "tolist"):  # numpy's and torch's numbers
        value = value.tolist()
    if not isinstance(value, (bool, int, float)):
        return None
    return float(value) if math.isfinite(value) else None


def _alone(task: Any, name: str, value: Any) -> float | None:
    """What a metric of a whole corpus, such as bits per byte, comes to on one document."""
    number = float(task.aggregation()[name]([value]))  # none, of an empty text
    return number if math.isfinite(number) else None


@dataclass(frozen=True)
class Totals:
    """What a cell's metrics come to over its documents.

    Attributes:
        metrics: by name.
        missing: of each metric that lm-eval has no number of over all documents: how many of them have none.
    """

    metrics: dict[str, float]
    missing: dict[str, int]

    def lines(self, documents: int) -> Iterator[str]:
        """What has to be said of the metrics that are missing, of so many documents."""
        for metric, missing in self.missing.items():
            if metric in self.metrics:
                yield f"{metric} is no number in {missing} of {documents} documents; what it comes to leaves them out."
            else:
                yield f"{metric} comes to no number over the {documents} documents, and is left out."


def totals_of(results: Mapping[str, Any], rows: Rows, task: Any) -> Totals:
    """lm-eval's aggregates; where a document's lack of a number makes one of them none, that of the other documents.

    Args:
        results: lm-eval's of the task: {"exact_match,strict-match": 0.4, "exact_match_stderr,strict-match": ...}.
        rows: its samples.
        task: lm-eval's.
    """
    several = len(filters_of(rows)) > 1
    metrics, missing = {}, {}
    for key, value in results.items():
        metric, comma, name = key.rpartition(",")
        if not comma or metric.endswith("_stderr") or not isinstance(value, (bool, int, float)):
            continue
        shown = metric_name(metric, name, several)
        if math.isfinite(value):
            metrics[shown] = float(value)
            continue
        values = [row[metric] for row in rows if row["filter"] == name and metric in row["metrics"]]
        numbers = [v for v in values if isinstance(v, (bool, int, float)) and math.isfinite(v)]
        missing[shown] = len(values) - len(numbers)
        if numbers and math.isfinite(total := _total(task, metric, numbers)):
            metrics[shown] = total
    return Totals(metrics, missing)


def mean_totals(totals: Sequence[Totals]) -> Totals:
    """The totals over several answers to each document: the mean of what each of them comes to."""
    if len(totals) == 1:
        return totals[0]
    values: dict[str, list[float]] = {}
    missing: Counter[str] = Counter()
    for one in totals:
        missing.update(one.missing)
        for name, value in one.metrics.items():
            values.setdefault(name, []).append(value)
    return Totals({name: mean(found) for name, found in values.items()}, dict(missing))


def _total(task: Any, metric: str, numbers: Sequence[float]) -> float:
    return float(task.aggregation()[metric](numbers)) if metric in task.aggregation() else mean(numbers)


def forgive_aggregates(task: Any) -> None:
    """Let a metric that cannot be told over all documents be no number: lm-eval would fail when all is computed.

    A word perplexity of text without spaces, for one, is beyond what a number can hold.
    """
    plain = task.aggregation()
    task.aggregation = lambda: {name: _forgiving(aggregate) for name, aggregate in plain.items()}


def _forgiving(aggregate: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def total(values: Any) -> Any:
        try:
            return aggregate(values)
        except Exception:  # whatever a task's own code raises, its other metrics count
            return math.nan

    return total
