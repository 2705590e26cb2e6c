"""Endpoints with their quirks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from lapd.endpoints.client import Client
from lapd.endpoints.endpoint import Endpoint
from lapd.endpoints.replies import read_reply
from lapd.errors import EndpointError, NoAnswerError, UsageError
from lapd.files.whole import write_jsonl
from lapd.testing import FaultServer
from wild_cases import expect, kind

THOUGHT = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
SAID = "I would go for a walk."
SYSTEM = "You are careful and warm.\nYou think before you speak, and you like long walks in the evening.\n"


def replies(server: FaultServer, count: int, **more: Any) -> list[Any]:
    """What so many requests come to, one after another: replies or errors."""

    async def ask() -> list[Any]:
        endpoint = Endpoint("m", server.url, **{"backoff": 0.001, "attempts": 2, "concurrency": 1} | more)
        async with Client(endpoint) as client:
            calls = [client.complete([{"role": "user", "content": str(n)}], length=80) for n in range(count)]
            return await asyncio.gather(*calls, return_exceptions=True)

    return asyncio.run(ask())


def outcome(call: Callable[[], Any]) -> str:
    """What a call comes to: "key ..." for a key, else the error's kind."""
    try:
        return f"key {call()!r}"
    except (UsageError, EndpointError) as error:
        return type(error).__name__


@kind("an answer is read in every form, and nothing is never an empty answer")
def forms(folder: Path) -> Iterator[tuple[str, str]]:
    parts = [{"type": "text", "text": SAID[:8]}, {"type": "text", "text": SAID[8:]}]
    messages: list[tuple[Any, str, str | None]] = [
        ({"content": SAID}, "stop", SAID),
        ({"content": parts}, "stop", SAID),
        ({"content": [THOUGHT, *parts]}, "stop", SAID),
        ({"content": {"type": "text", "text": SAID}}, "stop", SAID),
        ({"content": [SAID[:3], SAID[3:]]}, "length", SAID),
        ({"content": None, "refusal": "I can't."}, "stop", "I can't."),
        ({"content": [{"type": "refusal", "refusal": "I can't."}]}, "stop", "I can't."),
        ({"content": None, "reasoning_content": "hm"}, "length", None),
        ({"content": "", "reasoning": "hm"}, "stop", None),
        ({"content": [THOUGHT]}, "length", None),
        ({"content": []}, "stop", None),
        ({"content": None}, "content_filter", None),
        ({}, "stop", None),
    ]
    for message, ended, wanted in messages:
        body = json.dumps({"choices": [{"message": message, "finish_reason": ended}]})
        reply: Any = read_reply(body, 10, 80)
        yield str(message), expect(None if reply.missing else reply.text, wanted)


@kind("a request that is refused says nothing of the next; a broken server ends it")
def refusals(folder: Path) -> Iterator[tuple[str, str]]:
    nothing = {"message": {"content": None}, "finish_reason": "length"}
    inside: dict[str, Any] = {"choices": None, "error": {"message": "context length exceeded", "code": 400}}
    filters = [(400, "content filter", {}), (422, "no", {}), (403, "flagged by moderation", {})]
    of_one: list[Any] = [*filters, nothing, inside]
    for act in of_one:
        with FaultServer([act] * 8) as server:
            found = replies(server, 9)
        yield f"{act} eight times", expect([isinstance(r, NoAnswerError) for r in found], [True] * 8 + [False])
    for act in (500, 429, "reset", {"choices": None, "error": {"message": "bad gateway", "code": 502}}):
        with FaultServer([act] * 99) as server:
            last = replies(server, 6)[-1]
        yield f"{act} for ever", expect((type(last), "5 requests in a row" in str(last)), (EndpointError, True))


@kind("a judge's content filter costs the one verdict")
def filtered(folder: Path) -> Iterator[tuple[str, str]]:
    from wild_cases import command

    class Filter(FaultServer):
        def next_act(self, body: dict[str, Any]) -> Any:
            if "poison" in body["messages"][-1]["content"]:
                return 400, "The prompt triggered the content management policy.", {}
            return {"content": '{"flagged": false, "categories": [], "reason": "harmless"}'}

    texts = [f"poison {n}" for n in range(7)] + [f"bread {n}" for n in range(3)]
    write_jsonl(folder / "labels.jsonl", [{"prompt": t, "response": t, "is_safe": True} for t in texts])
    with Filter() as server:
        options = ("--judge-option", "model=m", "--judge-option", f"base_url={server.url}")
        code, out, _ = command(
            "judge", "check", "--judge", "openai", *options, "--labels", folder / "labels.jsonl", "--json"
        )
    found = json.loads(out) if code == 0 else {}
    yield "seven of ten", expect((code, found.get("n_judged"), found.get("n_missing")), (0, 3, 7))


@kind("a key goes to its own host, and never over http")
def keys(folder: Path) -> Iterator[tuple[str, str]]:
    import os

    before = dict(os.environ)
    os.environ |= {"OPENAI_API_KEY": "sk-default", "WILD_OWN_KEY": "own"}
    try:
        for url, variable, wanted in (
            ("https://api.openai.com/v1", None, "key 'sk-default'"),
            ("https://elsewhere.test/v1", None, "UsageError"),
            ("https://api.openai.com.elsewhere.test/v1", None, "UsageError"),
            ("https://elsewhere.test/v1", "WILD_OWN_KEY", "key 'own'"),
            ("http://elsewhere.test/v1", "WILD_OWN_KEY", "UsageError"),
            ("http://10.0.0.1/v1", "none", "key ''"),
            ("http://127.0.0.1:1/v1", None, "key ''"),
            ("http://127.0.0.1:1/v1", "WILD_OWN_KEY", "key 'own'"),
            ("http://api.openai.com/v1", None, "UsageError"),
        ):
            yield f"{url} with {variable}", expect(outcome(Endpoint("m", url, key_variable=variable).key), wanted)
        with FaultServer() as thief, FaultServer([(307, "gone", {"Location": thief.url})]) as server:
            (found,) = replies(server, 1, key_variable="WILD_OWN_KEY")
            yield "a redirect", expect((type(found), len(thief.bodies)), (EndpointError, 0))
    finally:
        os.environ.clear()
        os.environ |= before


@kind("a server that does not count drops no system prompt")
def system_prompts(folder: Path) -> Iterator[tuple[str, str]]:
    from lapd.answering.endpoint_lm import EndpointLM

    def words(messages: list[dict[str, str]]) -> int:
        return sum(len(m["content"].split()) + 3 for m in messages)

    def users(messages: list[dict[str, str]]) -> int:
        return words([m for m in messages if m["role"] == "user"])

    counts: list[tuple[str, Callable[[Any], Any], bool]] = [
        ("counts", words, False),
        ("counts 0", lambda messages: 0, False),
        ("counts 1", lambda messages: 1, False),
        ("counts nothing", lambda messages: None, False),
        ("drops it", users, True),
    ]
    for name, count, wanted in counts:

        class Counting(FaultServer):
            def next_act(self, body: dict[str, Any], count: Callable[[Any], Any] = count) -> Any:
                return {"content": "Yes.", "usage": {"prompt_tokens": count(body["messages"])}}

        with Counting() as server:
            yield name, expect(EndpointLM(Endpoint("m", server.url)).drops(SYSTEM), wanted)
