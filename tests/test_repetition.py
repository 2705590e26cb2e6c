"""How much a sequence repeats itself: known answers, and loops as they are defined."""

from __future__ import annotations

import pytest

from lapd.statistics.repetition import distinct_share, longest_loop, repeated_share


def test_shares_of_n_grams_have_known_answers() -> None:
    words = ["i", "am", "so", "sorry", "i", "am", "so", "sorry", "i", "am"]
    # 7 four-grams, of which the first 4 are new; 9 two-grams, of which 4 are distinct.
    assert repeated_share(words, 4) == pytest.approx(3 / 7)
    assert distinct_share(words, 2) == pytest.approx(4 / 9)


def test_a_sequence_shorter_than_an_n_gram_has_no_share() -> None:
    assert repeated_share(["one", "two", "three"], 4) is None
    assert distinct_share(["one"], 2) is None
    assert repeated_share(["one", "two", "three", "four"], 4) == 0


@pytest.mark.parametrize(
    ("text", "longest"),
    [
        ("", 0),
        ("a", 0),
        ("a b c d", 0),
        ("very very good", 1),
        ("a b a b a", 3),  # the last time is only begun
        ("a b c a b", 0),  # a phrase that is not said again whole
        ("x y so sorry so sorry so sorry z", 4),
        ("no no no no and yes yes", 3),
        ("a b a b c d e c d e c d e", 6),
        ("a b c d a b c d x a b c d", 4),  # only what stands directly before counts
    ],
)
def test_a_loop_says_again_at_once_what_stands_before_it(text: str, longest: int) -> None:
    assert longest_loop(text.split()) == longest


def test_the_longest_loop_is_that_of_trying_every_place_and_period() -> None:
    import random

    rng = random.Random(1)
    for _ in range(200):
        words = rng.choices("abc", k=rng.randint(0, 14))
        assert longest_loop(words) == tried(words), words


def tried(words: list[str]) -> int:
    best = 0
    for period in range(1, len(words)):
        for start in range(period, len(words)):
            for end in range(start + period, len(words) + 1):
                if all(words[i] == words[i - period] for i in range(start, end)):
                    best = max(best, end - start)
    return best
