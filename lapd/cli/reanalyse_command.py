"""`lapd reanalyse`: what published rates allow to say."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lapd.cli.common import FOLDER, echo_json, echo_table, json_option

if TYPE_CHECKING:
    from lapd.published.analysis import Rate


@click.command()
@click.argument("file", type=FOLDER)
@click.option("--baseline", metavar="NAME", help="What others are compared with.  [default: base, or the first]")
@click.option("--percent", is_flag=True, help="Rates without a sign are in per cent, not shares of 1.")
@click.option(
    "--margin",
    type=click.FloatRange(0, 100, min_open=True),
    metavar="POINTS",
    help="A difference within it makes no odds.  [default: 5]",
)
@json_option
def command(file: Path, baseline: str | None, percent: bool, margin: float | None, as_json: bool) -> None:
    """Give published rates intervals and corrected tests: unpaired, for nothing is known of them item by item.

    FILE is CSV (or JSON, Parquet ...) with the columns name, n, and rate or successes; a column benchmark parts several
    tables, a column baseline marks the row that the others are compared with. A rate is a share of 1, or in per cent
    with the sign.

    \b
    lapd reanalyse published.csv
    lapd reanalyse published.csv --baseline base --json
    """
    from lapd.published.analysis import reanalyse
    from lapd.published.reading import read_published

    found = reanalyse(read_published(file, percent), baseline, margin)
    if as_json:
        echo_json({"file": str(file), **found.as_json()})
        return
    several = len(found.tests) > 1
    head = ["benchmark"] if several else []
    head += ["arm", "n", "rate", "difference", "error", "95 % interval", "p", "Holm", "would show", "verdict"]
    echo_table(head, [([row.benchmark] if several else []) + _cells(row) for row in found.rows])
    click.echo()
    for line in [*found.sentences, *found.notes]:
        click.echo(line)


def _cells(row: Rate) -> list[str]:
    from lapd.report.labels import number, p_value

    cells = [row.arm, str(row.n), f"{100 * row.rate:.1f} %"]
    if row.difference is None or row.error is None or row.p is None or row.p_holm is None:
        return [*cells, "", "", "", "", "", "", "baseline"]
    low, high, would = (number(100 * (value or 0), 1) for value in (row.low, row.high, row.detectable))
    difference, error = number(100 * row.difference, 1, signed=True), number(100 * row.error, 1)
    verdict = f"at a {row.why}" if row.why else str(row.verdict)
    return [*cells, difference, error, f"[{low}, {high}]", p_value(row.p), p_value(row.p_holm), would, verdict]
