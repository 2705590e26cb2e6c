"""`lapd compare`: paired differences between a run's arms."""

from __future__ import annotations

from pathlib import Path

import click

from lapd.cli.common import FOLDER, echo_json, json_option, poles_option, traits_option, verdicts_option


@click.command()
@click.argument("run", type=FOLDER)
@verdicts_option
@poles_option
@click.option(
    "--write-cards", is_flag=True, help="Put each task's first row into the adapters' model cards, as `Measured`."
)
@traits_option
@json_option
def command(run: Path, judge: str | None, persona: str | None, write_cards: bool, as_json: bool) -> None:
    """Show what changed between the arms of RUN, paired by item, with 95 % intervals.

    Each adapter is compared with its own base under the same prompt and with its control adapters, and each prompt
    with none. The p values are corrected for all comparisons of the run (Holm). --json gives every row, the table only
    those pooled over axes, and axes where no persona's poles pool them.

    \b
    lapd compare runs/quickstart
    lapd compare runs/quickstart --json
    lapd compare runs/safety --judge moderation
    lapd compare runs/foreign --persona INFP
    """
    from lapd.compare.comparisons import as_json as rows_as_json
    from lapd.compare.comparisons import compare
    from lapd.report.table import text_table

    compared = compare(run, judge, persona)
    if write_cards:
        from lapd.report.cards import write_cards as write

        for card in write(run, compared.rows):
            click.echo(f"Measured: {card}", err=True)
    for warning in compared.warnings:
        click.echo(f"Warning: {warning}", err=True)
    if as_json:
        echo_json(rows_as_json(compared.rows))
        for note in compared.notes:
            click.echo(note, err=True)
        return
    click.echo(text_table(compared.rows, compared.notes))
