"""`lapd report`: a run's HTML page, or an index over several runs."""

from __future__ import annotations

from pathlib import Path

import click

from lapd.cli.common import FOLDER, echo_json, json_option, poles_option, traits_option, verdicts_option
from lapd.errors import UsageError


@click.command()
@click.argument("runs", type=FOLDER, nargs=-1, required=True, metavar="RUN [RUN2 ...]")
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
    runs: tuple[Path, ...], out: Path | None, samples: int | None, judge: str | None, persona: str | None, as_json: bool
) -> None:
    """Write the report of RUN: one HTML page that needs nothing else.

    Of several runs an index: their primary metrics beside each other on the tasks that they share, what differs between
    them, and links to each run's own page, which is written in its folder where it is missing or stale.

    \b
    lapd report runs/quickstart
    lapd report runs/safety --judge moderation           runs/safety/report-moderation.html
    lapd report runs/large --samples 100                 of each task the 100 items that changed most
    lapd report runs/small runs/large -o index.html      two runs, or two bases, beside each other
    """
    if len(runs) > 1:
        _index(runs, out, samples, judge, persona, as_json)
        return
    from lapd.report.page import words_of_run, write_report

    page = write_report(runs[0], out, judge, persona, samples)
    if as_json:
        echo_json({"report": str(page), "bytes": page.stat().st_size, "words": words_of_run(runs[0], judge, persona)})
        return
    click.echo(f"Report: {page}")


def _index(
    runs: tuple[Path, ...], out: Path | None, samples: int | None, judge: str | None, persona: str | None, as_json: bool
) -> None:
    from lapd.report.several.index import write_index

    if out is None:
        raise UsageError("An index over several runs needs a place.", "Give -o index.html.")
    index = write_index(runs, out, judge, persona, samples)
    if as_json:
        echo_json(index.as_json())
        return
    for page in index.pages:
        click.echo(f"Report: {page}")
    click.echo(f"Index: {index.page}")
