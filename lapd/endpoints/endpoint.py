"""Where a model answers over the network, and how much may be asked of it; `lapd.endpoints.client` does the asking.

The key comes from an environment variable. The default one, OPENAI_API_KEY, is for OpenAI's own host and goes nowhere
else; any other server takes the key of the variable that was named for it.
"""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from lapd.errors import UsageError

OPENAI_HOST = "api.openai.com"
OPENAI_URL = f"https://{OPENAI_HOST}/v1"
KEY_VARIABLE = "OPENAI_API_KEY"

NO_KEY = "none"
"""What stands for the variable's name where a server wants no key."""


@dataclass(frozen=True)
class Endpoint:
    """Where a model answers, and how much may be asked of it.

    Attributes:
        model: the model's name there.
        base_url: up to and with the `/v1`.
        key_variable: the environment variable that holds the key; "none" for a server that wants none. None:
            OPENAI_API_KEY for OpenAI's own host, no key on loopback, and anywhere else it has to be named.
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
        if parts.username or parts.password or parts.query or parts.fragment:
            raise UsageError("The base URL holds a user name, password or query.", "Put the key into the environment.")
        if parts.scheme not in ("http", "https") or not re.fullmatch(r"[\w.:%-]+", parts.hostname or ""):
            raise UsageError("The base URL is no http(s) address.", f"Give one such as {OPENAI_URL}.")
        if self.max_cost is not None and (self.price_in is None or self.price_out is None):
            raise UsageError("A ceiling on spend needs prices.", "Give --price-in and --price-out.")

    def cost(self, input_tokens: int, output_tokens: int) -> float:
        """What so many tokens cost, in the prices' currency; 0 without prices."""
        return (input_tokens * (self.price_in or 0) + output_tokens * (self.price_out or 0)) / 1e6

    def key(self) -> str:
        """The key that goes to this address; "" for none.

        Raises:
            UsageError: there is none, it cannot be one, or it would go over the network unencrypted.
        """
        variable = self.key_variable or (KEY_VARIABLE if is_openai(self.base_url) else None)
        if (variable is None and is_loopback(self.base_url)) or (variable is not None and variable.lower() == NO_KEY):
            return ""
        host = urlsplit(self.base_url).hostname
        if variable is None:
            hint = f"Name the variable with {host}'s own key with --api-key-env NAME; `{NO_KEY}` if it wants no key."
            raise UsageError(f"There is no key for {host}: {KEY_VARIABLE} is for {OPENAI_HOST} alone.", hint)
        if urlsplit(self.base_url).scheme == "http" and not is_loopback(self.base_url):
            hint = f"Give an https address, or --api-key-env {NO_KEY} if the server wants no key."
            raise UsageError(f"The key would go to {host} over http, for anybody on the way to read.", hint)
        key = os.environ.get(variable, "").strip()
        if not key:
            # A variable that the user named is not repeated: it may be the key itself, given by mistake.
            name = f"the environment variable {KEY_VARIABLE}" if self.key_variable is None else "the variable named"
            raise UsageError(f"There is no key: {name} is not set.", "Set it, or name another with --api-key-env.")
        if not (key.isascii() and key.isprintable()) or " " in key:
            raise UsageError("The key holds a character that no key has.", "Check the environment variable.")
        return key


def is_openai(url: str) -> bool:
    """Whether the address is one of OpenAI's own, such as eu.api.openai.com."""
    return re.fullmatch(rf"([a-z0-9-]+\.)*{re.escape(OPENAI_HOST)}", urlsplit(url).hostname or "") is not None


def is_loopback(url: str) -> bool:
    """Whether the address is this machine's own, where nothing goes over a network."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
