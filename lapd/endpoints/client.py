"""A client for OpenAI-compatible endpoints, bounded in concurrency, rate, attempts, requests and spend.

The `openai` package speaks the protocol. Its own retries are off, so that each request that is sent is counted here.
The key goes into the request's header and nowhere else: no error has the library's as its cause, and whatever a server
says is searched for the key before it is passed on.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any

from lapd.endpoints.dialect import Dialect
from lapd.endpoints.endpoint import Endpoint, is_loopback
from lapd.errors import CeilingError, EndpointError, NoAnswerError

AGAIN = (408, 429, 500, 502, 503, 504, 529)
"""HTTP statuses after which the same request may succeed later."""


LONGEST_WAIT = 300.0
"""Seconds. A server that asks for a longer rest than this is left alone at once."""


LONGEST_BACKOFF = 60.0
"""Seconds between two attempts, at most, where the server names no time."""


FAILURES_IN_A_ROW = 5
"""After so many requests in a row without an answer, retries included in each, the endpoint is taken to be down."""


Message = Mapping[str, str]
"""One of a chat: {"role": "user", "content": "..."}."""


@dataclass
class Spent:
    """What was asked of an endpoint so far: requests sent, retries included, and the tokens of those answered."""

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0


@dataclass(frozen=True)
class Reply:
    """What a model wrote, and the tokens that the server counted (or, where it counts none, that LAPD bounds)."""

    text: str
    input_tokens: int
    output_tokens: int
    cut_off: bool = False


@dataclass
class _Ask:
    """A request, whatever the dialect."""

    messages: Sequence[Message]
    length: int
    schema: dict[str, Any] | None
    temperature: float | None
    seed: int | None
    stop: Sequence[str]
    input_bound: int = field(init=False)

    def __post_init__(self) -> None:
        # No tokenizer makes more tokens than there are bytes; a chat template adds a few a message.
        written = json.dumps([list(self.messages), self.schema], ensure_ascii=False)
        self.input_bound = len(written.encode()) + 32 * len(self.messages)


class Client:
    """Asks one endpoint; to be used as `async with Client(endpoint) as client`.

    Args:
        endpoint: where, and within which bounds.
        spent: what earlier runs have used of the ceilings already.
        on_progress: called after each request with all that was spent and its cost.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        spent: Spent | None = None,
        on_progress: Callable[[Spent, float], None] | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.spent = spent or Spent()
        self._on_progress = on_progress or (lambda spent, cost: None)
        self._key = endpoint.key()
        self._dialect = Dialect()
        self._interval = 60 / endpoint.requests_per_minute if endpoint.requests_per_minute else 0.0
        self._next_place = 0.0
        self._not_before = 0.0
        self._under_way = 0
        self._reserved = 0.0
        self._failures = 0
        self._fatal: EndpointError | None = None

    async def __aenter__(self) -> Client:
        import openai

        # On loopback a proxy from the environment would be asked for this machine's own ports.
        http = openai.DefaultAsyncHttpxClient(trust_env=not is_loopback(self.endpoint.base_url))
        self._openai = openai.AsyncOpenAI(
            api_key=self._key or "none", base_url=self.endpoint.base_url, max_retries=0, http_client=http
        )
        self._slots = asyncio.Semaphore(self.endpoint.concurrency)
        self._settled = asyncio.Condition()
        self._stopped = asyncio.Event()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._openai.close()

    async def complete(
        self,
        messages: Sequence[Message],
        *,
        length: int,
        schema: dict[str, Any] | None = None,
        temperature: float | None = None,
        seed: int | None = None,
        stop: Sequence[str] = (),
    ) -> Reply:
        """The model's answer to a chat. It may be empty or cut off; whether it is of use is for the caller to say.

        Args:
            messages: the chat so far.
            length: at most so many tokens in the answer.
            schema: the JSON schema that the answer should keep to, for servers that can see to it.
            temperature: of the sampling.
            seed: of the sampling.
            stop: texts at which the server may end the answer; not every server does.

        Raises:
            NoAnswerError: this request was refused, or all its attempts failed.
            CeilingError: it would go beyond a ceiling.
            EndpointError: the endpoint cannot be used. From then on every call raises this, at once.
        """
        ask = _Ask(messages, length, schema, temperature, seed, stop)
        async with self._slots:
            try:
                reply = await self._insist(ask)
            except NoAnswerError as error:
                self._failures += 1
                if self._failures >= FAILURES_IN_A_ROW:
                    self._stop(EndpointError(f"{self._failures} requests in a row got no answer; the last: {error}"))
                    self._check()
                raise
            except EndpointError as error:
                self._stop(error)
                raise
        self._failures = 0
        return reply

    def stop(self) -> None:
        """Refuse every further request and attempt; those under way are left to whoever awaits them.

        To be called before tasks that use this client are cancelled: up to Python 3.11 `asyncio.wait_for` can lose a
        cancellation that comes together with the answer, and the task would go on asking.
        """
        self._stop(EndpointError("This run was stopped."))

    def _stop(self, error: EndpointError) -> None:
        self._fatal = self._fatal or error
        self._stopped.set()

    def _check(self) -> None:
        if self._fatal:
            raise self._fatal

    async def _insist(self, ask: _Ask) -> Reply:
        """Send until there is an answer, or no attempt left."""
        failed = 0
        while True:
            await self._pace()
            outcome = await self._send(ask)
            if isinstance(outcome, Reply):
                return outcome
            failed += outcome.counts
            if failed >= self.endpoint.attempts:
                raise NoAnswerError(f"no answer after {failed} attempts: {outcome.reason}.")
            if outcome.counts:
                await self._rest(self._delay(failed, outcome.wait))

    def _delay(self, failed: int, wait: float | None) -> float:
        """Seconds before the next attempt: what the server asked for, else exponential with half of it random."""
        if wait is not None:
            return wait
        longest = min(LONGEST_BACKOFF, self.endpoint.backoff * 2 ** (failed - 1))
        return longest * random.uniform(0.5, 1)

    async def _rest(self, seconds: float) -> None:
        """Wait, but not when everything has been stopped."""
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._stopped.wait(), seconds)

    async def _pace(self) -> None:
        """Wait for this request's place in the rate, and until the server wants requests again."""
        place = max(time.monotonic(), self._next_place)
        self._next_place = place + self._interval
        while (wait := max(place, self._not_before) - time.monotonic()) > 0 and not self._fatal:
            await self._rest(wait)
        self._check()

    async def _send(self, ask: _Ask) -> Reply | _Failure:
        """Send once, within the ceilings."""
        worst = self.endpoint.cost(ask.input_bound, ask.length)
        await self._reserve(worst)
        try:
            outcome = await self._request(ask)
            if isinstance(outcome, Reply):
                self.spent.input_tokens += outcome.input_tokens
                self.spent.output_tokens += outcome.output_tokens
            return outcome
        finally:
            self._under_way -= 1
            self._reserved -= worst
            async with self._settled:
                self._settled.notify_all()
            self._on_progress(self.spent, self._cost())

    def _cost(self) -> float:
        return self.endpoint.cost(self.spent.input_tokens, self.spent.output_tokens)

    async def _reserve(self, worst: float) -> None:
        """Set aside what a request may cost at most, so that requests under way cannot pass the ceiling together."""
        limits, hint = self.endpoint, "What is finished is kept; raise it and give the same command."
        async with self._settled:
            while True:
                self._check()
                if limits.max_requests is not None and self.spent.requests >= limits.max_requests:
                    raise CeilingError(f"The ceiling of {limits.max_requests} requests is reached.", hint)
                if limits.max_cost is None or self._cost() + self._reserved + worst <= limits.max_cost:
                    break
                if not self._under_way:
                    spent = f"{self._cost():.4f} is spent and the next request may cost {worst:.4f}"
                    raise CeilingError(f"The ceiling of {limits.max_cost:g} on spend is reached: {spent}.", hint)
                await self._settled.wait()
            self._under_way += 1
            self._reserved += worst
            self.spent.requests += 1

    async def _request(self, ask: _Ask) -> Reply | _Failure:
        """One request over the wire, and what came of it."""
        import openai

        fields = self._dialect.body(ask.length, ask.schema, ask.temperature, ask.seed, ask.stop)
        body: dict[str, Any] = {"model": self.endpoint.model, "messages": list(ask.messages), **fields}
        try:
            call = self._openai.chat.completions.with_raw_response.create(**body, timeout=self.endpoint.timeout)
            # The library's time-out starts anew with every byte; this one is for the whole.
            raw = await asyncio.wait_for(call, self.endpoint.timeout)
            return self._read(raw.text, ask)
        except (asyncio.TimeoutError, openai.APITimeoutError):
            return _Failure(f"it took longer than {self.endpoint.timeout:g} s")
        except openai.APIStatusError as error:
            refused = error.response
        except openai.APIConnectionError as error:
            return _Failure(f"the connection failed ({type(error.__cause__ or error).__name__})")
        # Out of the library's exception, whose message is the server's, so that no traceback can show it.
        return self._refusal(refused.status_code, refused.headers, refused.text, fields)

    def _read(self, text: str, ask: _Ask) -> Reply | _Failure:
        """The reply in a response's body."""
        try:
            body = json.loads(text)
            choice = body["choices"][0]
            content = choice["message"].get("content")
            usage = body.get("usage") or {}
        except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
            return _Failure("the response is no chat completion")
        counts = [usage.get(name) for name in ("prompt_tokens", "completion_tokens")]
        read, written = (n if isinstance(n, int) else None for n in counts)
        return Reply(
            self._redact(content) if isinstance(content, str) else "",
            ask.input_bound if read is None else read,
            ask.length if written is None else written,
            choice.get("finish_reason") == "length",
        )

    def _refusal(self, status: int, headers: Mapping[str, str], text: str, sent: dict[str, Any]) -> _Failure:
        """What an error status means: another attempt, another dialect, no answer, or the end."""
        where, said = self.endpoint.base_url, self._said(text)
        if status in (401, 403):  # some servers repeat the key, or most of it: nothing of this is passed on
            raise EndpointError(f"{where} refused the key (HTTP {status}).", "Check the key's environment variable.")
        if status == 402 or (status == 429 and "insufficient_quota" in text):
            raise EndpointError(f"{where}: there is no credit left (HTTP {status}).", "Add some there.")
        if status == 404:
            raise EndpointError(
                f"{where} has no model {self.endpoint.model!r}, or is no such endpoint (HTTP 404).",
                "Check --base-url (it ends in /v1 with most servers) and --model.",
            )
        if status in AGAIN:
            return self._come_back(status, headers, said)
        if status in (400, 422) and self._dialect.learn(sent, text):
            return _Failure(said, counts=0)
        raise NoAnswerError(f"the request was refused with HTTP {status}: {said}.")

    def _come_back(self, status: int, headers: Mapping[str, str], said: str) -> _Failure:
        wait = _retry_after(headers)
        if wait is not None and wait > LONGEST_WAIT:
            where = self.endpoint.base_url
            raise EndpointError(
                f"{where} asks to be left alone for {wait:.0f} s (HTTP {status}).", "Give the same command then."
            )
        if wait is not None:  # it holds for the endpoint, not for this one request
            self._not_before = max(self._not_before, time.monotonic() + wait)
        return _Failure(f"HTTP {status}: {said}" if said else f"HTTP {status}", wait)

    def _said(self, text: str) -> str:
        """A server's error message on one line, without the key."""
        try:
            body = json.loads(text)
            error = body.get("error", body.get("detail", body)) if isinstance(body, dict) else body
            text = str(error.get("message", error) if isinstance(error, dict) else error)
        except ValueError:
            pass
        return " ".join(self._redact(text).split())[:300].rstrip(".")

    def _redact(self, text: str) -> str:
        return text.replace(self._key, "***") if self._key else text


@dataclass(frozen=True)
class _Failure:
    """A request without an answer that may be sent again.

    Attributes:
        reason: in a few words.
        wait: seconds that the server asked for.
        counts: 1 for a failed attempt; 0 where the request itself was at fault and has been changed.
    """

    reason: str
    wait: float | None = None
    counts: int = 1


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait by the `Retry-After` header: a number or a date (RFC 9110, 10.2.3), or None."""
    value = headers.get("retry-after", "").strip()
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError, IndexError):
        return None
