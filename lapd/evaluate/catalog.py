"""Which tasks there are, and what LAPD knows of each: read from their YAML, without importing lm-eval.

A task tells LAPD what it needs to know under `metadata: lapd:` (docs/tasks.md lists the keys). A task without that
block, such as lm-eval's own, works too: its items are paired by position and its metrics have no axis.
"""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from lapd.errors import DataError, PluginError, UnknownNameError
from lapd.files import digest_file, digest_files, digest_json
from lapd.pluginmanager import registry


@dataclass(frozen=True)
class TaskInfo:
    """One lm-eval task.

    Attributes:
        name: as `--tasks` takes it.
        folder: where its YAML lies.
        include_path: what lm-eval must be told to find it; None for lm-eval's own tasks.
        version: from its metadata.
        description: one line.
        kind: lm-eval's output type.
        metrics: the names in its metric list.
        item: the document field that tells which item a document belongs to; None pairs by position.
        axes: for each family of metrics, the metric of each axis: {"log_odds": {"E/I": "log_odds_EI", ...}}.
        parts: the same for parts of the items that are no axes, such as categories.
        judged: the document field with the prompt, where a judge decides on the responses.
        units: the unit of each metric or family, where it is not a share of 1.
        diagnostics: metrics that tell how far the others can be trusted, such as a position bias.
        self_report: whether it asks the model about itself instead of watching what it does.
        data: its data, below `lapd.data`.
        publisher: the folder below --data-dir with its data, if they are not shipped.
        parsed: the metric (0 or 100 a document) that tells whether a response could be parsed, if it has one.
        parallel: the task whose parallel form this one is, item by item.
        questionnaire: whether it takes somebody else's questionnaire (--questionnaire) instead of its own.
        code: modules beside its folder that decide its scores; part of its digest, as the folder is.
        scorer: what scores a document, "FOLDER/module.function"; None where lm-eval does.
    """

    name: str
    folder: Path
    include_path: Path | None
    version: str
    description: str = ""
    kind: str = ""
    metrics: tuple[str, ...] = ()
    item: str | None = None
    axes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    parts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    judged: str | None = None
    units: Mapping[str, str] = field(default_factory=dict)
    diagnostics: tuple[str, ...] = ()
    self_report: bool = False
    data: tuple[str, ...] = ()
    publisher: str | None = None
    parsed: str | None = None
    parallel: str | None = None
    questionnaire: bool = False
    code: tuple[str, ...] = ()
    scorer: str | None = None

    def family(self, metric: str) -> tuple[str, str | None]:
        """The family and axis (or part) of a metric: ("log_odds", "E/I"), or (metric, None) for one without."""
        for family, by_axis in (*self.axes.items(), *self.parts.items()):
            for axis, name in by_axis.items():
                if name == metric:
                    return family, axis
        return metric, None

    def unit(self, metric: str) -> str:
        """What the metric is counted in; a share of 1 unless the task says otherwise."""
        return self.units.get(self.family(metric)[0], "share")

    def digest(self, data_dir: str | None, questionnaire: str | None = None) -> str:
        """SHA-256 over everything on disk that settles what the task asks and how it scores."""
        parts = [digest for group in self._parts(data_dir, questionnaire).values() for digest in group]
        return digest_json([self.name, self.version, parts])

    def digests(self, data_dir: str | None, questionnaire: str | None = None) -> dict[str, str | None]:
        """What goes into `digest`, apart: `task` (its files), `data`, `questionnaire`, `code`; None for nothing."""
        parts = self._parts(data_dir, questionnaire)
        return {group: digest_json(digests) if digests else None for group, digests in parts.items()}

    def _parts(self, data_dir: str | None, questionnaire: str | None) -> dict[str, list[str]]:
        from lapd.data import FOLDER

        files = [p for p in self.folder.rglob("*") if p.suffix in (".py", ".yaml", ".json")]
        parts: dict[str, list[str]] = {"task": [digest_files(self.folder, files)], "data": []}
        if self.include_path:  # what its tasks share
            parts["task"].append(digest_files(self.include_path, self.include_path.glob("*.py")))
        if self.data:
            parts["data"].append(digest_file(FOLDER / "__init__.py"))
        for name in self.data:
            path = FOLDER / name
            parts["data"].append(digest_files(FOLDER, sorted(path.rglob("*.json*")) if path.is_dir() else [path]))
        root = data_dir or os.environ.get("LAPD_DATA_DIR")
        if self.publisher and root:
            folder = Path(root).expanduser() / self.publisher
            if not folder.is_dir():
                raise DataError(folder, f"there is no such folder, which {self.name} needs.", hint="See `lapd doctor`.")
            parts["data"].append(digest_files(folder, [p for p in folder.iterdir() if p.is_file()]))
        theirs = [Path(questionnaire).expanduser(), _source("lapd.questionnaires")] if questionnaire else []
        parts["questionnaire"] = [digest_file(path) for path in theirs if self.questionnaire]
        parts["code"] = [digest_file(_source(module)) for module in self.code]
        return parts


def _source(module: str) -> Path:
    """The file of a module, without importing it.

    Raises:
        PluginError: there is no such module, or it has no source.
    """
    try:
        spec = importlib.util.find_spec(module)
    except ImportError:
        spec = None
    if spec is None or not spec.origin or not Path(spec.origin).is_file():
        raise PluginError(f"A task names the module {module} under `code`, but there is none.")
    return Path(spec.origin)


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
    return found


def read_all() -> Iterator[tuple[Path, TaskInfo | str]]:
    """Each YAML file that a plugin registered, and its task, or what is wrong with it; groups are left out."""
    for folder in registry("tasks").values():
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


def _info(config: dict[str, Any], folder: Path, include_path: Path) -> TaskInfo:
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
        publisher=own.get("publisher"),
        parsed=own.get("parsed"),
        parallel=own.get("parallel"),
        questionnaire=bool(own.get("questionnaire")),
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
    from lapd.models import quiet_libraries

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
    """What lm-eval's YAML files call a task, and a few names more; read in a second, where indexing them takes ten."""
    spec = importlib.util.find_spec("lm_eval")
    if spec is None or spec.origin is None:
        return set()
    files = (Path(spec.origin).parent / "tasks").rglob("*.yaml")
    return {name.decode(errors="replace") for path in files for name in _TASK_LINE.findall(path.read_bytes())}
