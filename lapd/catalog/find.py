"""Which tasks there are, and what LAPD knows of each: read from their YAML, without importing lm-eval.

A task tells LAPD what it needs to know under `metadata: lapd:` (docs/tasks.md lists the keys). A task without that
block, such as lm-eval's own, works too: its items are paired by position and its metrics have no axis.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from lapd.catalog.task import TaskInfo
from lapd.errors import PluginError, UnknownNameError
from lapd.hookspecs import TaskFolder
from lapd.names import packs
from lapd.pluginmanager import registry
from lapd.traits.tasks import pack_tasks, task_text


class _Loader(yaml.SafeLoader):
    """Reads a task's YAML without importing the functions that it names; each becomes "FOLDER/module.function"."""


def _function(loader: Any, node: Any) -> str:
    return str(Path(loader.name).parent / node.value)


_Loader.add_constructor("!function", _function)


def tasks() -> dict[str, TaskInfo]:
    """Every task in a folder that a plugin registered, by name. A file that is not YAML is left out, with a warning.

    Raises:
        PluginError: two tasks have one name.
    """
    found: dict[str, TaskInfo] = {}
    for path, info in read_all():
        if isinstance(info, str):
            # lm-eval skips such a file without a word, and then does not know the task.
            print(f"Warning: {path} {info} and is left out.", file=sys.stderr)
        else:
            if info.name in found:
                where = f"{found[info.name].folder} and {info.folder}"
                raise PluginError(f"Two tasks are called {info.name!r}: in {where}.", "Uninstall one of the plugins.")
            found[info.name] = info
    return found | {name: info for name, info in _of_packs().items() if name not in found}


def _of_packs() -> dict[str, TaskInfo]:
    """The tasks that follow from the trait packs' data alone."""
    return {
        name: replace(_info(config, pack.folder, None), written=task_text(config))
        for pack in packs().values()
        for name, config in pack_tasks(pack).items()
    }


def read_all(folders: Iterable[TaskFolder] | None = None) -> Iterator[tuple[Path, TaskInfo | str]]:
    """Each YAML file in some folders, and its task, or what is wrong with it; groups are left out.

    Args:
        folders: by default those that plugins registered.
    """
    for folder in registry("tasks").values() if folders is None else folders:
        for path in sorted(folder.path.rglob("*.yaml")):
            if (found := _read(path, folder.path)) is not None:
                yield path, found


def _read(path: Path, include_path: Path) -> TaskInfo | str | None:
    """The task in a YAML file, or in some words what is wrong with it; None for a group."""
    try:
        config = _with_includes(path)
        if isinstance(config, dict) and isinstance(config.get("task"), str):
            return _info(config, path.parent, include_path)
    except (yaml.YAMLError, UnicodeDecodeError):
        return "is not YAML"
    except (AttributeError, TypeError, ValueError, OSError) as error:
        return f"is no task that can be read ({error})"
    return None


def _with_includes(path: Path) -> Any:
    """A YAML file's content, on top of that of the files that it includes, as lm-eval puts them together."""
    with path.open(encoding="utf-8") as stream:
        config = yaml.load(stream, _Loader)
    if not isinstance(config, dict) or "include" not in config:
        return config
    names = config.pop("include")
    merged: dict[str, Any] = {}
    for name in names if isinstance(names, list) else [names]:
        merged |= _with_includes(path.parent / name)
    return merged | config


def _info(config: dict[str, Any], folder: Path, include_path: Path | None) -> TaskInfo:
    metadata = config.get("metadata") or {}
    own = metadata.get("lapd") or {}
    return TaskInfo(
        name=config["task"],
        folder=folder,
        include_path=include_path,
        version=str(metadata.get("version", "")),
        description=own.get("description", ""),
        kind=config.get("output_type", ""),
        metrics=tuple(m["metric"] for m in config.get("metric_list", []) if isinstance(m.get("metric"), str)),
        item=own.get("item"),
        axes=own.get("axes", {}),
        parts=own.get("parts", {}),
        judged=own.get("judged"),
        units=own.get("units", {}),
        diagnostics=tuple(own.get("diagnostics", ())),
        self_report=bool(own.get("self_report")),
        data=tuple(own.get("data", ())),
        traits=metadata.get("traits"),
        publisher=own.get("publisher"),
        parsed=own.get("parsed"),
        parallel=own.get("parallel"),
        questionnaire=bool(own.get("questionnaire")),
        pairs=bool(own.get("pairs")),
        moved=tuple(own.get("moved", ())),
        code=tuple(own.get("code", ())),
        scorer=config.get("process_results"),
    )


def find_task(name: str, *, quiet: bool = False) -> TaskInfo:
    """The task of that name: a registered one, else one of lm-eval's own.

    Args:
        name: of the task.
        quiet: do not say that lm-eval's own tasks are being indexed, which takes some ten seconds.

    Raises:
        UnknownNameError: there is none; the message names the nearest.
    """
    known = tasks()
    if name in known:
        return known[name]
    theirs = _names_in_lm_eval()
    unknown = UnknownNameError("task", name, {*known, *theirs}, "`lapd tasks` lists LAPD's own.")
    if name not in theirs:
        raise unknown
    if not quiet:
        print(f"{name} is none of LAPD's tasks: indexing lm-eval's own ...", file=sys.stderr)
    from lapd.files.quiet import quiet_libraries

    with quiet_libraries():
        from lm_eval import __version__
        from lm_eval.tasks import TaskManager

        manager = TaskManager()
    if name not in manager.all_subtasks:
        raise unknown
    entry = manager.task_index[name]
    folder = Path(entry.yaml_path).parent if entry.yaml_path else Path()
    return TaskInfo(name, folder, None, f"lm-eval {__version__}", "one of lm-eval's own tasks")


_TASK_LINE = re.compile(rb"""^[\s-]*["']?task["']?\s*:\s*["']?([^\s"'#\[\]]+)""", re.MULTILINE)


def _names_in_lm_eval() -> set[str]:
    """What lm-eval's own YAML files call a task, and a few names more; read in a second, where indexing takes ten."""
    ours = stock_folder()
    if ours is None:
        return set()
    files = (path for path in ours.parent.rglob("*.yaml") if ours not in path.parents)
    return {name.decode(errors="replace") for path in files for name in _TASK_LINE.findall(path.read_bytes())}


def stock_folder() -> Path | None:
    """Where a stock lm-eval looks for LAPD's tasks: among its own. A wheel brings them there, `make setup` links them.

    None without lm-eval; the folder need not exist.
    """
    spec = importlib.util.find_spec("lm_eval")
    return Path(spec.origin).parent / "tasks" / "lapd" if spec and spec.origin else None
