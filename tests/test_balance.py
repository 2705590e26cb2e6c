"""Which documents a balanced draw takes: whole items, every part of a task in turn, the same ones each time."""

from __future__ import annotations

from collections import Counter

from lapd.data import knowledge_items

from lapd.catalog.balance import difficulties, drawn, items_in_turn

DOCUMENTS = [
    {"item": f"{axis}{number}", "axis": axis, "topic": f"t{number % 3}", "way": way}
    for axis in ("E/I", "S/N")
    for number in range(6)
    for way in ("plain", "talk")
]


def test_a_draw_takes_whole_items_and_as_many_of_each_axis() -> None:
    numbers = drawn(DOCUMENTS, 9, "item", seed=0)
    taken = Counter(str(DOCUMENTS[number]["item"]) for number in numbers)
    assert set(taken.values()) == {2}
    assert len(taken) == 4
    assert Counter(name[:3] for name in taken) == {"E/I": 2, "S/N": 2}


def test_topics_take_turns_within_an_axis() -> None:
    order = items_in_turn(DOCUMENTS, "item", seed=3)[:6]
    topics = Counter((DOCUMENTS[numbers[0]]["axis"], DOCUMENTS[numbers[0]]["topic"]) for numbers in order)
    assert set(topics.values()) == {1}
    assert len(topics) == 6


def test_a_larger_draw_holds_the_smaller_one_and_another_seed_draws_others() -> None:
    small, large = drawn(DOCUMENTS, 4, "item", 1), drawn(DOCUMENTS, 12, "item", 1)
    assert set(small) < set(large)
    assert any(drawn(DOCUMENTS, 4, "item", seed) != small for seed in range(2, 6))
    assert drawn(DOCUMENTS, 4, "item", 1) == small


def test_a_limit_below_one_item_still_takes_one() -> None:
    assert len(drawn(DOCUMENTS, 1, "item", 0)) == 2


def test_easy_and_hard_questions_are_drawn_alike() -> None:
    items = knowledge_items()
    known = difficulties()["knowledge_mini"]
    taken = Counter(known[str(items[n]["id"])] for n in drawn(items, 30, "id", 0, "knowledge_mini"))
    assert set(taken.values()) == {10}
