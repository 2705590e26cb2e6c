"""Decisions asked of a model behind an OpenAI-compatible endpoint: one on each text, many at once, each kept.

What the judge `openai` and the grader `openai` share. A request that gets no answer, or two answers that are no
decision, is a missing decision with its reason. What was decided once is kept on the disk and not asked for again; what
is missing is.
"""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from lapd.errors import NoAnswerError, UsageError
from lapd.files.kept import KeptValues
from lapd.files.whole import cache_dir

if TYPE_CHECKING:
    from lapd.endpoints.client import Client
    from lapd.endpoints.endpoint import Endpoint
    from lapd.endpoints.replies import Reply

T = TypeVar("T")

SAMPLED = "the server takes no temperature, and so what it says is sampled"
"""The note where a server refuses what would make it say the likeliest."""

REPLIES = 2
"""How often a model is asked whose replies are no decision."""


@dataclass(frozen=True)
class Options:
    """Where the model is and how it is asked; most are those of `lapd.endpoints.endpoint.Endpoint`.

    Attributes:
        model: the model's name at the endpoint.
        base_url: up to and with the `/v1`; OpenAI's own by default.
        api_key_env: the environment variable that holds the key, `none` if it wants none; OPENAI_API_KEY for OpenAI's
            own address, none on loopback by default.
        concurrency: requests under way at once.
        requests_per_minute: at most so many sent a minute; any number by default.
        timeout: seconds that one request may take.
        attempts: how often one request is sent, at most.
        backoff: seconds before the second attempt; doubled before each further one.
        max_requests: ceiling on all requests that one command sends, retries included.
        max_cost: ceiling on spend, in the prices' currency.
        price_in: price of a million tokens read.
        price_out: price of a million tokens written.
        max_tokens: at most so many tokens in a reply; a model that thinks aloud needs more.
    """

    model: str
    base_url: str | None = None
    api_key_env: str | None = None
    concurrency: int = 4
    requests_per_minute: float | None = None
    timeout: float = 120.0
    attempts: int = 6
    backoff: float = 1.0
    max_requests: int | None = None
    max_cost: float | None = None
    price_in: float | None = None
    price_out: float | None = None
    max_tokens: int = 1024

    def endpoint(self, who: str) -> Endpoint:
        """The endpoint; its key is there.

        Args:
            who: is asking, for messages: "judge openai".

        Raises:
            UsageError: an address, a ceiling or the key is wrong.
        """
        from lapd.endpoints.endpoint import OPENAI_URL, Endpoint

        for name in ("concurrency", "timeout", "attempts", "max_tokens"):
            if getattr(self, name) <= 0:
                raise UsageError(f"{who}: {name} must be above 0, not {getattr(self, name)}.")
        own = ("base_url", "api_key_env", "max_tokens")
        same = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in own}
        endpoint = Endpoint(base_url=self.base_url or OPENAI_URL, key_variable=self.api_key_env, **same)
        endpoint.key()
        return endpoint


@dataclass(frozen=True)
class Question(Generic[T]):
    """One decision that is asked for.

    Attributes:
        key: under which it is kept.
        messages: what the model is sent.
        schema: JSON Schema of its reply.
        read: the decision in a reply; a ValueError says, in a few words, why it is none.
    """

    key: str
    messages: list[dict[str, str]]
    schema: Mapping[str, Any]
    read: Callable[[Reply], T]


@dataclass(frozen=True)
class Kind(Generic[T]):
    """What is decided, and how it is kept.

    Attributes:
        who: decides, for messages: "judge openai".
        table: of the file that decisions are kept in.
        dump: a decision as JSON.
        load: a decision from it.
        without: none, for a reason.
    """

    who: str
    table: str
    dump: Callable[[T], Any]
    load: Callable[[Any], T]
    without: Callable[[str], T]


