"""`lapd serve`: a run's page while its cells are running."""

from __future__ import annotations

from pathlib import Path

import click

from lapd.cli.common import FOLDER, poles_option, traits_option, verdicts_option


@click.command()
@click.argument("run", type=FOLDER)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8750, show_default=True, help="Port; 0 for any free one."
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
def command(run: Path, port: int, samples: int | None, judge: str | None, persona: str | None) -> None:
    """Serve the report of RUN while its cells are running: how far it is, and its numbers as they come.

    On this machine alone (127.0.0.1), and only to be read: nothing of the run is changed. The page is made anew once a
    cell has finished. Ctrl-C ends it.

    \b
    lapd serve runs/quickstart
    lapd serve runs/quickstart --port 8080
    """
    from lapd.report.live.server import Server
    from lapd.report.live.watched import Watched

    # The line with the address stands inside too: who reads it may press Ctrl-C before the first request is waited for.
    try:
        with Server(Watched(run, judge=judge, persona=persona, samples=samples), port) as server:
            click.echo(f"{run} is at {server.address} until Ctrl-C.")
            server.serve_forever()
    except KeyboardInterrupt:
        click.echo("\nNo longer served.", err=True)
