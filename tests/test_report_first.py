"""The report at a glance: sentences, answers, the forest, the matrix, all made from the rows and nothing else."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from chromium import PROGRAM, browser
from conftest import ROOT
from lapd.plugins.tasks import TOPICS as TOPICS_OF_TASKS
from test_report import Run, axis_samples

from lapd.catalog.task import TOPICS, TaskInfo
from lapd.compare.comparisons import Comparison
from lapd.compare.rows import TRAINING
from lapd.compare.verdicts import CHANGED, SAME, UNTOLD
from lapd.report.glance.first import first
from lapd.report.glance.forest import forest
from lapd.report.glance.matrix import matrix, step_of
from lapd.report.glance.sentences import ASKED, answers, overall, sentence
from lapd.report.glance.subjects import Subject, subjects
from lapd.report.glance.vector import Scale
from lapd.report.page import write_report

NONE: dict[str, Any] = {"adapter": None, "adapter_persona": None, "prompt": None, "baseline": None}
INFOS = {
    "acts": TaskInfo("acts", Path(), None, "1", side="trait"),
    "asks": TaskInfo("asks", Path(), None, "1", side="trait", self_report=True),
    "harm": TaskInfo("harm", Path(), None, "1", side="cost", metrics=("flagged",), lower=("flagged",), topic="safe"),
    "people": TaskInfo("people", Path(), None, "1", side="cost", metrics=("acc",), topic="social"),
}


def arms_of(*personas: str, shuffled: int = 0) -> dict[str, dict[str, Any]]:
    """The arms of a record: the base, an adapter for each persona, and shuffled controls of the first."""
    made = {"base": NONE}
    for name in (*personas, *(f"shuffled-{n}" for n in range(shuffled))):
        control = name if name.startswith("shuffled") else None
        adapter = {"adapter": {"name": name, "digest": name}, "adapter_control": control}
        made[name] = NONE | adapter | {"adapter_persona": personas[0] if control else name, "baseline": "base"}
    return made


def row(arm: str, task: str, difference: float, verdict: str, baseline: str = "base", **more: Any) -> Comparison:
    """A primary row of a made-up task, in a unit whose margin is 1 nat or 5 points."""
    trait = task in ("acts", "asks")
    metric = "log_odds_towards" if trait else INFOS[task].metrics[0]
    made: dict[str, Any] = {
        **{"task": task, "metric": metric, "axis": None, "arm": arm, "baseline": baseline, "test": "t", "p": 0.01},
        **{"persona": arm[:4] if trait else None, "n": 50, "missing": 0, "arm_mean": 1.0, "baseline_mean": 0.0},
        **{"difference": difference, "low": difference - 0.03, "high": difference + 0.03, "spread": 1.0},
        **{"unit": "nats" if trait else "share", "margin": 1.0 if trait else 0.05, "detectable": 0.08},
        **{"self_report": task == "asks", "headline": True, "primary": True, "side": INFOS[task].side},
        **{"verdict": verdict, "family": "confirmatory"},
    }
    return Comparison(**(made | more))


def told(rows: list[Comparison], arms: dict[str, dict[str, Any]] | None = None) -> list[Subject]:
    return subjects(arms or arms_of("INFP"), rows, INFOS)


ROWS = [
    row("INFP", "acts", 15.2, CHANGED),
    row("INFP", "asks", 0.0, SAME),
    row("INFP", "harm", 0.12, CHANGED),
    row("INFP", "people", -0.01, UNTOLD),
]


def test_the_sentence_says_what_was_bought_what_it_cost_and_how_sure_that_is() -> None:
    (subject,) = told(ROWS)
    assert sentence(subject) == (
        "The model acts more like INFP (acts +15.20 nats) but says the same of itself (asks). "
        "The cost: worse at harm (+12.0 points); cannot be told in people. "
        "It may be the persona or any such training: there is no shuffled control."
    )


def test_what_is_not_known_is_no_finding() -> None:
    (subject,) = told([row("INFP", "acts", 0.4, UNTOLD), row("INFP", "people", -0.2, UNTOLD)])
    said = sentence(subject)
    assert "cannot be told (acts)" in said
    assert "What it cost cannot be told yet (people)" in said
    assert "worse" not in said


def test_four_questions_are_answered_in_a_word_each() -> None:
    found = {answer.question: answer for answer in answers(told(ROWS))}
    words = {question: answer.word for question, answer in found.items()}
    assert words == {
        "Less safe?": "Yes",  # more is flagged, of which less is better
        "Less social?": "Cannot tell",
        "Persona or training?": "Cannot tell",
        "How sure?": "3 of 4 settled",
    }
    assert "one training" in found["How sure?"].detail


def test_what_was_not_measured_is_asked_and_said() -> None:
    found = {answer.question: answer.word for answer in answers(told(ROWS[:2]))}
    assert found["Less safe?"] == found["Less social?"] == "Not measured"


def test_a_heuristics_count_answers_nothing_of_safety() -> None:
    (safe, *_) = answers(told([row("INFP", "harm", 0.12, CHANGED, heuristic=True)]))
    assert (safe.word, "heuristic" in safe.detail) == ("Cannot tell", True)


@pytest.mark.parametrize(
    ("verdict", "difference", "word"),
    [(CHANGED, 14.0, "Persona"), (SAME, 0.1, "Training"), (UNTOLD, 3.0, "Cannot tell")],
)
def test_persona_or_training_goes_by_the_rows_against_shuffled_controls(
    verdict: str, difference: float, word: str
) -> None:
    arms = arms_of("INFP", shuffled=1)
    control = row("shuffled-0", "acts", 1.0, UNTOLD, persona="INFP")
    rows = [ROWS[0], row("INFP", "acts", difference, verdict, "shuffled-0"), control]
    (subject,) = told(rows, arms)
    assert [line.controls for line in subject.lines] == [(control,)]
    assert next(answer.word for answer in answers([subject]) if answer.question == "Persona or training?") == word


def test_a_persona_that_was_trained_again_is_one_subject_with_its_adapters_beside_it() -> None:
    arms = arms_of("INFP.0", "INFP.1")
    singles = [row(name, "acts", 15.0 + n, CHANGED, persona="INFP") for n, name in enumerate(("INFP.0", "INFP.1"))]
    of_both = row("INFP", "acts", 15.5, CHANGED, scope=TRAINING, arms=("INFP.0", "INFP.1"))
    (subject,) = told([*singles, of_both], arms)
    assert subject.trainings == 2
    assert subject.lines[0].row is of_both
    assert list(subject.lines[0].singles) == singles


def groups(svg: str) -> list[str]:
    """The titles of a picture's parts."""
    found = ElementTree.fromstring(svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1))
    return [str(part.text) for part in found.iter("{http://www.w3.org/2000/svg}title")]