class Decisions(Generic[T]):
    """Asks one model, within one set of ceilings.

    Args:
        kind: what is decided.
        given: the settings.

    Attributes:
        endpoint: where the model is.
        note: what is to be said beside the decisions; "" for nothing.
    """

    def __init__(self, kind: Kind[T], given: Options) -> None:
        from lapd.endpoints.client import Spent
        from lapd.endpoints.dialect import Dialect

        self.kind, self.given, self.endpoint = kind, given, given.endpoint(kind.who)
        self.note = ""
        self._spent, self._dialect = Spent(), Dialect()

    def settings(self, prompt: str) -> dict[str, Any]:
        """What decisions depend on, `prompt` being what the model is told to do, as JSON without secrets."""
        from hashlib import sha256

        return {
            "base_url": self.endpoint.base_url,
            "model": self.given.model,
            "prompt": sha256(prompt.encode()).hexdigest()[:16],
            "max_tokens": self.given.max_tokens,
        }

    def all(self, questions: Sequence[Question[T]]) -> Iterator[T]:
        """Decisions in order; while one is waited for, those behind it are asked for too.

        Raises:
            EndpointError: the endpoint cannot be used, or a ceiling is reached.
        """
        import asyncio

        loop = asyncio.new_event_loop()
        decisions = self._all(questions)
        try:
            while (decision := loop.run_until_complete(anext(decisions, None))) is not None:
                yield decision
        finally:
            loop.run_until_complete(decisions.aclose())
            loop.close()

    async def _all(self, questions: Sequence[Question[T]]) -> AsyncIterator[T]:
        import asyncio

        from lapd.endpoints.client import Client

        kept = KeptValues(cache_dir() / "judges" / "openai.sqlite", self.kind.table)
        async with Client(self.endpoint, self._spent, dialect=self._dialect) as client:
            tasks = [asyncio.ensure_future(self._one(client, kept, question)) for question in questions]
            try:
                for task in tasks:
                    decision = await task
                    if "temperature" in self._dialect.refused and not self.note:
                        self.note = SAMPLED
                        print(f"{self.kind.who}: {SAMPLED}.", file=sys.stderr)
                    yield decision
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                kept.close()

    async def _one(self, client: Client, kept: KeptValues, question: Question[T]) -> T:
        if (text := kept.get([question.key]).get(question.key)) is not None:
            return self.kind.load(json.loads(text))
        reason = ""
        for _ in range(REPLIES):
            try:
                reply = await client.complete(
                    question.messages, length=self.given.max_tokens, schema=question.schema, temperature=0.0
                )
                decision = question.read(reply)
            except NoAnswerError as error:
                return self.kind.without(str(error).rstrip("."))
            except ValueError as error:
                reason = f"the reply is no {self.kind.table.removesuffix('s')}: {error}"
                continue
            kept.put({question.key: json.dumps(self.kind.dump(decision))})
            return decision
        return self.kind.without(reason)


def material(prompt: str, response: str) -> str:
    """The texts to be decided on, as JSON, so that none of them can end what is quoted."""
    return json.dumps({"prompt": prompt, "response": response}, ensure_ascii=False)


@cache
def instructions(name: str) -> str:
    """What a model is told that decides: a file of LAPD's own, without its ending."""
    from lapd.data import FOLDER

    return (FOLDER / "prompts" / "judge" / f"{name}.txt").read_text(encoding="utf-8").strip()


def read_object(reply: Reply, schema: Mapping[str, Any], said: Callable[[Any], Any], *decided_on: str) -> Any:
    """The one JSON object of a schema that a model wrote.

    Args:
        reply: the model's.
        schema: of the object; more fields may be there.
        said: what of an object must be the same in each, where there are several.
        decided_on: the texts that it was given. An object that stands in one of them was quoted, or dictated by it.

    Raises:
        ValueError: it wrote none, or several that differ; the message says what is wrong, in a few words.
    """
    from lapd.endpoints.structured import read_answer, stands_in

    open_schema = {**schema, "additionalProperties": True}
    try:
        answer = read_answer(reply.text, open_schema, said)
    except ValueError as error:
        raise ValueError(f"{error} (cut off at the longest length)" if reply.cut_off else str(error)) from None
    if any(stands_in(answer, text, open_schema) for text in decided_on):
        raise ValueError("it is one that the text brought along")
    return answer


def no_model(who: str, flag: str) -> UsageError:
    """The error of one that was not told which model to ask."""
    return UsageError(f"The {who} does not know which model to ask.", f"Give {flag} model=NAME.")
