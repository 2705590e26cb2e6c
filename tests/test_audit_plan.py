"""What an audit plans: items where they let one see most, what it takes, and when nothing fits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lapd.adapters.adapter import Adapter
from lapd.audit.allotment import FEWEST, Candidate, allot, spread_of
from lapd.audit.plan import AuditPlan, make_audit_plan, plan_of
from lapd.audit.speed import Pace, Probe, Speed, rates_of, scored_pace, written_pace
from lapd.catalog.find import tasks
from lapd.catalog.task import TaskInfo
from lapd.errors import UsageError

NAMES = ("situations", "mbti", "knowledge_mini")
COUNTS = {"situations": [1] * 100, "mbti": [7] * 64, "knowledge_mini": [1] * 120}
INFP = Adapter("INFP", Path("/nowhere"), "d" * 64, None, given="INFP")
NOBODY = Adapter("mine", Path("/nowhere"), "e" * 64, None)


def infos() -> list[TaskInfo]:
    return [tasks()[name] for name in NAMES]


def candidates(pace: Pace) -> list[Candidate]:
    return [Candidate(info, COUNTS[info.name], pace, 1, 3) for info in infos()]


def speed(document: float, took: float = 0.0) -> Speed:
    paces = {name: Pace(0.1, document) for name in NAMES}
    return Speed(2.0, paces, {name: pace.times(1.5) for name, pace in paces.items()}, took)


def plan(minutes: float, document: float, subject: Adapter = INFP, took: float = 0.0) -> AuditPlan:
    return make_audit_plan(minutes, [subject], infos(), COUNTS, speed(document, took))


def test_with_time_enough_every_item_is_asked() -> None:
    assert allot(candidates(Pace(0, 0.01)), 1000) == {"situations": 100, "mbti": 64, "knowledge_mini": 120}


def test_short_of_time_the_items_go_where_a_change_that_matters_would_stay_unseen() -> None:
    found = allot(candidates(Pace(0, 1)), 200)
    # A handful of questionnaire items shows a hundredth of its margin already, and each takes seven documents.
    assert found["mbti"] == FEWEST
    assert found["knowledge_mini"] > 4 * FEWEST
    assert sum(c.seconds(found[c.info.name]) for c in candidates(Pace(0, 1))) <= 200


def test_the_more_time_the_less_stays_unseen() -> None:
    some = candidates(Pace(0, 1))
    found = [allot(some, seconds) for seconds in (80, 120, 200, 400, 700)]
    unseen = [sum(c.blindness(items.get(c.info.name, 0)) for c in some) for items in found]
    assert unseen == sorted(unseen, reverse=True)


def test_short_of_time_for_all_tasks_both_sides_stay() -> None:
    found = allot(candidates(Pace(0, 1)), 25)
    assert set(found) == {"situations", "knowledge_mini"}


def test_a_plan_fits_into_its_minutes_and_counts_what_measuring_took() -> None:
    made = plan(5, 0.5, took=40)
    assert 100 < made.planned_s <= 300
    assert made.planned_s > plan(5, 0.5).planned_s - 40
    assert made.speed_s == 40
    assert set(made.limits) <= set(NAMES)


def test_a_task_that_is_asked_whole_has_no_limit() -> None:
    made = plan(30, 0.01)
    assert made.limits == {}
    assert [task.items for task in made.tasks] == [100, 64, 120]


def test_the_change_that_would_show_is_larger_once_it_is_corrected() -> None:
    (knowledge,) = [task for task in plan(30, 0.01).tasks if task.task == "knowledge_mini"]
    assert knowledge.would_show is not None and knowledge.corrected is not None
    assert 0.05 < knowledge.would_show < knowledge.corrected < 0.2
    assert knowledge.short
    assert "docs/study.md" in knowledge.known_from


def test_without_a_persona_every_axis_is_a_row_of_its_own() -> None:
    made = plan(30, 0.01, NOBODY)
    assert made.family == 4 + 4 + 1
    assert {task.task: task.each for task in made.tasks} == {"situations": 25, "mbti": 16, "knowledge_mini": 120}
    with_persona = plan(30, 0.01)
    assert made.tasks[0].would_show is not None and with_persona.tasks[0].would_show is not None
    assert made.tasks[0].would_show > with_persona.tasks[0].would_show


def test_how_far_values_vary_is_taken_from_the_like_of_a_task_that_was_not_in_the_study() -> None:
    like = {
        name: found.task for name in ("pressure_gen", "mbti_text", "eqbench") if (found := spread_of(tasks()[name]))
    }
    assert like == {"pressure_gen": "pressure", "mbti_text": "mbti", "eqbench": "pressure"}


def test_too_few_minutes_for_anything_are_refused_with_how_many_it_takes() -> None:
    with pytest.raises(UsageError, match=r"In 0\.1 minutes nothing can be measured here: .* Give --minutes 1 or more"):
        plan(0.1, 0.5)


def test_a_plan_is_read_back_as_it_was() -> None:
    made = plan(5, 0.5, took=3)
    assert plan_of(json.loads(json.dumps(made.as_json()))) == made


# 0.5 s whatever is asked, 0.01 s a token, 0.02 s a request; 60 tokens are shared, each document has 20 of its own.
SHARED = [Probe(n, 2 * n, 60 + 20 * n, 0.5 + 0.01 * (60 + 20 * n) + 0.04 * n) for n in (1, 4, 16)]
OTHERS = [Probe(5, 40, 50, 0.5 + 0.5 + 0.8), Probe(3, 3, 900, 0.5 + 9 + 0.06)]


def test_rates_are_told_from_a_few_documents_of_several_tasks() -> None:
    rates = rates_of([*SHARED, *OTHERS])
    assert (rates.cell, rates.token, rates.request) == pytest.approx((0.5, 0.01, 0.02))


def test_a_pace_goes_by_tokens_since_what_documents_share_is_computed_once() -> None:
    pace = scored_pace(rates_of([*SHARED, *OTHERS]), SHARED[0], tokens=60 + 20 * 100, documents=100)
    assert pace.document == pytest.approx(0.2 + 0.04)
    assert pace.seconds(100) == pytest.approx(0.5 + 0.01 * 2060 + 0.04 * 100)


def test_a_larger_probe_that_took_no_longer_gives_no_negative_rate() -> None:
    rates = rates_of([Probe(1, 2, 10, 3.0), Probe(4, 8, 40, 2.0)])
    assert min(rates.cell, rates.token, rates.request) >= 0


def test_one_more_answer_in_writing_takes_less_than_the_first() -> None:
    assert written_pace([Probe(1, 1, 100, 10.0)]).seconds(10) < 30
    assert written_pace([Probe(1, 1, 100, 5.0), Probe(4, 4, 400, 8.0)]).seconds(11) == pytest.approx(15)
    assert written_pace([Probe(1, 1, 100, 5.0), Probe(4, 4, 400, 4.0)]).document > 0
