"""Groups and tags of tasks, such as mmlu: which tasks a name stands for, and what they come to together.

A group is read as lm-eval reads it, without loading a task: it may hold tasks, tags and other groups, set something
otherwise than a task's own YAML does (the number of examples, say), and hold tasks that are written in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from lapd.catalog.find import find_task, read_config, tasks
from lapd.catalog.lm_eval_own import index_lm_eval, info_of_lm_eval, names_in_lm_eval
from lapd.catalog.task import Group, GroupMetric, TaskInfo
from lapd.errors import LapdError, PluginError, UnknownNameError, UsageError
from lapd.files.whole import canonical_json
from lapd.pluginmanager import registry

OF_A_GROUP = frozenset({"group", "group_alias", "task", "aggregate_metric_list", "metadata", "tag", "include"})
"""What a group's YAML says of itself; anything else in it is set for all of its tasks."""

OF_A_TASK = frozenset({"dataset_path", "custom_dataset", "class", "include"})
"""What a task has one of that is written in a group; without, it is a name that should be somewhere else."""


def find_tasks(names: Iterable[str], *, quiet: bool = False) -> list[TaskInfo]:
    """The tasks that names of tasks, groups and tags stand for, each once; each knows the groups that it is in.

    Args:
        names: registered ones, or lm-eval's own.
        quiet: do not say that lm-eval's own tasks are being indexed, which takes some ten seconds.

    Raises:
        UnknownNameError: there is no such name; the message names the nearest.
        UsageError: two groups set a task otherwise.
    """
    asked, plain = list(dict.fromkeys(names)), tasks()
    if all(name in plain for name in asked):
        return [plain[name] for name in asked]
    known, found = _Names(quiet), dict[str, TaskInfo]()
    for name in asked:
        for info in known.members(name):
            other = found.setdefault(info.name, info)
            if other.setting != info.setting:
                ways = " and ".join(f"as {i.through} sets it" if i.through else "by itself" for i in (other, info))
                raise UsageError(f"The task {info.name} is asked for twice, {ways}.", "Evaluate them into two folders.")
            found[info.name] = replace(other, groups=tuple(dict.fromkeys((*other.groups, *info.groups))))
    return list(found.values())


def find_member(name: str, through: str | None) -> TaskInfo:
    """The task of that name; as the group `through` sets it, if it was evaluated so.

    Raises:
        UnknownNameError: there is no such task, or it is none of the group's.
    """
    if through is None:
        return find_task(name, quiet=True)
    members = {info.name: info for info in find_tasks([through], quiet=True)}
    if name not in members:
        raise UnknownNameError("task", name, members, f"{through} has others.")
    return members[name]


def groups_of_plugins() -> dict[str, list[str] | LapdError]:
    """The groups and tags in the folders that plugins registered: the tasks of each, or why it has none."""
    found: dict[str, list[str] | LapdError] = {}
    for name, entry in sorted(registered().items()):
        if entry.info is None:
            try:
                found[name] = [info.name for info in find_tasks([name], quiet=True)]
            except LapdError as error:
                found[name] = error
    return found


@dataclass(frozen=True)
class _Entry:
    """What a name stands for.

    Attributes:
        info: of a task.
        own: the content of its YAML.
        members: the tasks of a tag.
        group: the content of a group's YAML.
        folder, include_path: where that lies, and the registered folder above it.
    """

    info: TaskInfo | None = None
    own: Mapping[str, Any] = field(default_factory=dict)
    members: tuple[str, ...] = ()
    group: Mapping[str, Any] | None = None
    folder: Path = Path()
    include_path: Path | None = None


