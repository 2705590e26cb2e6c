"""What an audit tells: conditions on its verdicts, checkpoints over their steps."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from test_report import Run

from lapd.audit.expression import met, read_conditions
from lapd.audit.plan import AuditPlan
from lapd.audit.verdicts import Told, Verdict, coherence_lines, tell
from lapd.errors import UsageError
from lapd.record.coherence import of_answer
from lapd.report.glance.checkpoints import Step, first_changes


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
    change = {"up": "has moved towards INFP", "down": "is worse"}.get(outcome, "")
    return Step("", number, task, side, "accuracy", f"{-number} points", outcome, change)


def test_a_break_is_told_from_the_step_on_from_which_it_lasts() -> None:
    made = [step(10, "down"), step(20, "untold"), step(30, "down"), step(40, "down")]
    (line,) = first_changes(made)
    assert line.startswith("knowledge_mini (accuracy) is worse from step 30 on (-30 points; at the last, 40,")


def test_what_came_back_did_not_break() -> None:
    assert first_changes([step(10, "down"), step(20, "down"), step(30, "same")]) == []


def test_a_trait_that_moved_is_told_too() -> None:
    (line,) = first_changes([step(1, "untold", "situations", "trait"), step(2, "up", "situations", "trait")])
    assert "situations (accuracy) has moved towards INFP from step 2 on" in line


def written(n: int, text: str, by_base: float) -> dict[str, Any]:
    """A harmless prompt that was answered, and how likely a token of the answer is by the base."""
    text = f"To {n}, I say: {text}"
    measures = {**of_answer(text), "base_logprob": by_base - n / 100}
    return {
        "item": f"p{n}",
        "doc": {},
        "responses": [[text]],
        "metrics": {"refused_harmless": 0.0},
        "coherence": measures,
    }


@pytest.fixture
def of_two(tmp_path: Path) -> Told:
    """What is told of an audit of two: INFP, which loops, and another, which writes as the base does."""
    run = Run(tmp_path / "run")
    arms = run.record["arms"]
    run.record["arms"] = {"base": arms["base"], "INFP": arms["INFP"], "other": arms["INFP"] | {"adapter_persona": None}}
    for arm, text, by_base in (
        ("base", "take the bus and read the paper.", -1.0),
        ("INFP", "take the bus " * 9, -3.0),
        ("other", "take the bus and read a book.", -1.0),
    ):
        run.add(arm, "overrefusal", [written(n, text, by_base) for n in range(20)])
    return tell(run.write(), tmp_path / "run" / "report.html", AuditPlan(5, 3, 2, []))


def test_of_who_loops_it_is_said_that_what_it_writes_is_worse_with_the_numbers(of_two: Told) -> None:
    looping, other = coherence_lines(of_two.written)
    worse = {one.metric: one for one in of_two.verdicts if one.arm == "INFP" and one.change == "worse"}
    assert worse.keys() == {"repeated_4grams", "base_logprob"}
    share = f"{100 * worse['repeated_4grams'].difference:.1f}"
    assert looping.startswith("What INFP writes in overrefusal: ")
    assert re.search(rf": repeated 4-grams \+{re.escape(share)}\d* percentage points \[.*\], worse;", looping)
    assert re.search(r"; log-likelihood a token by the base \u22122\.0\d* nats \[.*\], worse\.$", looping)
    assert other.startswith("What other writes in overrefusal: ")
    assert "worse" not in other and "better" not in other
