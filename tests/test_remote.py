"""Likelihoods from a server: those of the weights at hand, asked once, and only of a server that is right."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from lora import make_lora
from stand_in_vllm import Scorer, StandIn

from lapd.answering.served import ServedSubject
from lapd.catalog.find import find_task
from lapd.endpoints.endpoint import Endpoint
from lapd.endpoints.likelihoods import ECHO, PROMPT_LOGPROBS, NotScoredError, read_scores
from lapd.errors import EndpointError, ModelError
from lapd.evaluate.served import served_model
from lapd.models.base import resolve_base
from lapd.models.embedded import embedded_folder
from lapd.record.store import Store
from lapd.testing import make_tiny_base

TASKS = ("--tasks", "situations,mbti", "--limit", 2)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the model `base`, the adapter `adapters/INFP`, and `other`, which has another tokenizer."""
    folder = tmp_path_factory.mktemp("models")
    base = resolve_base(str(make_tiny_base(folder / "base")))
    make_lora(folder / "adapters" / "INFP", base, seed=1)
    return folder


@pytest.fixture(scope="module")
def scorer(models: Path) -> Scorer:
    return Scorer(str(models / "base"), {"INFP": str(models / "adapters" / "INFP")})


@pytest.fixture
def server(scorer: Scorer) -> Iterator[StandIn]:
    with StandIn(0, "tiny", scorer) as server:
        yield server


def numbers(run: Path) -> dict[tuple[str, str], list[float]]:
    """Every log-likelihood of a run by arm and task."""
    store = Store(run)
    return {
        (r["arm"], r["task"]): [n[0] for s in store.samples(r["cell"]) for answer in s["responses"] for n in answer]
        for r in store.results()
    }


def test_a_served_adapters_likelihoods_are_those_of_its_weights_here_and_each_is_asked_for_once(
    invoke: Callable[..., Result], models: Path, server: StandIn, tmp_path: Path
) -> None:
    adapter = models / "adapters" / "INFP"
    command = ("eval", "--model", "endpoint", "--base-url", server.url, *TASKS, "--adapter", f"INFP={adapter}")
    result = invoke(*command, "-o", tmp_path / "there")
    assert result.exit_code == 0, result.stderr
    assert "nats a token from those of" in result.stderr
    invoke("eval", "--base", models / "base", "--adapter", adapter, *TASKS, "-o", tmp_path / "here")
    there, here = numbers(tmp_path / "there"), numbers(tmp_path / "here")
    assert there.keys() == here.keys() and len(there) == 8
    for key, values in there.items():
        assert values == pytest.approx(here[key], abs=1e-3)
    assert there["INFP", "situations"] != there["base", "situations"]
    asked = [tuple(body["prompt"]) for body in server.asked if body["model"] == "INFP"]
    assert len(asked) < len(set(asked)) + 8, "but for the checks before, nothing is asked twice"
    served = len(server.asked)
    assert "8 of them done" in invoke(*command, "-o", tmp_path / "there").stderr
    assert len(server.asked) == served
    (cell, *_) = (tmp_path / "there" / "cells").iterdir()
    assert "identical" in invoke("reproduce", cell, "--base-url", server.url).stdout


def subject(server: StandIn, models: Path, **more: Any) -> ServedSubject:
    base = served_model(Endpoint("tiny", server.url, attempts=1), **{"tokenizer": str(models / "base")} | more)
    found = ServedSubject(base)
    found.turn_to(find_task("situations"))
    return found


def test_a_server_that_echoes_gives_the_same(models: Path, scorer: Scorer) -> None:
    found = []
    for ways in ((ECHO,), (PROMPT_LOGPROBS,)):
        with StandIn(0, "tiny", scorer, ways) as server:
            lm = subject(server, models)
            lm.switch(None)
            assert lm.lm.way == ways[0]
            found.append(lm.lm._loglikelihood_tokens([(None, [5, 6], [7, 8]), (None, [5, 6], [9])]))
    (one, two), other = found
    assert [one, two] == [(pytest.approx(value, abs=1e-6), greedy) for value, greedy in other]