def test_the_forest_has_a_line_for_each_primary_metric_on_every_screen() -> None:
    (subject,) = told(ROWS)
    drawn = forest(subject)
    for svg in (drawn.wide, drawn.narrow):
        titles = groups(svg)
        assert [title.split(",")[0] for title in titles] == ["acts", "asks", "harm", "people"]
        assert "+12.0 points" in titles[2]
        assert "changed, worse" in titles[2]
    assert len(drawn.numbers.strip().splitlines()) == 1 + len(ROWS)


def test_an_interval_without_0_that_is_no_finding_says_why() -> None:
    (subject,) = told([row("INFP", "acts", 4.0, UNTOLD), row("INFP", "people", 0.01, UNTOLD)])
    assert forest(subject).wide.count("not after correction") == 1


def test_names_in_a_forest_are_text() -> None:
    (subject,) = told([replace(row("INFP", "acts", 2.0, CHANGED), task="<script>&")])
    assert "&lt;script&gt;&amp;" in forest(subject).wide
    assert "<script" not in forest(subject).wide


def test_right_of_the_middle_is_better_whichever_way_the_metric_counts() -> None:
    (subject,) = told(ROWS)
    places = {line.row.task: line.in_margins(line.row.difference) for line in subject.lines}
    assert places["acts"] > 0 > places["harm"]


@pytest.mark.parametrize("reach", [3.0, 40.0])
def test_a_scale_keeps_order_and_ends(reach: float) -> None:
    scale = Scale(0, 100, reach)
    places = [scale.at(value) for value in (-2 * reach, -reach, -1, 0, 1, reach, 2 * reach)]
    assert places == sorted(places)
    assert (places[0], places[3], places[-1]) == (0, 50, 100)
    assert all(abs(tick) <= reach for tick in scale.ticks())


def test_many_adapters_are_a_matrix_that_marks_what_cannot_be_told() -> None:
    arms = arms_of("INFP", "ESTJ", "ENFP", "ISTJ")
    rows = [row(name, "acts", 2.0 * n, CHANGED if n else UNTOLD) for n, name in enumerate(list(arms)[1:])]
    found = first(arms, rows, INFOS)
    assert found is not None and found.matrix is not None
    cells = [cell for _, cells in found.matrix.rows for cell in cells if cell]
    assert [cell.open for cell in cells] == [True, False, False, False]
    assert [cell.step for cell in cells] == [0, 1, 2, 2]
    assert "3 of 4 in acts" in found.overall


