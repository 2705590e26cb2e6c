"""`lapd export`: a run for other programs."""

from __future__ import annotations

from pathlib import Path

import click

from lapd.cli.common import FOLDER, poles_option, traits_option, verdicts_option


@click.command()
@click.argument("run", type=FOLDER)
@click.option("--format", "kind", required=True, metavar="[csv|parquet|lm-eval|latex|md]", help="Whose form.")
@click.option("-o", "--out", type=FOLDER, required=True, metavar="DIR", help="Folder that gets the files.")
@click.option("--force", is_flag=True, help="Write beside what else is in DIR, over files of the same names.")
@verdicts_option
@poles_option
@traits_option
def command(run: Path, kind: str, out: Path, force: bool, judge: str | None, persona: str | None) -> None:
    """Write what RUN holds as files for other programs.

    csv and parquet: samples, a row a document, and comparisons, a row a comparison, as `lapd.load_run` has them.
    lm-eval: its results and samples, one folder an arm, as its own tools and other people's read them. latex and md:
    the comparisons as tables of a paper.

    An earlier export of the same run in the same format is replaced. A run that is not finished is exported as far as
    it is.

    \b
    lapd export runs/quickstart --format csv -o tables
    lapd export runs/quickstart --format lm-eval -o lm_eval_output
    """
    from lapd.export.files import export

    exported = export(run, out, kind, judge, persona, force=force)
    for note in exported.notes:
        click.echo(note, err=True)
    count = len(exported.files)
    click.echo(f"{count} file{'s' if count != 1 else ''} in {out}")
