"""A client for OpenAI-compatible endpoints, bounded in concurrency, rate, attempts, requests and spend.

`lapd.endpoints.wire` sends a request, `lapd.endpoints.outcomes` says what came of it; here each one that is sent is
paced, held against the ceilings, counted, and sent again where that may help.
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
from typing import Any, Protocol

from lapd.endpoints.dialect import Dialect
from lapd.endpoints.endpoint import Endpoint
from lapd.endpoints.likelihoods import Prompt, Scores, read_scores, scoring_fields
from lapd.endpoints.outcomes import Failure, Outcomes
from lapd.endpoints.replies import Fault, Reply, read_reply
from lapd.endpoints.wire import Wire
from lapd.errors import CeilingError, EndpointError, NoAnswerError

LONGEST_WAIT = 300.0
"""Seconds. A server that asks for a longer rest than this is left alone at once."""


LONGEST_BACKOFF = 60.0
"""Seconds between two attempts, at most, where the server names no time."""


FAILURES_IN_A_ROW = 5
"""After so many requests in a row that a broken, busy or silent server left without an answer, retries included in
each, it is taken to be down. A request that is refused for what is in it says nothing of the others."""

Message = Mapping[str, str]
"""One of a chat: {"role": "user", "content": "..."}."""


@dataclass
class Spent:
    """What was asked of an endpoint so far: requests sent, retries included, and the tokens of those answered.

    A kind of it may keep the counts on the disk, or share them between processes.
    """

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    def look(self) -> None:
        """Take in what others have sent; called before a request is held against the ceiling."""

    def send(self) -> None:
        """Count a request, which is sent as soon as this returns."""
        self.requests += 1


class _Ask(Protocol):
    """A request, whatever the dialect.

    Attributes:
        input_bound: it has no more tokens than these.
        length: at most so many are written.
    """

    input_bound: int
    length: int

    def body(self, dialect: Dialect) -> tuple[dict[str, Any], tuple[str, ...]]:
        """What is sent beside the model's name; and the settings that were wanted and are not sent."""
        ...

    def read(self, text: str, without: tuple[str, ...]) -> Reply | Scores | Fault:
        """What a response's body says."""
        ...


@dataclass
class _Chat:
    """A chat that the model is to go on with."""

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

    def body(self, dialect: Dialect) -> tuple[dict[str, Any], tuple[str, ...]]:
        wanted = {"temperature": self.temperature, "seed": self.seed, "stop": self.stop or None}
        fields = dialect.body(self.length, self.schema, self.temperature, self.seed, self.stop)
        without = tuple(name for name, value in wanted.items() if value is not None and name not in fields)
        return {"messages": list(self.messages), **fields}, without

    def read(self, text: str, without: tuple[str, ...]) -> Reply | Scores | Fault:
        return read_reply(text, self.input_bound, self.length, without)


@dataclass
class _Scored:
    """A prompt whose tokens' likelihoods are asked for."""

    prompt: Prompt
    way: str
    length: int = 1
    input_bound: int = field(init=False)

    def __post_init__(self) -> None:
        self.input_bound = len(self.prompt.encode() if isinstance(self.prompt, str) else self.prompt) + 1

    def body(self, dialect: Dialect) -> tuple[dict[str, Any], tuple[str, ...]]:
        return scoring_fields(self.prompt, self.way), ()

    def read(self, text: str, without: tuple[str, ...]) -> Reply | Scores | Fault:
        return read_scores(text, self.prompt, self.way)