class _Names:
    """What names stand for, among what plugins registered and, where that does not do, among lm-eval's own."""

    def __init__(self, quiet: bool) -> None:
        self.quiet = quiet
        self.registered = registered()

    @cached_property
    def theirs(self) -> frozenset[str]:
        return names_in_lm_eval()

    def members(self, name: str) -> list[TaskInfo]:
        """The tasks that a name stands for."""
        if (entry := self._get(name)) is None:
            known = {*self.registered, *self.theirs}
            raise UnknownNameError("task", name, known, "`lapd tasks` lists LAPD's own.")
        if not (found := self._members(name, entry, {}, None)):
            raise PluginError(f"There is no task in the group {name}.", f"See {entry.folder}.")
        return found

    def _get(self, name: str) -> _Entry | None:
        if name in self.registered:
            return self.registered[name]
        found = index_lm_eval(name, quiet=self.quiet).get(name) if name in self.theirs else None
        if found is None:
            return None
        if found.kind.name == "TAG":
            return _Entry(members=tuple(sorted(found.tags)))
        if found.kind.name == "GROUP":
            return _Entry(group=found.cfg, folder=Path(found.yaml_path).parent)
        return _Entry(info=info_of_lm_eval(name, found), own=found.cfg)

    def _members(self, name: str, entry: _Entry, above: Mapping[str, Any], through: str | None) -> list[TaskInfo]:
        """The tasks of an entry, with the settings of the groups above it; `through` is the outermost of these."""
        if entry.info:
            changed = {key: value for key, value in above.items() if entry.own.get(key) != value}
            if not changed:
                return [entry.info]
            return [replace(entry.info, through=through, setting=canonical_json(_plain(changed)))]
        if entry.group is None:
            there = [(member, found) for member in entry.members if (found := self._get(member))]
            return [info for member, found in there for info in self._members(member, found, above, through)]
        return self._of_group(name, entry, above, through or name)

    def _of_group(self, name: str, entry: _Entry, above: Mapping[str, Any], through: str) -> list[TaskInfo]:
        config = entry.group or {}
        set_for_all = {key: value for key, value in config.items() if key not in OF_A_GROUP} | dict(above)
        parts = [
            info
            for part in _listed(config.get("task"))
            for info in self._of_part(name, entry, part, set_for_all, through)
        ]
        found = {info.name: info for info in parts}  # of two of one name lm-eval keeps the last
        metrics = tuple(_metric(each) for each in _listed(config.get("aggregate_metric_list")))
        group = Group(name, tuple(found), metrics)
        return [replace(info, groups=(*info.groups, group)) for info in found.values()]

    def _of_part(self, name: str, entry: _Entry, part: Any, above: Mapping[str, Any], through: str) -> list[TaskInfo]:
        """The tasks of one item of a group's list: a name, a name with settings, or what is written there itself."""
        own = part if isinstance(part, dict) else {"task": part}
        settings = dict(above) | {key: value for key, value in own.items() if key not in ("task", "group")}
        called = str(own.get("group", own.get("task")))
        if (there := self._get(called)) is not None:
            return self._members(called, there, settings, through)
        inner = f"{name}::{called}"  # as lm-eval names it
        if "group" in own:
            return self._of_group(inner, replace(entry, group=own), above, through)
        if not settings.keys() & OF_A_TASK:
            raise UnknownNameError("task", called, {*self.registered, *self.theirs}, f"The group {name} names it.")
        kind = str(settings.get("output_type", ""))
        setting = canonical_json(_plain(settings))
        return [TaskInfo(inner, entry.folder, entry.include_path, "", kind=kind, through=through, setting=setting)]


def registered() -> dict[str, _Entry]:
    """The names of tasks, groups and tags in the folders that plugins registered.

    Raises:
        PluginError: a group has the name of another or of a task.
    """
    infos = tasks()
    found = {name: _Entry(info=info) for name, info in infos.items()}
    tagged: dict[str, list[str]] = {}
    for config, folder, include_path in _configs():
        name = config.get("group", config.get("task"))
        if "group" in config and isinstance(name, str):
            if name in found:
                raise PluginError(f"A group in {folder} is called {name!r}, which is a name already.", "Rename it.")
            found[name] = _Entry(group=config, folder=folder, include_path=include_path)
        elif isinstance(name, str) and name in infos:
            found[name] = _Entry(info=infos[name], own=config)
            for tag in _listed(config.get("tag")):
                tagged.setdefault(str(tag), []).append(name)
    return {tag: _Entry(members=tuple(sorted(names))) for tag, names in tagged.items()} | found


def _configs() -> Iterator[tuple[dict[str, Any], Path, Path]]:
    """The content of each registered YAML file that can be read, its folder, and the one that was registered."""
    for registered_folder in registry("tasks").values():
        for path in sorted(registered_folder.path.rglob("*.yaml")):
            try:
                config = read_config(path)
            except (yaml.YAMLError, ValueError, OSError, TypeError):
                continue  # `tasks` has said what is wrong with it
            if isinstance(config, dict):
                yield config, path.parent, registered_folder.path


def _metric(config: Mapping[str, Any]) -> GroupMetric:
    filters = config.get("filter_list")
    names = None if filters is None else tuple(map(str, _listed(filters)))
    return GroupMetric(str(config.get("metric")), names, bool(config.get("weight_by_size", True)))


def _listed(value: Any) -> list[Any]:
    return [] if value is None else list(value) if isinstance(value, list) else [value]


def _plain(value: Any) -> Any:
    """A YAML's content as JSON can carry it; a function by its name."""
    if isinstance(value, dict):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return value if value is None or isinstance(value, (bool, int, float)) else str(value)
