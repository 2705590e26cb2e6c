"""Which items a metric is of, and which of them count: an item counts only where all of its documents have a value.

An item of a questionnaire is asked in several label orders, and only over all of them do those cancel. Of several
answers that were sampled to one document those count that have a value. An item that was asked and has no value is
missing, in however many arms.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lapd.catalog.task import TaskInfo
from lapd.record.coherence import coherence_names
from lapd.record.reading import ReadCell

SETTLING = ("axis", "way", "kind", "category")
"""Fields of a document that may settle which metrics it has: where a metric comes with one value of a field alone, it
belongs to documents with that value."""

Sample = Mapping[str, Any]

Asked = dict[tuple[str, str], dict[str, set[str]]]
"""For each (arm, task) and metric, the items that were asked for it."""


@dataclass
class _Having:
    """The documents that have a metric: the values of each settling field, and which metrics they have together."""

    fields: dict[str, set[Any]] = field(default_factory=lambda: defaultdict(set))
    together: set[frozenset[str]] = field(default_factory=set)

    def asked(self, doc: Mapping[str, Any], metrics: frozenset[str]) -> bool:
        """Whether a document without the metric could have had it: it is of their kind and has nothing more."""
        fits = all(len(values) > 1 or doc.get(name) in values for name, values in self.fields.items())
        return fits and any(metrics < others for others in self.together)


def asked_items(cells: Sequence[ReadCell]) -> Asked:
    """The items that were asked for each metric of a run, whether or not they have a value."""
    having: dict[tuple[str, str], _Having] = defaultdict(_Having)
    metrics_of: dict[str, dict[str, None]] = defaultdict(dict)
    for cell in cells:
        task = cell.entry["task"]
        for sample in cell.samples:
            metrics = valued(sample)
            for metric in metrics:
                metrics_of[task][metric] = None
                having[task, metric].together.add(metrics)
                for name in SETTLING:
                    having[task, metric].fields[name].add(sample.get("doc", {}).get(name))
    asked: Asked = defaultdict(lambda: defaultdict(set))
    measures = coherence_of_tasks(cells)
    for cell in cells:
        task = cell.entry["task"]
        for sample in cell.samples:
            for measure in measures[task] if "coherence" in sample else ():
                asked[cell.entry["arm"], task][measure].add(sample["item"])
            metrics, doc = valued(sample), sample.get("doc", {})
            for metric in metrics_of[task]:
                if metric in metrics or having[task, metric].asked(doc, metrics):
                    asked[cell.entry["arm"], task][metric].add(sample["item"])
    return asked


def coherence_of_tasks(cells: Sequence[ReadCell]) -> dict[str, list[str]]:
    """For each task of a run, the measures of `lapd.record.coherence` that its documents have."""
    samples: dict[str, list[Sample]] = defaultdict(list)
    for cell in cells:
        samples[cell.entry["task"]] += cell.samples
    return {task: coherence_names(found) for task, found in samples.items()}


def clusters_of(cells: Sequence[ReadCell], infos: Mapping[str, TaskInfo]) -> dict[str, dict[str, str]]:
    """For each task whose items belong together in a field of their documents, what each item belongs to.

    An item that is asked in several documents belongs where its first one does. A field may also name the item's twin.
    """
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for cell in cells:
        task = cell.entry["task"]
        if field_name := infos[task].cluster if task in infos else None:
            for sample in cell.samples:
                if (value := sample.get("doc", {}).get(field_name)) is not None:
                    found[task].setdefault(sample["item"], str(value))
    return {
        task: {item: min(item, value) if value in belongs else value for item, value in belongs.items()}
        for task, belongs in found.items()
    }


def asked_in_either(asked: Asked, *cells: tuple[str, str]) -> dict[str, set[str]]:
    """For each metric, the items that any of these (arm, task) were asked for it."""
    found = [asked.get(cell, {}) for cell in cells]
    return {metric: set().union(*(one.get(metric, set()) for one in found)) for one in found for metric in one}


def valued(sample: Sample) -> frozenset[str]:
    """The metrics that a document has a number for."""
    return frozenset(name for name, value in sample["metrics"].items() if math.isfinite(value))


def whole_items(samples: Iterable[Sample], metric: str, among: str = "metrics") -> dict[str, float]:
    """The mean of a metric over each item's documents, for the items of which every document has it.

    Args:
        samples: of one task; those that were sampled to one document are averaged first.
        metric: its name.
        among: where it is: among a document's `metrics`, or its measures of `coherence`.
    """
    values: dict[str, dict[Any, list[float]]] = defaultdict(lambda: defaultdict(list))
    for n, sample in enumerate(samples):
        document = ("sampled", sample["doc_id"]) if "sample" in sample else n
        values[sample["item"]][document].append(sample.get(among, {}).get(metric, np.nan))
    means = {item: [_mean_of_those(found) for found in documents.values()] for item, documents in values.items()}
    return {item: float(np.mean(found)) for item, found in means.items() if np.isfinite(found).all()}


def _mean_of_those(found: Sequence[float]) -> float:
    """The mean of the values that are numbers; NaN where none is."""
    numbers = [value for value in found if math.isfinite(value)]
    return float(np.mean(numbers)) if numbers else math.nan


def in_its_ways(samples: Sequence[Sample], metric: str) -> list[Sample]:
    """The documents that are asked in a way in which any has the metric; all that have it where none names its way."""
    ways = {sample.get("doc", {}).get("way") for sample in samples if metric in valued(sample)} - {None}
    if not ways:
        return [sample for sample in samples if metric in valued(sample)]
    return [sample for sample in samples if sample.get("doc", {}).get("way") in ways]
