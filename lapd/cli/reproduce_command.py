"""`lapd reproduce`: does a result come out the same again?"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from lapd.cli.common import FOLDER, echo_json, json_option, traits_option

SHOWN = 5
"""So many differing items are named; `--json` has all."""


@click.command()
@click.argument("cell", metavar="CELL")
@click.option("--run", type=FOLDER, metavar="RUN", help="The run folder, if CELL is a name and not a folder.")
@click.option("--tolerance", type=click.FloatRange(0), default=1e-3, show_default=True, metavar="NATS",
              help="How far log-likelihoods may lie apart.")  # fmt: skip
@click.option("--judge-option", "options", multiple=True, metavar="KEY=VALUE", help="Setting of a judged cell's judge.")
@click.option("--base-url", metavar="URL", help="The server that answered, to agree to asking it again.")
@click.option("--api-key-env", "key_variable", metavar="NAME", help="The environment variable with its key.")
@traits_option
@json_option
def command(
    cell: str,
    run: Path | None,
    tolerance: float,
    options: tuple[str, ...],
    base_url: str | None,
    key_variable: str | None,
    as_json: bool,
) -> None:
    """Run a finished CELL again as its record says, and say whether it agrees.

    Identical, equal within so many nats, or different; the exit code is 0 if it agrees and 1 if not. A cell whose base,
    adapter, task or data are no longer what they were is refused. A server that the record names is asked only if you
    agree.

    \b
    lapd reproduce runs/INFP/cells/8253fecbb12669a5
    lapd reproduce 8253fecbb12669a5 --run runs/INFP
    """
    from lapd.experiment.reproduce import find_cell, read_cell, reproduce, server_of

    folder = find_cell(cell, run)
    noted = server_of(read_cell(folder))
    if noted is not None and base_url is None and _agrees(noted, key_variable):
        base_url = noted
    outcome, changed = reproduce(folder, options, tolerance, base_url=base_url, key_variable=key_variable)
    if as_json:
        echo_json(
            {
                "cell": folder.name,
                "agrees": outcome.agrees,
                "verdict": outcome.verdict,
                "largest_difference": outcome.largest_difference,
                "documents": outcome.documents,
                "differing": outcome.differing,
                "changed": changed,
            }
        )
    else:
        click.echo(f"{folder.name}: {outcome.verdict} ({outcome.documents} documents).")
        if outcome.differing:
            more = f" and {len(outcome.differing) - SHOWN} more" if len(outcome.differing) > SHOWN else ""
            click.echo(f"Different: {', '.join(outcome.differing[:SHOWN])}{more}.")
        for name, (then, now) in changed.items():
            click.echo(f"{name}: {_shown(then)} then, {_shown(now)} now")
    if not outcome.agrees:
        sys.exit(1)


def _agrees(url: str, key_variable: str | None) -> bool:
    """Whether the user lets the server be asked that a record names; without a user nobody does."""
    from lapd.endpoints.endpoint import KEY_VARIABLE, is_openai

    key = f", with the key in {KEY_VARIABLE}" if key_variable is None and is_openai(url) else ""
    key = ", with the key that you named" if key_variable else key
    try:
        return click.confirm(f"The record says that the answers came from {url!r}. Ask there again{key}?", err=True)
    except click.Abort:
        click.echo(err=True)
        return False


def _shown(value: object) -> str:
    return ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else str(value)
