"""A run in the files of lm-eval, for its own tools and other people's that read these.

One folder an arm, called as lm-eval calls one a model, with `results_<time>.json` and `samples_<task>_<time>.jsonl`.
What the run's record does not hold is null or left out, and never made up: docs/runs.md lists it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from lapd.adapters.whole import WHOLE
from lapd.answering.documents import UNFILTERED
from lapd.evaluate.group_totals import GroupTotal, group_totals
from lapd.files.whole import fitting_name, write_json, write_jsonl
from lapd.record.reading import ReadCell
from lapd.record.store import Store

SOURCE = "lapd"
"""What stands where lm-eval names the kind of its model, such as `hf`."""

NOT_A_MEAN = "N/A"
"""What lm-eval writes for a standard error that is not known."""


def write_lm_eval(store: Store, cells: Sequence[ReadCell], folder: Path) -> None:
    """Write the finished cells of a run as lm-eval writes its results.

    Args:
        store: the run.
        cells: its finished ones.
        folder: gets a folder for each arm.
    """
    from lm_eval.utils import sanitize_model_name

    evaluations: dict[tuple[str, int], list[ReadCell]] = {}
    for cell in cells:
        evaluations.setdefault((cell.entry["arm"], cell.entry["seed"]), []).append(cell)
    record, totals = store.run(), group_totals(store)
    taken: set[tuple[str, datetime]] = set()
    for (arm, seed), of_arm in evaluations.items():
        finished = max(_time(cell.result["finished"]) for cell in of_arm)
        while (arm, finished) in taken:  # two seeds of an arm in one second, as which the record has it
            finished += timedelta(microseconds=1)
        taken.add((arm, finished))
        groups = [total for total in totals if (total.arm, total.seed) == (arm, seed)]
        name = fitting_name(sanitize_model_name(arm))
        _Evaluation(arm, name, seed, of_arm, record, groups).write(folder / name, finished)


@dataclass(frozen=True)
class _Evaluation:
    """What lm-eval would call one evaluation: an arm's cells of one seed."""

    arm: str
    sanitized: str
    seed: int
    cells: Sequence[ReadCell]
    record: Mapping[str, Any]
    groups: Sequence[GroupTotal]

    def write(self, folder: Path, finished: datetime) -> None:
        """Write its files, which bear the time at which the last of its cells was finished."""
        stamp = finished.replace(tzinfo=None).isoformat(timespec="microseconds").replace(":", "-")
        hashes = {}
        for cell in self.cells:
            task, rows = cell.entry["task"], list(_sample_rows(cell))
            write_jsonl(folder / f"samples_{task}_{stamp}.jsonl", rows)
            parts = [row[name] for row in rows for name in ("doc_hash", "prompt_hash", "target_hash")]
            if None not in parts:
                hashes[task] = _sha256("".join(parts))
        write_json(folder / f"results_{stamp}.json", self.results() | {"task_hashes": hashes} | self._model())

    def results(self) -> dict[str, Any]:
        """What lm-eval's `evaluate` gives, and what `simple_evaluate` adds."""
        known = {cell.entry["task"]: cell.result.get("lm_eval", {}) for cell in self.cells}
        groups = {total.group: _of_group(total) for total in self.groups}

        def of_tasks(field: str) -> dict[str, Any]:
            return {task: found[field] for task, found in known.items() if field in found}

        return {
            "results": groups | {cell.entry["task"]: _of_task(cell) for cell in self.cells},
            **({"groups": groups} if groups else {}),
            "group_subtasks": {total.group: self.record["groups"][total.group]["tasks"] for total in self.groups},
            "configs": of_tasks("config"),
            "versions": {cell.entry["task"]: _version(cell) for cell in self.cells},
            "n-shot": of_tasks("n_shot"),
            "higher_is_better": of_tasks("higher_is_better"),
            "n-samples": {cell.entry["task"]: _counts(cell) for cell in self.cells},
            "config": self._config(),
            **self._made_with(),
        }

    def _config(self) -> dict[str, Any]:
        """How it was computed; settings that differ between the tasks are null."""
        adapter = self.record["arms"][self.arm]["adapter"]
        arguments = {"pretrained": self.record["base"]["name"], "dtype": self._common("dtype")}
        if adapter and adapter.get("kind") == WHOLE:
            arguments["pretrained"] = adapter["path"]
        elif adapter:
            arguments |= {"peft": adapter["path"], "strength": adapter.get("strength", 1)}
        sizes = {cell.result.get("inputs", {}).get("batch_size") for cell in self.cells}
        seeds = dict.fromkeys(("random_seed", "numpy_seed", "torch_seed", "fewshot_seed"), self.seed)
        return {
            "model": SOURCE,
            "model_args": arguments,
            "batch_size": sizes.pop() if len(sizes) == 1 else None,
            "batch_sizes": [],
            "device": None,
            "use_cache": None,
            "limit": self._common("limit"),
            "bootstrap_iters": 0,
            "gen_kwargs": self._common("sampling"),
            **seeds,
        }

    def _common(self, field: str) -> Any:
        values = [cell.result["cell"].get(field) for cell in self.cells]
        return values[0] if all(value == values[0] for value in values) else None

    def _made_with(self) -> dict[str, Any]:
        """When and by which versions; those of the cell that was finished last."""
        provenance = max(self.cells, key=lambda cell: str(cell.result["finished"])).result.get("provenance", {})
        started = [s for cell in self.cells if (s := cell.result.get("provenance", {}).get("started"))]
        return {
            "git_hash": (provenance.get("git") or {}).get("commit"),
            "date": _time(min(started)).timestamp() if started else None,
            "transformers_version": provenance.get("transformers"),
            "lm_eval_version": provenance.get("lm-eval"),
            "lapd_version": provenance.get("lapd"),
        }

    def _model(self) -> dict[str, Any]:
        """What lm-eval's tracker adds: the model's name, here the arm's, and how it was prompted."""
        prompt = (self.record["arms"][self.arm]["prompt"] or {}).get("system_prompt")
        return {
            "model_source": SOURCE,
            "model_name": self.arm,
            "model_name_sanitized": self.sanitized,
            "system_instruction": prompt,
            "system_instruction_sha": _sha256(prompt) if prompt else None,
            "fewshot_as_multiturn": None,
            "chat_template": None,
            "chat_template_sha": None,
            "total_evaluation_time_seconds": str(round(sum(cell.result.get("seconds", 0) for cell in self.cells), 1)),
        }


