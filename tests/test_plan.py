"""Arms, their names and baselines, and the identity of a cell."""

from dataclasses import asdict, replace
from pathlib import Path

import pytest

from lapd.adapters.adapter import Adapter
from lapd.catalog.find import find_task
from lapd.errors import UsageError
from lapd.evaluate.plan import make_arms, make_cells
from lapd.names import get_persona
from lapd.record.cells import ARM_KINDS, Arm, Cell, Settings


def adapter(name="INFP", persona="INFP", digest="a" * 64):
    return Adapter(name, Path("/nowhere") / name, digest, {"persona": persona} if persona else None)


def names(arms):
    return [arm.name for arm in arms]


def test_an_adapter_gets_its_base_with_and_without_the_prompt_beside_it():
    assert names(make_arms([adapter()])) == ["base", "base+prompt(INFP)", "INFP", "INFP+prompt(INFP)"]


def test_several_adapters_share_the_bare_base_and_each_has_its_own_prompt():
    arms = make_arms([adapter(), adapter("estj-2", "ESTJ")])
    assert names(arms) == [
        "base",
        "base+prompt(INFP)",
        "base+prompt(ESTJ)",
        "INFP",
        "INFP+prompt(INFP)",
        "estj-2",
        "estj-2+prompt(ESTJ)",
    ]


def test_every_arm_but_the_base_has_its_baseline_among_the_default_arms():
    arms = make_arms([adapter(), adapter("estj-2", "ESTJ")])
    assert {arm.name: arm.baseline.name if arm.baseline else None for arm in arms} == {
        "base": None,
        "base+prompt(INFP)": "base",
        "base+prompt(ESTJ)": "base",
        "INFP": "base",
        "INFP+prompt(INFP)": "base+prompt(INFP)",
        "estj-2": "base",
        "estj-2+prompt(ESTJ)": "base+prompt(ESTJ)",
    }
    assert {arm.baseline for arm in arms if arm.baseline} <= set(arms)


def test_the_prompt_can_be_another_personas():
    assert names(make_arms([adapter()], persona="entj")) == [
        "base",
        "base+prompt(ENTJ)",
        "INFP",
        "INFP+prompt(ENTJ)",
    ]


def test_without_an_adapter_there_are_base_arms_only():
    assert names(make_arms([])) == ["base"]
    assert names(make_arms([], persona="INFP")) == ["base", "base+prompt(INFP)"]


def test_only_the_arms_that_are_asked_for_are_made_once():
    assert names(make_arms([adapter()], ["adapter", "base", "base"])) == ["base", "INFP"]


def test_an_adapter_without_a_card_goes_without_prompts_or_with_a_named_one():
    stranger = adapter("lora", None)
    with pytest.raises(UsageError, match=r"lora has no run card.*--persona.*--arms base,adapter"):
        make_arms([stranger])
    assert names(make_arms([stranger], ["base", "adapter"])) == ["base", "lora"]
    assert names(make_arms([stranger], persona="INFP"))[-1] == "lora+prompt(INFP)"


def test_an_unknown_arm_is_refused():
    with pytest.raises(UsageError, match=r"There is no arm 'adaptor'. Known: base, base\+prompt, adapter, adapter"):
        make_arms([adapter()], ["base", "adaptor"])


@pytest.mark.parametrize("kinds", [["base", "adapter"], ["base", "base+prompt"]])
def test_an_arm_that_is_asked_for_and_cannot_be_made_is_refused(kinds):
    with pytest.raises(UsageError):
        make_arms([], kinds)


@pytest.fixture
def cell(base):
    return Cell(base, Arm(adapter(), get_persona("INFP")), find_task("mbti"), "t" * 64, Settings())


CHANGES = {
    "base": lambda c: replace(c, base=replace(c.base, digest="c" * 64)),
    "adapter": lambda c: replace(c, arm=replace(c.arm, adapter=adapter(digest="d" * 64))),
    "no adapter": lambda c: replace(c, arm=replace(c.arm, adapter=None)),
    "prompt": lambda c: replace(c, arm=replace(c.arm, persona=get_persona("ESTJ"))),
    "no prompt": lambda c: replace(c, arm=replace(c.arm, persona=None)),
    "task": lambda c: replace(c, task=replace(c.task, name="mbti-2")),
    "task's data": lambda c: replace(c, task_digest="u" * 64),
    "seed": lambda c: replace(c, settings=Settings(seed=1)),
    "limit": lambda c: replace(c, settings=Settings(limit=1)),
    "limit drawn": lambda c: replace(c, settings=Settings(limit=1, balanced=True)),
    "dtype": lambda c: replace(c, settings=Settings(dtype="bfloat16")),
}

SAME = {
    "base's name and place": lambda c: replace(
        c, base=replace(c.base, name="x", path=Path("/elsewhere"), upstream="someone/else")
    ),
    "adapter's name and place": lambda c: replace(c, arm=replace(c.arm, adapter=adapter("renamed"))),
    "adapter's card": lambda c: replace(c, arm=replace(c.arm, adapter=adapter(persona=None))),
    "persona's title": lambda c: replace(c, arm=replace(c.arm, persona=replace(c.arm.persona, name="x"))),
    "task's description": lambda c: replace(c, task=replace(c.task, description="x", folder=Path("/elsewhere"))),
    "data folder's place": lambda c: replace(c, settings=Settings(data_dir="/elsewhere")),
}


def test_each_ingredient_changes_a_cells_name(cell):
    cells = {what: change(cell).name for what, change in CHANGES.items()}
    assert len({cell.name, *cells.values()}) == len(CHANGES) + 1


@pytest.mark.parametrize("what", SAME)
def test_nothing_else_changes_a_cells_name(cell, what):
    assert SAME[what](cell) != cell or what == "adapter's card"
    assert SAME[what](cell).name == cell.name


def test_a_cells_name_is_16_hex_digits_of_its_identity(cell):
    assert len(cell.name) == 16
    assert int(cell.name, 16) >= 0
    assert cell.label() == "INFP+prompt(INFP) on mbti"
    # In the digests of what they name, or where they count.
    drawn = {"samples", "temperature", "top_p", "balanced"}
    elsewhere = {"data_dir", "questionnaire", "fold_system_prompt", "pairs", "limits", *drawn}
    assert set(asdict(cell.settings)) - elsewhere <= set(cell.identity())


def test_a_folded_prompt_belongs_to_a_cells_identity_only_where_there_is_one(base):
    made = make_arms([], ["base", "base+prompt"], "INFP")
    plain, folded = (
        {cell.arm.name: cell.name for cell in make_cells(base, made, [find_task("mbti")], settings)}
        for settings in (Settings(), Settings(fold_system_prompt=True))
    )
    assert plain["base"] == folded["base"]
    assert plain["base+prompt(INFP)"] != folded["base+prompt(INFP)"]


def test_cells_are_every_arm_on_every_task_an_adapters_together(base):
    arms = make_arms([adapter()], ARM_KINDS)
    cells = make_cells(base, arms, [find_task("mbti"), find_task("situations")], Settings())
    assert [(c.arm, c.task.name) for c in cells] == [(arm, t) for arm in arms for t in ("mbti", "situations")]
    assert len({c.name for c in cells}) == 8
