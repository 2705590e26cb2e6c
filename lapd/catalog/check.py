"""Checks tasks for real: lm-eval loads each and builds its first requests, and made-up answers are scored.

lm-eval skips a YAML that it cannot read without a word, and meets other faults only after the model has worked.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lapd.catalog.find import read_all
from lapd.catalog.live import build_requests, load_task
from lapd.catalog.task import GRADE, SIDES, TaskInfo
from lapd.errors import DataError, first_line
from lapd.files.quiet import quiet_libraries
from lapd.hookspecs import TaskFolder
from lapd.judges.choosing import DEFAULT, make_judge, use_judge
from lapd.names import packs
from lapd.traits.tasks import write_tasks

DOCUMENTS = 3
"""Documents of each task that are rendered and scored."""

OK, NO_DATA, BROKEN = "ok", "no data", "broken"

ANSWER = "I would say so."


@dataclass(frozen=True)
class Finding:
    """What became of one task: `state` is "ok", "no data" or "broken"; `detail` is one line."""

    task: str
    file: Path
    state: str
    detail: str


class _BrokenError(Exception):
    """What is wrong with a task."""


def check_tasks(
    tokenizer_folder: Path, data_dir: str | None = None, folders: Iterable[TaskFolder] | None = None
) -> Iterator[Finding]:
    """Check every task in some folders.

    Args:
        tokenizer_folder: a model's folder; its tokenizer counts tokens, its chat template renders the prompts.
        data_dir: a folder with benchmark data in their publishers' own files.
        folders: by default those that plugins registered, and the trait packs' tasks that lie in none of them.
    """
    from transformers import AutoTokenizer

    with quiet_libraries():
        tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    seen: dict[str, Path] = {}
    for path, info in read_all(folders):
        if isinstance(info, str):
            yield Finding(path.stem, path, BROKEN, f"{path.name} {info}")
        elif (other := seen.setdefault(info.name, path)) != path:
            yield Finding(info.name, path, BROKEN, f"{other} has a task of this name, too")
        else:
            yield _check(info, path, tokenizer_folder, _chat_template(tokenizer), data_dir)
    for path, info in _of_packs(seen) if folders is None else ():
        yield _check(info, path, tokenizer_folder, _chat_template(tokenizer), data_dir)


def _of_packs(seen: Collection[str]) -> Iterator[tuple[Path, TaskInfo]]:
    """The tasks that follow from the trait packs' data, but those that were seen in a folder."""
    for path, info in read_all(TaskFolder(pack.name, write_tasks(pack)) for pack in packs().values()):
        assert isinstance(info, TaskInfo), f"{path} {info}"
        if info.name not in seen:
            yield path, info


def _chat_template(tokenizer: Any) -> Callable[..., str] | None:
    """The tokenizer's chat template in the form that lm-eval calls; None if it has none."""
    if tokenizer.chat_template is None:
        return None

    def render(messages: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        rendered: str = tokenizer.apply_chat_template(
            messages,
            tokenize=False,
            add_generation_prompt=add_generation_prompt,
            continue_final_message=not add_generation_prompt,
        )
        return rendered

    return render


def _check(
    info: TaskInfo, path: Path, tokenizer: Path, chat: Callable[..., str] | None, data_dir: str | None
) -> Finding:
    try:
        _check_metadata(info)
        if info.pairs and not info.asked:
            return Finding(info.name, path, NO_DATA, "it asks pairs of your own: an adapter's, or of --pairs FILE")
        task = load_task(info, data_dir, str(tokenizer))
        plain = build_requests(task, DOCUMENTS)
        _check_requests(info, plain)
        _check_scores(info, task, plain)
        if chat:
            _check_chat(plain, build_requests(task, DOCUMENTS, chat))
    except _BrokenError as error:
        return Finding(info.name, path, BROKEN, str(error))
    except DataError as error:
        state = NO_DATA if _lacks_data(info, data_dir) else BROKEN
        return Finding(info.name, path, state, first_line(error))
    except Exception as error:  # whatever a task's own code does, the others are checked
        return Finding(info.name, path, BROKEN, f"{type(error).__name__}: {first_line(error)}")
    return Finding(info.name, path, OK, f"{len(task.eval_docs)} documents")


def _lacks_data(info: TaskInfo, data_dir: str | None) -> bool:
    """Whether the task's data are simply not there; data that are there and wrong are another matter."""
    root = data_dir or os.environ.get("LAPD_DATA_DIR")
    return bool(info.publisher) and not (root and (Path(root).expanduser() / str(info.publisher)).is_dir())


def _check_metadata(info: TaskInfo) -> None:
    """What it says of its side and of the metric that sums it up can be."""
    if info.side and info.side not in SIDES:
        raise _BrokenError(f"its side is {info.side!r}, which is none of {', '.join(SIDES)}")
    known = {*info.metrics, *info.axes, *([GRADE] if info.graded else [])}
    if info.primary is not None and info.primary not in known:
        raise _BrokenError(f"its primary is {info.primary!r}, which is neither in its metric_list nor a family of axes")
    for difference, pair in info.differences.items():
        if len(pair) != 2 or not {difference, *pair} <= set(info.metrics):
            raise _BrokenError(f"the difference {difference!r} is not of two metrics of its metric_list")
    for context, said in info.held.items():
        for family in [said] if isinstance(said, str) else said:
            if family not in info.axes:
                raise _BrokenError(f"what is held behind {context!r} is {family!r}, which is no family of axes")


def _check_requests(info: TaskInfo, requests: list[Any]) -> None:
    """Prompts have words in them, choices differ, and it is said where a generation ends."""
    for request in requests:
        if not request.args[0].strip():
            raise _BrokenError(f"the prompt of document {request.doc_id} is empty")
        if request.request_type == "generate_until" and request.args[1]["until"] == ["\n\n"]:
            raise _BrokenError("no `until`: lm-eval would stop at a blank line (write `until: []`)")
    for doc_id in {r.doc_id for r in requests if r.request_type == "loglikelihood"}:
        asked = [r.args for r in requests if r.doc_id == doc_id]
        if len(asked) != len(set(asked)):
            raise _BrokenError(f"document {doc_id} offers one choice twice")


def _check_scores(info: TaskInfo, task: Any, requests: list[Any]) -> None:
    """Made-up answers come through the task's filters and scoring, and every score is in its list of metrics."""
    for number, request in enumerate(requests):
        generates = request.request_type == "generate_until"
        request.resps = [ANSWER if generates else (-1.0 - number % 7, False)]
    # No endpoint is asked for a check, whatever judge the environment names.
    with quiet_libraries(), use_judge(make_judge(DEFAULT), quiet=True):
        task.apply_filters()
    for doc_id in sorted({r.doc_id for r in requests}):
        answered = [r for r in requests if r.doc_id == doc_id]
        for name in answered[0].filtered_resps:
            metrics = task.process_results(answered[0].doc, [r.filtered_resps[name] for r in answered])
            if not metrics:
                raise _BrokenError(f"document {doc_id} has no score")
            if strange := sorted(set(metrics) - set(info.metrics)):
                raise _BrokenError(f"the score {strange[0]} is not in its metric_list")


def _check_chat(plain: list[Any], rendered: list[Any]) -> None:
    """The chat template keeps every prompt, paragraph by paragraph: each may be a turn of its own."""
    for before, after in zip(plain, rendered, strict=True):
        if not all(paragraph.strip() in after.args[0] for paragraph in before.args[0].split("\n\n")):
            raise _BrokenError(f"the chat template loses the prompt of document {before.doc_id}")
