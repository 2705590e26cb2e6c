"""`lapd audit` of what a server has, by the server's names: planned, asked, told, and the exit code."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from lora import make_lora
from stand_in_vllm import Scorer, StandIn

import lapd.audit.audit as audit
from lapd.audit.bundle import bundle
from lapd.catalog.find import tasks
from lapd.cli import cli
from lapd.models.base import resolve_base
from lapd.testing import FaultServer, make_tiny_base
from lapd.testing.fault_server import good_answer

pytestmark = pytest.mark.slow  # some hundred requests each, and the libraries

AXES = ("E/I", "S/N", "T/F", "J/P")


class Looping(FaultServer):
    """A server with a base that writes sentences, and a model beside it that says one thing again and again."""

    def answer(self, body: dict[str, Any]) -> str:
        return good_answer(body) if body["model"] == "served-base" else "I say " + "no and again " * 12


def called(*words: object) -> Result:
    return CliRunner().invoke(cli, [str(word) for word in words], prog_name="lapd")


@dataclass
class There:
    """A server with a base and an adapter, and the run folder of an audit of them."""

    server: StandIn
    run: Path

    def audit(self, *more: object) -> Result:
        names = ("audit", "served-name", "--base", "served-base", "--base-url", self.server.url)
        return called(*names, "-o", self.run, *more)


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[There]:
    folder = tmp_path_factory.mktemp("served")
    base = resolve_base(str(make_tiny_base(folder / "base")))
    adapter = make_lora(folder / "INFP", base, seed=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAPD_CACHE", str(folder / "cache"))
        patch.setattr(audit, "bundle", lambda *_: [tasks()["situations"]])  # each item is two requests to the server
        with StandIn(0, "served-base", Scorer(str(base.path), {"served-name": str(adapter)})) as server:
            yield There(server, folder / "run")


@pytest.fixture(scope="module")
def done(there: There) -> dict[str, Any]:
    """What a whole audit prints as JSON."""
    planned = there.audit("--plan")
    assert planned.exit_code == 0, planned.output
    assert "Audit of served-name against served-base" in planned.stdout
    assert not there.run.exists(), "a plan writes no run"
    result = there.audit("--json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_what_a_server_has_is_planned_asked_and_told_by_the_names_it_has_there(
    there: There, done: dict[str, Any]
) -> None:
    (planned,) = done["plan"]["tasks"]
    assert planned["task"] == "situations"
    assert {body["model"] for body in there.server.asked} == {"served-base", "served-name"}
    assert done["base"] == "served-base"
    verdicts = done["verdicts"]
    assert [(one["arm"], one["axis"]) for one in verdicts] == [("served-name", axis) for axis in AXES]
    assert sum(one["items"] for one in verdicts) == planned["items"]
    assert all(one["low"] <= one["difference"] <= one["high"] != 0 for one in verdicts)


def test_its_verdicts_set_the_exit_code_and_nothing_is_asked_again(there: There, done: dict[str, Any]) -> None:
    found = {one["verdict"].replace(" ", "-") for one in done["verdicts"]}
    asked = len(there.server.asked)
    for word in ("changed", "no-change", "cannot-tell"):
        result = there.audit("--fail-on", f"trait:{word}", "--json")
        assert result.exit_code == int(word in found), result.output
        assert json.loads(result.stdout)["failed_on"] == [f"trait:{word}"] * (word in found)
    assert len(there.server.asked) == asked


def test_of_a_server_without_a_tokenizer_at_hand_what_it_writes_is_audited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAPD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(audit, "bundle", lambda *of: [info for info in bundle(*of) if info.name == "overrefusal"])
    with Looping() as server:
        names = ("audit", "served-name", "--base", "served-base", "--base-url", server.url, "-o", tmp_path / "run")
        names += ("--minutes", 300)  # however slow the machine is
        result = called(*names, "--json", "--fail-on", "cost:worse,coherence:worse")
    assert (result.exit_code, result.stdout[:1]) == (1, "{"), repr(result.exception) + result.output
    found = json.loads(result.stdout)
    assert found["failed_on"] == ["coherence:worse"]
    assert {(one["metric"], one["verdict"], one["change"]) for one in found["verdicts"]} == {
        ("refused_harmless", "at a floor", ""),
        ("repeated_4grams", "changed", "worse"),
    }
    assert {body["model"] for body in server.bodies} == {"served-base", "served-name"}
