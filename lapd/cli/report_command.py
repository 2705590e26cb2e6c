"""`lapd report`: a run's HTML page."""

from __future__ import annotations

from pathlib import Path

import click

from lapd.cli.common import FOLDER, echo_json, json_option, poles_option, traits_option, verdicts_option


@click.command()
@click.argument("run", type=FOLDER)
@click.option(
    "-o",
    "--out",
    type=FOLDER,
    metavar="FILE",
    help="The page.  [default: RUN/report.html, or RUN/report-JUDGE-PERSONA.html]",
)
@click.option(
    "--samples",
    type=click.IntRange(min=1),
    metavar="N",
    help="At most so many items of each task in the page: those that changed most.  [default: all]",
)
@verdicts_option
@poles_option
@traits_option
@json_option
def command(
    run: Path, out: Path | None, samples: int | None, judge: str | None, persona: str | None, as_json: bool
) -> None:
    """Write the report of RUN: one HTML page that needs nothing else.

    \b
    lapd report runs/quickstart
    lapd report runs/safety --judge moderation           runs/safety/report-moderation.html
    lapd report runs/large --samples 100                 of each task the 100 items that changed most
    """
    from lapd.report.page import words_of_run, write_report

    page = write_report(run, out, judge, persona, samples)
    if as_json:
        echo_json({"report": str(page), "bytes": page.stat().st_size, "words": words_of_run(run, judge, persona)})
        return
    click.echo(f"Report: {page}")
