"""`lapd eval --model endpoint` against a real OpenAI-compatible server, which has a tiny model and an adapted one."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from conftest import SCRIPT, serving
from lora import make_lora
from warm import Warm

from lapd.adapters.adapter import resolve_adapter
from lapd.adapters.bake import bake_adapters
from lapd.cli import cli
from lapd.endpoints.endpoint import Endpoint
from lapd.errors import LapdError, ModelError, UsageError
from lapd.evaluate.served import served_adapters, served_model, served_name
from lapd.models.base import resolve_base
from lapd.record.journal import Journal
from lapd.record.store import Store
from lapd.testing import FaultServer, make_tiny_base

TASKS = ("--tasks", "overrefusal,mbti_text", "--limit", 4)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the model `base`, the adapter `adapters/INFP`, and the model `INFP`, which is both in one."""
    folder = tmp_path_factory.mktemp("models")
    base = resolve_base(str(make_tiny_base(folder / "base")))
    make_lora(folder / "adapters" / "INFP", base, seed=1)
    bake_adapters([resolve_adapter(folder / "adapters" / "INFP")], base, folder / "INFP")
    return folder


@pytest.fixture(scope="module")
def url(warm: Warm, models: Path) -> Iterator[str]:
    with serving(warm, models) as address:
        yield address


def at(url: str, *more: object) -> tuple[object, ...]:
    return ("eval", "--model", "endpoint", "--base-url", url, "--base", "base", *more)


def texts(run: Path) -> dict[tuple[str, str], list[Any]]:
    """Every response of a run by arm and task."""
    store = Store(run)
    return {(r["arm"], r["task"]): [s["responses"] for s in store.samples(r["cell"])] for r in store.results()}


@pytest.mark.slow
def test_a_served_adapter_answers_as_it_does_here_and_its_run_is_compared_and_reproduced(
    invoke: Callable[..., Result], models: Path, url: str, tmp_path: Path
) -> None:
    adapter = models / "adapters" / "INFP"
    result = invoke(*at(url, "--adapter", f"INFP={adapter}", *TASKS, "-o", tmp_path / "there", "--json"))
    assert result.exit_code == 0, result.stderr
    assert len(json.loads(result.stdout)["results"]) == 8
    invoke("eval", "--base", models / "base", "--adapter", adapter, *TASKS, "-o", tmp_path / "here")
    there, here = texts(tmp_path / "there"), texts(tmp_path / "here")
    assert there == here
    assert there["base", "overrefusal"] != there["INFP", "overrefusal"] != there["INFP+prompt(INFP)", "overrefusal"]

    asked = (models / "server.log").read_text().count("POST")
    assert "8 of them done" in invoke(*at(url, "--adapter", f"INFP={adapter}", *TASKS, "-o", tmp_path / "there")).stderr
    assert (models / "server.log").read_text().count("POST") == asked
    assert "INFP against base" in invoke("compare", tmp_path / "there").stdout
    assert invoke("report", tmp_path / "there").exit_code == 0
    assert "The answers came from a server" in (tmp_path / "there" / "report.html").read_text()
    for cell in (tmp_path / "there" / "cells").iterdir():
        assert "identical (4 documents)" in invoke("reproduce", cell, "--base-url", url).stdout


@pytest.mark.slow
def test_a_killed_run_asks_only_for_what_it_has_no_answer_to(
    warm: Warm, models: Path, url: str, tmp_path: Path
) -> None:
    asked = at(url, "--tasks", "overrefusal", "--limit", 40, "--concurrency", 2)
    command = (SCRIPT, *asked, "-o", tmp_path / "run")

    def requests() -> int:
        return (models / "server.log").read_text().count("POST")

    before = requests()
    process = warm.start(*command)
    deadline = time.monotonic() + 120
    while not (kept := sum(len(f.read_bytes().splitlines()) for f in tmp_path.glob("run/cells/*/journal.jsonl"))) > 6:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.communicate()
    assert not list(tmp_path.glob("run/cells/*/result.json"))
    assert warm.run(*command).returncode == 0
    assert kept > 6
    # Asked twice is at most what was under way when the process died.
    assert 40 <= requests() - before <= 42
    (cell,) = (tmp_path / "run" / "cells").iterdir()
    assert len(Store(tmp_path / "run").samples(cell.name)) == 40


