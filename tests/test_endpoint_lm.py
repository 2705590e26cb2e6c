"""A server's answers as lm-eval gets them: what is kept of each, what is none, and whether a persona gets there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from lm_eval.api.instance import Instance

from lapd.answering.endpoint_lm import EndpointLM, Written
from lapd.endpoints.endpoint import Endpoint
from lapd.errors import LapdError
from lapd.record.journal import Journal
from lapd.record.store import Store
from lapd.testing import FaultServer

PERSONA = "You are careful and warm.\nYou think before you speak, and you like long walks.\n"
TEMPERATURE = (400, "Unsupported value: 'temperature' does not support 0.0 with this model.", {})


def make_lm(server: FaultServer, **more: Any) -> EndpointLM:
    return EndpointLM(Endpoint("m", server.url, **{"backoff": 0.01, "attempts": 1, "concurrency": 1} | more))


def requests(lm: EndpointLM, count: int, until: tuple[str, ...] = ()) -> list[Any]:
    contexts = [lm.apply_chat_template([{"role": "user", "content": f"question {n}"}]) for n in range(count)]
    settings = {"until": list(until), "max_gen_toks": 80, "do_sample": False}
    return [Instance("generate_until", {}, (context, settings), 0, ("t", n, 1)) for n, context in enumerate(contexts)]


def test_what_got_no_answer_is_counted_with_its_reasons_and_asked_for_again(tmp_path: Path) -> None:
    nothing: dict[str, Any] = {"message": {"content": None, "reasoning_content": "hm"}, "finish_reason": "length"}
    with FaultServer([{"content": "a"}, nothing, nothing, (400, "content filter", {}), {"content": "e"}]) as server:
        lm = make_lm(server)
        with Journal(tmp_path / "journal") as lm.journal, pytest.raises(LapdError) as caught:
            lm.generate_until(requests(lm, 5))
        said = "3 of 5 requests to m got no answer; 2 times: the answer was cut off before it began: its 80 tokens went"
        assert str(caught.value).startswith(said)
        assert "1 times: the request was refused with HTTP 400: content filter." in str(caught.value)
        server.script = [{"content": letter} for letter in "bcd"]
        with Journal(tmp_path / "journal") as lm.journal:
            assert lm.generate_until(requests(lm, 5)) == ["a", "b", "c", "d", "e"]
        assert len(server.bodies) == 8


@pytest.mark.parametrize(
    ("written", "until", "answered"),
    [(1, (), True), (4, ("END",), True), (50, ("END",), False), (2, (), False), (0, (), False)],
)
def test_an_empty_answer_is_one_only_where_the_model_ended_at_once(
    written: int, until: tuple[str, ...], answered: bool
) -> None:
    usage = {"prompt_tokens": 5, "completion_tokens": written}
    with FaultServer([{"content": "", "usage": usage}]) as server:
        lm = make_lm(server)
        if answered:
            assert lm.generate_until(requests(lm, 1, until)) == [""]
        else:
            with pytest.raises(LapdError, match="the first: the answer is empty"):
                lm.generate_until(requests(lm, 1, until))


def test_how_an_answer_ended_and_what_the_server_refused_come_with_it_from_the_journal_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = [TEMPERATURE, {"content": "a", "finish_reason": "length"}, {"content": "b X c", "finish_reason": "length"}]
    with FaultServer(script) as server:
        for _ in range(2):
            lm = make_lm(server)
            with Journal(tmp_path / "journal") as lm.journal:
                first, second = lm.generate_until(requests(lm, 2, ("X",)))
            assert (first, second) == ("a", "b ")
            assert isinstance(first, Written) and isinstance(second, Written)
            assert (first.finish_reason, second.finish_reason) == ("length", "stop")
            assert first.without == second.without == ("temperature",)
            assert capsys.readouterr().err.count("takes no temperature: its answers are sampled") == 1
        assert len(server.bodies) == 3


def test_answers_that_an_older_lapd_kept_are_taken(tmp_path: Path) -> None:
    with FaultServer() as server, Journal(tmp_path / "journal") as journal:
        journal.put(1, 0, ["kept"])
        lm = make_lm(server)
        with Journal(tmp_path / "journal") as lm.journal:
            assert lm.generate_until(requests(lm, 1)) == ["kept"]
        assert server.bodies == []


def test_what_a_server_refuses_is_found_out_once() -> None:
    with FaultServer([TEMPERATURE]) as server:
        lm = make_lm(server)
        for _ in range(3):
            lm.generate_until(requests(lm, 1))
        assert len(server.bodies) == 4


# Whether a system prompt reaches the model


class Template(FaultServer):
    """Counts the words that its chat template would give the model."""

    def __init__(self, count: Callable[[list[dict[str, str]]], Any], script: tuple[Any, ...] = ()) -> None:
        super().__init__(script)
        self.count = count

    def next_act(self, body: dict[str, Any]) -> Any:
        found = self.count(body["messages"])
        return found if isinstance(found, tuple) else {"content": "Yes.", "usage": {"prompt_tokens": found}}


def words(messages: list[dict[str, str]]) -> int:
    return sum(len(m["content"].split()) + 3 for m in messages)


def of_users(messages: list[dict[str, str]]) -> list[dict[str, str]]:
    return [m for m in messages if m["role"] == "user"]


def cached(messages: list[dict[str, str]], seen: set[str] = set()) -> int:  # noqa: B006
    """What is not in a cache of prefixes, word by word."""
    text = " ".join(f"<{m['role']}> {m['content']}" for m in messages).split()
    new = sum(" ".join(text[: n + 1]) not in seen for n in range(len(text)))
    seen.update(" ".join(text[: n + 1]) for n in range(len(text)))
    return new


def no_system(messages: list[dict[str, str]]) -> Any:
    refused = (400, "System role not supported", {})
    return refused if messages[0]["role"] == "system" else words(messages)


@pytest.mark.parametrize(
    ("name", "count", "dropped"),
    [
        ("counts", words, False),
        ("counts nothing", lambda messages: 0, False),
        ("reports nothing", lambda messages: None, False),
        ("counts what is not cached, always 1", lambda messages: 1, False),
        ("counts what is not in its cache", cached, False),
        ("counts in blocks of 8", lambda messages: words(messages) // 8 * 8, False),
        ("drops the prompt", lambda messages: words(of_users(messages)), True),
        ("drops it and has its own", lambda messages: words(of_users(messages)) + 30, True),
        ("drops it, counts what is not cached", lambda messages: cached(of_users(messages)), True),
        ("refuses a system message", no_system, True),
    ],
)
def test_a_dropped_system_prompt_is_told_from_a_server_that_does_not_count(
    name: str, count: Callable[[list[dict[str, str]]], Any], dropped: bool
) -> None:
    with Template(count) as server:
        for _ in range(2):  # the second time everything may be in a cache
            assert make_lm(server).drops(PERSONA) is dropped, name


def test_a_server_that_only_reasons_in_so_few_words_has_still_counted_them() -> None:
    class Reasoning(Template):
        def next_act(self, body: dict[str, Any]) -> Any:
            usage = {"prompt_tokens": self.count(body["messages"]), "completion_tokens": 16}
            return {"message": {"content": None}, "finish_reason": "length", "usage": usage}

    with Reasoning(words) as server:
        assert make_lm(server).drops(PERSONA) is False
    with Reasoning(lambda messages: words(of_users(messages))) as server:
        assert make_lm(server).drops(PERSONA) is True


def test_a_server_that_answers_nothing_is_no_template_that_drops_something() -> None:
    with FaultServer([500] * 9) as server, pytest.raises(LapdError, match=r"m did not answer: .*HTTP 500"):
        make_lm(server).drops(PERSONA)


@pytest.mark.parametrize(
    ("render", "dropped"),
    [
        (lambda prompt: f"<s>{prompt}</s>", False),
        (lambda prompt: f"<s>{prompt.strip()}</s>", False),
        (lambda prompt: " ".join(prompt.split()), False),
        (lambda prompt: prompt.replace(chr(10), chr(13) + chr(10)), False),
        (lambda prompt: "", True),
        (lambda prompt: prompt[:20], True),
    ],
)
def test_a_template_that_trims_a_prompt_does_not_drop_it(render: Callable[[str], str], dropped: bool) -> None:
    from types import SimpleNamespace

    from lapd.answering.subjects import LoadedSubject

    subject = LoadedSubject.__new__(LoadedSubject)
    subject.lm = SimpleNamespace(apply_chat_template=lambda chat: f"{render(chat[0]['content'])}<user>?")
    assert subject.drops(PERSONA) is dropped


# In a run


def evaluate(invoke: Callable[..., Result], server: FaultServer, run: Path, *more: object) -> Result:
    return invoke(
        "eval", "--model", "endpoint", "--base-url", server.url, "--base", "m", "--persona", "INFP",
        "--arms", "base,base+prompt", "--tasks", "situations_open", "--limit", 3, "--concurrency", 1, "-o", run, *more,
    )  # fmt: skip


def test_a_run_says_that_its_answers_are_sampled_and_which_are_cut_off(
    invoke: Callable[..., Result], tmp_path: Path
) -> None:
    cut = {"content": "I would go home and", "finish_reason": "length"}
    with FaultServer([TEMPERATURE, cut, *[{"content": "I stay."}] * 9]) as server:
        result = evaluate(invoke, server, tmp_path / "run")
    assert result.exit_code == 0, result.stderr
    assert result.stderr.count("m takes no temperature: its answers are sampled, not the likeliest.") == 1
    store = Store(tmp_path / "run")
    for entry in store.finished():
        assert store.result(entry["cell"])["asked_without"] == ["temperature"]
        ends = [sample["finish_reasons"] for sample in store.samples(entry["cell"])]
        assert ends == [[["length" if entry["arm"] == "base" and n == 0 else "stop"]] for n in range(3)]
    compared = " ".join(invoke("compare", tmp_path / "run").stdout.split())
    assert "situations_open: answers were cut off (1 of 3 of base)." in compared
    assert "situations_open: the server takes no temperature, so the answers are sampled" in compared
    assert invoke("report", tmp_path / "run").exit_code == 0
    page = (tmp_path / "run" / "report.html").read_text()
    assert page.count("[cut off]") == 1
    assert "the server takes no temperature" in page


def test_a_ceiling_on_requests_counts_those_of_earlier_commands(invoke: Callable[..., Result], tmp_path: Path) -> None:
    more = ("--attempts", 2, "--max-requests", 4)
    with FaultServer([503] * 99, usage=(0, 5)) as server:
        assert evaluate(invoke, server, tmp_path / "run", *more).exit_code == 1
        assert len(server.bodies) == 4
        again = evaluate(invoke, server, tmp_path / "run", *more)
        assert (again.exit_code, len(server.bodies)) == (1, 4)
        assert "ceiling of 4 requests is reached" in again.stderr
        server.script = []
        assert evaluate(invoke, server, tmp_path / "run", "--max-requests", 50).exit_code == 0
        assert (tmp_path / "run" / "requests").stat().st_size == len(server.bodies) <= 50


def test_a_cell_whose_model_is_loaded_here_has_none_of_it() -> None:
    from lapd.record.endings import asked_without, ending, finish_reasons

    assert finish_reasons([["a"], [(-1.0, False)]]) == {}
    assert asked_without([[["a"]]]) == {}
    assert ending({"responses": [["a"]]}) == ""
    assert finish_reasons([[Written("a", "length")]]) == {"finish_reasons": [["length"]]}
    assert ending({"finish_reasons": [["content_filter"]]}) == "cut off by a content filter"
    assert json.loads(json.dumps(Written("a", "length"))) == "a"