def _of_task(cell: ReadCell) -> dict[str, Any]:
    """A task's metrics as lm-eval prints them: "acc,none" and "acc_stderr,none"."""
    name, documents = cell.entry["task"], cell.result["n_documents"]
    found: dict[str, Any] = {"name": name, "alias": name, "sample_len": documents}
    for metric, (value, error) in _totals(cell).items():
        plain, _, of_filter = metric.partition(",")
        of_filter = of_filter or next(iter(_filters(cell)), UNFILTERED)
        found[f"{plain},{of_filter}"] = value
        found[f"{plain}_stderr,{of_filter}"] = NOT_A_MEAN if error is None else error
    return found


def _totals(cell: ReadCell) -> dict[str, tuple[float, float | None]]:
    """Each metric over all documents, with its standard error where it is the mean of theirs, else None.

    lm-eval's own number stands, but for a judged task: its verdicts may have been completed since, or be another's.
    """
    values: dict[str, dict[int, list[float]]] = {}
    for sample in cell.samples:
        for metric, value in sample["metrics"].items():
            values.setdefault(metric, {}).setdefault(sample["doc_id"], []).append(value)
    means = {metric: [mean(answers) for answers in by_doc.values()] for metric, by_doc in values.items()}
    totals = {metric: mean(found) for metric, found in means.items()}
    if not cell.judge:
        totals |= cell.result["metrics"]
    return {metric: (total, _error(means.get(metric, []), total)) for metric, total in totals.items()}


