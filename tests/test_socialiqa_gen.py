"""A written answer to a SocialIQA item: read in many forms, missing where it cannot be told; and lm-eval's own task."""

import math

import pytest
from conftest import SHARED
from known_answers import socialiqa_agreement
from lapd.data import social_items
from lapd.tasks.answers import read_choice, read_number
from lapd.tasks.socialiqa import generated

from lapd.files.whole import write_jsonl

OPTIONS = {"A": "a good friend", "B": "lonely and a bit homesick", "C": "lonely"}

READ = {
    "The best answer is: B": "B",
    "the best answer is: b": "B",
    "The best answer is: (B) lonely and a bit homesick\nReason: she knew nobody.": "B",
    "**The best answer is: B**\nReason: A is wrong, and C says too little.": "B",
    "The best answer is:\n\n**B**": "B",
    'The best answer is: "B"': "B",
    "The best answer is: B, because C is wrong": "B",
    "The best answer is B it says more": "B",
    "The best answer is: B. So again, the best answer is: B": "B",
    "The best answer is: option C": "C",
    "The best answer is: 2": "B",
    "The best answer is: (3)": "C",
    "The best answer is: A - a good friend": "A",
    "The best answer is: lonely and a bit homesick.": "B",
    "The best answer is: Lonely.": "C",
    "The best answer is: a good friend": "A",
    "The correct answer is $\\boxed{\\text{B}}$.": "B",
    "Final answer: \\boxed{C}": "C",
    "<answer>B</answer>": "B",
    "Answer: C": "C",
    "I think (C) is the best answer.": "C",
    "Option B is the best choice because A is wrong": "B",
    "I would choose option C because it is short.": "C",
    "B": "B",
    "b": "B",
    "(C)": "C",
    "B) lonely and a bit homesick": "B",
    "3": "C",
    "He would be a good friend that day.": "A",
}

UNREAD = [
    "",
    "I do not know.",
    "The best answer is: X",
    "The best answer is: D",
    "The best answer is: 4",
    "The best answer is not A",
    "The best answer is: A or B",
    "The best answer is: A/B",
    "The best answer is: A and C.",
    "The best answer is: B. The best answer is: C",
    "The best answer is: A - lonely",
    "B) lonely",
    "A. a good friend B. lonely",
    "The best answer is: A good reason to leave",
    "A good man would leave",
    "2 days later she left",
    "She was lonely and a bit homesick that day.",
]


@pytest.mark.parametrize("text", READ)
def test_an_answer_is_read(text):
    assert read_choice(text, OPTIONS) == READ[text]


@pytest.mark.parametrize("text", UNREAD)
def test_an_answer_that_cannot_be_told_is_none(text):
    assert read_choice(text, OPTIONS) is None


def test_the_words_of_two_equal_answers_name_neither():
    options = {"A": "accomplished", "B": "accomplished", "C": "proud"}
    assert read_choice("The best answer is: accomplished", options) is None
    assert read_choice("The best answer is: A. accomplished", options) is None
    assert read_choice("The best answer is: A", options) == "A"
    assert read_choice("The best answer is: proud", options) == "C"


@pytest.mark.parametrize("item", social_items()[:20], ids=lambda item: item["id"])
def test_every_form_of_every_answer_is_read(item):
    for number, label in enumerate("ABC", 1):
        own = item[f"answer{label}"]
        for text in (f"The best answer is: {label}\nReason: {own}", f"{label}. {own}", own, f"({number})"):
            right = float(number == int(item["label"]))
            found = generated.score(item, [text])
            assert found == {"acc": right, "percent_parseable": 100, "acc_lowest": right, "acc_highest": right}


def test_an_unread_answer_is_missing_never_wrong():
    item = social_items()[0]
    assert generated.score(item, ["Who knows?"]) == {"percent_parseable": 0, "acc_lowest": 0, "acc_highest": 1}


@pytest.mark.parametrize(
    ("text", "number"),
    [
        *[
            (text, "5")
            for text in ("5", "**5**", "5.", "5/7", "5 out of 7", "five", "I would say 5.", "Rating: 5 (of 7)")
        ],
        *[(text, "6") for text in ("6, because it fits", "6. 7 would be too much", "On a scale of 1 to 7, I give 6")],
        ("My answer is 6, since 7 means completely", "6"),
        *[
            (text, None)
            for text in ("", "5 or 6", "5-6", "5.5", "8", "0", "10", "-3", "3, 4", "between 3 and 5", "1-7")
        ],
        ("1 means not at all and 7 means completely", None),
        ("I was born in 1990.", None),
    ],
)
def test_a_number_is_read(text, number):
    assert read_number(text) == number


# Loaded by lm-eval


@pytest.mark.slow
@pytest.mark.parametrize("name", ["socialiqa_gen", "socialiqa_mini_gen"])
def test_the_written_task_stops_at_no_blank_line_and_reads_the_same_data(name, tmp_path):
    from lapd.catalog.find import find_task
    from lapd.catalog.live import load_task

    items = [{k: v for k, v in item.items() if k != "id"} for item in social_items()[:3]]
    write_jsonl(tmp_path / "socialiqa" / "dev.jsonl", items)
    (tmp_path / "socialiqa" / "dev-labels.lst").write_text("".join(f"{i['label']}\n" for i in items))
    task = load_task(find_task(name), str(tmp_path))
    assert task.config.generation_kwargs["until"] == []
    doc = next(iter(task.eval_docs))
    text = task.doc_to_text(doc)
    assert text.endswith("The best answer is: X\nReason: why it fits best, in one or two sentences")
    assert f"A. {doc['answerA']}\nB. {doc['answerB']}\nC. {doc['answerC']}\n" in text
    assert task.doc_to_target(doc) == "ABC"[int(doc["label"]) - 1]
    assert task.process_results(doc, [f"The best answer is: {task.doc_to_target(doc)}"])["acc"] == 1
    assert len(task.eval_docs) == (3 if name == "socialiqa_gen" else 80)


# A known answer: lm-eval's own task


@pytest.mark.slow
@pytest.mark.parametrize(("chat", "items"), [(False, 200), (True, 40)], ids=["plain", "chat template"])
def test_socialiqa_predicts_item_by_item_what_lm_evals_own_task_predicts(chat, items):
    """The same real dev items through both tasks, on the embedded model."""
    folder = SHARED / "benchmarks"
    if not (folder / "socialiqa" / "dev.jsonl").is_file():
        pytest.skip("../shared/benchmarks/socialiqa is not here")
    found = socialiqa_agreement(folder, items, chat)
    assert (found.items, found.same_requests, found.same_predictions) == (items, items, items)
    assert found.furthest < 1e-3
    assert math.isclose(found.ours, found.theirs)
