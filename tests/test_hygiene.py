"""Each check is seen to pass on clean data and to fail on data made to fail it."""

import random
import time
from dataclasses import replace
from itertools import product

import pytest
from conftest import ROOT, SHARED
from lapd.data import mbti

from lapd.files.whole import read_jsonl, write_jsonl
from lapd.hygiene.checks import CLASSIFIERS, check_entries, total
from lapd.hygiene.counting import data_stats
from lapd.hygiene.entries import Entry, read_entries
from lapd.hygiene.fix import dropped_path, fix_file, fix_rows
from lapd.hygiene.similarity import jaccard, near_duplicates, normalised, shingles, words
from lapd.pairs.pair import read_pairs
from lapd.pairs.readers import Fields, Row

AXES = mbti().ends

NEUTRAL = ["river", "table", "lamp", "garden", "train", "window", "paper", "coffee", "winter", "market", "bridge"]
TRAIT = {pole: [f"{pole.lower()}mark{n}" for n in range(6)] for poles in AXES.values() for pole in poles}


def text(seed, length, extra=()):
    """So many words that hold nothing but, if wanted, `extra`."""
    draw = random.Random(f"{seed}")
    body = [draw.choice(NEUTRAL) + str(draw.randrange(40)) for _ in range(length - len(extra))]
    places = [*body, *extra]
    draw.shuffle(places)
    return " ".join(places) + "."


def corpus(n_train=40, n_heldout=15):
    """Clean rows: equally long, with the trait in the vocabulary and nothing on the surface."""
    rows = []
    for axis, (first, second) in AXES.items():
        for n in range(n_train + n_heldout):
            length = 30 + n % 7
            responses = {
                pole: text((axis, n, pole), length, random.Random(f"{n}{pole}").sample(TRAIT[pole], 3))
                for pole in (first, second)
            }
            split = "train" if n < n_train else "heldout"
            rows.append(Entry(f"{axis}-{n}", text((axis, n), 15), responses, axis, split, "work", "en"))
    return rows


def as_pairs(rows):
    return [
        Entry(f"line {n}", row.prompt, dict(zip(("chosen", "rejected"), row.responses.values(), strict=True)))
        for n, row in enumerate(rows, 1)
    ]


CLEAN = corpus()


def by_name(entries):
    return {check.name: check for check in check_entries(entries)}


@pytest.fixture(scope="module")
def clean():
    return by_name(CLEAN)


def test_clean_data_passes_every_check(clean):
    assert {name: check.value for name, check in clean.items() if not check.ok} == {}
    assert set(CLASSIFIERS) < set(clean)
    assert dict(clean["bag of words"].by_axis).keys() == AXES.keys()


def test_clean_pairs_pass_every_check_that_applies():
    checks = by_name(as_pairs(CLEAN))
    assert {name for name, check in checks.items() if check.ok is False} == set()
    assert {name for name, check in checks.items() if check.ok is None} == {"near-duplicates between splits"}
    assert "cross-validated" in checks["bag of words"].note


def changed(n, **changes):
    return [replace(row, **changes) if at == n else row for at, row in enumerate(CLEAN)]


def responses(n, *texts):
    return changed(n, responses=dict(zip(CLEAN[n].responses, texts, strict=True)))


LONG = text("long", 40)
ITEM = "I told them that at a crowded party I drift between groups and gather energy."

