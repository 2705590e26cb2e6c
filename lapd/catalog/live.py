"""A live lm-eval task without a model: loaded, and its requests built, as an evaluation would."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from lapd.catalog.task import TaskInfo
from lapd.errors import DataError, LapdError, first_line
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
    return load_with(task_manager(info, data_dir=data_dir, tokenizer=tokenizer), info)[info.name]


def load_with(manager: Any, info: TaskInfo) -> dict[str, Any]:
    """The task as lm-eval's manager loads it, by name; with those of the group that it must be loaded through.

    Raises:
        DataError: its data cannot be had or are wrong, or its code does not work here.
    """
    try:
        with quiet_libraries():
            return dict(manager.load([info.through or info.name])["tasks"])
    except LapdError:
        raise
    except Exception as error:  # a task's own code, and the Hub's client, raise what they like
        reason = f"{type(error).__name__}: {first_line(error)}"
        raise DataError(info.name, f"this task cannot be loaded ({reason}).", hint=_advice(error)) from error


NO_NETWORK = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, socket.EAI_AGAIN, socket.EAI_NONAME)
"""What the system says where nothing can be reached."""

UNREACHED = frozenset(
    {"OfflineModeIsEnabled", "LocalEntryNotFoundError", "ConnectionError", "ConnectError", "ProxyError"}
    | {"ConnectTimeout", "ReadTimeout", "MaxRetryError"}
)
"""What the Hub's client and the libraries below it call the same."""


def _advice(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError):
        return f"It needs the package {error.name}."
    unreachable = isinstance(error, OSError) and error.errno in NO_NETWORK
    if isinstance(error, (ConnectionError, TimeoutError)) or unreachable or type(error).__name__ in UNREACHED:
        return "Its data are on the Hugging Face Hub: get a network, or fetch them once where there is one."
    return "LAPD_DEBUG=1 shows all of it."


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
            # lm-eval's own thousands of tasks take seconds to index, and are not needed for a registered one; a group
            # that somebody registered may hold some of them.
            include_defaults=include_path is None or info.through is not None,
            metadata={name: value for name, value in told.items() if value is not None},
        )


def build_requests(
    task: Any, limit: int | None = None, chat: Callable[..., str] | None = None, system: str | None = None
) -> list[Any]:
    """The task's requests (lm-eval's instances), of its first `limit` documents.

    Args:
        task: from `load_task`.
        limit: documents; None for all.
        chat: a model's chat template; None asks without one.
        system: the system prompt.
    """
    with quiet_libraries(), no_bars_of_its_own():
        task.build_all_requests(
            limit=limit,
            rank=0,
            world_size=1,
            system_instruction=system,
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
