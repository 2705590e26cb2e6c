"""One request over the wire, by the `openai` package: what goes out, to whom, and what comes back.

The key goes into the request's header and nowhere else. Redirects are not followed, and what the library would add from
its own environment variables stays away from other hosts than OpenAI's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from lapd.endpoints.endpoint import Endpoint, is_loopback, is_openai

HEADERS = frozenset(
    {"host", "accept", "accept-encoding", "connection", "content-type", "content-length", "transfer-encoding",
     "user-agent", "x-stainless-raw-response"}
)  # fmt: skip
"""What goes to other hosts than OpenAI's, beside the key that was named for them; by the last the library knows that
the answer is wanted as it came."""


@dataclass(frozen=True)
class Response:
    """What a server sent back, whatever it is."""

    status: int
    headers: Mapping[str, str]
    text: str


class Wire:
    """The way to one endpoint; to be used as `async with Wire(endpoint, key) as wire`.

    Args:
        endpoint: where.
        key: that goes there; "" for none.
    """

    def __init__(self, endpoint: Endpoint, key: str) -> None:
        self._endpoint, self._key = endpoint, key

    async def __aenter__(self) -> Wire:
        import openai

        http = openai.DefaultAsyncHttpxClient(
            # On loopback a proxy from the environment would be asked for this machine's own ports.
            trust_env=not is_loopback(self._endpoint.base_url),
            follow_redirects=False,
            event_hooks={"request": [self._guard]},
        )
        self._openai = openai.AsyncOpenAI(
            api_key=self._key or "none", base_url=self._endpoint.base_url, max_retries=0, http_client=http
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._openai.close()

    async def _guard(self, request: Any) -> None:
        """Take off a request what only OpenAI is to see: an administrator's key, an organisation, any custom header."""
        if not is_openai(self._endpoint.base_url):
            for name in [name for name in request.headers if name.lower() not in HEADERS]:
                del request.headers[name]
        if self._key:
            request.headers["Authorization"] = f"Bearer {self._key}"
        elif "authorization" in request.headers:
            del request.headers["Authorization"]

    async def post(self, body: dict[str, Any]) -> Response | str:
        """The response to a completion's request, or in a few words why there is none.

        Args:
            body: of a chat's request if it has messages, else of a prompt's; `extra_body` has what the library does not
                know.
        """
        maker = self._openai.chat.completions if "messages" in body else self._openai.completions
        return await self._awaited(maker.with_raw_response.create(**body, timeout=self._endpoint.timeout))

    async def models(self) -> Response | str:
        """The server's list of models, or in a few words why there is none."""
        return await self._awaited(self._openai.models.with_raw_response.list(timeout=self._endpoint.timeout))

    async def _awaited(self, call: Any) -> Response | str:
        import openai

        seconds = self._endpoint.timeout
        try:
            # The library's time-out starts anew with every byte; this one is for the whole.
            raw = await asyncio.wait_for(call, seconds)
            return Response(200, raw.headers, raw.text)
        except (asyncio.TimeoutError, openai.APITimeoutError):
            return f"it took longer than {seconds:g} s"
        except openai.APIStatusError as error:
            refused = error.response
        except openai.APIConnectionError as error:
            return f"the connection failed ({type(error.__cause__ or error).__name__})"
        # Out of the library's exception, whose message is the server's, so that no traceback can show it.
        return Response(refused.status_code, refused.headers, refused.text)