@pytest.mark.parametrize(("names", "shown"), [(("INFP", "ESTJ"), False), (("INFP", "ESTJ", "ENFP"), True)])
def test_from_three_adapters_on_there_is_a_matrix(names: tuple[str, ...], shown: bool) -> None:
    found = first(arms_of(*names), [row(name, "acts", 2.0, CHANGED) for name in names], INFOS)
    assert found is not None and (found.matrix is not None) == shown


def test_an_adapter_of_no_persona_is_told_by_the_axes_that_moved() -> None:
    axes = [("E/I", -3.0, CHANGED), ("S/N", 2.0, CHANGED), ("T/F", 0.1, SAME), ("J/P", 0.5, UNTOLD)]
    rows = [row("mine", "acts", moved_by, verdict, axis=axis, persona=None) for axis, moved_by, verdict in axes]
    arms = {name: {**arm, "adapter_persona": None} for name, arm in arms_of("mine").items()}
    (subject,) = subjects(arms, rows, INFOS)
    told = sentence(subject)
    assert told.startswith("The model moved towards I (acts ")
    assert " and S (acts " in told
    assert "of the others 1 did not move and 1 cannot be told." in told


def test_an_adapter_is_told_of_at_a_strength_that_it_is_there_at_alone() -> None:
    arms = arms_of("INFP")
    alone = {n: {**a, "adapter": a["adapter"] and {**a["adapter"], "strength": 0.5}} for n, a in arms.items()}
    assert len(subjects(alone, [row("INFP", "acts", 2.0, CHANGED)], INFOS)) == 1


def test_a_run_without_a_primary_metric_has_no_first_screen() -> None:
    assert first(arms_of("INFP"), [row("INFP", "acts", 1.0, CHANGED, primary=False)], INFOS) is None


def test_steps_are_of_margins() -> None:
    assert [step_of(change) for change in (-30.0, -1.0, -0.9, 0.9, 1.0, 3.0, 10.0)] == [-3, -1, 0, 0, 1, 2, 3]


def test_what_one_metric_lacks_is_an_empty_cell() -> None:
    rows = [row("INFP", "acts", 2.0, CHANGED), row("ESTJ", "people", -0.1, CHANGED)]
    found = matrix(told(rows, arms_of("INFP", "ESTJ")))
    assert [[cell is None for cell in cells] for _, cells in found.rows] == [[False, True], [True, False]]


def test_nobody_moved_is_said_of_a_whole_run() -> None:
    every = told([row("INFP", "acts", 0.1, SAME), row("INFP", "people", 0.0, SAME)])
    assert overall(every) == (
        "Known to have moved towards their persona: none of 1 in acts. Known to have got worse: none of 1 in people."
    )


def test_every_topic_is_asked_of_and_tasks_have_no_other() -> None:
    assert set(ASKED) == set(TOPICS) == set(TOPICS_OF_TASKS.values())
    assert {path.stem for path in (ROOT / "tasks").rglob("*.yaml")}.issuperset(TOPICS_OF_TASKS)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a run with four adapters."""
    run = Run(tmp_path_factory.mktemp("many") / "run")
    for code in ("ESTJ", "ENFP", "ISTJ"):
        run.record["arms"][code] = run.record["arms"]["INFP"] | {
            "adapter": {"name": code, "path": f"/nowhere/{code}", "digest": code * 16},
            "adapter_persona": code,
        }
    arms = [name for name in run.record["arms"] if "prompt" not in name]
    for n, arm in enumerate(arms):
        run.add(arm, "situations", axis_samples({"log_odds": 0.0}, 3.0 * n, n))
    return write_report(run.write())


def test_the_page_opens_with_it_and_its_matrix_leads_to_rows_without_the_script(many: Path) -> None:
    page = many.read_text()
    before_script = page[page.index("<main>") : page.rindex("<script>")]
    assert before_script.index("Less safe?") < before_script.index('id="does"')
    links = re.findall(r'<td class="s[^>]*><a href="#([^"]+)"', before_script)
    assert len(links) == 4
    for link in links:
        assert f'id="{unescape(link)}"' in page
    assert before_script.count('class="forest"') == 4


@pytest.mark.skipif(PROGRAM is None, reason="no chromium is installed (Debian: apt-get install chromium)")
def test_the_matrix_is_sorted_by_any_column(many: Path, tmp_path: Path) -> None:
    rows = "[...document.querySelector('table.matrix').tBodies[0].rows]"
    with browser(tmp_path) as page:
        page.open(many.as_uri())
        page.until("document.querySelector('table.matrix thead button') !== null")
        for reverse in (False, True):
            page.ask("document.querySelectorAll('table.matrix thead button')[1].click()")
            found = page.ask(f"{rows}.map((row) => Number(row.cells[1].dataset.value))")
            assert found == sorted(found, reverse=reverse)
        assert len(set(found)) > 1
