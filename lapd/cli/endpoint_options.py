"""What `lapd eval` takes for a model that a server has: `--model endpoint` and what goes with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from lapd.cli.common import F
from lapd.errors import UsageError

if TYPE_CHECKING:
    from lapd.evaluate.reached import Reached

HERE, ENDPOINT = "lapd", "endpoint"

FIELDS = {
    "base_url": "--base-url",
    "key_variable": "--api-key-env",
    "concurrency": "--concurrency",
    "requests_per_minute": "--rate-limit",
    "timeout": "--timeout",
    "attempts": "--attempts",
    "max_requests": "--max-requests",
    "tokenizer": "--tokenizer",
}
"""The options that belong to a server: the last one's tokenizer, and fields of `lapd.endpoints.endpoint.Endpoint`."""


def endpoint_options(function: F) -> F:
    """`--model`, `--base-url` ...: each that is given is a keyword argument of its name."""
    options = [
        click.option("--model", "kind", type=click.Choice([HERE, ENDPOINT]), default=HERE, show_default=True,
                     help="Who answers: the weights on this machine, or a server."),
        click.option("--base-url", metavar="URL", help="The server's OpenAI-compatible endpoint, up to its /v1.  "
                     "[default: that of `lapd serve-models`]"),
        click.option("--tokenizer", metavar="MODEL", help="The served base model's own: smollm2, a folder, a Hugging "
                     "Face id.  [default: the adapters' base's, or the server's, if it is on this machine]"),
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


def read_served(kind: str, base: str | None, adapters: Sequence[str], given: Mapping[str, Any]) -> Reached | None:
    """The server that was asked for, with the models that are asked; None where the weights on this machine are.

    Args:
        kind: of `--model`.
        base: of `--base`.
        adapters: of `--adapter`.
        given: by field of the endpoint, and the tokenizer; None where nothing was given.

    Raises:
        UsageError: something is missing, or there is an option that belongs to an endpoint and none was asked for.
        ModelError: an adapter or a tokenizer cannot be used.
    """
    set_fields = {name: value for name, value in given.items() if value is not None}
    if kind == HERE:
        if set_fields:
            raise UsageError(f"{FIELDS[min(set_fields)]} is for a server.", "Add --model endpoint.")
        return None
    from lapd.evaluate.reached import reach

    tokenizer = set_fields.pop("tokenizer", None)
    return reach(base, adapters, set_fields, tokenizer)
