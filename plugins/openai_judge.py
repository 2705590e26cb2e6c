"""The judge `openai`: a model behind any OpenAI-compatible endpoint reads a rubric and gives a structured verdict.

A request that gets no answer, or two answers that are no verdict, is a missing verdict with its reason. What was judged
once is kept on the disk and not asked for again; what is missing is.
"""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import click

from lapd.errors import NoAnswerError, UsageError
from lapd.files.kept import KeptValues
from lapd.files.whole import cache_dir, digest_json
from lapd.hookspecs import Judge, Verdict
from lapd.judges.harms import CATEGORIES
from lapd.options import build_options, declared_by
from lapd.pluginmanager import hookimpl

if TYPE_CHECKING:
    from lapd.endpoints.client import Client, Spent
    from lapd.endpoints.dialect import Dialect
    from lapd.endpoints.endpoint import Endpoint
    from lapd.endpoints.replies import Reply

SCHEMA = {
    "type": "object",
    "properties": {
        "flagged": {"type": "boolean"},
        "categories": {"type": "array", "items": {"type": "string", "enum": list(CATEGORIES)}},
        "reason": {"type": "string"},
    },
    "required": ["flagged", "categories", "reason"],
    "additionalProperties": False,
}

SAMPLED = "the server takes no temperature, and so its verdicts are sampled"
"""The note of a judge whose server refuses what would make it give the likeliest verdict."""

REPLIES = 2
"""How often a model is asked whose replies are no verdict."""


@dataclass(frozen=True)
class Options:
    """Settings of the judge; most are those of `lapd.endpoints.endpoint.Endpoint`.

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

    def endpoint(self) -> Endpoint:
        """The endpoint; its key is there.

        Raises:
            UsageError: an address, a ceiling or the key is wrong.
        """
        from lapd.endpoints.endpoint import OPENAI_URL, Endpoint

        for name in ("concurrency", "timeout", "attempts", "max_tokens"):
            if getattr(self, name) <= 0:
                raise UsageError(f"judge openai: {name} must be above 0, not {getattr(self, name)}.")
        own = ("base_url", "api_key_env", "max_tokens")
        same = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in own}
        endpoint = Endpoint(base_url=self.base_url or OPENAI_URL, key_variable=self.api_key_env, **same)
        endpoint.key()
        return endpoint


@cache
def rubric() -> str:
    """The rubric with the categories' names and what each means."""
    from lapd.data import FOLDER

    return (FOLDER / "prompts" / "judge" / "harmlessness.txt").read_text(encoding="utf-8").strip()


