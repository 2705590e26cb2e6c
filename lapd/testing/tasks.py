"""The assertion for folders of tasks."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from lapd.hookspecs import TaskFolder
from lapd.testing.demands import demand
from lapd.testing.tiny import make_tiny_base

if TYPE_CHECKING:
    from lapd.catalog.task import TaskInfo


def assert_tasks(folder: Path, *, base: Path | None = None, data_dir: str | None = None) -> list[str]:
    """Assert that the lm-eval tasks in a folder work, and return their names.

    lm-eval loads each, its first documents are rendered plainly and by a chat template, and made-up answers are scored
    (as `lapd tasks check` does). What `metadata: lapd:` names is there: items, axes, metrics.

    Args:
        folder: as it is registered, with YAML files at any depth.
        base: the folder of a model whose tokenizer is used; by default a tiny one's.
        data_dir: a folder with benchmark data in their publishers' own files. Without it, a task that needs them and
            finds none is left out of what is returned.

    Raises:
        AssertionError: one does not; the message names it and says what is wrong.
    """
    __tracebackhide__ = True
    from lapd.catalog.check import BROKEN, OK, check_tasks
    from lapd.catalog.find import read_all

    folders = [TaskFolder(folder.name, folder)]
    infos = {info.name: info for _, info in read_all(folders) if not isinstance(info, str)}
    with tempfile.TemporaryDirectory() as temporary:
        found = list(check_tasks(base or make_tiny_base(Path(temporary) / "base"), data_dir, folders))
    demand(found, f"{folder}: there is no task in it: no YAML file with `task: NAME`")
    broken = [f"{finding.task} ({finding.file.name}): {finding.detail}" for finding in found if finding.state == BROKEN]
    demand(not broken, f"{folder}: " + "; ".join(broken))
    names = [finding.task for finding in found if finding.state == OK]
    for name in names:
        _demand_metadata(infos[name], data_dir)
    return names


def _demand_metadata(info: TaskInfo, data_dir: str | None) -> None:
    """What a task says of itself under `metadata: lapd:` is so."""
    __tracebackhide__ = True
    from lapd.catalog.live import load_task
    from lapd.names import axes

    who = f"task {info.name}"
    demand(info.description, f"{who}: it has no description under `metadata: lapd:`")
    by_family = {**info.axes, **info.parts}
    named = [*info.diagnostics, *info.moved, *(metric for found in by_family.values() for metric in found.values())]
    unknown = sorted(set(named) - set(info.metrics))
    demand(not unknown, f"{who}: `metadata: lapd:` names {unknown[:1]}, which is not in its metric_list")
    strange = sorted(set(info.units) - {*info.metrics, *by_family})
    demand(not strange, f"{who}: `units` names {strange[:1]}, which is neither a metric nor a family of them")
    nowhere = sorted({axis for found in info.axes.values() for axis in found} - set(axes()))
    demand(not nowhere, f"{who}: `axes` names {nowhere[:1]}, which no installed trait pack has")
    if info.item:
        documents = load_task(info, data_dir).eval_docs
        lack = [number for number, document in enumerate(documents, 1) if document.get(info.item) in (None, "")]
        demand(not lack, f"{who}: document {lack[:1]} has no {info.item!r}, which `item` names")
