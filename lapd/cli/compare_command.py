"""`lapd compare`: paired differences between a run's arms."""

from __future__ import annotations

from pathlib import Path

import click

from lapd.cli.common import FOLDER, echo_json, json_option, poles_option, traits_option, verdicts_option
from lapd.cli.design_tables import DESIGNS, show_design
from lapd.errors import UsageError


def read_margins(ctx: click.Context, param: click.Parameter, texts: tuple[str, ...]) -> dict[str, float]:
    """The margins by what they are of; "" for all."""
    found = {}
    for text in texts:
        name, _, value = text.rpartition("=")
        try:
            found[name] = float(value)
        except ValueError:
            raise click.BadParameter(f"{text!r} has no number; such as 3, or acc=3.", ctx, param) from None
    return found


@click.command()
@click.argument("run", type=FOLDER)
@verdicts_option
@poles_option
@click.option(
    "--write-cards", is_flag=True, help="Put each task's first row into the adapters' model cards, as `Measured`."
)
@click.option(
    "--margin",
    "margins",
    multiple=True,
    metavar="[NAME=]VALUE",
    callback=read_margins,
    help="A difference within it makes no odds, in the unit that the table shows; of a metric or task, or of all.",
)
@click.option("--family", is_flag=True, help="Show which rows are confirmatory, which exploratory, and by what rule.")
@click.option(
    "--design", type=click.Choice(DESIGNS), help="Show instead what several arms tell together; see docs/designs.md."
)
@traits_option
@json_option
def command(
    run: Path,
    judge: str | None,
    persona: str | None,
    write_cards: bool,
    margins: dict[str, float],
    family: bool,
    design: str | None,
    as_json: bool,
) -> None:
    """Show what changed between the arms of RUN, paired by item, with 95 % intervals.

    Each adapter is compared with its own base under the same prompt and with its control adapters, and each prompt
    with none; adapters that were trained again with other seeds also together, as a statement about the training. A
    row has one of three verdicts: changed, no change beyond the margin, cannot tell. --json gives every row, the table
    only those pooled over axes, and axes where no persona's poles pool them.

    \b
    lapd compare runs/quickstart
    lapd compare runs/quickstart --family
    lapd compare runs/quickstart --margin 3 --margin log_odds=1
    lapd compare runs/quickstart --json
    lapd compare runs/sixteen --design factorial
    lapd compare runs/safety --judge moderation
    lapd compare runs/foreign --persona INFP
    """
    if design:
        if family or write_cards:
            raise UsageError(f"--design {design} takes neither --family nor --write-cards.", "Leave them out.")
        show_design(run, design, judge, persona, margins, as_json)
        return
    from lapd.compare.comparisons import as_json as rows_as_json
    from lapd.compare.comparisons import compare
    from lapd.report.table import family_table, text_table

    compared = compare(run, judge, persona, margins)
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
    click.echo(family_table(compared.rows) if family else text_table(compared.rows, compared.notes))
