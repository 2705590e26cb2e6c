"""`lapd serve-models`: adapters and their base behind an endpoint, which `lapd eval` finds by itself."""

from __future__ import annotations

import signal
import sys
from typing import Any

import click

from lapd.cli.common import base_option, echo_table

SAY_AGAIN = 10.0
"""Seconds between two lines about a server that is not up yet."""


@click.command()
@click.argument("adapters", nargs=-1, metavar="[NAME=]FOLDER...")
@click.option("--engine", type=click.Choice(["vllm"]), default="vllm", show_default=True, help="What serves.")
@base_option
@click.option("--port", type=click.IntRange(1, 65535), default=8000, show_default=True, help="Port on this machine.")
@click.option("--dtype", type=click.Choice(["auto", "float32", "bfloat16", "float16"]),
              help="Precision.  [default: float32; on a GPU that of the base's files]")  # fmt: skip
@click.option("--command", "named", metavar="PATH", help="The engine's command.  [env: LAPD_VLLM; default: vllm]")
@click.option("--engine-option", "options", multiple=True, metavar="NAME[=VALUE]",
              help="Option of the engine, such as max-model-len=4096; repeatable.")  # fmt: skip
@click.option("--wait", "timeout", type=click.FloatRange(0, min_open=True), default=900.0, metavar="S",
              show_default=True, help="Seconds that it may take until it is up.")  # fmt: skip
def command(
    adapters: tuple[str, ...],
    engine: str,
    base: str | None,
    port: int,
    dtype: str | None,
    named: str | None,
    options: tuple[str, ...],
    timeout: float,
) -> None:
    """Serve ADAPTERS and their base model on this machine (127.0.0.1) until Ctrl-C.

    Each adapter is served under its folder's name, or NAME. `lapd eval --model endpoint` finds the address, the names
    and the folders by itself, and refuses an adapter whose folder no longer holds what was loaded.

    \b
    lapd serve-models 'out/*'
    lapd eval --model endpoint --tasks situations,mbti,socialiqa        in another terminal
    """
    from lapd.adapters.adapter import common_base, resolve_adapters
    from lapd.models.base import resolve_base
    from lapd.serving.vllm import find_vllm, has_gpu, vllm_command

    vllm = find_vllm(named)
    found = resolve_adapters(adapters)
    model = resolve_base(base or common_base(found))
    words = vllm_command(vllm, model, found, port, dtype, options, gpu=has_gpu())
    # A terminal that is closed, or a job that is ended, ends the server as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        _serve(words, model, found, port, timeout)
    except KeyboardInterrupt:
        click.echo("\nNo longer served.", err=True)


def _serve(words: list[str], model: Any, adapters: list[Any], port: int, timeout: float) -> None:
    import os

    from lapd.endpoints.endpoint import Endpoint
    from lapd.errors import LapdError
    from lapd.serving.note import Served, as_served, check_free, notes_folder, write_note
    from lapd.serving.process import Server
    from lapd.serving.vllm import has_gpu, vllm_environment

    url = f"http://127.0.0.1:{port}/v1"
    check_free(port)
    served = Served(url, os.getpid(), model.name, str(model.path), model.digest, as_served(adapters))
    log = notes_folder() / f"{port}.log"
    with Server(words, vllm_environment(os.environ, has_gpu()), log) as server:
        try:
            click.echo(f"Starting vLLM with {model.name} and {len(adapters)} adapters; its log is {log}.", err=True)
            endpoint = Endpoint(model.name, url, "none", timeout=10.0)
            server.wait_until_up(endpoint, [model.name, *(a.name for a in adapters)], timeout, _teller())
            note = write_note(served, port)
            try:
                _say(served)
                server.wait()
            finally:
                note.unlink(missing_ok=True)
        except LapdError:
            for line in server.last_lines():
                click.echo(f"  {line[:300]}", err=True)
            raise


def _teller() -> Any:
    """What says every now and then how long the server has been starting, and what it is at."""
    last = 0.0

    def say(seconds: float, line: str) -> None:
        nonlocal last
        if seconds - last >= SAY_AGAIN:
            last = seconds
            click.echo(f"{seconds:.0f} s: {line[:100]}", err=True)

    return say


def _say(served: Any) -> None:
    rows = [[served.base, served.digest[:12], served.weights]]
    rows += [[adapter.name, adapter.digest[:12], adapter.path] for adapter in served.adapters]
    echo_table(["name", "digest", "folder"], rows)
    click.echo(f"All of these are at {served.base_url} until Ctrl-C.")
    click.echo("Next, in another terminal: lapd eval --model endpoint --tasks situations,mbti,socialiqa", err=True)
    sys.stdout.flush()