@pytest.mark.slow
def test_a_template_that_drops_the_persona_is_noticed(
    invoke: Callable[..., Result], models: Path, url: str, tmp_path: Path
) -> None:
    deaf = make_tiny_base(models / "deaf")
    template = "{% for m in messages %}{% if m['role'] == 'user' %}{{ m['content'] }}{% endif %}{% endfor %}"
    (deaf / "chat_template.jinja").write_text(template)
    command = ("eval", "--model", "endpoint", "--base-url", url, "--base", "deaf", "--persona", "INFP")
    command += ("--tasks", "overrefusal", "--limit", 2, "-o", tmp_path / "run")
    result = invoke(*command)
    assert result.exit_code == 1
    assert "deaf's chat template drops the system prompt" in result.stderr
    assert "--fold-system-prompt" in result.stderr
    assert invoke(*command, "--fold-system-prompt").exit_code == 0


@pytest.mark.slow
def test_answers_end_at_a_stop_and_samples_are_the_same_again(models: Path, url: str, tmp_path: Path) -> None:
    from lm_eval.api.instance import Instance

    from lapd.answering.endpoint_lm import EndpointLM

    lm = EndpointLM(Endpoint("base", url))
    context = lm.apply_chat_template([{"role": "user", "content": "Say something long."}])

    def answer(**settings: Any) -> str:
        (text,) = lm.generate_until([Instance("generate_until", {}, (context, settings), 0, ("t", 0, 1))])
        return text

    whole = answer(until=[], max_gen_toks=12)
    stop = whole[3:6]
    assert answer(until=[stop], max_gen_toks=12) == whole.split(stop)[0]
    warm = {"until": [], "max_gen_toks": 12, "do_sample": True, "temperature": 1.5}
    with Journal(tmp_path / "journal") as lm.journal:
        first = answer(**warm)
    with Journal(tmp_path / "journal") as lm.journal:
        assert answer(**warm) == first, "from the journal"
        assert lm.journal.taken == 1
    with pytest.raises(LapdError, match="t: an endpoint is not sent the setting top_k"):
        answer(until=[], max_gen_toks=4, do_sample=True, top_k=3)
    with pytest.raises(LapdError, match="t needs log-likelihoods"):
        lm.loglikelihood([Instance("loglikelihood", {}, ("a", "b"), 0, ("t", 0, 1))])


def test_a_server_out_of_a_record_is_asked_about_and_gets_no_key_unasked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lapd(*words: object, said: str = "") -> Result:
        return CliRunner().invoke(cli, [str(word) for word in words], input=said, prog_name="lapd")

    monkeypatch.setenv("OPENAI_API_KEY", "sk-mine")
    monkeypatch.setenv("OWN_KEY", "own")
    with FaultServer() as server:
        run = ("--tasks", "overrefusal", "--limit", 1, "-o", tmp_path / "run")
        assert lapd(*at(server.url, *run, "--arms", "base")).exit_code == 0
        (cell,) = (tmp_path / "run" / "cells").iterdir()
        sent = len(server.bodies)
        for said in ("", "n\n"):
            refused = lapd("reproduce", cell, said=said)
            assert (refused.exit_code, len(server.bodies)) == (2, sent)
            assert f"The record says that the answers came from {server.url!r}" in refused.stderr
        assert lapd("reproduce", cell, said="y\n").exit_code == 0
        assert lapd("reproduce", cell, "--base-url", server.url).exit_code == 0
        assert len(server.bodies) == 3 * sent
        assert not any("authorization" in headers for headers in server.headers)
        assert lapd("reproduce", cell, "--base-url", server.url, "--api-key-env", "OWN_KEY").exit_code == 0
        assert {headers["authorization"] for headers in server.headers[3 * sent :]} == {"Bearer own"}


