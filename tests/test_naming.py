"""What `--adapter` is given: names, folders, strengths and personas; and the names that belong to arms."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from lapd.adapters.adapter import Adapter, resolve_adapters
from lapd.adapters.naming import refuse_strength
from lapd.catalog.find import find_task
from lapd.endpoints.endpoint import Endpoint
from lapd.errors import LapdError, ModelError, UnknownNameError, UsageError
from lapd.evaluate.plan import make_arms, make_cells
from lapd.evaluate.served import served_adapters
from lapd.models.base import BaseModel
from lapd.record.cells import Arm, Settings
from lapd.record.store import Store

MakeAdapter = Callable[..., Path]


def told(adapters: list[Adapter]) -> list[tuple[str, str | None]]:
    """Each adapter's label and persona."""
    return [(adapter.label, adapter.persona) for adapter in adapters]


def test_an_adapter_can_be_given_a_name_a_strength_and_a_persona(make_adapter: MakeAdapter) -> None:
    folder = make_adapter("lora", card=False)
    assert told(resolve_adapters([str(folder)])) == [("lora", None)]
    assert told(resolve_adapters([f"{folder}:infp"])) == [("lora", "INFP")]
    assert told(resolve_adapters([f"mine={folder}"])) == [("mine", None)]
    assert told(resolve_adapters([f"mine={folder}:ENTJ"])) == [("mine", "ENTJ")]
    make_adapter("other", card=False)
    assert told(resolve_adapters([f"{folder.parent}/*:I"])) == [("lora", "I"), ("other", "I")]


def test_what_is_said_outweighs_the_run_card(make_adapter: MakeAdapter) -> None:
    folder = make_adapter(persona="INFP")
    assert told(resolve_adapters([str(folder), f"mine={folder}:ENTJ"])) == [("INFP", "INFP"), ("mine", "ENTJ")]


@pytest.mark.parametrize("name", ["a=b", "lora:INFP", "x=y:INFP", "lr=2@b"])
def test_a_folder_that_is_there_is_that_folder_whatever_its_name_could_mean(
    make_adapter: MakeAdapter, name: str
) -> None:
    folder = make_adapter(name, card=False)
    assert told(resolve_adapters([str(folder)])) == [(name, None)]
    assert told(resolve_adapters([f"mine={folder}"])) == [("mine", None)]
    assert told(resolve_adapters([f"mine={folder}:ENTJ"])) == [("mine", "ENTJ")]


def test_what_cannot_be_meant_is_refused(make_adapter: MakeAdapter) -> None:
    folder = make_adapter("lora", card=False)
    make_adapter("other", card=False)
    with pytest.raises(UnknownNameError, match="There is no persona 'INFX'"):
        resolve_adapters([f"{folder}:INFX"])
    with pytest.raises(UsageError, match="gives one name to 2 adapters"):
        resolve_adapters([f"mine={folder.parent}/*"])
    with pytest.raises(UsageError, match=r"Two adapters are called 'lora'.*--adapter NAME=FOLDER"):
        resolve_adapters([str(folder), f"lora={folder.parent}/other"])
    with pytest.raises(LapdError, match="nowhere: there is no such adapter folder"):
        resolve_adapters(["mine=nowhere"])


def test_a_server_s_names_may_have_colons(make_adapter: MakeAdapter) -> None:
    endpoint = Endpoint("llama", "http://127.0.0.1:1/v1")
    folder = make_adapter("lora", card=False)
    texts = ["phi:3b", "tuned:ENTJ", f"mine={folder}:I", "INFP@58e123958f40"]
    found = served_adapters(texts, endpoint)
    assert told(found) == [("phi:3b", None), ("tuned", "ENTJ"), ("mine", "I"), ("INFP@58e123958f40", None)]
    assert len(make_arms(found, ["base", "adapter"])) == 5


@pytest.mark.parametrize(
    "name", ["base", "Base", "base+prompt(INFP)", "INFP+prompt(INFP)", "INFP@0.5", "base@1", "x@-1", "x@.5"]
)
def test_an_adapter_that_is_called_like_an_arm_is_refused_with_a_way_out(
    make_adapter: MakeAdapter, name: str, base: BaseModel, tmp_path: Path
) -> None:
    folder = make_adapter(name)
    (found,) = resolve_adapters([str(folder)])
    for make in (lambda: make_arms([found]), lambda: Arm(found)):
        with pytest.raises(UsageError, match=r"An adapter cannot be called '.*--adapter NAME=FOLDER"):
            make()
    arms = make_arms(resolve_adapters([f"mine={folder}"]), ["base", "adapter"])
    store = Store(tmp_path / "run")
    store.enter(make_cells(base, arms, [find_task("situations")], Settings()))
    assert {name: arm["baseline"] for name, arm in store.run()["arms"].items()} == {"base": None, "mine": "base"}


@pytest.mark.parametrize("name", ["basement", "my base", "INFP@v2", "v1.5", "a+b", "INFP@58e123958f40", "x@3"])
def test_other_names_are_nobodys(name: str) -> None:
    assert Arm(Adapter(name, Path("/"), "a" * 64, None)).name == name


def test_eval_refuses_it_in_a_line_before_anything_is_loaded(
    make_adapter: MakeAdapter, base_folder: Path, invoke: Callable[..., Result], tmp_path: Path
) -> None:
    folder = make_adapter("base", card=False)
    run = ["eval", "--base", base_folder, "--tasks", "situations", "--arms", "base,adapter", "-o", tmp_path / "run"]
    refused = invoke(*run, "--adapter", folder)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert refused.stderr.startswith("Error: An adapter cannot be called 'base'")
    planned = invoke(*run, "--adapter", f"mine={folder}:INFP", "--plan")
    assert planned.exit_code == 0, planned.stderr
    assert "mine  situations" in planned.stdout


def test_a_persona_that_is_given_to_an_evaluation_is_that_of_adapters_without_one(
    make_adapter: MakeAdapter, base: BaseModel, tmp_path: Path
) -> None:
    foreign, own = resolve_adapters([str(make_adapter("lora", card=False)), str(make_adapter("INFP"))])
    store = Store(tmp_path / "run")

    def enter(persona: str | None, *kinds: str) -> dict[str, str | None]:
        cells = make_cells(base, make_arms([foreign, own], kinds, persona), [find_task("situations")], Settings())
        store.enter(cells)
        return {name: arm["adapter_persona"] for name, arm in store.run()["arms"].items()}

    assert enter(None, "base", "adapter") == {"base": None, "lora": None, "INFP": "INFP"}
    known = {"base": None, "lora": "ENTJ", "INFP": "INFP"}
    assert enter("ENTJ", "base", "adapter") == known
    assert store.run()["arms"]["lora"]["adapter_poles"] == {"E/I": "E", "S/N": "N", "T/F": "T", "J/P": "J"}
    assert enter(None, "base", "adapter") == known  # what was said once is kept


def test_a_stock_lm_eval_that_is_given_a_strength_is_told_that_it_knows_none(
    make_adapter: MakeAdapter, base_folder: Path
) -> None:
    from lapd.answering.lm import PackedLM

    folder = make_adapter()
    with pytest.raises(ModelError, match=rf"lm-eval knows no strengths\. `lapd merge {folder}@0\.5 -o FOLDER`"):
        PackedLM(str(base_folder), peft=f"{folder}@0.5")
    for text in ("", "org/name@v1", str(make_adapter("INFP@v1")), str(folder)):
        refuse_strength(text)
