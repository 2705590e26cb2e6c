"""Finds plugins, loads them one by one, and survives a broken one.

pluggy's own `load_setuptools_entrypoints` stops at the first entry point that fails, so that one broken package
would take every plugin after it along. Here a failure is kept with its reason, shown by `lapd plugins`, and becomes
fatal only when a name that nobody registered is asked for, or at once under `LAPD_STRICT_PLUGINS=1`.
`LAPD_LOAD_PLUGINS=name,name` leaves the others out.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from typing import Any

import click
import pluggy

from lapd import hookspecs
from lapd.errors import PluginError, UnknownNameError, first_line

hookimpl = pluggy.HookimplMarker("lapd")

KINDS = ("generators", "trainers", "tasks", "judges", "graders", "traits", "personas", "executors")
"""What can be registered by name; the hook of each is `lapd_register_<kind>`."""


LOAD_VARIABLE = "LAPD_LOAD_PLUGINS"


@dataclass
class PluginInfo:
    """One entry point: where it came from, what it registered, why it failed if it did, and whether it was left out."""

    name: str
    package: str
    version: str
    module: str
    registers: dict[str, list[str]] = field(default_factory=dict)
    error: str | None = None
    left_out: bool = False


class Plugins:
    """The loaded plugins and what they registered, by kind and name.

    Args:
        own: LAPD's own plugins too. Without them loading is quick, and other people's commands are all there.
    """

    def __init__(self, *, own: bool = True) -> None:
        self.manager = pluggy.PluginManager("lapd")
        self.manager.add_hookspecs(hookspecs)
        self.infos: list[PluginInfo] = []
        self.registered: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS}
        self._owner: dict[tuple[str, str], str] = {}
        entries = sorted(metadata.entry_points(group="lapd"), key=lambda e: e.name)
        wanted = _wanted(entry.name for entry in entries)
        for entry in entries:
            if own or not entry.value.startswith("lapd.plugins."):
                self._load(entry, entry.name.lower() in wanted)

    def _load(self, entry: metadata.EntryPoint, wanted: bool) -> None:
        package, version = (entry.dist.name, entry.dist.version) if entry.dist else ("?", "?")
        info = PluginInfo(entry.name, package, version, entry.value, left_out=not wanted)
        self.infos.append(info)
        if not wanted:
            return
        plugin = None
        try:
            plugin = entry.load()
            self.manager.register(plugin, name=entry.name)
            self._register(info, self._collect(plugin))
        except PluginError:
            raise
        except (Exception, SystemExit) as error:  # whatever a stranger's code does, the others must load
            self._fail(info, plugin, error)

    def _fail(self, info: PluginInfo, plugin: object, error: BaseException) -> None:
        """Keep the reason, and nothing else of the plugin."""
        info.error = f"{type(error).__name__}: {first_line(error)}"
        if plugin is not None and self.manager.get_plugin(info.name) is plugin:
            self.manager.unregister(plugin)
        if os.environ.get("LAPD_STRICT_PLUGINS", "") not in ("", "0"):
            raise PluginError(f"Plugin {info.name} ({info.package}) failed to load: {info.error}") from error

    def _collect(self, plugin: object) -> list[tuple[str, str, Any]]:
        """What one plugin registers: kind, name and object."""
        found: list[tuple[str, Any]] = []
        for kind in KINDS:
            self._hook_of(plugin, f"lapd_register_{kind}")(register=_appender(found, kind))
        return [(kind, item.code if kind == "personas" else item.name, item) for kind, item in found]

    def _hook_of(self, plugin: object, name: str) -> Any:
        """The hook, for this plugin alone."""
        return self.manager.subset_hook_caller(name, [p for p in self.manager.get_plugins() if p is not plugin])

    def _register(self, info: PluginInfo, found: list[tuple[str, str, Any]]) -> None:
        for kind, name, item in found:
            self._own(info, kind, name)
            self.registered[kind][name] = item
            info.registers.setdefault(kind, []).append(name)

    def _own(self, info: PluginInfo, kind: str, name: str) -> None:
        """Let the plugin have the name, or say loudly who has it already."""
        if (other := self._owner.setdefault((kind, name.lower()), info.name)) != info.name:
            raise PluginError(
                f"Plugins {other} and {info.name} both register {kind[:-1]} {name!r}.", "Uninstall one of them."
            )

    def add_commands(self, cli: click.Group, taken: Iterable[str] = ()) -> None:
        """Let every plugin add its click commands to `cli`; one that fails is reported like a failed load.

        Args:
            cli: the group.
            taken: names that belong to LAPD itself.

        Raises:
            PluginError: two commands have one name.
        """
        self._owner |= {("commands", name): "lapd" for name in taken}
        for info in self.infos:
            plugin = self.manager.get_plugin(info.name)
            if plugin is None or info.error:
                continue
            added = click.Group()
            try:
                self._hook_of(plugin, "lapd_register_commands")(cli=added)
            except (Exception, SystemExit) as error:
                self._fail(info, plugin, error)
                continue
            for name, command in added.commands.items():
                self._own(info, "commands", name)
                cli.add_command(command, name)
                info.registers.setdefault("commands", []).append(name)


def _wanted(names: Iterable[str]) -> set[str]:
    """Of the entry points' names, in lower case, those that are to be loaded; a warning for each that is none."""
    known = {name.lower(): name for name in names}
    if (text := os.environ.get(LOAD_VARIABLE)) is None:
        return set(known)
    wanted = {name.strip().lower() for name in text.split(",") if name.strip()}
    for name in sorted(wanted.difference(known)):
        _warn(str(UnknownNameError("plugin", name, known.values(), f"Known: {', '.join(sorted(known.values()))}.")))
    return wanted


@cache
def _warn(message: str) -> None:
    """Say it on standard error, once a process however often plugins are loaded."""
    print(f"Warning: {LOAD_VARIABLE}: {message}", file=sys.stderr)


def _appender(found: list[tuple[str, Any]], kind: str) -> Callable[[Any], None]:
    return lambda item: found.append((kind, item))


@cache
def plugins() -> Plugins:
    """The plugins of this process, loaded once."""
    return Plugins()


def registry(kind: str) -> dict[str, Any]:
    """Everything of one kind that plugins registered, by name."""
    return plugins().registered[kind]


def lookup(kind: str, name: str) -> Any:
    """The `kind` ("trainers", ...) registered under `name`.

    Raises:
        UnknownNameError: nobody registered it; the message names the nearest, and any plugin that failed to load
            or was left out, and might have had it.
    """
    known = registry(kind)
    for candidate, item in known.items():
        if candidate.lower() == name.lower():
            return item
    raise UnknownNameError(kind.rstrip("s"), name, known, f"Known: {', '.join(sorted(known)) or 'none'}.{absent()}")


def absent() -> str:
    """Which plugins failed to load or were left out, as sentences that go on a message; "" if none."""
    failed = "; ".join(f"{info.name}: {info.error}" for info in plugins().infos if info.error)
    left_out = ", ".join(info.name for info in plugins().infos if info.left_out)
    parts = {"Plugins that failed to load": failed, f"Left out by {LOAD_VARIABLE}": left_out}
    return "".join(f" {what}: {names}." for what, names in parts.items() if names)
