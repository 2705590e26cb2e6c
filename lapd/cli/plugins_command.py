"""`lapd plugins`: what is installed, what it registers, the options that it takes, what failed; and a new one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lapd.cli.common import FOLDER, echo_json, echo_table, json_option

if TYPE_CHECKING:
    from lapd.pluginmanager import PluginInfo, Plugins


@click.group(invoke_without_command=True)
@click.option("--options", "only_options", is_flag=True, help="List what generators, judges and executors take.")
@json_option
@click.pass_context
def command(ctx: click.Context, only_options: bool, as_json: bool) -> None:
    """List the plugins: version, origin, what each registers, and why it failed if it did.

    With --options, the options of what they register: a generator's are flags of `lapd generate`, a judge's go to
    `--judge-option KEY=VALUE`, an executor's to `--executor-option KEY=VALUE`. JSON has all of it.

    \b
    lapd plugins
    lapd plugins --options
    lapd plugins --json
    lapd plugins new harbour
    """
    if ctx.invoked_subcommand:
        return
    from lapd.cli import VERBS
    from lapd.pluginmanager import Plugins

    loaded = Plugins()
    loaded.add_commands(click.Group(), taken=VERBS)
    infos = loaded.infos
    if as_json:
        echo_json([asdict(info) | {"options": _options(loaded, info)} for info in infos])
    elif only_options:
        taken = sorted((row for info in infos for row in _rows(loaded, info)), key=lambda row: row[:2])
        echo_table(["kind", "name", "option", "default", "help"], taken)
    else:
        rows = [[info.name, info.version, info.package, _status(info)] for info in infos]
        echo_table(["plugin", "version", "package", "registers"], rows)


def _status(info: PluginInfo) -> str:
    from lapd.pluginmanager import LOAD_VARIABLE

    if info.left_out:
        return f"left out by {LOAD_VARIABLE}"
    if info.error:
        return f"FAILED: {info.error}"
    return "; ".join(f"{kind}: {_shorten(names)}" for kind, names in info.registers.items()) or "nothing"


def _shorten(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= 4 else f"{', '.join(names[:3])} and {len(names) - 3} more"


def _options(loaded: Plugins, info: PluginInfo) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """What the things take that a plugin registered: by kind and name, for those that take any."""
    from lapd.options import declared

    return {
        kind: taking
        for kind, names in info.registers.items()
        if (
            taking := {
                name: [_described(kind, option) for option in options if not option.hidden]
                for name in names
                if (options := declared(loaded.registered.get(kind, {}).get(name)))
            }
        )
    }


def _described(kind: str, option: click.Option) -> dict[str, Any]:
    """An option as JSON; its name is what is written on the command line."""
    default = option.to_info_dict()["default"]
    return {
        "name": max(option.opts, key=len) if kind == "generators" else option.name,
        "default": json.loads(json.dumps(default, default=lambda v: "(dynamic)" if callable(v) else str(v))),
        "required": option.required,
        "help": option.help or "",
    }


def _rows(loaded: Plugins, info: PluginInfo) -> Iterator[list[str]]:
    for kind, taking in _options(loaded, info).items():
        for name, options in taking.items():
            for option in options:
                default = "required" if option["required"] else option["default"]
                default = ", ".join(map(str, default)) if isinstance(default, list) else default
                yield [kind, name, option["name"], "" if default is None else str(default), option["help"]]


@command.command()
@click.argument("name")
@click.option("-o", "--out", type=FOLDER, metavar="DIR", help="Where it goes.  [default: ./NAME]")
@json_option
def new(name: str, out: Path | None, as_json: bool) -> None:
    """Write a plugin package called NAME to begin with: a benchmark, a judge and a generator, with tests.

    \b
    lapd plugins new harbour
    """
    from lapd.cli.plugin_template import new_plugin

    folder = out or Path(name)
    new_plugin(name, folder)
    if as_json:
        echo_json({"plugin": name, "folder": str(folder)})
        return
    click.echo(f"A plugin package is in {folder}; its README.md says what to do with it.")
    click.echo(f"Next: cd {folder} && pip install --editable '.[test]' && pytest", err=True)
