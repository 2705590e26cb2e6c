"""What a response means: an answer, a failure that may pass, a request that is refused, or an endpoint of no use.

Whatever a server says is searched for the key before it is passed on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from lapd.endpoints.dialect import Dialect
from lapd.endpoints.endpoint import Endpoint
from lapd.endpoints.likelihoods import NotScoredError, Scores
from lapd.endpoints.replies import FILTER, FILTERED, Fault, Reply
from lapd.endpoints.wire import Response
from lapd.errors import EndpointError

AGAIN = (408, 429)
"""HTTP statuses after which the same request may succeed later; so are all from 500."""


@dataclass(frozen=True)
class Failure:
    """A request without an answer.

    Attributes:
        reason: in a few words.
        counts: 1 for a failed attempt; 0 where the request itself was at fault and will be sent otherwise.
        of_endpoint: whether it speaks of the endpoint, not of this request alone.
        final: whether there is no use in sending it again.
        headers: of the response, where they may say when to come back.
        input_tokens, output_tokens: what it took all the same.
    """

    reason: str
    counts: int = 1
    of_endpoint: bool = True
    final: bool = False
    headers: Mapping[str, str] | None = None
    input_tokens: int = 0
    output_tokens: int = 0


class Outcomes:
    """Reads one endpoint's responses.

    Args:
        endpoint: whose.
        key: that it was sent; "" for none.
        dialect: learns from what is refused.
    """

    def __init__(self, endpoint: Endpoint, key: str, dialect: Dialect) -> None:
        self._endpoint, self._key, self._dialect = endpoint, key, dialect

    def of(
        self, response: Response, read: Callable[[str], Reply | Scores | Fault], sent: dict[str, Any]
    ) -> Reply | Scores | Failure:
        """What a response is.

        Args:
            response: as it came.
            read: what the body of a good one says.
            sent: the request's fields beside the model.

        Raises:
            EndpointError: the endpoint cannot be used.
        """
        if response.status != 200:
            return self._refusal(response, sent, f"HTTP {response.status}")
        try:
            reply = read(response.text)
        except NotScoredError as error:
            return Failure(str(error), of_endpoint=False, final=True)
        except ValueError as error:
            said = self._said(response.text)[:100]
            return Failure(f"{error}: {said}" if said else str(error))
        if isinstance(reply, Fault):
            if reply.status is None:
                return Failure(f"HTTP 200 and an error: {self._said(reply.body)}", of_endpoint=False)
            inside = Response(reply.status, response.headers, reply.body)
            return self._refusal(inside, sent, f"HTTP 200 and the error {reply.status}")
        if isinstance(reply, Scores):
            return reply
        if reply.missing:
            return Failure(
                reply.missing,
                of_endpoint=False,
                final=reply.cut_off or reply.finish_reason == FILTER,
                input_tokens=reply.input_tokens,
                output_tokens=reply.output_tokens,
            )
        return replace(reply, text=self._redact(reply.text))

    def _refusal(self, response: Response, sent: dict[str, Any], label: str) -> Failure:
        """What an error status means: another attempt, another dialect, no answer, or the end."""
        status, text, said = response.status, response.text, self._said(response.text)
        self._check_usable(response, label)
        if status in AGAIN or status >= 500:
            return Failure(f"{label}: {said}" if said else label, headers=response.headers)
        if status in (400, 422) and self._dialect.learn(sent, text):
            return Failure(said, counts=0)
        return Failure(f"the request was refused with {label}: {said}", of_endpoint=False, final=True)

    def _check_usable(self, response: Response, label: str) -> None:
        """Refuse to go on with an endpoint that no retry can mend."""
        where, status, text = self._endpoint.base_url, response.status, response.text
        if 300 <= status < 400:
            there = self._redact(response.headers.get("location", "another address"))[:200]
            hint = "Redirects are not followed, since the key would go along: give that address as the base URL."
            raise EndpointError(f"{where} sends what it is asked to {there} ({label}).", hint)
        if status in (401, 403) and not FILTERED.search(text):
            # Some servers repeat the key, or most of it: nothing of this is passed on.
            none = "None was sent: name the environment variable that holds it with --api-key-env."
            hint = "Check the key's environment variable." if self._key else none
            raise EndpointError(f"{where} refused the key ({label}).", hint)
        if status == 402 or (status == 429 and "insufficient_quota" in text):
            raise EndpointError(f"{where}: there is no credit left ({label}).", "Add some there.")
        if status == 404:
            raise EndpointError(
                f"{where} has no model {self._endpoint.model!r}, or is no such endpoint ({label}).",
                "Check --base-url (it ends in /v1 with most servers) and --model.",
            )

    def _said(self, text: str) -> str:
        """A server's error message on one line, without the key."""
        try:
            body = json.loads(text)
            error = body.get("error", body.get("detail", body)) if isinstance(body, dict) else body
            text = str(error.get("message", error) if isinstance(error, dict) else error)
        except (ValueError, RecursionError):
            pass
        return " ".join(self._redact(text).split())[:300].rstrip(".")

    def _redact(self, text: str) -> str:
        return text.replace(self._key, "***") if self._key else text
