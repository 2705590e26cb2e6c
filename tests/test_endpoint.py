"""The client for endpoints, against a real server on loopback that fails on a script."""

import asyncio
import re
import time
from email.utils import formatdate
from itertools import pairwise

import pytest

from lapd.endpoints.client import Client, Spent, _retry_after
from lapd.endpoints.dialect import Dialect
from lapd.endpoints.endpoint import OPENAI_URL, Endpoint
from lapd.endpoints.structured import find_fault, read_answer
from lapd.errors import CeilingError, EndpointError, NoAnswerError, UsageError
from lapd.testing.fault_server import LONGEST, FaultServer

HELLO = [{"role": "user", "content": "Hello"}]
KEY = "sk-test-0123456789abcdef"


@pytest.fixture(autouse=True)
def no_key(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def ask(server, count=1, messages=HELLO, schema=None, spent=None, on_progress=None, **limits):
    """The replies (or errors) to `count` calls; one error alone is raised."""
    limits = {"backoff": 0.01, "timeout": 5.0} | limits

    async def run():
        async with Client(Endpoint("m", server.url, **limits), spent, on_progress) as client:
            calls = [client.complete(messages, length=40, schema=schema, temperature=0.5, seed=1) for _ in range(count)]
            return await asyncio.gather(*calls, return_exceptions=True)

    replies = asyncio.run(run())
    if count == 1 and isinstance(replies[0], Exception):
        raise replies[0]
    return replies


def test_an_answer_comes_with_its_tokens_and_cost():
    seen = []
    with FaultServer(usage=(1000, 200)) as server:
        (reply,) = ask(
            server, price_in=2.0, price_out=10.0, on_progress=lambda spent, cost: seen.append((spent.requests, cost))
        )
    assert (reply.input_tokens, reply.output_tokens, reply.cut_off) == (1000, 200, False)
    assert seen == [(1, pytest.approx(0.004))]
    assert server.bodies[0]["model"] == "m"
    assert (server.bodies[0]["max_tokens"], server.bodies[0]["seed"]) == (40, 1)


@pytest.mark.parametrize("fault", [408, 429, 500, 502, 503, 504, "reset", "cut", "garbage", "no choices"])
def test_a_passing_fault_is_tried_again(fault):
    spent = Spent()
    with FaultServer([fault, fault]) as server:
        (reply,) = ask(server, spent=spent)
    assert reply.text
    assert len(server.bodies) == spent.requests == 3


def test_a_hanging_server_is_given_up_and_asked_again():
    started = time.monotonic()
    with FaultServer(["hang"]) as server:
        (reply,) = ask(server, timeout=0.3)
    assert reply.text
    assert len(server.bodies) == 2
    assert time.monotonic() - started < LONGEST


def test_the_attempts_have_an_end_and_the_last_reason_is_given():
    with (
        FaultServer([503] * 9) as server,
        pytest.raises(NoAnswerError, match=r"after 3 attempts: HTTP 503: scripted 503"),
    ):
        ask(server, attempts=3)
    assert len(server.bodies) == 3


def test_the_time_between_attempts_doubles_with_jitter():
    with FaultServer([500, 500, 500]) as server:
        ask(server, backoff=0.1)
    gaps = [b - a for a, b in pairwise(server.times)]
    for gap, longest in zip(gaps, (0.1, 0.2, 0.4), strict=True):
        assert longest / 2 <= gap < longest + 0.15


@pytest.mark.parametrize("after", ["1", "date"])
def test_retry_after_is_honoured_by_every_request(after):
    after = formatdate(time.time() + 2, usegmt=True) if after == "date" else after
    with FaultServer([(429, "busy", {"Retry-After": after})]) as server:
        ask(server, count=3, concurrency=1)
    assert server.times[1] - server.times[0] >= 0.95
    assert len(server.bodies) == 4


def test_a_server_that_wants_a_long_rest_is_left_alone():
    with FaultServer([(429, "busy", {"Retry-After": "3600"})]) as server, pytest.raises(EndpointError, match="3600 s"):
        ask(server)
    assert len(server.bodies) == 1


def test_a_retry_after_that_says_nothing_is_none():
    assert _retry_after({"retry-after": "soon"}) is None
    assert _retry_after({}) is None
    assert _retry_after({"retry-after": "-3"}) == 0


def test_no_more_requests_are_under_way_than_allowed():
    with FaultServer(delay=0.05) as server:
        ask(server, count=10, concurrency=3)
    assert server.most_under_way == 3
    assert len(server.bodies) == 10


def test_requests_are_spaced_by_the_rate():
    with FaultServer() as server:
        ask(server, count=5, requests_per_minute=600)
    assert all(b - a >= 0.08 for a, b in pairwise(server.times))


@pytest.mark.parametrize("spent", [0, 2])
def test_the_ceiling_on_requests_counts_retries_and_earlier_runs(spent):
    with FaultServer([500]) as server:
        replies = ask(server, count=6, max_requests=4, spent=Spent(requests=spent))
    errors = [reply for reply in replies if isinstance(reply, Exception)]
    assert len(server.bodies) == 4 - spent
    assert all(isinstance(error, CeilingError) for error in errors)
    assert len(errors) == 6 - (4 - spent - 1)
    assert "ceiling of 4 requests" in str(errors[0])


def test_the_ceiling_on_spend_is_never_passed():
    spent = Spent()
    with FaultServer(usage=(50, 40), delay=0.01) as server:
        limits = {"price_in": 0.0, "price_out": 1e6, "max_cost": 130.0, "concurrency": 8}
        replies = ask(server, count=10, spent=spent, **limits)
    assert spent.output_tokens == 120 == 40 * len(server.bodies)
    assert [type(r) for r in replies if isinstance(r, Exception)] == [CeilingError] * 7


def test_tokens_that_a_server_does_not_count_are_bounded():
    with FaultServer([{"usage": None}]) as server:
        (reply,) = ask(server)
    assert reply.output_tokens == 40
    assert reply.input_tokens >= len("Hello")


def test_a_down_endpoint_ends_everything():
    with FaultServer([503] * 99) as server:
        replies = ask(server, count=9, concurrency=1, attempts=1)
    assert len(server.bodies) == 5
    assert [isinstance(r, NoAnswerError) for r in replies] == [True] * 4 + [False] * 5
    assert "5 requests in a row got no answer" in str(replies[-1])


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (401, r"refused the key \(HTTP 401\)"),
        (403, r"refused the key \(HTTP 403\)"),
        (402, r"no credit left"),
        ((429, "x insufficient_quota x", {}), r"no credit left"),
        (404, r"no model 'm'"),
    ],
)
def test_what_no_retry_can_mend_ends_at_once(act, message):
    with FaultServer([act] * 9) as server, pytest.raises(EndpointError, match=message):
        ask(server)
    assert len(server.bodies) == 1


