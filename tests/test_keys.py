"""A file's rows find their documents, also where an item has several, and what could mean several is refused."""

from pathlib import Path

import pytest
from lapd.tasks.mbti import generated

from lapd.catalog.find import find_task
from lapd.catalog.keys import Documents
from lapd.catalog.scoring import read_responses, score_responses
from lapd.errors import DataError
from lapd.files.whole import write_jsonl

INFO = find_task("mbti_text")
DOCS = [
    {"item": "one", "prompt": "First?"},
    {"item": "one", "prompt": "Second?"},
    {"item": "two", "prompt": "Third?\nA. x"},
]
FILE = Path("rows.jsonl")


def find(*keys):
    return Documents(INFO, DOCS).find(FILE, keys, "Look again.")


def test_documents_of_one_item_have_numbers():
    assert Documents(INFO, DOCS).names == ["one/1", "one/2", "two"]


def test_a_document_is_found_by_id_by_number_by_prompt_and_by_both():
    assert find(("two", None), (None, "Second?"), ("one/1", None)) == [2, 1, 0]
    assert find(("one", "Second?"), ("one", "First?"), ("two", "another wording")) == [1, 0, 2]


def test_an_id_of_several_documents_is_refused_with_what_to_give():
    with pytest.raises(DataError, match=r"id one: of several documents of mbti_text\. .*from one/1 to one/2") as caught:
        find(("two", None), ("one", None))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", [("three", None), (None, "Fourth?"), ("one/3", None), ("one", "Fourth?"), (None, None)])
def test_a_row_about_no_document_is_refused(key):
    with pytest.raises(DataError, match=r"not in mbti_text\. Look again"):
        find(("two", None), key)


@pytest.mark.parametrize("twice", [[("one/1", None), (None, "First?")], [("two", None), ("two", "Third?\nA. x")]])
def test_two_rows_about_one_document_are_refused(twice):
    with pytest.raises(DataError, match="more than once"):
        find(*twice)


def test_an_id_may_come_with_several_prompts(tmp_path):
    rows = [{"id": "one", "prompt": doc["prompt"], "response": "5"} for doc in DOCS[:2]]
    write_jsonl(tmp_path / "r.jsonl", rows)
    assert [key for key, _ in read_responses(tmp_path / "r.jsonl")] == [("one", "First?"), ("one", "Second?")]
    write_jsonl(tmp_path / "r.jsonl", [*rows, rows[0]])
    with pytest.raises(DataError, match="id one: more than once"):
        read_responses(tmp_path / "r.jsonl")


# The questionnaire in writing: six documents an item

WRITTEN = [dict(doc) for doc in generated.documents()["test"]]


def towards_the_first_pole(doc):
    """What somebody answers who is wholly at the first pole of every axis."""
    if doc["way"] == "choice":
        return "B" if doc["flipped"] else "A"
    return "7" if (doc["pole"] == doc["axis"].partition("/")[0]) != doc["flipped"] else "1"


@pytest.mark.slow
@pytest.mark.parametrize("ids", [False, True], ids=["by prompt", "by id and prompt"])
def test_384_consistent_answers_are_all_read(ids, tmp_path):
    path = tmp_path / "answers.jsonl"
    item = {"id": None}
    rows = [
        {**({"id": doc["item"]} if ids else item), "prompt": doc["prompt"], "response": towards_the_first_pole(doc)}
        for doc in WRITTEN
    ]
    write_jsonl(path, [{k: v for k, v in row.items() if v is not None} for row in rows[::-1]])
    score = score_responses("mbti_text", path)
    assert (score.n_total, score.n_parseable, score.missing) == (384, 384, [])
    assert {score.metrics[f"{way}_{axis}"] for way in ("agreement", "choice") for axis in ("EI", "SN", "TF", "JP")} == {
        100
    }
    assert (score.metrics["position_bias"], score.metrics["acquiescence"]) == (50, 50)
    write_jsonl(path, [{k: v for k, v in row.items() if v is not None} for row in rows[1:]])
    assert score_responses("mbti_text", path).missing == [f"{WRITTEN[0]['item']}/1"]


@pytest.mark.slow
def test_one_answer_for_an_item_of_six_documents_is_refused(tmp_path):
    path = tmp_path / "answers.jsonl"
    write_jsonl(path, [{"id": WRITTEN[0]["item"], "response": "7"}])
    with pytest.raises(DataError, match="of several documents of mbti_text"):
        score_responses("mbti_text", path)
