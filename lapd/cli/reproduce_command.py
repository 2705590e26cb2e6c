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
@traits_option
@json_option
def command(cell: str, run: Path | None, tolerance: float, options: tuple[str, ...], as_json: bool) -> None:
    """Run a finished CELL again as its record says, and say whether it agrees.

    Identical, equal within so many nats, or different; the exit code is 0 if it agrees and 1 if not. A cell whose base,
    adapter, task or data are no longer what they were is refused.

    \b
    lapd reproduce runs/INFP/cells/8253fecbb12669a5
    lapd reproduce 8253fecbb12669a5 --run runs/INFP
    """
    from lapd.experiment.reproduce import find_cell, reproduce

    folder = find_cell(cell, run)
    outcome, changed = reproduce(folder, options, tolerance)
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


def _shown(value: object) -> str:
    return ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else str(value)
