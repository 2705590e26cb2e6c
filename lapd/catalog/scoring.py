"""Scores responses, or verdicts on responses, that are on disk already: no model is loaded.

A response enters a task as a model's would: through the task's own filters, `process_results` and aggregation. Which
response belongs to which document is told by the document's field that the task names as `item`, or by its prompt.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lapd.catalog.find import find_task
from lapd.catalog.keys import Documents, Key, key_of, named, refuse_duplicates
from lapd.catalog.live import build_requests, load_task
from lapd.catalog.task import TaskInfo, metric_name
from lapd.errors import DataError, UsageError
from lapd.files.quiet import quiet_libraries
from lapd.files.whole import read_jsonl
from lapd.hookspecs import Judge, Verdict
from lapd.judges.choosing import choose_judge, note_of, use_judge
from lapd.judges.judge import describe_judge
from lapd.judges.verdicts import Judged, rates, read_verdicts

NO_VERDICT = "no verdict in the file"


@dataclass(frozen=True)
class Score:
    """What stored responses come to.

    Attributes:
        task: the task's name.
        metrics: by name; None where no response has a value.
        n_total: the task's documents.
        n_parseable: how many responses could be parsed; None if the task does not parse.
        missing: the ids of documents that have no response.
        judge: who judged the responses, as `describe_judge` gives it; None for a task without a judge.
    """

    task: str
    metrics: dict[str, float | None]
    n_total: int
    n_parseable: int | None
    missing: list[str] = field(default_factory=list)
    judge: dict[str, Any] | None = None


def score_responses(name: str, path: Path, data_dir: str | None = None, judge: Judge | None = None) -> Score:
    """Score a file of responses, {"id" or "prompt": ..., "response": ...} a line, with a task that generates.

    A document without a response is missing: where the task parses, it counts as one that could not be parsed, else it
    is left out.

    Args:
        name: the task's.
        path: the file.
        data_dir: benchmark data, for a task that needs some.
        judge: decides on the responses of a judged task; by default the environment's, else one that needs no key.

    Raises:
        UnknownNameError: there is no such task.
        UsageError: the task does not score responses, or a judge was given for one that is not judged.
        DataError: the file or the task's data are wrong; an id occurs twice or is not one of the task's.
    """
    info = find_task(name)
    if info.kind != "generate_until" or info.item is None:
        raise UsageError(
            f"{name} does not score responses but likelihoods, which need a model.", f"Use lapd eval --tasks {name}."
        )
    judge = _judge_of(info, judge)
    given = read_responses(path)
    task = load_task(info, data_dir)
    documents = Documents(info, task.eval_docs)
    hint = f"Its ids are the publisher's: {', '.join(documents.names[:3])} ..."
    found = documents.find(path, [key for key, _ in given], hint)
    responses = {index: response for index, (_, response) in zip(found, given, strict=True)}
    missing = [index for index in range(len(documents.names)) if index not in responses]
    if info.parsed:
        responses |= dict.fromkeys(missing, "")
    with use_judge(judge):
        metrics = _aggregate(task, _values(task, responses))
    parsed, total = metrics.get(info.parsed) if info.parsed else None, len(documents.names)
    n_parseable = None if parsed is None else round(parsed * total / 100)
    names = [documents.names[index] for index in missing]
    return Score(name, metrics, total, n_parseable, names, describe_judge(judge) if judge else None)


def _judge_of(info: TaskInfo, judge: Judge | None) -> Judge | None:
    """Who judges the task's responses; None where nobody does."""
    if judge and not info.judged:
        raise UsageError(f"Nobody judges the responses to {info.name}.", "Leave --judge out.")
    return judge or (choose_judge() if info.judged else None)