def test_an_endpoint_that_answers_nothing_is_one_line(invoke: Callable[..., Result], tmp_path: Path) -> None:
    command = ("--base-url", "http://127.0.0.1:9/v1", "--base", "b", "--tasks", "overrefusal", "--limit", 1)
    result = invoke("eval", "--model", "endpoint", *command, "--attempts", 2, "-o", tmp_path / "run")
    assert result.exit_code == 1
    assert "1 of 1 requests to b got no answer; the first: no answer after 2 attempts" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--base-url", "http://127.0.0.1:9/v1", "--tasks", "overrefusal"), "--base-url is for a server"),
        (("--concurrency", 2, "--tasks", "overrefusal"), "--concurrency is for a server"),
        (("--model", "endpoint", "--tasks", "overrefusal"), "needs an address"),
        (("--model", "endpoint", "--base-url", "http://127.0.0.1:9/v1", "--tasks", "overrefusal"), "Give --base NAME"),
        (at("http://127.0.0.1:9/v1", "--tasks", "overrefusal", "--dtype", "bfloat16"), "--dtype is the server's"),
        (at("http://127.0.0.1:9/v1", "--tasks", "overrefusal", "--batch-size", 2), "--batch-size is the server's"),
        (at("http://127.0.0.1:9/v1", "--tasks", "mbti,overrefusal"), "base's tokenizer is not at hand"),
        (at("http://127.0.0.1:9/v1", "--tasks", "mbti,situations"), "mbti, situations need log-likelihoods"),
        (("--tokenizer", "smollm2", "--tasks", "overrefusal"), "--tokenizer is for a server"),
        (at("https://elsewhere.test/v1", "--tasks", "overrefusal"), "There is no key"),
    ],
)
def test_what_does_not_go_together_is_refused(
    invoke: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: Any, message: str
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("LAPD_CACHE", str(tmp_path / "cache"))  # where no server has left a note
    words = arguments if arguments[0] == "eval" else ("eval", *arguments)
    result = invoke(*words, "-o", tmp_path / "run")
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (tmp_path / "run").exists()


def test_what_an_adapter_is_called_there(make_adapter: Callable[..., Path]) -> None:
    endpoint = Endpoint("base", "http://127.0.0.1:9/v1")
    folder = make_adapter("ENTJ", persona="ENTJ")
    named, renamed, code, other = served_adapters([str(folder), f"boss={folder}", "infp", "v2"], endpoint)
    assert [a.name for a in (named, renamed, code, other)] == ["ENTJ", "boss", "infp", "v2"]
    assert [a.persona for a in (named, renamed, code, other)] == ["ENTJ", "ENTJ", "INFP", None]
    assert named.digest == renamed.digest == resolve_adapter(folder).digest
    elsewhere = Endpoint("base", "http://127.0.0.1:10/v1")
    (moved,) = served_adapters(["v2"], elsewhere)
    assert moved.digest != other.digest
    assert served_model(elsewhere).digest != served_model(endpoint).digest
    for adapter in (named, renamed, code, other):
        assert served_adapters([served_name(adapter.name, str(adapter.path))], endpoint) == [adapter]
    for names, message in (
        ([f"{folder}@0.5"], "ENTJ@0.5: a server has an adapter at the strength"),
        (["INFP", "INFP"], "Two models are called 'INFP'"),
        (["base"], "Two models are called 'base'"),
    ):
        with pytest.raises(UsageError, match=message):
            served_adapters(names, endpoint)
    with pytest.raises(ModelError, match="there is no such adapter folder"):
        served_adapters(["INFP=/nowhere"], endpoint)
