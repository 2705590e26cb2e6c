"""`lapd run`: a whole experiment."""

from __future__ import annotations

from pathlib import Path

import click

from lapd.cli.common import FOLDER, echo_json, executor_options, json_option, traits_option
from lapd.cli.plan import echo_plan, plan_option


@click.command()
@click.argument("file", type=FOLDER)
@executor_options("the file's, else local", "trains and runs the cells")
@plan_option
@traits_option
@json_option
def command(file: Path, executor: str | None, executor_texts: tuple[str, ...], only_plan: bool, as_json: bool) -> None:
    """Train, evaluate, compare and report what the YAML FILE says.

    The same command again goes on where it was stopped, and does nothing that is done already. Several at once share
    the work.

    \b
    lapd run examples/quickstart.yaml
    lapd run examples/quickstart.yaml --plan             what there is to do, and how long it will take
    lapd run examples/quickstart.yaml --executor ray     trainings and evaluation on every core or GPU
    """
    from lapd.compare.comparisons import as_json as rows_as_json
    from lapd.compare.comparisons import compare
    from lapd.experiment.file import Executing
    from lapd.experiment.run import plan_experiment, run_experiment
    from lapd.options import read_options
    from lapd.report.table import text_table

    where = Executing(executor, read_options(executor_texts, "--executor-option"))
    if only_plan:
        echo_plan(plan_experiment(file, where), as_json)
        return
    rows, page = run_experiment(file, where)
    if as_json:
        echo_json({"report": str(page), "comparisons": rows_as_json(rows)})
        return
    compared = compare(page.parent)
    for warning in compared.warnings:
        click.echo(f"Warning: {warning}", err=True)
    click.echo(text_table(rows, compared.notes))
    click.echo(f"\nReport: {page}")