def read_responses(path: Path) -> list[tuple[Key, str]]:
    """The responses in a file, each with the id and the prompt that its row has, one of them at least.

    Raises:
        DataError: a line is no response, or what one is for occurs twice.
    """
    found: list[tuple[Key, str]] = []
    for line, row in read_jsonl(path):
        key = key_of(row) if isinstance(row, dict) else (None, None)
        if key == (None, None) or not isinstance(row.get("response"), str):
            raise DataError(path, 'a response is {"id": ..., "response": "..."}.', line)
        found.append((key, row["response"]))
    # One id with several prompts may be of several documents: which ones there are, the task knows.
    twice = [key for key, count in Counter(key for key, _ in found).items() if count > 1]
    refuse_duplicates(path, [str(prompt if ident is None else ident) for ident, prompt in twice for _ in range(2)])
    return found


def _values(task: Any, responses: dict[int, str]) -> dict[str, list[Any]]:
    """Each metric's values over the documents that have a response, by their place among the task's."""
    requests = [request for request in build_requests(task) if request.doc_id in responses]
    for request in requests:
        request.resps = [responses[request.doc_id]]
    if not requests:
        return {}
    task._instances = requests
    with quiet_libraries():
        task.apply_filters()
    values = defaultdict(list)
    for request in requests:
        several = len(request.filtered_resps) > 1
        for name, filtered in request.filtered_resps.items():
            for metric, value in task.process_results(request.doc, [filtered]).items():
                values[metric_name(metric, name, several)].append(value)
    return dict(values)


def _aggregate(task: Any, values: dict[str, list[Any]]) -> dict[str, float | None]:
    """Every metric of the task over the values that it has."""
    made: dict[str, float | None] = {}
    for metric, aggregate in task.aggregation().items():
        for name in [name for name in values if name.partition(",")[0] == metric] or [metric]:
            total = float(aggregate(values[name])) if name in values else math.nan
            made[name] = total if math.isfinite(total) else None
    return made


def score_verdicts(name: str, path: Path, data_dir: str | None = None) -> dict[str, Any]:
    """What a file of verdicts on the task's prompts comes to, as `lapd.judges.verdicts.rates` has it.

    Where the task's data are at hand (`data_dir`), a prompt without a verdict is missing. Where the verdicts say who
    gave them, as LAPD's own do, `judge` is that judge with its note.

    Raises:
        UnknownNameError: there is no such task.
        UsageError: the task's responses are not judged.
        DataError: the file is wrong; a prompt occurs twice or is not one of the task's; there are several judges.
    """
    info = find_task(name)
    if not info.judged:
        raise UsageError(f"Nobody judges the responses to {name}.", "Give --responses.")
    judged = read_verdicts(path)
    rows = list(read_jsonl(path))
    keys = [key_of({"id": n, **row} if "prompt" not in row else row) for n, row in rows]
    refuse_duplicates(path, [str(prompt if ident is None else ident) for ident, prompt in keys])
    judge = _judge_in(path, [row.get("judge") for _, row in rows])
    if data_dir and info.publisher:
        judged += _unjudged(info, path, keys, data_dir)
    return {"task": name, **({"judge": judge} if judge else {}), **rates(judged)}


def _judge_in(path: Path, named: list[Any]) -> dict[str, Any] | None:
    """The one judge that every verdict of a file names, with its note; None where one does not say."""
    first = named[0]
    if any(judge != first for judge in named):
        raise DataError(path, "the verdicts in it are not all by one judge.", hint="Score each judge's apart.")
    if not isinstance(first, dict) or "name" not in first:
        return None
    return {**first, **({"note": note} if (note := note_of(first)) else {})}


def _unjudged(info: TaskInfo, path: Path, keys: list[Key], data_dir: str) -> Iterable[Judged]:
    docs = list(load_task(info, data_dir).eval_docs)
    judged = set(Documents(info, docs).find(path, keys, "Are these verdicts on other prompts?"))
    without = [doc for index, doc in enumerate(docs) if index not in judged]
    return [Judged(Verdict(None, NO_VERDICT), str(doc.get("category", ""))) for doc in without]


def name_missing(score: Score) -> str:
    """One line about the documents without a response, for people."""
    effect = "they count as not parsed" if score.n_parseable is not None else "they are left out"
    return f"{named(score.missing)}: no response ({len(score.missing)} of {score.n_total}; {effect})."
