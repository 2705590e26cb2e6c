"""The questions on common knowledge: whole, balanced, and without a cue to the right option in how the options look."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from lapd.data import knowledge_items

from lapd.catalog.find import find_task
from lapd.catalog.live import build_requests, load_task
from lapd.hygiene.similarity import near_duplicates
from lapd.statistics.shares import share_interval

ITEMS = knowledge_items()
CHANCE = 0.25


def test_each_question_is_whole_and_none_comes_twice() -> None:
    assert len(ITEMS) == 120
    assert [item["id"] for item in ITEMS] == [f"know-{n:03d}" for n in range(1, 121)]
    for item in ITEMS:
        assert set(item) == {"id", "topic", "question", "options", "answer"}
        assert len({option.lower() for option in item["options"]}) == 4
        assert all(option == option.strip() and option for option in item["options"])
        right = item["options"][item["answer"]]
        assert f" {right.lower()} " not in f" {item['question'].lower()} ", item["id"]
    questions = [item["question"] for item in ITEMS]
    assert len(set(questions)) == 120
    assert not list(near_duplicates(questions, ["question"] * 120, threshold=0.6))


def test_topics_and_the_places_of_right_options_are_balanced() -> None:
    assert set(Counter(item["topic"] for item in ITEMS).values()) == {10}
    assert len({item["topic"] for item in ITEMS[:12]}) == 12  # they take turns
    assert set(Counter(item["answer"] for item in ITEMS).values()) == {30}
    by_topic = Counter((item["topic"], item["answer"]) for item in ITEMS)
    assert set(by_topic.values()) == {2, 3} and len(by_topic) == 48


@pytest.mark.parametrize("extreme", [max, min])
def test_the_right_option_is_no_more_often_the_longest_or_shortest_than_chance(extreme: Any) -> None:
    count = 0.0
    for item in ITEMS:
        lengths = [len(option) for option in item["options"]]
        if lengths[item["answer"]] == extreme(lengths):
            count += 1 / lengths.count(extreme(lengths))
    assert 24 <= count <= 30


def test_of_numbers_the_right_one_lies_anywhere() -> None:
    places: Counter[int] = Counter()
    for item in ITEMS:
        if all(option.replace(",", "").isdecimal() for option in item["options"]):
            numbers = [int(option.replace(",", "")) for option in item["options"]]
            places[sorted(numbers).index(numbers[item["answer"]])] += 1
    assert len(places) == 4 and max(places.values()) <= 4


def surface(options: list[str]) -> np.ndarray:
    """What each option looks like beside the others, (4, features): place, length, form; nothing of what it means."""
    lengths, words = np.array([len(o) for o in options]), np.array([len(o.split()) for o in options])
    first = [option.split()[0] for option in options]
    return np.array(
        [
            [
                *(place == np.arange(4)),
                lengths[place],
                lengths[place] - lengths.mean(),
                abs(lengths[place] - lengths.mean()),
                (lengths < lengths[place]).sum(),
                (lengths > lengths[place]).sum(),
                words[place] - words.mean(),
                option[0].isupper(),
                option[-1] == "s",
                any(letter.isdigit() for letter in option),
                first[place] in ("a", "an", "the"),
                first.count(first[place]),
            ]
            for place, option in enumerate(options)
        ],
        dtype=float,
    )


def told_by_surface(seed: int, tells: bool = False) -> int:
    """How many of the right options a logistic regression on `surface` finds, in five folds of whole questions.

    Args:
        seed: of the folds.
        tells: make the right options a word longer, to see that it would be found.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    texts = [list(item["options"]) for item in ITEMS]
    right = np.array([item["answer"] for item in ITEMS])
    for options, answer in zip(texts, right, strict=True):
        options[answer] += " indeed" if tells else ""
    seen = np.array([surface(options) for options in texts])
    folds, found = np.random.default_rng(seed).permutation(len(ITEMS)) % 5, 0
    for fold in range(5):
        train, test = folds != fold, folds == fold
        labels = right[train, None] == np.arange(4)
        model = make_pipeline(StandardScaler(), LogisticRegression())
        model.fit(seen[train].reshape(-1, seen.shape[2]), labels.ravel())
        scores = model.decision_function(seen[test].reshape(-1, seen.shape[2])).reshape(-1, 4)
        found += int((scores.argmax(axis=1) == right[test]).sum())
    return found


def test_a_classifier_that_sees_only_how_options_look_stays_within_chance() -> None:
    for seed in range(5):
        low, high = share_interval(told_by_surface(seed), len(ITEMS))
        assert low <= CHANCE <= high, seed
    assert share_interval(told_by_surface(0, tells=True), len(ITEMS))[0] > CHANCE


@pytest.mark.parametrize("place", range(4))
def test_the_task_scores_the_right_option_and_asks_no_letters(place: int) -> None:
    """Who finds the option at one place likeliest is right on a quarter of them."""
    task = load_task(find_task("knowledge_mini"))
    requests = build_requests(task)
    assert len(requests) == 480
    assert requests[0].args[0].startswith("Question: ") and requests[0].args[0].endswith("\nAnswer:")
    assert requests[0].args[1] == f" {ITEMS[0]['options'][0]}"
    answers = [(-1.0 if choice == place else -9.0, False) for choice in range(4)]
    scores = [task.process_results(doc, answers) for doc in task.eval_docs]
    assert sum(score["acc"] for score in scores) == 30
