"""Which tasks there are, and what LAPD knows of each: read from their YAML, without importing lm-eval.

A task tells LAPD what it needs to know under `metadata: lapd:` (docs/tasks.md lists the keys). A task without that
block, such as lm-eval's own, works too: its items are paired by position and its metrics have no axis.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from lapd.catalog.lm_eval_own import index_lm_eval, info_of_lm_eval, names_in_lm_eval
from lapd.catalog.sources import filters_in, names_in
from lapd.catalog.task import Refusals, TaskInfo
from lapd.errors import PluginError, UnknownNameError, UsageError
from lapd.hookspecs import TaskFolder
from lapd.names import packs
from lapd.pluginmanager import registry
from lapd.traits.tasks import pack_tasks, task_text


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Reads a task's YAML without importing the functions that it names; each becomes "FOLDER/module.function".

    By libyaml, where PyYAML has it: a report reads every task several times, ten times as long without.
    """


class _Function(str):
    """The name of a function in a YAML file."""


def _function(loader: Any, node: Any) -> str:
    return _Function(Path(node.start_mark.name).parent / node.value)


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
    found: dict[str, TaskInfo] = {}
    for pack in packs().values():
        files = [(path, path.stat()) for path in sorted(pack.folder.rglob("*"))]
        found |= _of_pack(pack.name, pack.folder, tuple((path, at.st_mtime_ns, at.st_size) for path, at in files))
    return found


@lru_cache(maxsize=16)
def _of_pack(name: str, folder: Path, files: tuple[Any, ...]) -> dict[str, TaskInfo]:
    """One pack's tasks; kept for as long as its `files` are as they are, since a report asks several times."""
    configs = pack_tasks(packs()[name])
    return {name: replace(_info(config, folder, None), written=task_text(config)) for name, config in configs.items()}


def read_all(folders: Iterable[TaskFolder] | None = None) -> Iterator[tuple[Path, TaskInfo | str]]:
    """Each YAML file in some folders, and its task, or what is wrong with it; groups are left out.

    Args:
        folders: by default those that plugins registered.
    """
    for folder in registry("tasks").values() if folders is None else folders:
        for path in sorted(folder.path.rglob("*.yaml")):
            if (found := _read(path, folder.path)) is not None:
                yield path, found if isinstance(found, str) else _told_by(folder, found)


def _told_by(folder: TaskFolder, info: TaskInfo) -> TaskInfo:
    """The task with what its plugin says of it beside its YAML."""
    given = folder.refusals.get(info.name)
    try:
        refusals = info.refusals or (Refusals(**given) if given else None)
    except TypeError as error:
        raise PluginError(f"The task folder {folder.name} says under `refusals` of {info.name}: {error}.") from None
    return replace(info, topic=folder.topics.get(info.name, ""), refusals=refusals)


def _read(path: Path, include_path: Path) -> TaskInfo | str | None:
    """The task in a YAML file, or in some words what is wrong with it; None for a group."""
    try:
        read: list[Path] = []
        config = read_config(path, read)
        if isinstance(config, dict) and isinstance(config.get("task"), str):
            return replace(_info(config, path.parent, include_path), included=_elsewhere(read, path.parent))
    except (yaml.YAMLError, UnicodeDecodeError):
        return "is not YAML"
    except (AttributeError, TypeError, ValueError, OSError) as error:
        return f"is no task that can be read ({error})"
    return None


def read_config(path: Path, read: list[Path] | None = None) -> Any:
    """A YAML file's content, on top of that of the files that it includes, as lm-eval puts them together.

    Args:
        path: the file.
        read: what every file that was read is added to.
    """
    if read is not None:
        read.append(path)
    with path.open(encoding="utf-8") as stream:
        config = yaml.load(stream, _Loader)
    if not isinstance(config, dict) or "include" not in config:
        return config
    names = config.pop("include")
    merged: dict[str, Any] = {}
    for name in names if isinstance(names, list) else [names]:
        merged |= read_config(path.parent / name, read)
    return merged | config


def _elsewhere(read: Iterable[Path], folder: Path) -> tuple[Path, ...]:
    """Of the YAML files that were read, those in no task's folder of its own, with the code beside them."""
    others = {path.resolve() for path in read if folder.resolve() not in path.resolve().parents}
    return tuple(sorted(others | {code for path in others for code in path.parent.glob("*.py")}))


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
        lower=tuple(m["metric"] for m in config.get("metric_list", []) if m.get("higher_is_better") is False),
        side=str(own.get("side") or ""),
        primary=own.get("primary"),
        margins=own.get("margins", {}),
        cluster=own.get("cluster"),
        held=own.get("held", {}),
        differences=own.get("differences", {}),
        item=own.get("item"),
        axes=own.get("axes", {}),
        parts=own.get("parts", {}),
        judged=own.get("judged"),
        refusals=Refusals(**own["refusals"]) if own.get("refusals") else None,
        graded=own.get("graded"),
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
        filters=filters_in(config),
        files=tuple(own.get("files", ())),
        named=names_in(config),
        imported=tuple(sorted({module for value in _values(config) if (module := _imported(value))})),
    )


def _values(config: Any) -> Iterator[Any]:
    """Everything in a YAML's content that is no list and no mapping."""
    if isinstance(config, (dict, list)):
        for part in config.values() if isinstance(config, dict) else config:
            yield from _values(part)
    else:
        yield config


def _imported(value: Any) -> str | None:
    """The module of a function that a YAML names and that lies in no file beside it; LAPD's and lm-eval's own apart."""
    if not isinstance(value, _Function):
        return None
    folder, _, qualified = value.rpartition("/")
    module = qualified.rpartition(".")[0]
    beside = Path(folder) / f"{module.replace('.', '/')}.py"
    return None if beside.is_file() or module.startswith(("lapd.", "lm_eval.")) else module


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
    theirs = names_in_lm_eval()
    unknown = UnknownNameError("task", name, {*known, *theirs}, "`lapd tasks` lists LAPD's own.")
    if name not in theirs:
        raise unknown
    entry = index_lm_eval(name, quiet=quiet).get(name)
    if entry is None:
        raise unknown
    if entry.kind.name in ("GROUP", "TAG"):
        raise UsageError(f"{name} is a group of tasks.", f"Name one of them; `lapd eval --tasks {name}` runs them all.")
    return info_of_lm_eval(name, entry)
