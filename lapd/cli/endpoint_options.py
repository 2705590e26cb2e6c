"""What `lapd eval` takes for a model that a server has: `--model endpoint` and what goes with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from lapd.cli.common import F
from lapd.errors import UsageError

if TYPE_CHECKING:
    from lapd.endpoints.endpoint import Endpoint

HERE, ENDPOINT = "lapd", "endpoint"

FIELDS = {
    "base_url": "--base-url",
    "key_variable": "--api-key-env",
    "concurrency": "--concurrency",
    "requests_per_minute": "--rate-limit",
    "timeout": "--timeout",
    "attempts": "--attempts",
    "max_requests": "--max-requests",
}
"""Fields of `lapd.endpoints.endpoint.Endpoint` and the options that set them."""


def endpoint_options(function: F) -> F:
    """`--model`, `--base-url` ...: each that is given is a keyword argument of its name."""
    options = [
        click.option("--model", "kind", type=click.Choice([HERE, ENDPOINT]), default=HERE, show_default=True,
                     help="Who answers: the weights on this machine, or a server."),
        click.option("--base-url", metavar="URL", help="The server's OpenAI-compatible endpoint, up to its /v1."),
        click.option("--api-key-env", "key_variable", metavar="NAME", help="The environment variable with its key; "
                     "`none` if it wants none.  [default: OPENAI_API_KEY for OpenAI's own address, none on loopback]"),
        click.option("--concurrency", type=click.IntRange(1), metavar="N", help="Requests at once.  [default: 4]"),
        click.option("--rate-limit", "requests_per_minute", type=click.FloatRange(0, min_open=True), metavar="N",
                     help="Requests a minute.  [default: no limit]"),
        click.option("--timeout", type=click.FloatRange(0, min_open=True), metavar="S",
                     help="Seconds for a request.  [default: 120]"),
        click.option("--attempts", type=click.IntRange(1), metavar="N", help="Send a request so often when the server "
                     "is busy, broken or silent.  [default: 6]"),
        click.option("--max-requests", type=click.IntRange(1), metavar="N",
                     help="Ceiling on requests, retries included, over all commands into the run folder."),
    ]  # fmt: skip
    for option in reversed(options):
        function = option(function)
    return function


def read_endpoint(kind: str, base: str | None, given: Mapping[str, Any]) -> Endpoint | None:
    """The endpoint that was asked for; None where the weights on this machine are.

    Args:
        kind: of `--model`.
        base: of `--base`.
        given: by field of the endpoint; None where nothing was given.

    Raises:
        UsageError: something is missing, or there is an option that belongs to an endpoint and none was asked for.
    """
    set_fields = {name: value for name, value in given.items() if value is not None}
    if kind == HERE:
        if set_fields:
            raise UsageError(f"{FIELDS[min(set_fields)]} is for a server.", "Add --model endpoint.")
        return None
    if "base_url" not in set_fields:
        raise UsageError("--model endpoint needs an address.", "Give --base-url, such as http://127.0.0.1:8000/v1.")
    if base is None:
        raise UsageError("--model endpoint needs the base model's name there.", "Give --base NAME.")
    from lapd.endpoints.endpoint import Endpoint

    return Endpoint(base, **set_fields)