def _error(values: Sequence[float], total: float) -> float | None:
    """The standard error of a mean, as lm-eval has it: the sample's standard deviation over the root of n."""
    if len(values) < 2 or not math.isclose(mean(values), total, rel_tol=1e-9, abs_tol=1e-12):
        return None
    return stdev(values) / math.sqrt(len(values))


def _of_group(total: GroupTotal) -> dict[str, Any]:
    found: dict[str, Any] = {"name": total.group, "alias": total.group}
    for metric, value in total.metrics.items():
        plain, _, of_filter = metric.partition(",")
        found[f"{plain},{of_filter or UNFILTERED}"] = value
        found[f"{plain}_stderr,{of_filter or UNFILTERED}"] = NOT_A_MEAN
    return found


def _version(cell: ReadCell) -> Any:
    config = cell.result.get("lm_eval", {}).get("config", {})
    return (config.get("metadata") or {}).get("version", cell.result.get("task_version"))


def _counts(cell: ReadCell) -> dict[str, int | None]:
    """How many documents there are, where the record has it, and how many were asked."""
    noted = cell.result.get("lm_eval", {}).get("n_samples", {})
    return {"original": noted.get("original"), "effective": cell.result["n_documents"]}


def _filters(cell: ReadCell) -> list[str]:
    """The names of a task's filters; lm-eval's for none where the record has no other."""
    return list(cell.samples[0].get("filtered", {})) if cell.samples else []


def _sample_rows(cell: ReadCell) -> Iterator[dict[str, Any]]:
    """A row for each filter and document, as lm-eval's tracker writes it."""
    knows = "lm_eval" in cell.result
    for of_filter in _filters(cell) or [UNFILTERED]:
        for sample in cell.samples:
            plain = _first_responses(sample) if knows else None
            responses = sample["filtered"][of_filter] if "filtered" in sample else plain
            metrics = {
                metric.partition(",")[0]: value
                for metric, value in sample["metrics"].items()
                if metric.partition(",")[2] in ("", of_filter)
            }
            yield _sample_row(sample, of_filter, responses) | {"metrics": list(metrics)} | metrics


def _sample_row(sample: Mapping[str, Any], of_filter: str, filtered: Any) -> dict[str, Any]:
    arguments, target = sample.get("arguments"), str(sample["target"]) if "target" in sample else None
    doc = json.dumps(sample["doc"], indent=2, ensure_ascii=False) if "doc" in sample else None
    return {
        "doc_id": sample["doc_id"],
        **({"sample": sample["sample"]} if "sample" in sample else {}),
        "doc": sample.get("doc"),
        "target": target,
        "arguments": arguments and _named(arguments),
        "resps": _texts(sample.get("responses")),
        "filtered_resps": _texts(filtered),
        "filter": of_filter,
        "doc_hash": doc and _sha256(doc),
        "prompt_hash": _sha256(str(arguments[0][0])) if arguments else None,
        "target_hash": None if target is None else _sha256(target),
    }


def _first_responses(sample: Mapping[str, Any]) -> list[Any]:
    """What lm-eval reads where a task names no filter."""
    return [responses[0] for responses in sample["responses"]]


def _named(arguments: Sequence[Sequence[Any]]) -> dict[str, dict[str, Any]]:
    """The requests' arguments by number, which `datasets` can load, as lm-eval writes them."""
    return {f"gen_args_{n}": {f"arg_{k}": part for k, part in enumerate(some)} for n, some in enumerate(arguments)}


def _texts(value: Any) -> Any:
    """Nested lists of texts, for the same reason."""
    if value is None:
        return None
    return [_texts(part) for part in value] if isinstance(value, list) else str(value)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))
