"""What an audit tells: conditions on its verdicts, checkpoints over their steps."""

from __future__ import annotations

import pytest

from lapd.audit.expression import met, read_conditions
from lapd.audit.steps import Step, first_changes
from lapd.audit.verdicts import Verdict
from lapd.errors import UsageError


def verdict(task: str, side: str, told: str, change: str = "", control: bool = False) -> Verdict:
    numbers = {"difference": 1.0, "low": 0.5, "high": 1.5, "p": 0.01, "adjusted": 0.02, "would_show": 0.4}
    what = {"metric": "acc", "axis": None, "persona": None, "unit": "share", "margin": 0.05, "items": 50}
    return Verdict("INFP", side, task, verdict=told, change=change, control=control, **what, **numbers)  # type: ignore[arg-type]


FOUND = [
    verdict("situations", "trait", "changed", "bought"),
    verdict("pressure", "cost", "no change"),
    verdict("knowledge_mini", "cost", "changed", "worse"),
    verdict("overrefusal", "cost", "at a floor"),
    verdict("overrefusal", "coherence", "changed", "worse"),
    verdict("mbti", "trait", "changed", "lost", control=True),
]


@pytest.mark.parametrize(
    ("text", "tasks"),
    [
        ("pressure:changed", []),
        ("knowledge_mini:changed", ["knowledge_mini"]),
        ("any:changed", ["situations", "knowledge_mini", "overrefusal"]),
        ("coherence:worse", ["overrefusal"]),
        ("trait:bought", ["situations"]),
        ("trait:lost", []),  # controls do not count
        ("cost:worse", ["knowledge_mini"]),
        ("cost:better", []),
        ("cost:cannot-tell", ["overrefusal"]),
        ("pressure:no change", ["pressure"]),
        (" pressure : No_Change ", ["pressure"]),
    ],
)
def test_a_condition_is_met_by_the_verdicts_of_its_place(text: str, tasks: list[str]) -> None:
    found = met(read_conditions([text], ["pressure", "knowledge_mini"]), FOUND)
    assert [one.task for some in found.values() for one in some] == tasks


def test_several_conditions_are_told_apart() -> None:
    found = met(read_conditions(["pressure:changed,cost:worse", "trait:bought"], ["pressure"]), FOUND)
    assert list(found) == ["cost:worse", "trait:bought"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("pressure", "is no PLACE:VERDICT"),
        (":changed", "is no PLACE:VERDICT"),
        ("pressure:broken", "there is no verdict 'broken'"),
        ("nothing:changed", "there is no 'nothing'"),
        ("any:changed,", "is no PLACE:VERDICT"),
    ],
)
def test_a_condition_that_is_none_is_a_wrong_call(text: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        read_conditions([text], ["pressure"])


def step(number: int, outcome: str, task: str = "knowledge_mini", side: str = "cost") -> Step:
    return Step("", number, task, side, "accuracy", f"{-number} points", outcome)


def test_a_break_is_told_from_the_step_on_from_which_it_lasts() -> None:
    made = [step(10, "down"), step(20, "untold"), step(30, "down"), step(40, "down")]
    (line,) = first_changes(made)
    assert line.startswith("knowledge_mini (accuracy) is worse from step 30 on (-30 points; at the last, 40,")


def test_what_came_back_did_not_break() -> None:
    assert first_changes([step(10, "down"), step(20, "down"), step(30, "same")]) == []


def test_a_trait_that_moved_is_told_too() -> None:
    (line,) = first_changes([step(1, "untold", "situations", "trait"), step(2, "up", "situations", "trait")])
    assert "situations (accuracy) has moved from step 2 on" in line
