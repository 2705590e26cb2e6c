"""`lapd plugins`: what is installed, what it registers, and what failed."""

from __future__ import annotations

from dataclasses import asdict

import click

from lapd.cli.common import echo_json, echo_table, json_option


@click.command()
@json_option
def command(as_json: bool) -> None:
    """List the plugins: version, origin, what each registers, and why it failed if it did.

    \b
    lapd plugins
    lapd plugins --json
    """
    from lapd.cli import VERBS
    from lapd.pluginmanager import Plugins

    loaded = Plugins()
    loaded.add_commands(click.Group(), taken=VERBS)
    infos = loaded.infos
    if as_json:
        echo_json([asdict(info) for info in infos])
        return
    rows = []
    for info in infos:
        what = "; ".join(f"{kind}: {_shorten(names)}" for kind, names in info.registers.items()) or "nothing"
        rows.append([info.name, info.version, info.package, f"FAILED: {info.error}" if info.error else what])
    echo_table(["plugin", "version", "package", "registers"], rows)


def _shorten(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= 4 else f"{', '.join(names[:3])} and {len(names) - 3} more"