FAULTS = {
    "empty fields": (changed(3, prompt="  "), 3, "prompt is empty"),
    "duplicate prompts": (changed(5, prompt=f" {CLEAN[2].prompt.upper()}"), 5, "the prompt of E/I-2"),
    "identical pairs": (responses(4, LONG, LONG.upper() + " "), 4, "E and I are identical"),
    "words in a response": (responses(7, text("a", 24), text("b", 24)), 7, "E has 24 words"),
    "near-duplicates within a split": (responses(8, LONG, LONG + " Two more."), 8, "I ~ E of E/I-8 (0.95)"),
    "near-duplicates between splits": (
        changed(41, prompt=CLEAN[2].prompt + " Otherwise put."),
        41,
        "prompt ~ prompt of E/I-2 (0.87)",
    ),
    "trait words and type codes": (changed(6, prompt="As an infp, what do you do on Monday?"), 6, "prompt has 'infp'"),
    "questionnaire items": (changed(9, prompt=ITEM), 9, "prompt shares 'a crowded party i drift between'"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found_in_its_row(clean, name):
    rows, at, fault = FAULTS[name]
    found = by_name(rows)[name]
    assert clean[name].ok is True
    assert found.ok is False
    assert (found.rows[0].row, found.rows[0].fault) == (rows[at].where, fault)


@pytest.mark.parametrize("word", ["an Introvert", "MBTI", "extroverted", "personality", "ENFJ", "내향적인", "성격이"])
def test_trait_words_are_found_in_both_languages(word):
    assert total(check_entries(changed(0, prompt=f"Tell me of {word} now.")), "trait words and type codes") == 1


def test_everyday_words_are_no_trait_words():
    harmless = "I feel, think, sense and judge. The thinking of perceptive people is a feeling; entire, intent, person."
    assert total(check_entries(changed(0, prompt=harmless)), "trait words and type codes") == 0


def test_the_word_ratio_may_be_off_on_a_twentieth_of_the_pairs(clean):
    def stretched(share):
        count = int(share * len(CLEAN))
        return [
            replace(row, responses={a: text((n, "x"), 45), b: text((n, "y"), 30)}) if n < count else row
            for n, row in enumerate(CLEAN)
            for a, b in [tuple(row.responses)]
        ]

    assert clean["word ratio, pair by pair"].value == 1
    assert by_name(stretched(0.04))["word ratio, pair by pair"].ok is True
    off = by_name(stretched(0.08))
    assert off["word ratio, pair by pair"].ok is False
    assert off["word ratio, pair by pair"].rows[0].fault == "ratio 1.50"
    assert off["word ratio, mean"].ok is False


SURFACES = {
    "length only": lambda pole, body: body + " and so on" if pole in "ESTJ" else body,
    "punctuation only": lambda pole, body: body[:-1] + "!" if pole in "ESTJ" else body,
    "first three words": lambda pole, body: ("Well now " if pole in "ESTJ" else "Oh my ") + body,
}


@pytest.mark.parametrize("name", SURFACES)
@pytest.mark.parametrize("pairs", [False, True], ids=["heldout", "cross-validated"])
def test_a_pole_that_shows_on_the_surface_is_found(name, pairs):
    told = [replace(r, responses={p: SURFACES[name](p, t) for p, t in r.responses.items()}) for r in CLEAN]
    check = by_name(as_pairs(told) if pairs else told)[name]
    assert check.ok is False
    assert check.value > 0.8


def test_data_without_the_trait_fails_the_bag_of_words():
    """As a control adapter's data do: chosen and rejected are at random."""
    draw = random.Random(1)
    rows = [replace(r, responses=dict(draw.sample(list(r.responses.items()), 2))) for r in CLEAN]
    check = by_name(as_pairs(rows))["bag of words"]
    assert check.ok is False
    assert check.value < 0.7


def test_a_prompts_responses_stay_together_in_cross_validation():
    """Otherwise a repeated row teaches its own answer."""
    rows = [Entry(f"line {n}", f"p{n // 8}", {"chosen": text(n // 8, 9), "rejected": text(-1 - n // 8, 9)})
            for n in range(400)]  # fmt: skip
    assert by_name(rows)["bag of words"].value < 0.65


def test_few_rows_are_neither_passed_nor_failed_by_a_classifier():
    checks = by_name([*CLEAN[:20], *CLEAN[40:45]])
    for name in CLASSIFIERS:
        assert checks[name].ok is None
        assert checks[name].value is None
        assert "too few" in checks[name].note


def test_languages_are_checked_apart():
    korean = [replace(row, where=f"ko-{row.where}", lang="ko") for row in CLEAN[:3]]
    checks = check_entries([*CLEAN[:3], *korean])
    assert {(c.name, c.lang) for c in checks} >= {("duplicate prompts", "en"), ("duplicate prompts", "ko")}
    assert total(checks, "duplicate prompts") == 0


def test_rows_without_two_responses_have_no_ratio():
    checks = by_name([Entry("line 1", "p", {"chosen": "", "rejected": "a"})])
    assert checks["word ratio, mean"].ok is None
    assert checks["identical pairs"].value == 0
    assert checks["empty fields"].value == 1


def test_the_same_data_give_the_same_figures():
    assert check_entries(as_pairs(CLEAN)) == check_entries(as_pairs(CLEAN))


# Similarity


def test_words_shingles_and_normalised_texts():
    assert words("Don't stop, (Zoë)!") == ["don't", "stop", "zoë"]
    assert shingles("a b c d") == {("a", "b", "c"), ("b", "c", "d")}
    assert shingles("A b") == {("a", "b")}
    assert shingles(" ! ") == set()
    assert jaccard(shingles("a b c d"), shingles("a b c e")) == pytest.approx(1 / 3)
    assert normalised("  How  ARE\tyou? ") == normalised("how are you?")
    assert normalised("A: hi\nB:") != normalised("A: hi B:")


def test_the_search_finds_what_comparing_all_with_all_finds():
    draw = random.Random(0)
    texts = [" ".join(draw.choice("abcd") for _ in range(draw.randrange(1, 12))) for _ in range(150)]
    sets = [shingles(t) for t in texts]
    similar = {(m, n) for n in range(150) for m in range(n) if jaccard(sets[m], sets[n]) >= 0.5}
    first = {(min(m for m, k in similar if k == n), n) for _, n in similar}
    assert len(first) > 30
    assert {(m, n) for m, n, _ in near_duplicates(texts, [""] * 150)} == first
    groups = [str(n % 2) for n in range(150)]
    across = {(groups[m], n) for m, n in similar}
    assert {(groups[m], n) for m, n, _ in near_duplicates(texts, groups)} == across


def test_thousands_of_rows_are_searched_in_seconds():
    started = time.process_time()
    same = "the very same answer to all that one could ever be asked"
    texts = [t for n in range(5000) for t in (f"you are asked about {text(n, 3)}", text((n, "c"), 60), same)]
    found = list(near_duplicates(texts, [""] * len(texts)))
    assert len(found) >= 4999
    assert time.process_time() - started < 20


# The shipped corpus, and a published set


def test_the_shipped_corpus_passes_all_gates():
    checks = check_entries(read_entries(str(ROOT / "data" / "contrast")))
    assert {(c.name, c.lang): c.rows or c.value for c in checks if c.ok is False} == {}
    not_applied = {(c.name, c.lang) for c in checks if c.ok is None}
    assert not_applied == set(product(CLASSIFIERS, ["ko"]))


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared is not here")
def test_the_faults_of_a_published_set_are_found_and_fixed(tmp_path):
    path = SHARED / "benchmarks" / "persona_pairs" / "energy_introversion_extraversion.jsonl"
    fields = Fields(None, "introversion", "extraversion")
    checks = check_entries(read_entries(str(path), fields))
    assert (total(checks, "duplicate prompts"), total(checks, "identical pairs")) == (212, 24)
    fixed = fix_file(str(path), tmp_path / "fixed.jsonl", fields)
    again = check_entries(read_entries(str(tmp_path / "fixed.jsonl")))
    assert (total(again, "duplicate prompts"), total(again, "identical pairs")) == (0, 0)
    assert len(fixed.kept) + len(fixed.dropped) == 2050


# Fixing


def test_only_what_needs_no_judgement_is_fixed():
    rows = [
        Row(1, " p ", "a", "b\n", {"id": 1}),
        Row(2, "P", "c", "d", {}),
        Row(3, "q", "same", "Same ", {}),
        Row(4, "r", " ", "b", {}),
        Row(5, "q", "a", "b", {}),
    ]
    fixed = fix_rows(rows)
    assert [(p.prompt, p.chosen, p.rejected, p.source) for p in fixed.kept] == [
        ("p", "a", "b", {"id": 1}),
        ("q", "a", "b", {}),
    ]
    assert fixed.trimmed == 1
    assert [(row.number, reason) for row, reason in fixed.dropped] == [
        (2, "repeated prompt of line 1"),
        (3, "identical chosen and rejected"),
        (4, "empty chosen"),
    ]
    assert fixed.reasons == {"repeated prompt": 1, "identical chosen and rejected": 1, "empty chosen": 1}


def test_a_fixed_file_can_be_trained_on_and_what_was_dropped_is_listed(tmp_path):
    row = {"prompt": "p", "chosen": "a", "rejected": "b"}
    write_jsonl(tmp_path / "in.jsonl", [row, {**row, "chosen": "c"}])
    fix_file(str(tmp_path / "in.jsonl"), tmp_path / "out.jsonl")
    assert len(read_pairs(tmp_path / "out.jsonl")) == 1
    assert dropped_path(tmp_path / "out.jsonl").name == "out.dropped.jsonl"
    ((_, dropped),) = read_jsonl(tmp_path / "out.dropped.jsonl")
    assert (dropped["reason"], dropped["number"], dropped["chosen"]) == ("repeated prompt of line 1", 2, "c")


# Counting


def test_rows_are_counted_and_their_words_measured():
    stats = data_stats(CLEAN)
    assert stats.rows == 220
    assert stats.counts["axis"] == dict.fromkeys(AXES, 55)
    assert stats.counts["split"] == {"train": 160, "heldout": 60}
    assert stats.splits["J/P"] == {"train": 40, "heldout": 15}
    assert stats.quantiles()["en"]["prompt"]["p50"] == 15
    assert stats.quantiles()["en"]["E"]["p100"] == 36
