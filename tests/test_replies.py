"""What a server's response says: parts joined, refusals taken for answers, nothing never for an empty one."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from lapd.endpoints.client import Client, Spent
from lapd.endpoints.dialect import Dialect
from lapd.endpoints.endpoint import Endpoint
from lapd.endpoints.replies import Fault, Reply, read_reply
from lapd.errors import EndpointError, NoAnswerError, first_line
from lapd.testing import FaultServer

USAGE = {"prompt_tokens": 30, "completion_tokens": 9}


def body(message: Any, ended: str | None = "stop", usage: Any = USAGE, **more: Any) -> str:
    """A completion whose first choice has this message."""
    return json.dumps({"choices": [{"message": message, "finish_reason": ended}], "usage": usage, **more})


def read(message: Any, ended: str | None = "stop", usage: Any = USAGE) -> Reply:
    reply = read_reply(body(message, ended, usage), most_read=500, most_written=80)
    assert isinstance(reply, Reply)
    return reply


def ask(server: FaultServer, count: int = 1, spent: Spent | None = None, **more: Any) -> list[Any]:
    """The replies, or errors, to so many requests, one after another."""

    async def run() -> list[Any]:
        endpoint = Endpoint("m", server.url, **{"backoff": 0.01, "attempts": 2, "concurrency": 1} | more)
        async with Client(endpoint, spent) as client:
            calls = [client.complete([{"role": "user", "content": str(n)}], length=80) for n in range(count)]
            return await asyncio.gather(*calls, return_exceptions=True)

    return asyncio.run(run())


THOUGHT = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"content": "Hello."}, "Hello."),
        ({"content": [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo."}]}, "Hello."),
        ({"content": [THOUGHT, {"type": "text", "text": "Hello."}]}, "Hello."),
        ({"content": [{"type": "output_text", "text": {"value": "Hello."}}]}, "Hello."),
        ({"content": ["Hel", "lo."]}, "Hello."),
        ({"content": {"type": "text", "text": "Hello."}}, "Hello."),
        ({"content": None, "refusal": "I can't help with that."}, "I can't help with that."),
        ({"content": "", "refusal": "I can't help with that."}, "I can't help with that."),
        ({"refusal": "I can't help with that."}, "I can't help with that."),
        ({"content": [{"type": "refusal", "refusal": "I can't."}]}, "I can't."),
        ({"content": "Hello.", "refusal": None, "reasoning_content": "hm"}, "Hello."),
        ({"content": "<think>hm</think>Hello."}, "<think>hm</think>Hello."),
        ({"content": ""}, ""),
        ({"content": "\n\n"}, "\n\n"),
    ],
)
def test_what_was_said_is_read_in_every_form(message: dict[str, Any], text: str) -> None:
    reply = read(message)
    assert (reply.text, reply.missing, reply.input_tokens, reply.output_tokens) == (text, "", 30, 9)


@pytest.mark.parametrize(
    ("message", "ended", "reason"),
    [
        (
            {"content": None, "reasoning_content": "hm"},
            "length",
            "cut off before it began: its 80 tokens went into rea",
        ),
        ({"content": "", "reasoning": "hm"}, "length", "went into reasoning"),
        ({"content": "\n", "reasoning": "hm"}, "length", "went into reasoning"),
        ({"content": [THOUGHT]}, "length", "went into reasoning"),
        ({"content": ""}, "length", "went into something else, such as reasoning"),
        ({"content": None}, "max_tokens", "cut off before it began"),
        ({"content": None}, "stop", "the answer is empty"),
        ({"content": []}, "stop", "the answer is empty"),
        ({}, None, "the answer is empty"),
        ({"content": "", "reasoning_content": "hm"}, "stop", "the model reasoned and answered nothing"),
        ({"content": None}, "content_filter", "the server's content filter withheld the answer"),
        ({"content": None, "tool_calls": [{"id": "1"}]}, "tool_calls", "called a tool"),
    ],
)
def test_nothing_said_is_missing_with_its_reason(message: dict[str, Any], ended: str | None, reason: str) -> None:
    reply = read(message, ended)
    assert reason in reply.missing
    assert reply.output_tokens == 9


def test_thoughts_that_are_only_counted_are_thoughts() -> None:
    usage = USAGE | {"completion_tokens_details": {"reasoning_tokens": 9}}
    assert "reasoned and answered nothing" in read({"content": ""}, usage=usage).missing


def test_no_choices_are_a_missing_answer() -> None:
    reply = read_reply(json.dumps({"choices": [], "usage": USAGE}), 500, 80)
    assert isinstance(reply, Reply)
    assert reply.missing == "the response has no choices"


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": 0, "completion_tokens": 0}, {"prompt_tokens": None}, []])
def test_tokens_that_are_not_counted_are_bounded(usage: Any) -> None:
    reply = read({"content": "Hello."}, usage=usage)
    assert (reply.input_tokens, reply.output_tokens) == (500, 80)


@pytest.mark.parametrize(
    ("record", "status"),
    [
        ({"error": {"message": "no", "code": 400}, "choices": None}, 400),
        ({"error": {"message": "no", "code": "502"}}, 502),
        ({"error": {"message": "no", "code": "context_length_exceeded"}}, 400),
        ({"error": {"message": "no", "type": "overloaded_error"}, "type": "error"}, 529),
        ({"error": {"message": "no", "status": 429}, "choices": []}, 429),
        ({"error": "no"}, None),
        ({"object": "error", "message": "no", "code": 503}, 503),
        ({"detail": "no"}, None),
        ({"choices": [{"error": {"message": "no", "code": 500}, "finish_reason": "error"}]}, 500),
        ({"choices": [{"message": {"content": "Hel"}, "finish_reason": "error"}], "error": {"code": 504}}, 504),
    ],
)
def test_an_error_by_the_name_of_a_success_is_an_error(record: dict[str, Any], status: int | None) -> None:
    fault = read_reply(json.dumps(record), 500, 80)
    assert isinstance(fault, Fault)
    assert fault.status == status


@pytest.mark.parametrize("text", ["", "<html>", "[]", "3", '{"choices": 3}', '{"choices": [3]}', '{"choices": [{}]}'])
def test_what_is_no_completion_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"no (chat )?completion"):
        read_reply(text, 500, 80)


# What comes of it


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (
            {"choices": None, "error": {"message": "context length 512 exceeded", "code": 400}},
            "error 400: context length",
        ),
        ({"message": {"content": None}, "finish_reason": "length"}, "cut off before it began"),
        ({"message": {"content": None}, "finish_reason": "content_filter"}, "content filter"),
        ((400, "The prompt triggered the content management policy.", {}), "HTTP 400: The prompt triggered"),
        ((403, "Your input was flagged by moderation.", {}), "HTTP 403: Your input was flagged"),
        ((422, "no such thing", {}), "HTTP 422: no such thing"),
    ],
)
def test_a_refused_request_is_asked_once_and_speaks_of_no_other(act: Any, message: str) -> None:
    with FaultServer([act] * 9) as server:
        replies = ask(server, count=10)
        assert len(server.bodies) == 10
    assert [type(reply) for reply in replies] == [NoAnswerError] * 9 + [Reply]
    assert all(message in str(reply) for reply in replies[:9])


@pytest.mark.parametrize("act", [{"message": {"content": None}}, {"choices": []}, {"choices": None, "error": "away"}])
def test_nothing_is_asked_for_again_and_speaks_of_no_other(act: Any) -> None:
    with FaultServer([act] * 14) as server:
        replies = ask(server, count=8)
        assert len(server.bodies) == 15
    assert [type(reply) for reply in replies] == [NoAnswerError] * 7 + [Reply]


@pytest.mark.parametrize(
    "act", [429, 500, 501, 522, "reset", "garbage", {"choices": None, "error": {"code": 502, "message": "bad gateway"}}]
)
def test_a_broken_or_busy_server_is_given_up_after_five_requests(act: Any) -> None:
    with FaultServer([act] * 99) as server:
        replies = ask(server, count=9)
        assert len(server.bodies) == 10
    assert [isinstance(reply, NoAnswerError) for reply in replies] == [True] * 4 + [False] * 5
    assert "5 requests in a row got no answer" in str(replies[-1])


def test_a_refused_request_shows_that_the_server_is_there() -> None:
    with FaultServer([*[503] * 8, (400, "content filter", {}), *[503] * 8]) as server:
        replies = ask(server, count=10)
    assert [type(reply) for reply in replies] == [NoAnswerError] * 9 + [Reply]


def test_a_refused_key_inside_a_success_ends_it() -> None:
    with FaultServer([{"choices": None, "error": {"code": 401, "message": "bad key"}}]) as server:
        (reply,) = ask(server)
    assert isinstance(reply, EndpointError)
    assert "refused the key (HTTP 200 and the error 401)" in str(reply)


def test_what_brought_nothing_is_paid_for_all_the_same() -> None:
    spent = Spent()
    with FaultServer([{"message": {"content": None}, "finish_reason": "length"}], usage=(70, 80)) as server:
        (error,) = ask(server, spent=spent)
    assert (error.input_tokens, error.output_tokens) == (70, 80) == (spent.input_tokens, spent.output_tokens)


# What a server takes


def test_a_reply_tells_which_settings_it_was_got_without() -> None:
    async def run(server: FaultServer) -> Any:
        async with Client(Endpoint("m", server.url)) as client:
            return await client.complete(
                [{"role": "user", "content": "?"}], length=5, temperature=0.0, seed=1, stop=["x"]
            )

    script = [(400, "'temperature' does not support 0.0 with this model.", {}), (400, "unknown field: seed", {})]
    with FaultServer(script) as server:
        assert asyncio.run(run(server)).without == ("temperature", "seed")
    with FaultServer() as server:
        assert asyncio.run(run(server)).without == ()


@pytest.mark.parametrize(
    ("complaint", "refused"),
    [
        ({"error": {"message": "Unsupported value", "param": "temperature"}}, {"temperature"}),
        ({"error": {"message": "The stop was flagged by our temperature filter", "code": "content_filter"}}, set()),
        (
            {"detail": [{"loc": ["body", "seed"], "msg": "Extra inputs", "input": {"temperature": 0, "stop": 1}}]},
            {"seed"},
        ),
        ({"error": {"message": "nonstop and seeds are no words of ours"}}, set()),
        ({"error": {"message": "temperature and stop are not supported"}}, {"temperature", "stop"}),
    ],
)
def test_only_what_a_server_refuses_is_left_out(complaint: Any, refused: set[str]) -> None:
    dialect = Dialect()
    sent = dialect.body(5, None, 0.0, 1, ["x"])
    assert dialect.learn(sent, json.dumps(complaint)) == bool(refused)
    assert dialect.refused == refused


# Messages


def test_a_message_that_announces_something_is_told_with_it() -> None:
    loading = "Error(s) in loading state_dict for Tiny:\n\tsize mismatch for head: [2] in the file, [3] in the model.\n"
    assert first_line(RuntimeError(loading)).endswith(
        "for Tiny: size mismatch for head: [2] in the file, [3] in the model."
    )
    assert first_line(RuntimeError("one.\ntwo")) == "one."
    assert first_line(RuntimeError()) == "RuntimeError"
    assert len(first_line(RuntimeError("many:\n" + "word " * 500))) == 300


def test_every_pair_that_is_too_long_is_counted_and_the_length_that_takes_them_named() -> None:
    from lapd.plugins.dpo import refuse_long_pairs

    from lapd.errors import DataError

    rows = [{"prompt_ids": [1] * 4, "chosen_ids": [1] * n, "rejected_ids": [1]} for n in (1, 9, 2, 20, 7, 8, 9, 12)]
    refuse_long_pairs(rows, 24)
    with pytest.raises(DataError, match=r"pair 4: it has 24 tokens, more than max_length 20. Set --max-length 24"):
        refuse_long_pairs(rows, 20)
    message = r"pairs 2, 4, 5, 6, 7 and 1 more of 8: they have 11 to 24 tokens.* Set --max-length 24"
    with pytest.raises(DataError, match=message):
        refuse_long_pairs(rows, 10)
