"""`lapd run`: a whole experiment."""

from __future__ import annotations

from pathlib import Path

import click

from lapd.cli.common import FOLDER, echo_json, json_option
from lapd.cli.plan import echo_plan, plan_option


@click.command()
@click.argument("file", type=FOLDER)
@plan_option
@json_option
def command(file: Path, only_plan: bool, as_json: bool) -> None:
    """Train, evaluate, compare and report what the YAML FILE says.

    The same command again goes on where it was stopped, and does nothing that is done already. Several at once share
    the work.

    \b
    lapd run examples/quickstart.yaml
    lapd run examples/quickstart.yaml --plan             what there is to do, and how long it will take
    """
    from lapd.compare import as_json as rows_as_json
    from lapd.experiment import plan_experiment, run_experiment
    from lapd.report.table import text_table

    if only_plan:
        echo_plan(plan_experiment(file), as_json)
        return
    rows, page = run_experiment(file)
    if as_json:
        echo_json({"report": str(page), "comparisons": rows_as_json(rows)})
        return
    click.echo(text_table(rows))
    click.echo(f"\nReport: {page}")