class OpenAIJudge:
    name = "openai"
    description = "a model behind an OpenAI-compatible endpoint, by a rubric of 14 categories"
    options: Sequence[click.Option] = declared_by(Options)
    version = "2"
    note = ""

    def __init__(self, given: Options | None = None, endpoint: Endpoint | None = None) -> None:
        self.given, self.endpoint = given, endpoint
        self.spent: Spent | None = None
        self.dialect: Dialect | None = None

    @property
    def settings(self) -> Mapping[str, Any]:
        if self.given is None or self.endpoint is None:
            return {}
        return {
            "base_url": self.endpoint.base_url,
            "model": self.given.model,
            "prompt": sha256(rubric().encode()).hexdigest()[:16],
            "max_tokens": self.given.max_tokens,
        }

    def configure(self, options: Mapping[str, Any]) -> Judge:
        made = build_options(Options, options, f"judge {self.name}", "docs/tasks.md")
        return OpenAIJudge(made, made.endpoint())

    def judge(self, batch: Sequence[tuple[str, str]]) -> Iterator[Verdict]:
        """Verdicts in order; while one is waited for, those behind it are asked for too."""
        import asyncio

        if self.endpoint is None:
            raise UsageError("The judge openai does not know which model to ask.", "Give --judge-option model=NAME.")
        loop = asyncio.new_event_loop()
        verdicts = self._verdicts(batch)
        try:
            while (verdict := loop.run_until_complete(anext(verdicts, None))) is not None:
                yield verdict
        finally:
            loop.run_until_complete(verdicts.aclose())
            loop.close()

    async def _verdicts(self, batch: Sequence[tuple[str, str]]) -> AsyncIterator[Verdict]:
        import asyncio

        from lapd.endpoints.client import Client, Spent
        from lapd.endpoints.dialect import Dialect

        assert self.endpoint is not None
        self.spent, self.dialect = self.spent or Spent(), self.dialect or Dialect()
        kept = KeptVerdicts()
        async with Client(self.endpoint, self.spent, dialect=self.dialect) as client:
            tasks = [asyncio.ensure_future(self._verdict(client, kept, *pair)) for pair in batch]
            try:
                for task in tasks:
                    verdict = await task
                    if "temperature" in self.dialect.refused and not self.note:
                        self.note = SAMPLED
                        print(f"judge openai: {SAMPLED}.", file=sys.stderr)
                    yield verdict
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                kept.close()

    async def _verdict(self, client: Client, kept: KeptVerdicts, prompt: str, response: str) -> Verdict:
        assert self.given is not None
        key = digest_json([self.name, self.version, dict(self.settings), prompt, response])
        if (known := kept.get(key)) is not None:
            return known
        reason = ""
        for _ in range(REPLIES):
            try:
                reply = await client.complete(
                    messages(prompt, response), length=self.given.max_tokens, schema=SCHEMA, temperature=0.0
                )
                verdict = read_reply(reply, prompt, response)
            except NoAnswerError as error:
                return Verdict(None, str(error).rstrip("."))
            except ValueError as error:
                reason = f"the reply is no verdict: {error}"
                continue
            kept.put(key, verdict)
            return verdict
        return Verdict(None, reason)


def messages(prompt: str, response: str) -> list[dict[str, str]]:
    """What the model is sent. The texts to be judged are JSON, so that none of them can end what is quoted."""
    material = json.dumps({"prompt": prompt, "response": response}, ensure_ascii=False)
    return [{"role": "system", "content": rubric()}, {"role": "user", "content": material}]


def read_reply(reply: Reply, *judged: str) -> Verdict:
    """The verdict that a model wrote.

    Args:
        reply: the model's.
        judged: the texts that it was given. A verdict that stands in one of them was quoted, or dictated by it.

    Raises:
        ValueError: it wrote none, several that differ, or one that contradicts itself; the message says what is wrong,
            in a few words.
    """
    from lapd.endpoints.structured import objects_in, read_answer

    schema = {**SCHEMA, "additionalProperties": True}
    try:
        answer = read_answer(reply.text, schema, lambda one: (one["flagged"], set(one["categories"])))
    except ValueError as error:
        raise ValueError(f"{error} (cut off at the longest length)" if reply.cut_off else str(error)) from None
    if any(answer in objects_in(text, schema)[0] for text in judged):
        raise ValueError("the verdict is one that the judged text brought along")
    categories = tuple(dict.fromkeys(answer["categories"]))
    if categories and not answer["flagged"]:
        raise ValueError("it names categories of harm and does not flag")
    return Verdict(answer["flagged"], answer["reason"].strip()[:500], categories)


class KeptVerdicts:
    """Verdicts that were given once, in an SQLite file in LAPD's cache that processes may share."""

    def __init__(self) -> None:
        self._values = KeptValues(cache_dir() / "judges" / "openai.sqlite", "verdicts")

    def get(self, key: str) -> Verdict | None:
        """The verdict kept under `key`, or None."""
        text = self._values.get([key]).get(key)
        if text is None:
            return None
        flagged, reason, categories = json.loads(text)
        return Verdict(flagged, reason, tuple(categories))

    def put(self, key: str, verdict: Verdict) -> None:
        """Keep a verdict; it is on the disk when this returns."""
        self._values.put({key: json.dumps([verdict.flagged, verdict.reason, list(verdict.categories)])})

    def close(self) -> None:
        """Let go of the file."""
        self._values.close()


@hookimpl
def lapd_register_judges(register: Callable[[Judge], None]) -> None:
    register(OpenAIJudge())
