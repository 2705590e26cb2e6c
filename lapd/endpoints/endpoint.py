"""Where a model answers over the network, and how much may be asked of it; `lapd.endpoints.client` does the asking.

The key comes from an environment variable.
"""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass
from urllib.parse import urlsplit

from lapd.errors import UsageError

OPENAI_URL = "https://api.openai.com/v1"
KEY_VARIABLE = "OPENAI_API_KEY"


@dataclass(frozen=True)
class Endpoint:
    """Where a model answers, and how much may be asked of it.

    Attributes:
        model: the model's name there.
        base_url: up to and with the `/v1`.
        key_variable: the environment variable that holds the key. None: OPENAI_API_KEY, and on loopback none needed.
        concurrency: requests under way at once.
        requests_per_minute: at most so many sent a minute, evenly spaced; None for no limit.
        timeout: seconds that one request may take.
        attempts: how often one request is sent, at most.
        backoff: seconds before the second attempt; doubled before each further one.
        max_requests: ceiling on all requests sent, retries included.
        max_cost: ceiling on spend, in the prices' currency.
        price_in: price of a million tokens read.
        price_out: price of a million tokens written.
    """

    model: str
    base_url: str = OPENAI_URL
    key_variable: str | None = None
    concurrency: int = 4
    requests_per_minute: float | None = None
    timeout: float = 120.0
    attempts: int = 6
    backoff: float = 1.0
    max_requests: int | None = None
    max_cost: float | None = None
    price_in: float | None = None
    price_out: float | None = None

    def __post_init__(self) -> None:
        if not self.model:
            raise UsageError("No model was named.", "Give --model.")
        parts = urlsplit(self.base_url)
        # What is wrong with the address is not repeated: it may hold a key.
        if parts.username or parts.password or parts.query:
            raise UsageError("The base URL holds a user name, password or query.", "Put the key into the environment.")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError("The base URL is no http(s) address.", f"Give one such as {OPENAI_URL}.")
        if self.max_cost is not None and (self.price_in is None or self.price_out is None):
            raise UsageError("A ceiling on spend needs prices.", "Give --price-in and --price-out.")

    def cost(self, input_tokens: int, output_tokens: int) -> float:
        """What so many tokens cost, in the prices' currency; 0 without prices."""
        return (input_tokens * (self.price_in or 0) + output_tokens * (self.price_out or 0)) / 1e6

    def key(self) -> str:
        """The key; empty on loopback where no variable was named.

        Raises:
            UsageError: there is none, or it cannot be one.
        """
        key = os.environ.get(self.key_variable or KEY_VARIABLE, "").strip()
        if not key and not (self.key_variable is None and is_loopback(self.base_url)):
            # A variable that the user named is not repeated: it may be the key itself, given by mistake.
            name = f"the environment variable {KEY_VARIABLE}" if self.key_variable is None else "the variable named"
            raise UsageError(f"There is no key: {name} is not set.", "Set it, or name another with --api-key-env.")
        if not (key.isascii() and key.isprintable()) or " " in key:
            raise UsageError("The key holds a character that no key has.", "Check the environment variable.")
        return key


def is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
