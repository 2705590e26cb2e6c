"""Where tasks come from, and every task in one folder for a stock lm-eval: its `--include_path` takes one."""

from __future__ import annotations

import contextlib
from pathlib import Path

from lapd.catalog.find import tasks
from lapd.catalog.task import TaskInfo
from lapd.files.whole import cache_dir, digest_json, write_text
from lapd.pluginmanager import plugins, registry

OURS = "lapd"
"""The name of the folder with LAPD's own tasks."""


def task_folders() -> dict[str, Path]:
    """The folders of tasks that plugins registered, by name; LAPD's own is `OURS`."""
    return {folder.name: folder.path.resolve() for folder in registry("tasks").values()}


def origin(info: TaskInfo) -> str:
    """Who brings a task: the name of a package or trait pack; "" for LAPD itself, and for lm-eval."""
    if info.written:
        return f"the pack {info.traits}"
    name = next((name for name, path in task_folders().items() if path == _resolved(info.include_path)), OURS)
    if name == OURS:
        return ""
    return next((one.package for one in plugins().infos if name in one.registers.get("tasks", [])), name)


def _resolved(path: Path | None) -> Path | None:
    return path.resolve() if path else None


def one_folder() -> Path:
    """A folder below which lm-eval finds every task.

    LAPD's own where there is no other; else one below the cache, with a link to each task's YAML. lm-eval follows links
    to files, and from there to the code beside them, but not to folders.
    """
    folders = task_folders()
    links = {f"{name}/{p.relative_to(path)}": p for name, path in folders.items() for p in path.rglob("*.yaml")}
    texts = {f"packs/{name}.yaml": info.written for name, info in tasks().items() if info.written}
    if len(folders) == 1 and not texts:
        return next(iter(folders.values()))
    gathered = cache_dir() / "tasks" / digest_json([{name: str(path) for name, path in links.items()}, texts])[:12]
    for name, target in links.items():
        (gathered / name).parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            (gathered / name).symlink_to(target)
    for name, text in texts.items():
        if not (gathered / name).is_file():
            write_text(gathered / name, text)
    return gathered