class Client:
    """Asks one endpoint; to be used as `async with Client(endpoint) as client`.

    Args:
        endpoint: where, and within which bounds.
        spent: what earlier runs have used of the ceilings already.
        on_progress: called after each request with all that was spent and its cost.
        dialect: what is known of what the server takes; what is found out is added.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        spent: Spent | None = None,
        on_progress: Callable[[Spent, float], None] | None = None,
        dialect: Dialect | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.spent = spent or Spent()
        self._on_progress = on_progress or (lambda spent, cost: None)
        self.dialect = dialect or Dialect()
        key = endpoint.key()
        self._wire, self._outcomes = Wire(endpoint, key), Outcomes(endpoint, key, self.dialect)
        self._interval = 60 / endpoint.requests_per_minute if endpoint.requests_per_minute else 0.0
        self._next_place = 0.0
        self._not_before = 0.0
        self._under_way = 0
        self._reserved = 0.0
        self._failures = 0
        self._fatal: EndpointError | None = None

    async def __aenter__(self) -> Client:
        await self._wire.__aenter__()
        self._slots = asyncio.Semaphore(self.endpoint.concurrency)
        self._settled = asyncio.Condition()
        self._stopped = asyncio.Event()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._wire.__aexit__(kind, error, trace)

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
        """The model's answer to a chat. It may be cut off, or empty where the model ended at once: that is for the
        caller to judge.

        Args:
            messages: the chat so far.
            length: at most so many tokens in the answer.
            schema: the JSON schema that the answer should keep to, for servers that can see to it.
            temperature: of the sampling.
            seed: of the sampling.
            stop: texts at which the server may end the answer; not every server does.

        Raises:
            NoAnswerError: this request was refused, all its attempts failed, or the model said nothing at all.
            CeilingError: it would go beyond a ceiling.
            EndpointError: the endpoint cannot be used. From then on every call raises this, at once.
        """
        reply = await self._ask(_Chat(messages, length, schema, temperature, seed, stop))
        assert isinstance(reply, Reply)
        return reply

    async def score(self, prompt: Prompt, way: str) -> Scores:
        """The log-likelihoods of a prompt's tokens, by the server's completions endpoint.

        Args:
            prompt: token ids, or a text that the server's own tokenizer reads.
            way: of `lapd.endpoints.likelihoods.WAYS`.

        Raises:
            NoAnswerError, CeilingError, EndpointError: as `complete`; the server may give no such thing that way.
        """
        scores = await self._ask(_Scored(prompt, way))
        assert isinstance(scores, Scores)
        return scores

    async def _ask(self, ask: _Ask) -> Reply | Scores:
        """One request's answer, within all bounds; what fails too often ends everything."""
        async with self._slots:
            try:
                reply = await self._insist(ask)
            except NoAnswerError as error:
                self._failures = self._failures + 1 if error.of_endpoint else 0
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

    async def _insist(self, ask: _Ask) -> Reply | Scores:
        """Send until there is an answer, or no attempt left."""
        failed = read = written = 0
        while True:
            await self._pace()
            outcome = await self._send(ask)
            if not isinstance(outcome, Failure):
                return outcome
            failed += outcome.counts
            read, written = read + outcome.input_tokens, written + outcome.output_tokens
            if outcome.final or failed >= self.endpoint.attempts:
                tries = "" if outcome.final else f"no answer after {failed} attempts: "
                raise NoAnswerError(f"{tries}{outcome.reason}.").taking(read, written, outcome.of_endpoint)
            if outcome.counts:
                await self._rest(self._delay(failed, self._wait(outcome)))

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

    async def _send(self, ask: _Ask) -> Reply | Scores | Failure:
        """Send once, within the ceilings."""
        worst = self.endpoint.cost(ask.input_bound, ask.length)
        await self._reserve(worst)
        try:
            outcome = await self._request(ask)
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
                self.spent.look()
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
            self.spent.send()

    async def _request(self, ask: _Ask) -> Reply | Scores | Failure:
        """One request over the wire, and what came of it."""
        fields, without = ask.body(self.dialect)
        response = await self._wire.post({"model": self.endpoint.model, **fields})
        if isinstance(response, str):
            return Failure(response)
        # Of a prompt's request nothing can be left out: there is no sending it otherwise.
        settings = fields if isinstance(ask, _Chat) else {}
        return self._outcomes.of(response, lambda text: ask.read(text, without), settings)

    def _wait(self, failure: Failure) -> float | None:
        """Seconds that a server asked to be left alone for, after a failure; they hold for all requests.

        Raises:
            EndpointError: they are too many.
        """
        wait = _retry_after(failure.headers or {})
        if wait is not None and wait > LONGEST_WAIT:
            label = failure.reason.partition(":")[0]
            what = f"{self.endpoint.base_url} asks to be left alone for {wait:.0f} s ({label})."
            raise EndpointError(what, "Give the same command then.")
        if wait is not None:
            self._not_before = max(self._not_before, time.monotonic() + wait)
        return wait


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