def test_a_stopped_client_asks_no_more_and_waits_for_nothing():
    async def run(server):
        async with Client(Endpoint("m", server.url, backoff=30.0)) as client:
            call = asyncio.create_task(client.complete(HELLO, length=40))
            while not server.times or server.under_way:
                await asyncio.sleep(0.01)
            client.stop()
            await call

    started = time.monotonic()
    with FaultServer([500]) as server, pytest.raises(EndpointError, match="This run was stopped"):
        asyncio.run(run(server))
    assert len(server.bodies) == 1
    assert time.monotonic() - started < 25


def test_a_refused_request_is_no_answer_and_the_next_one_goes_on():
    with FaultServer([(400, "content policy", {})]) as server:
        first, second = ask(server, count=2, concurrency=1)
    assert isinstance(first, NoAnswerError)
    assert "HTTP 400: content policy" in str(first)
    assert second.text


def test_nobody_at_the_port():
    with FaultServer() as server:
        pass
    with pytest.raises(NoAnswerError, match=r"the connection failed \(ConnectError\)"):
        ask(server, attempts=2)


SCHEMA = {"type": "object", "properties": {"seed": {"type": "string"}}, "required": ["seed"]}


def test_a_server_that_takes_less_is_asked_for_less():
    script = [
        (400, "response_format of type json_schema is not supported", {}),
        (422, "Extra inputs: response_format", {}),
        (400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.", {}),
        (400, "temperature does not support 0.5", {}),
        (400, "unknown field seed", {}),
    ]
    with FaultServer(script) as server:
        first, second = ask(server, count=2, schema=SCHEMA, concurrency=1, attempts=1)
    assert first.text
    assert second.text
    forms = [body.get("response_format", {}).get("type") for body in server.bodies]
    assert forms == ["json_schema", "json_object", None, None, None, None, None]
    last = server.bodies[-1]
    assert last["max_completion_tokens"] == 40
    assert not {"max_tokens", "temperature", "seed", "response_format"} & last.keys()


def test_a_complaint_about_nothing_that_was_sent_teaches_nothing():
    dialect = Dialect()
    sent = dialect.body(40, None, None, None)
    assert not dialect.learn(sent, "temperature and seed and response_format are bad")
    assert dialect.body(40, SCHEMA, 0.5, 1).keys() == {"max_tokens", "temperature", "seed", "response_format"}


def test_the_key_goes_into_the_header_and_no_message(monkeypatch):
    monkeypatch.setenv("OWN_KEY", KEY)
    script = [(500, f"Bearer {KEY} is busy", {}), (400, f"what is {KEY}?", {}), {"content": f"I saw {KEY}"}]
    with FaultServer([*script, (401, f"bad key {KEY}", {})]) as server:
        replies = ask(server, count=3, concurrency=1, key_variable="OWN_KEY")
        with pytest.raises(NoAnswerError) as caught:
            server.script = [(500, f"Bearer {KEY} is busy", {})] * 2
            ask(server, attempts=2, key_variable="OWN_KEY")
    assert {headers["authorization"] for headers in server.headers} == {f"Bearer {KEY}"}
    assert "what is ***?" in str(replies[0])
    assert replies[1].text == "I saw ***"
    assert "refused the key" in str(replies[2])
    assert "Bearer *** is busy" in str(caught.value)
    for error in (replies[0], replies[2], caught.value):
        while error is not None:
            assert KEY not in repr(error)
            error = error.__cause__ or error.__context__


def test_a_key_is_needed_but_on_loopback(monkeypatch):
    assert Endpoint("m", "http://127.0.0.1:1/v1").key() == ""
    assert Endpoint("m", "http://localhost:1/v1").key() == ""
    assert Endpoint("m", "http://[::1]:1/v1").key() == ""
    with pytest.raises(UsageError, match="OPENAI_API_KEY is not set"):
        Endpoint("m", OPENAI_URL).key()
    for url in ("http://127.0.0.1.example.org/v1", "http://10.0.0.1/v1", "https://elsewhere.test/v1"):
        with pytest.raises(UsageError, match="There is no key for"):
            Endpoint("m", url).key()
        assert Endpoint("m", url, key_variable="none").key() == ""
    with pytest.raises(UsageError) as caught:
        Endpoint("m", "http://127.0.0.1:1/v1", key_variable=KEY).key()
    assert KEY not in str(caught.value)
    monkeypatch.setenv("ANOTHER", f" {KEY}\n")
    assert Endpoint("m", key_variable="ANOTHER").key() == KEY
    monkeypatch.setenv("ANOTHER", "a key\nwith more")
    with pytest.raises(UsageError, match="character that no key has") as caught:
        Endpoint("m", key_variable="ANOTHER").key()
    assert "with more" not in str(caught.value)


@pytest.mark.parametrize("url", [f"https://me:{KEY}@host/v1", f"https://host/v1?key={KEY}", f"ftp://{KEY}/v1", KEY])
def test_an_address_that_cannot_be_used_is_refused_and_not_repeated(url):
    with pytest.raises(UsageError) as caught:
        Endpoint("m", url)
    assert KEY not in str(caught.value)


def test_a_ceiling_on_spend_needs_prices_and_an_endpoint_a_model():
    with pytest.raises(UsageError, match="needs prices"):
        Endpoint("m", max_cost=1.0, price_in=1.0)
    with pytest.raises(UsageError, match="No model"):
        Endpoint("")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"seed": "a"}', "a"),
        ('Here it is:\n```json\n{"seed": "a {b}"}\n```\nDone.', "a {b}"),
        ('A set {1, 2} first, then {"seed": "a"}', "a"),
        ('{"other": 1} {"seed": "b"}', "b"),
    ],
)
def test_a_json_object_is_found_in_the_text(text, value):
    assert read_answer(text, SCHEMA) == {"seed": value}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "the answer is empty"),
        (" \n", "the answer is empty"),
        ("I cannot do that.", "there is no JSON object in the answer"),
        ('{"seed": "a', "the JSON object breaks off"),
        ('{"seed": ', "the JSON object breaks off"),
        ("{seed: 1}", re.escape("the JSON object is broken (Expecting property name enclosed in double quotes)")),
        ('{"seed": 3}', "answer.seed is no string"),
        ("{}", "answer has no 'seed'"),
        ('{"seed": ' + "[" * 100000, "nested too deeply|breaks off"),
    ],
)
def test_an_unusable_text_says_why(text, reason):
    with pytest.raises(ValueError, match=reason):
        read_answer(text, SCHEMA)


@pytest.mark.parametrize(
    ("value", "schema", "fault"),
    [
        ([1], {"type": "array", "minItems": 2}, "answer has 1 items, fewer than 2"),
        ([1, 2], {"type": "array", "maxItems": 1}, "answer has 2 items, more than 1"),
        (["a"], {"type": "array", "items": {"type": "integer"}}, "answer[0] is no integer"),
        ("x", {"enum": ["a", "b"]}, "answer is not one of a, b"),
        (
            {"a": 1, "b": 2},
            {"properties": {"a": {}}, "additionalProperties": False},
            "answer has a field too many, 'b'",
        ),
        (True, {"type": "integer"}, "answer is no integer"),
        (True, {"type": "boolean"}, None),
        (1.5, {"type": "number"}, None),
    ],
)
def test_a_value_is_checked_against_its_schema(value, schema, fault):
    assert find_fault(value, schema) == fault
