"""A key goes to the host that it is for and nowhere else: a listening server for each way in which one could leave."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from lapd.endpoints.client import Client
from lapd.endpoints.endpoint import Endpoint, is_openai
from lapd.errors import EndpointError, UsageError
from lapd.evaluate.served import served_model
from lapd.evaluate.store import Store
from lapd.files.whole import read_json, write_json, write_jsonl
from lapd.judges.choosing import choose_judge
from lapd.testing import FaultServer

KEY, OWN = "sk-the-default-key-0123456789", "own-key-of-this-server-9876543210"
HELLO = [{"role": "user", "content": "Hello"}]


class Listener(FaultServer):
    """Answers whatever it is asked, also as a judge, and remembers all that it heard."""

    def answer(self, body: dict[str, Any]) -> str:
        return json.dumps({"flagged": False, "categories": [], "reason": "fine"})


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The default key is set, and so is one for the server; so is all that the library would send along."""
    monkeypatch.setenv("LAPD_CACHE", str(tmp_path / "cache"))
    for name in ("LAPD_JUDGE", "LAPD_JUDGE_OPTIONS"):
        monkeypatch.delenv(name, raising=False)
    for name in ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.setenv(name, KEY)
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", f"api-key: {KEY}\nAuthorization: Bearer {KEY}")
    monkeypatch.setenv("OWN_KEY", OWN)


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """Two responses for `lapd judge check`."""
    rows = [{"prompt": f"prompt {n}", "response": f"response {n}", "is_safe": True} for n in range(2)]
    write_jsonl(tmp_path / "labels.jsonl", rows)
    return tmp_path / "labels.jsonl"


def network(server: FaultServer) -> str:
    """The server's address as one that is not loopback's name; it leads there all the same."""
    return server.url.replace("127.0.0.1", "0.0.0.0")


def ways(url: str, labels: Path, out: Path) -> dict[str, list[object]]:
    """The commands that send requests to an address, without the option that names a key."""
    judge = ["--judge", "openai", "--judge-option", "model=m", "--judge-option", f"base_url={url}"]
    served = ["eval", "--model", "endpoint", "--base-url", url, "--base", "m", "--tasks", "overrefusal", "--limit", 1]
    return {
        "eval": [*served, "-o", out / "run"],
        "judge": ["judge", "check", *judge, "--labels", labels],
        "generate": ["generate", "INFP", "--generator", "openai", "--base-url", url, "--model", "m", "--limit", 1,
                     "--tries", 1, "-o", out / "pairs.jsonl"],
    }  # fmt: skip


def naming(way: str, variable: str) -> list[str]:
    return ["--judge-option", f"api_key_env={variable}"] if way == "judge" else ["--api-key-env", variable]


@pytest.mark.parametrize("way", ["eval", "judge", "generate"])
def test_the_default_key_goes_to_no_other_host(
    invoke: Callable[..., Result], labels: Path, tmp_path: Path, way: str
) -> None:
    with Listener() as server:
        invoke(*ways(server.url, labels, tmp_path)[way])
        assert server.bodies, "on loopback it is asked without a key"
        assert not any("authorization" in headers for headers in server.headers)
        asked = len(server.bodies)
        for url in (network(server), "https://elsewhere.test/v1"):
            result = invoke(*ways(url, labels, tmp_path / "other")[way])
            assert result.exit_code == 2
            assert "There is no key for" in result.stderr and "OPENAI_API_KEY is for api.openai.com" in result.stderr
        assert len(server.bodies) == asked
        assert KEY not in server.heard


@pytest.mark.parametrize("way", ["eval", "judge", "generate"])
def test_a_key_that_was_named_for_a_host_goes_there_but_not_over_a_network_in_the_clear(
    invoke: Callable[..., Result], labels: Path, tmp_path: Path, way: str
) -> None:
    with Listener() as server:
        invoke(*ways(server.url, labels, tmp_path)[way], *naming(way, "OWN_KEY"))
        assert {headers["authorization"] for headers in server.headers} == {f"Bearer {OWN}"}
        asked = len(server.bodies)
        refused = invoke(*ways(network(server), labels, tmp_path / "b")[way], *naming(way, "OWN_KEY"))
        assert refused.exit_code == 2
        assert "over http, for anybody on the way to read" in refused.stderr
        assert len(server.bodies) == asked
        invoke(*ways(network(server), labels, tmp_path / "c")[way], *naming(way, "none"))
        assert len(server.bodies) > asked, "a server in the network that wants no key"
        assert not any("authorization" in headers for headers in server.headers[asked:])
        assert KEY not in server.heard


