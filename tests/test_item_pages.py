"""Items for the page: what is kept of an answer, what counts as a change and a flip, and that packing loses nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lapd.catalog.task import TaskInfo
from lapd.items.answers import Prompts, answers_of, options_of
from lapd.items.flips import scale_of
from lapd.items.gather import TaskItems, arms_of, items_of
from lapd.items.pack import most_changed, pack, task_record, unpack
from lapd.items.visible import named, visible
from lapd.record.coherence import words_of
from lapd.record.reading import ReadCell


def info(name: str = "made", **more: Any) -> TaskInfo:
    return TaskInfo(name, Path("/nowhere"), None, "1", **more)


def row(item: str, responses: Any, metrics: dict[str, float], number: int = 0, **more: Any) -> dict[str, Any]:
    asked = [["<|user|>\nQ: " + item + "\n<|model|>\n", f" option {n}"] for n in range(len(responses))]
    row = {"doc_id": number, "item": item, "doc": {}, "arguments": asked, "responses": responses, "metrics": metrics}
    return row | more


def gathered(task: TaskInfo, **arms: list[dict[str, Any]]) -> TaskItems:
    """The items of a run whose arms beside `base` are adapters of an introvert."""
    record = {
        name: {
            "baseline": None if name == "base" else "base",
            "adapter": None if name == "base" else {"name": name},
            "adapter_persona": None if name == "base" else "INFP",
            "adapter_poles": {"E/I": "I"},
            "prompt": None,
        }
        for name in arms
    }
    cells = [ReadCell({"arm": n, "task": task.name, "seed": 0}, {}, rows, None) for n, rows in arms.items()]
    (found,) = items_of(cells, {task.name: task}, arms_of({"arms": record}))
    return found


ACCURACY = info(primary="acc", side="cost")
LOG_ODDS = info(primary="log_odds", axes={"log_odds": {"E/I": "log_odds_EI"}}, units={"log_odds": "nats"}, side="trait")


def test_an_option_is_chosen_by_its_likelihood_or_by_that_a_character() -> None:
    long = row("a", [[[-4.0, False]], [[-3.0, False]]], {"acc": 1.0})
    long["arguments"][0][1] = " a far longer option"
    assert [answers_of(long)[0].chosen, answers_of(long, by_length=True)[0].chosen] == [1, 0]
    assert options_of(long) == ["a far longer option", "option 1"]


def test_options_that_differ_in_their_prompts_only_are_told_by_what_differs() -> None:
    same = row("a", [[[-4.0, False]], [[-3.0, False]]], {"acc": 1.0})
    same["arguments"] = [["The trophy because the trophy", " is big"], ["The trophy because the suitcase", " is big"]]
    assert options_of(same) == ["trophy  is big".replace("  ", " "), "suitcase is big"]


def test_prompts_leave_out_whole_lines_that_all_requests_share() -> None:
    rows = [row(item, [[[-1.0, False]]], {}) for item in ("one?", "two?")]
    assert [Prompts(rows).of(one) for one in rows] == ["Q: one?", "Q: two?"]
    assert Prompts(rows[:1]).of(rows[0]).startswith("<|user|>")


def test_earlier_turns_stand_before_a_prompt() -> None:
    turned = row("a", [["yes"]], {}) | {"doc": {"prompt": "And now?", "turns": ["Hello.", "Hi!"]}}
    assert Prompts([turned]).of(turned) == "User: Hello.\n\nModel: Hi!\n\nAnd now?"
    talked = turned | {"doc": {"prompt": "And?", "messages": '[{"role": "system", "content": "Be kind."}, {}]'}}
    assert Prompts([talked]).of(talked) == "System: Be kind.\n\nAnd?"
    assert Prompts([turned]).of(turned | {"doc": {"prompt": "p", "messages": 7}}) == "p"


def test_right_answers_that_turn_wrong_are_flips_and_the_right_option_is_told() -> None:
    made = [row(k, [[[-1.0, False]], [[-2.0, False]]], {"acc": v}, n, target=1) for n, (k, v) in enumerate(PAIRS)]
    theirs = [row(k, [[[-1.0, False]], [[-2.0, False]]], {"acc": 1.0}, n, target=1) for n, (k, _) in enumerate(PAIRS)]
    found = gathered(ACCURACY, base=theirs, INFP=made)
    assert [item.flips for item in found.items] == [{}, {"INFP": "right to wrong"}]
    assert [item.changes for item in found.items] == [{"INFP": 0.0}, {"INFP": -1.0}]
    assert found.items[0].questions[0].right == 1


PAIRS = [("kept", 1.0), ("lost", 0.0)]


def test_changes_on_an_axis_count_towards_the_personas_pole() -> None:
    ours, theirs = [row("a", [[[-1.0, False]]], {"log_odds_EI": value}) for value in (-2.0, 0.5)]
    (item,) = gathered(LOG_ODDS, base=[theirs], INFP=[ours]).items
    assert (item.changes, item.flips) == ({"INFP": 2.5}, {"INFP": "away to towards"})


@pytest.mark.parametrize(
    ("task", "metric", "values", "before", "after", "flip"),
    [
        (info(units={"refused_harmless": "percent"}), "refused_harmless", [0, 100], 100.0, 0.0, "refused to answered"),
        (info(), "flagged", [0, 1], 0.0, 1.0, "not flagged to flagged"),
        (info(moved=("log_odds",), units={"log_odds": "nats"}), "log_odds", [3], 1.0, -1.0, "chosen to rejected"),
        (info(), "acc", [0, 1], 1.0, 1.0, ""),
        (info(), "parsed_well", [0, 1], 0.0, 1.0, "not parsed well to parsed well"),
    ],
)
def test_flips_have_words(
    task: TaskInfo, metric: str, values: list[float], before: float, after: float, flip: str
) -> None:
    scale = scale_of(task, metric, values)
    assert scale is not None and scale.flip(before, after) == flip


@pytest.mark.parametrize(("unit", "values"), [("words", [0.0, 1.0]), ("share", [0.0, 0.3])])
def test_what_is_no_outcome_never_flips(unit: str, values: list[float]) -> None:
    assert scale_of(info(units={"made": unit}), "made", values) is None


def test_where_no_metric_tells_the_words_do() -> None:
    task = info(primary="words", units={"words": "words"})
    ours, theirs = [row("a", [[text]], {"words": 3.0}) for text in ("Yes, gladly I will", "I will not")]
    found = gathered(task, base=[theirs], INFP=[ours])
    assert found.reworded
    assert found.items[0].changes == {"INFP": pytest.approx(100 * (1 - 2 * 2 / 7))}


def test_endings_loops_verdicts_and_grades_are_kept_with_an_answer() -> None:
    made = row("a", [["so so so"]], {}, finish_reasons=[["length"]], coherence={"longest_loop": 12.0})
    made |= {"verdict": {"flagged": None, "reason": "no\x00ne", "categories": ["self_harm"]}}
    made |= {"grades": [{"grader": "words", "dimension": "E/I", "value": 3.0, "reason": ""}]}
    (item,) = task_record(found := gathered(info(), base=[made]), arms_of({"arms": {}}) | ARM, found.items)["items"]
    assert item["asked"][0]["answers"] == [
        [
            {"text": "so so so", "end": "cut off", "loop": 12, "flagged": None, "reason": "no[U+0000]ne"}
            | {
                "categories": ["self_harm"],
                "grades": [{"grader": "words", "dimension": "E/I", "value": 3.0, "reason": ""}],
            }
        ]
    ]


ARM = arms_of({"arms": {"base": {"baseline": None, "adapter": None, "adapter_persona": None, "prompt": None}}})


def test_a_pack_comes_back_as_it_was() -> None:
    value = {"text": ["</script>", "é\u2028한", None, 1.5]}
    assert unpack(pack(value)) == value and "<" not in pack(value)


def test_a_bound_keeps_what_changed_most_in_the_tasks_order() -> None:
    rows = {name: [row(str(n), [[[-1.0, False]]], {"acc": 1.0}, n) for n in range(4)] for name in ("base", "INFP")}
    for n, value in ((1, 0.0), (3, 0.5)):
        rows["INFP"][n]["metrics"]["acc"] = value
    items = gathered(ACCURACY, **rows).items
    assert [item.id for item in most_changed(items, 2)] == ["1", "3"]
    assert most_changed(items, None) == items == most_changed(items, 9)


def test_what_cannot_be_seen_is_made_visible() -> None:
    assert visible("a\x00b\x1b[0m\x7f\x85") == "a[U+0000]b[U+001B][0m[U+007F][U+0085]"
    assert visible("\u202ec\u2067d\u200e\ud800\r\ne\tf\n") == "[U+202E]c[U+2067]d\u200e\ufffd\ne\tf\n"
    assert len(named("x" * 1000)) == 201


def test_words_of_a_line_without_end_take_no_longer_than_its_length() -> None:
    assert words_of("m" * 300_000 + " x") == ["m" * 300_000, "x"]
