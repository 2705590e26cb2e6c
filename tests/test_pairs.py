"""Preference pairs: written and read back unchanged, and refused with file, line and fault."""

import json

import pytest

from lapd.errors import DataError, UsageError
from lapd.pairs.controls import control_pairs
from lapd.pairs.pair import PreferencePair, pairs_digest, read_pairs, write_pairs

GOOD = {"prompt": "How was it?", "chosen": "Quiet.", "rejected": "Loud."}


def write(path, *lines):
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path


def test_pairs_come_back_as_they_were_written(tmp_path):
    pairs = [
        PreferencePair("질문 \u2028?", "a\nb", 'c "d"', {"id": "ei-001", "axis": "E/I"}),
        PreferencePair("p", "c", "r"),
    ]
    assert write_pairs(tmp_path / "pairs.jsonl", iter(pairs)) == 2
    assert read_pairs(tmp_path / "pairs.jsonl") == pairs


def test_other_fields_are_ignored_and_a_source_that_is_no_object_is_dropped(tmp_path):
    path = write(tmp_path / "p.jsonl", json.dumps({**GOOD, "more": 1}), json.dumps({**GOOD, "source": "web"}))
    assert read_pairs(path) == [PreferencePair(**GOOD), PreferencePair(**GOOD)]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('{"prompt": "x"', "this line is not JSON"),
        ('["a"]', "a pair is a JSON object, not list"),
        ("null", "a pair is a JSON object, not NoneType"),
        (json.dumps({**GOOD, "chosen": GOOD["rejected"] + " "}), "chosen and rejected are identical"),
        (json.dumps({**GOOD, "chosen": "  "}), "'chosen' is missing, empty or not text"),
        (json.dumps({**GOOD, "rejected": 3}), "'rejected' is missing, empty or not text"),
        (json.dumps({"chosen": "a", "rejected": "b"}), "'prompt' is missing, empty or not text"),
    ],
)
def test_a_line_that_is_no_pair_is_refused_by_file_and_number(tmp_path, line, fault):
    path = write(tmp_path / "p.jsonl", json.dumps(GOOD), "", line, json.dumps(GOOD))
    with pytest.raises(DataError) as caught:
        read_pairs(path)
    assert str(caught.value).startswith(f"{path}:3: {fault}")
    assert "\n" not in str(caught.value)


def test_an_empty_file_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"p\.jsonl: there is no pair in this file\. `lapd generate` writes one"):
        read_pairs(write(tmp_path / "p.jsonl", "", "  "))


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"gone\.jsonl: there is no such file"):
        read_pairs(tmp_path / "gone.jsonl")


def test_the_digest_is_over_what_training_sees():
    one, two = PreferencePair("p", "c", "r"), PreferencePair("q", "c", "r")
    digest = pairs_digest([one, two])
    assert pairs_digest([PreferencePair("p", "c", "r", {"id": "x"}), two]) == digest
    assert pairs_digest([two, one]) != digest
    assert pairs_digest([PreferencePair("p", "r", "c"), two]) != digest


@pytest.fixture
def many():
    """Two hundred pairs on two axes."""
    axes = ("E/I", "J/P")
    return [PreferencePair(f"p{n}", f"yes {n}", f"no {n}", {"id": n, "axis": axes[n % 2]}) for n in range(200)]


def test_the_opposite_control_swaps_every_pair(many):
    opposite = control_pairs(many, "opposite")
    assert [(p.prompt, p.chosen, p.rejected) for p in opposite] == [(p.prompt, p.rejected, p.chosen) for p in many]


def test_the_shuffled_control_swaps_half_of_each_axis_and_nothing_else(many):
    shuffled = control_pairs(many, "shuffled")
    swapped = [p.chosen.startswith("no") for p in shuffled]
    assert sum(swapped[0::2]) == sum(swapped[1::2]) == 50
    assert [{p.chosen, p.rejected} for p in shuffled] == [{p.chosen, p.rejected} for p in many]
    assert [p.source.get("swapped", False) for p in shuffled] == swapped


def test_each_shuffled_control_has_a_half_of_its_own(many):
    assert control_pairs(many, "shuffled") == control_pairs(many, "shuffled-0") != control_pairs(many, "shuffled-1")


def test_of_an_odd_number_a_coin_decides_on_the_last(many):
    swaps = {sum("swapped" in p.source for p in control_pairs(many[:14:2], f"shuffled-{n}")) for n in range(20)}
    assert swaps == {3, 4}


@pytest.mark.parametrize("name", ["shuffled-", "shuffled-x", "opposite-1", "random", "shuffled--1"])
def test_there_is_no_other_control(many, name):
    with pytest.raises(UsageError, match=f"There is no control '{name}'"):
        control_pairs(many, name)