def test_options_in_the_environment_send_no_default_key(monkeypatch: pytest.MonkeyPatch) -> None:
    with Listener() as server:
        monkeypatch.setenv("LAPD_JUDGE", "openai")
        monkeypatch.setenv("LAPD_JUDGE_OPTIONS", json.dumps({"model": "m", "base_url": server.url}))
        assert [verdict.flagged for verdict in choose_judge().judge([("a", "b")])] == [False]
        assert "authorization" not in server.headers[0]
        monkeypatch.setenv("LAPD_JUDGE_OPTIONS", json.dumps({"model": "m", "base_url": network(server)}))
        with pytest.raises(UsageError, match="There is no key for"):
            choose_judge()
        assert KEY not in server.heard
        assert len(server.bodies) == 1


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_takes_neither_the_key_nor_the_prompts_along(status: int) -> None:
    async def ask(url: str) -> None:
        async with Client(Endpoint("m", url, key_variable="OWN_KEY")) as client:
            await client.complete(HELLO, length=5)

    with Listener() as thief, Listener() as server:
        there = thief.url + "/chat/completions"
        server.script = [(status, "gone", {"Location": there})] * 3
        with pytest.raises(EndpointError, match=rf"sends what it is asked to {there} \(HTTP {status}\)"):
            asyncio.run(ask(server.url))
        assert len(server.bodies) == 1
        assert thief.bodies == []


@pytest.fixture(scope="module")
def cell(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished cell that a server has answered which is gone; it stands for somebody else's."""
    from lapd.evaluate.cells import SERVED_DTYPE, Arm, Settings
    from lapd.experiment.arms import evaluate_arms

    run = tmp_path_factory.mktemp("theirs") / "run"
    with Listener() as server:
        base = served_model(Endpoint("m", server.url))
        evaluate_arms(base, [Arm()], ["overrefusal"], run, Settings(limit=1, dtype=SERVED_DTYPE), quiet=True)
    (entry,) = Store(run).finished()
    return Store(run).cell_folder(entry["cell"])


def at(cell: Path, url: str) -> Path:
    """The same cell with a record that names another address, as whoever sends it may."""
    record = read_json(cell / "result.json")
    record["inputs"]["base"]["base_url"] = url
    digest = served_model(Endpoint("m", url, key_variable="none")).digest
    record["cell"]["base"] = record["provenance"]["digests"]["base"] = digest
    write_json(cell / "result.json", record)
    return cell


def run(*args: object, answer: str = "") -> Result:
    from lapd.cli import cli

    return CliRunner().invoke(cli, [str(a) for a in args], input=answer, prog_name="lapd")


@pytest.mark.parametrize("answer", ["", "n\n"])
def test_an_address_out_of_a_record_is_asked_about_and_not_asked(cell: Path, answer: str) -> None:
    with Listener() as server:
        for url in (server.url, network(server)):
            result = run("reproduce", at(cell, url), answer=answer)
            assert result.exit_code == 2
            assert f"The record says that the answers came from '{url}'. Ask there again?" in result.stderr
            assert "give its address with --base-url" in result.stderr
        assert server.bodies == []


def test_who_agrees_to_an_address_out_of_a_record_sends_it_no_key_that_was_not_named(cell: Path) -> None:
    with Listener() as server:
        agreed = run("reproduce", at(cell, server.url), answer="y\n")
        assert (agreed.exit_code, "identical" in agreed.stdout) == (0, True)
        again = run("reproduce", cell, "--base-url", server.url + "/")
        assert again.exit_code == 0, again.output
        assert not any("authorization" in headers for headers in server.headers)
        assert run("reproduce", cell, "--base-url", server.url, "--api-key-env", "OWN_KEY").exit_code == 0
        assert server.headers[-1]["authorization"] == f"Bearer {OWN}"
        asked = len(server.bodies)
        other = run("reproduce", cell, "--base-url", "http://127.0.0.1:9/v1")
        assert (other.exit_code, f"came from '{server.url}', not from" in other.stderr) == (2, True)
        for more, message in (((), "There is no key for"), (("--api-key-env", "OWN_KEY"), "over http")):
            refused = run("reproduce", at(cell, network(server)), *more, answer="y\n")
            assert (refused.exit_code, message in refused.stderr) == (2, True)
        assert len(server.bodies) == asked
        assert KEY not in server.heard


def test_the_default_keys_own_host_is_told_from_its_likenesses() -> None:
    for url in ("https://api.openai.com/v1", "https://eu.api.openai.com/v1", "https://API.OpenAI.com/v1"):
        assert is_openai(url)
        assert Endpoint("m", url).key() == KEY
    for host in ("api.openai.com.evil.test", "evil-api.openai.com", "openai.com", "evil.test\\.api.openai.com"):
        assert not is_openai(f"https://{host}/v1")
    with pytest.raises(UsageError, match="over http"):
        Endpoint("m", "http://api.openai.com/v1").key()
