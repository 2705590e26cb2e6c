"""`lapd personas`: which personas there are."""

from __future__ import annotations

import click

from lapd.cli.common import echo_json, echo_table, json_option, traits_option
from lapd.names import all_personas, get_persona


@click.command()
@click.argument("code", required=False)
@traits_option
@json_option
def command(code: str | None, as_json: bool) -> None:
    """List the personas, or show one with its description and system prompt.

    \b
    lapd personas
    lapd personas infp
    """
    if code is not None:
        persona = get_persona(code)
        if as_json:
            echo_json(persona.record())
            return
        click.echo(f"{persona.code}, {persona.name}\n\n{persona.description}\n\nSystem prompt: {persona.system_prompt}")
        return
    personas = list(all_personas().values())
    if as_json:
        echo_json([p.record() for p in personas])
        return
    echo_table(["code", "name"], [[p.code, p.name] for p in personas])