@pytest.mark.parametrize(
    ("ways", "shift", "more", "message"),
    [
        ((), 0.0, {}, "gives no log-likelihoods of a prompt: the response has no log-likelihoods"),
        ((PROMPT_LOGPROBS,), -1.0, {"weights": "base"}, r"tiny is 1\.00 nats a token from .*base"),
        ((PROMPT_LOGPROBS,), 0.0, {"tokenizer": "other"}, "reads texts by another tokenizer than"),
        ((ECHO,), 0.0, {"tokenizer": "other"}, "reads texts by another tokenizer than"),
    ],
)
def test_a_server_that_is_not_right_is_found_out_before_it_is_used(
    models: Path, scorer: Scorer, ways: tuple[str, ...], shift: float, more: dict[str, str], message: str
) -> None:
    if not (models / "other").exists():
        make_tiny_base(models / "other", embedded_folder())
    with StandIn(0, "tiny", scorer, ways, shift) as server, pytest.raises(EndpointError, match=message):
        subject(server, models, **{name: str(models / folder) for name, folder in more.items()}).switch(None)


def test_an_adapter_that_is_the_base_there_is_refused(models: Path) -> None:
    from lapd.evaluate.served import served_adapters

    none = Scorer(str(models / "base"), {"INFP": ""})
    with StandIn(0, "tiny", none) as server:
        found = subject(server, models)
        (adapter,) = served_adapters(["INFP"], found.base.endpoint)
        with pytest.raises(ModelError, match="INFP gives the base's own likelihoods to the last digit"):
            found.switch(adapter)


def test_a_vllm_that_would_end_of_the_question_is_not_asked(
    models: Path, scorer: Scorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lapd.answering.served.has_gpu", lambda: False)
    with StandIn(0, "tiny", scorer, owner="vllm") as server:
        with pytest.raises(EndpointError, match=r"vLLM on a processor ends .* Start it with `lapd serve-models`"):
            subject(server, models)
        assert server.asked == []
        monkeypatch.setattr("lapd.answering.served.has_gpu", lambda: True)
        subject(server, models)


def test_without_a_tokenizer_or_an_address_one_line_says_what_to_give(
    invoke: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAPD_CACHE", str(tmp_path / "cache"))
    at = ("eval", "--model", "endpoint", "--tasks", "situations,overrefusal", "-o", tmp_path / "run")
    away = invoke(*at, "--base-url", "http://127.0.0.1:9/v1", "--base", "m")
    assert away.exit_code == 2
    assert "situations needs log-likelihoods, and m's tokenizer is not at hand. Give --tokenizer" in away.stderr
    assert "Give --base NAME" in invoke(*at, "--base-url", "http://127.0.0.1:9/v1").stderr
    assert "or start a server with `lapd serve-models`" in invoke(*at).stderr


@pytest.mark.parametrize(
    ("way", "body"),
    [
        (PROMPT_LOGPROBS, '{"choices": [{"text": "x"}]}'),
        (PROMPT_LOGPROBS, '{"choices": [{"prompt_logprobs": [null, {"9": {"logprob": -1, "rank": 1}}]}]}'),
        (PROMPT_LOGPROBS, '{"choices": [{"prompt_logprobs": [null]}]}'),
        (ECHO, '{"choices": [{"logprobs": null}]}'),
        (ECHO, '{"choices": [{"logprobs": {"token_logprobs": [-1.0], "top_logprobs": [{}]}}]}'),
        (ECHO, '{"choices": [{"logprobs": {"token_logprobs": [null, null, -1], "top_logprobs": [{}, {}, {}]}}]}'),
    ],
)
def test_what_says_nothing_of_the_prompt_or_speaks_of_another_is_no_answer(way: str, body: str) -> None:
    with pytest.raises(NotScoredError):
        read_scores(body, [5, 6], way)
