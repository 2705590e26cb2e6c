"""An answer is read only where there is one: no range, no denial, and not one of several, wherever they stand."""

import pytest
from lapd.tasks.answers import read_choice, read_number

OPTIONS = {"A": "angry at the waiter", "B": "relieved", "C": "bored"}

NO_NUMBER = [
    # ranges
    "5-6", "5 - 6", "5 \u2013 6", "5~6", "5 or 6", "five or six", "five or 6", "5 or six", "4 to 5", "5/6",
    "5, maybe 6",
    "My rating is 5-6.", "I'd rate it 4 to 5", "I would say 5 or 6", "between 3 and 5", "4-5 depending on the day",
    "5 1/2", "5 and a half",
    # several
    "choose 1 on some days and 7 on others", "I would choose 1 on some days and 7 on others.", "3 at work, 6 at home",
    "Sometimes 3, sometimes 6", "I choose 1 today and 7 tomorrow", "5. But 3 when tired.", "It's 3. Wait, 5.",
    "6 for friends, 2 for strangers", "My rating is 3. On bad days 1.",
    # denied
    "My answer is not 7", "Not 5", "I don't think 7 is right", "I wouldn't say 7", "7 is too high", "more than 5",
    "5+", "five-six", "5 at most", "5 or more", "anything but a 4",
    "The wrong number is 7", "I would never give a 7", "Anything but 7", "7?", "at least 5",
    # other scales, and none
    "5/10", "80%", "-3", "8", "1 means not at all and 7 means completely",
]  # fmt: skip

NUMBERS = {
    "5, not 7": "5", "Not 7 but 5": "5", "5 rather than 6": "5", "I don't think 7 is right; 5": "5",
    "I do not like noise, 2": "2", "I'm not a people person, so 2": "2", "I'd say 6. It is not 7 because I rest.": "6",
    "I have 2 kids and would say 5.": "5", "5. I have been like this for 20 years.": "5", "One.": "1",
    "4 because 5 is too strong": "4", "I'd pick 5 because 4 felt low and 6 felt high": "5", "seven": "7",
    "Answer: 5\n\nExplanation: 1 is not at all and 7 is completely.": "5", "5\n\n(1 = not at all, 7 = completely)": "5",
    "From 1 (not at all) to 7 (completely), I'd say 4.": "4", "My answer is not 7, it is 4": "4", "5/7": "5",
    "5.0": "5", "I'd say 5.0 of 7": "5",
}  # fmt: skip

NO_CHOICE = [
    # denied
    "I don't think A is the best answer", "The wrong answer is A", "The worst choice is C", "A isn't the right answer.",
    "It is not A.", "It's not B", "That's A's fault", "The least likely answer is C", "I would not choose B.",
    "I wouldn't pick B",
    "The answer can't be A", "I don't believe the answer is A", "I doubt A is the best answer",
    "I disagree that A is the best answer",
    "The second best answer is B", "The other option is A", "Neither A nor B", "The incorrect one is A.", "All but B",
    "Is the answer A?", "I rule out A.",
    # several
    "choose A on some days and B on others", "I would choose A on some days and B on others.", "A for work, B for home",
    "Sometimes A, sometimes B", "A, but sometimes B", "I pick A, but on weekends B.", "A; on other days B", "A\nB",
    "A (but also B)", "A-B", "Both A and B", "A for others, B for me", "B. I think the answer is A.",
    "The best answer is: A. No, the best answer is: B", "A. angry at the waiter\nB. relieved\nC. bored",
    "I can't decide between A and B",
    # the own words
    "He would not be relieved.", "I don't think he was bored",
]  # fmt: skip

CHOICES = {
    "B, because ... A is the better choice for others": "B",
    "B, because it is calm. A is the better choice for others.": "B",
    "B, because I like quiet and A is the better choice for people who party": "B",
    "It's B.": "B", "That would be B": "B", "'B'": "B", "B instead of A": "B",
    "The answer is B, not A": "B", "The answer is B rather than A.": "B", "A? No, the answer is B.": "B",
    "A isn't right. B is the right answer.": "B", "Between A and B, I'd choose B.": "B", "B is correct; A is not": None,
    "The best answer is: B\nA and C don't fit.": "B", "Most people would choose A. I choose B.": "B",
    "Some would say A, but my answer is B.": "B", "I'm not sure, but the answer is B": "B",
    "Without a doubt the answer is B": "B", "Since I don't like crowds, I choose B.": "B",
    "Because he is kind, B is the best answer.": "B", "I rule out A. The answer is B.": "B", "The answer is B!": "B",
    "A. angry at the waiter\nB. relieved\nC. bored\n\nThe best answer is: B": "B", "Option B": "B",
    "The best answer is: B\nReason: he likes A, C and tea.": "B", "The answer is B<|im_end|>": "B",
}  # fmt: skip


@pytest.mark.parametrize("text", NO_NUMBER)
def test_a_range_a_denial_and_several_numbers_are_no_rating(text):
    assert read_number(text) is None


@pytest.mark.parametrize("text", NUMBERS)
def test_a_rating_is_read_beside_numbers_that_are_none(text):
    assert read_number(text) == NUMBERS[text]


@pytest.mark.parametrize("text", NO_CHOICE)
def test_a_denial_and_several_letters_are_no_choice(text):
    assert read_choice(text, OPTIONS) is None


@pytest.mark.parametrize("text", CHOICES)
def test_a_choice_is_read_beside_letters_that_are_denied_explained_or_for_others(text):
    assert read_choice(text, OPTIONS) == CHOICES[text]


def test_a_long_text_is_read_in_a_moment():
    for text in ("not " * 3000 + "A", "because A. " * 1000, "(" * 5000, "the answer is " * 1000, "5 to " * 500):
        read_choice(text, OPTIONS)
        read_number(text)
