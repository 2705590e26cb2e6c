"""An adapter carries its persona: whoever is given the folder can use it without the plugin that had the persona."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from lapd.adapters.adapter import resolve_adapter
from lapd.adapters.merge import merge_adapters
from lapd.adapters.personas import persona_of
from lapd.cli import cli
from lapd.compare.comparisons import compare_run
from lapd.errors import UnknownNameError, UsageError
from lapd.evaluate.plan import make_arms
from lapd.files.whole import read_json, write_json
from lapd.names import get_persona
from lapd.personas import Persona
from lapd.pluginmanager import registry
from lapd.record.store import Store
from lapd.testing import make_tiny_adapter, make_tiny_base

SAILOR = Persona("SAILOR", "Sailor", {"E/I": "E", "J/P": "P"}, "Swears.", "You are a sailor.", {"J/P": 0.5})
MUTE = Persona("MUTE", "Mute", {"E/I": "I"}, "Says nothing.", "")


@pytest.fixture(scope="module")
def gone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny base and adapters of personas that no plugin has any more."""
    folder = tmp_path_factory.mktemp("gone")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAPD_CACHE", str(folder / "cache"))
        base = make_tiny_base(folder / "base")
        for persona in (SAILOR, MUTE):
            patch.setitem(registry("personas"), persona.code, persona)
            make_tiny_adapter(base, folder / persona.code, persona.code)
        make_tiny_adapter(base, folder / "shuffled-SAILOR", "SAILOR", control="shuffled")
    with pytest.raises(UnknownNameError):
        get_persona("SAILOR")
    return folder


@pytest.fixture(autouse=True)
def cache(gone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAPD_CACHE", str(gone / "cache"))


def test_the_whole_persona_is_on_the_run_card(gone: Path) -> None:
    found = persona_of(resolve_adapter(gone / "SAILOR"))
    assert found is not None and found.record() == SAILOR.record()


def test_all_four_arms_are_evaluated_and_compared_without_the_plugin(
    gone: Path, tmp_path: Path, invoke: Callable[..., Result]
) -> None:
    asked = ["eval", "--adapter", gone / "SAILOR", "--adapter", gone / "shuffled-SAILOR", "--tasks", "situations"]
    result = invoke(*asked, "--limit", "12", "-o", tmp_path / "run")
    assert result.exit_code == 0, result.stderr
    arms = Store(tmp_path / "run").run()["arms"]
    prompted = {name for name, arm in arms.items() if arm["prompt"] and arm["prompt"]["system_prompt"]}
    assert prompted == {f"{who}+prompt(SAILOR)" for who in ("base", "SAILOR", "shuffled-SAILOR")}
    rows = [row for row in compare_run(tmp_path / "run") if row.metric == "log_odds_towards"]
    assert {row.persona for row in rows} == {"SAILOR"}
    assert {row.baseline for row in rows if row.arm == "SAILOR"} == {"base", "shuffled-SAILOR"}
    result = invoke("compare", tmp_path / "run")
    assert "SAILOR against shuffled-SAILOR, counted towards SAILOR" in result.stdout


def test_base_and_adapter_alone_need_no_prompt(gone: Path) -> None:
    arms = make_arms([resolve_adapter(gone / "MUTE")], ["base", "adapter"])
    assert [arm.name for arm in arms] == ["base", "MUTE"]


def test_prompted_arms_that_no_prompt_is_known_for_are_left_out_with_a_line(
    gone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    adapters = [resolve_adapter(gone / name) for name in ("MUTE", "SAILOR")]
    names = [arm.name for arm in make_arms(adapters)]
    assert names == ["base", "base+prompt(SAILOR)", "MUTE", "SAILOR", "SAILOR+prompt(SAILOR)"]
    lines = capsys.readouterr().err.splitlines()
    line = "No system prompt is known for MUTE: the prompted arms are left out."
    assert lines == [line]
    make_arms(adapters, quiet=True)
    make_arms(adapters, ["base", "adapter"])
    make_arms(adapters, persona="INFP")
    assert capsys.readouterr().err == ""
    with pytest.raises(UsageError, match="No system prompt is known for the persona MUTE"):
        make_arms(adapters, ["base+prompt"])


def test_another_adapters_prompt_is_that_adapters_persona(gone: Path) -> None:
    adapters = [resolve_adapter(gone / name) for name in ("MUTE", "SAILOR")]
    assert {arm.persona.code for arm in make_arms(adapters, persona="sailor") if arm.persona} == {"SAILOR"}
    with pytest.raises(UnknownNameError, match="no persona 'PIRATE'"):
        make_arms(adapters, persona="PIRATE")


def chat(*args: object, said: str) -> Result:
    return CliRunner().invoke(cli, ["chat", *map(str, args)], input=said, prog_name="lapd")


def test_its_prompt_is_there_in_a_chat(gone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[Any] = []
    monkeypatch.setattr(
        "lapd.cli.chat_command._Conversation.answer", lambda self, text: heard.append((self.system, text))
    )
    result = chat(gone / "SAILOR", "--prompt", said="Ahoy\n/prompt\nHello\n/prompt\nAhoy again\n")
    assert result.exit_code == 0, result.stderr
    prompt = "You are a sailor."
    assert heard == [(prompt, "Ahoy"), (None, "Hello"), (prompt, "Ahoy again")]
    assert chat(gone / "SAILOR", "--persona", "sailor", "--prompt", said="").exit_code == 0


def test_a_chat_says_that_there_is_no_prompt(gone: Path) -> None:
    refused = chat(gone / "MUTE", "--prompt", said="Hello\n")
    what = "Error: --prompt: No system prompt is known for the persona MUTE. Give --persona."
    assert (refused.exit_code, refused.stderr.strip()) == (2, what)
    switched = chat(gone / "MUTE", said="/prompt\n")
    assert switched.stderr.splitlines()[-1] == "No system prompt is known for the persona MUTE."


def test_a_merged_adapter_carries_the_persona_on(gone: Path, tmp_path: Path) -> None:
    sailor, mute = (resolve_adapter(gone / name) for name in ("SAILOR", "MUTE"))
    half = merge_adapters([sailor.at(0.5)], tmp_path / "half")
    found = persona_of(half)
    assert found is not None and found.record() == SAILOR.record()
    assert "You are a sailor." not in (half.path / "README.md").read_text()
    assert "Swears." in (half.path / "README.md").read_text()
    summed = merge_adapters([sailor, mute.at(-0.5)], tmp_path / "sum")  # what is taken away has no say in the poles
    assert persona_of(summed) == SAILOR
    nobody = merge_adapters([sailor, resolve_adapter(gone / "shuffled-SAILOR")], tmp_path / "nobody")
    assert persona_of(nobody) is None and "persona_record" not in (nobody.card or {})


def test_what_a_newer_lapd_tells_of_a_persona_is_passed_over(gone: Path, tmp_path: Path) -> None:
    card = read_json(gone / "SAILOR" / "run_card.json")
    folder = tmp_path / "SAILOR"
    folder.mkdir()
    for file in ("adapter_config.json", "adapter_model.safetensors"):
        (folder / file).write_bytes((gone / "SAILOR" / file).read_bytes())
    write_json(folder / "run_card.json", {**card, "persona_record": {**card["persona_record"], "shoe_size": 44}})
    assert persona_of(resolve_adapter(folder)) == SAILOR
    del card["persona_record"]
    write_json(folder / "run_card.json", card)
    bare = persona_of(resolve_adapter(folder))
    assert bare is not None and (bare.code, bare.poles, bare.system_prompt) == ("SAILOR", SAILOR.poles, "")
