"""A live lm-eval task without a model: loaded, and its requests built, as an evaluation would."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from lapd.catalog.task import TaskInfo
from lapd.files.quiet import quiet_libraries
from lapd.names import find_pack
from lapd.traits.tasks import write_tasks


def load_task(info: TaskInfo, data_dir: str | None = None, tokenizer: str | None = None) -> Any:
    """The task as lm-eval loads it.

    Args:
        info: from the catalogue.
        data_dir: a folder with benchmark data in its publishers' own files.
        tokenizer: a name or folder, for tasks that count tokens; without it they count bytes.

    Raises:
        DataError: its data cannot be had or are wrong.
    """
    return task_manager(info, data_dir=data_dir, tokenizer=tokenizer).load([info.name])["tasks"][info.name]


def task_manager(info: TaskInfo, **metadata: Any) -> Any:
    """lm-eval's manager that knows the task, and every other one of its folder.

    Args:
        info: from the catalogue.
        metadata: what the tasks' data functions are told beside their own metadata; without what is None.
    """
    told = {**metadata, "pairs": str(info.asked) if info.asked else None}
    include_path = write_tasks(find_pack(info.traits or "")) if info.written else info.include_path
    with quiet_libraries():
        from lm_eval.tasks import TaskManager

        return TaskManager(
            include_path=str(include_path) if include_path else None,
            # lm-eval's own thousands of tasks take seconds to index, and are not needed for a registered one.
            include_defaults=include_path is None,
            metadata={name: value for name, value in told.items() if value is not None},
        )


def build_requests(task: Any, limit: int | None = None, chat: Callable[..., str] | None = None) -> list[Any]:
    """The task's requests (lm-eval's instances), of its first `limit` documents; `chat` is a model's chat template."""
    with quiet_libraries(), no_bars_of_its_own():
        task.build_all_requests(
            limit=limit,
            rank=0,
            world_size=1,
            apply_chat_template=chat is not None,
            chat_template=chat,
            tokenizer_name="checked" if chat else "",
        )
    return list(task.instances)


@contextmanager
def no_bars_of_its_own() -> Iterator[None]:
    """lm-eval shows a bar for building requests that nothing switches off; it would break up LAPD's."""
    from lm_eval.api import task

    original, task.tqdm = task.tqdm, partial(task.tqdm, disable=True)
    try:
        yield
    finally:
        task.tqdm = original
