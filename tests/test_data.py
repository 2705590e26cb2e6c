"""The shipped data: complete, balanced, told apart, and free of the words that would give the answer away."""

import json
import re
from collections import Counter
from dataclasses import replace
from itertools import product

import pytest
import yaml
from conftest import ROOT
from lapd.data import contrast_corpus, mbti, questionnaire, social_items

from lapd.errors import DataError, StoreError
from lapd.files.whole import read_json, read_jsonl, write_jsonl
from lapd.questionnaires.reading import read_questionnaire
from lapd.traits.situations import read_situations

AXES = mbti().ends

CORPUS = [("en", "train", 100), ("en", "heldout", 25), ("ko", "train", 20), ("ko", "heldout", 5)]
FORMS = [("A", "en"), ("B", "en"), ("A", "ko")]

TRAIT_WORDS = re.compile(
    r"\b(introver\w*|extr[ao]ver\w*|ambiver\w*|intuit\w*|sensing|sensors?|judging|perceiving|perceivers?|"
    r"thinkers?|feelers?|mbti|myers|briggs|personalit\w*|[EI][SN][TF][JP])\b"
    r"|내향|외향|직관형|감각형|사고형|감정형|판단형|인식형|성격",
    re.IGNORECASE,
)


def whole_corpus():
    return [s for lang, split, _ in CORPUS for s in contrast_corpus(split, lang)]


def texts(situation):
    return [situation.situation, *situation.responses.values()]


def runs_of_words(text, length=6):
    words = re.findall(r"\w+(?:['\u2019]\w+)*", text.lower())
    return {tuple(words[n : n + length]) for n in range(len(words) - length + 1)}


@pytest.mark.parametrize("path", sorted((ROOT / "data").rglob("*.*")), ids=lambda p: str(p.relative_to(ROOT)))
def test_every_data_file_is_valid(path):
    if "templates" in path.parts:
        return  # a whole package: test_examples.py runs its own tests
    if path.suffix == ".json":
        assert read_json(path)["schema"].startswith("lapd.")
        assert read_json(path)["licence"] == "Apache-2.0"
    elif path.suffix == ".jsonl":
        assert [number for number, _ in read_jsonl(path)] == list(range(1, path.read_text().count("\n") + 1))
    elif path.suffix in (".yaml", ".yml"):
        assert yaml.safe_load(path.read_text())
    else:
        assert path.suffix in (".py", ".pyc", ".md", ".txt")
        assert path.suffix == ".pyc" or path.read_text(encoding="utf-8").strip()


@pytest.mark.parametrize(("lang", "split", "count"), CORPUS)
def test_the_corpus_has_as_many_situations_on_each_axis(lang, split, count):
    situations = contrast_corpus(split, lang)
    assert Counter(s.axis for s in situations) == dict.fromkeys(AXES, count)
    assert {s.lang for s in situations} == {lang}
    assert {s.split for s in situations} == {split}


def test_every_situation_is_there_once():
    corpus = whole_corpus()
    assert len({s.id for s in corpus}) == len(corpus) == 600
    assert len({s.situation for s in corpus}) == 600
    assert len({text for s in corpus for text in s.responses.values()}) == 1200


def test_every_situation_has_its_axiss_poles_in_order_and_a_licence():
    for situation in whole_corpus():
        assert tuple(situation.responses) == AXES[situation.axis]
        assert situation.id.startswith(situation.axis.replace("/", "").lower())
        assert situation.topic
    rows = [
        row for path in (ROOT / "data" / "traits" / "mbti" / "contrast").rglob("*.jsonl") for _, row in read_jsonl(path)
    ]
    assert {row["licence"] for row in rows} == {"Apache-2.0"}


def test_no_pole_is_given_away_by_the_length_of_its_responses():
    for situation in whole_corpus():
        words = [len(text.split()) for text in situation.responses.values()]
        assert max(words) / min(words) <= 1.15, situation.id
    for (lang, split, _), axis in product(CORPUS, AXES):
        pairs = [[len(t.split()) for t in s.responses.values()] for s in contrast_corpus(split, lang) if s.axis == axis]
        first, second = (sum(words) / len(pairs) for words in zip(*pairs, strict=True))
        assert first / second == pytest.approx(1, abs=0.06), (lang, split, axis)


def test_no_text_names_a_trait():
    named = {s.id: m[0] for s in whole_corpus() for text in texts(s) if (m := TRAIT_WORDS.search(text))}
    assert named == {}
    statements = [t for form in FORMS for item in questionnaire(*form) for t in item.statements.values()]
    assert [t for t in statements if TRAIT_WORDS.search(t)] == []


def test_no_response_is_trained_on_and_held_out():
    trained = {text for s in contrast_corpus("train") for text in texts(s)}
    held_out = {text for s in contrast_corpus("heldout") for text in texts(s)}
    assert not trained & held_out
    # Situations may end in the same question; what is said in them may not.
    answers = [[t for s in contrast_corpus(split) for t in s.responses.values()] for split in ("train", "heldout")]
    runs = [set().union(*(runs_of_words(text, 8) for text in side)) for side in answers]
    assert runs[0] & runs[1] == set()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"topic": None}, None),
        ({"responses": {"I": "a", "E": "b"}}, None),
        ({"responses": {"I": "a", "F": "b"}}, "the responses are not those of the poles of 'E/I'"),
        ({"axis": "X/Y"}, "there is no axis 'X/Y'"),
        ("split", "a situation has no 'split'"),
    ],
)
def test_a_corpus_file_is_checked(tmp_path, change, message):
    row = next(read_jsonl(ROOT / "data" / "traits" / "mbti" / "contrast" / "en" / "ei.jsonl"))[1]
    changed = {k: v for k, v in row.items() if k != change} if isinstance(change, str) else {**row, **change}
    write_jsonl(tmp_path / "x.jsonl", [row, changed])
    if message is None:
        assert len(read_situations(tmp_path / "x.jsonl", AXES)) == 2
    else:
        with pytest.raises(DataError, match=f"x.jsonl:2: {message}"):
            read_situations(tmp_path / "x.jsonl", AXES)


@pytest.mark.parametrize(("form", "lang"), FORMS)
def test_a_questionnaire_has_16_items_an_axis_each_with_both_poles(form, lang):
    items = questionnaire(form, lang)
    assert len(items) == 64
    assert Counter(item.axis for item in items) == dict.fromkeys(AXES, 16)
    assert len({item.id for item in items}) == 64
    for item in items:
        assert tuple(item.statements) == AXES[item.axis]
        words = [len(text.split()) for text in item.statements.values()]
        assert max(words) - min(words) <= 2
    assert len({text for item in items for text in item.statements.values()}) == 128


def test_the_forms_ask_about_the_same_facets_in_other_words():
    facets = [[(item.axis, item.facet) for item in questionnaire(*form)] for form in FORMS]
    assert sorted(facets[0]) == sorted(facets[1]) == sorted(facets[2])
    assert len(set(facets[0])) == 64
    statements = [{t for item in questionnaire(form) for t in item.statements.values()} for form in "AB"]
    assert not statements[0] & statements[1]


def test_the_axes_take_turns_so_that_a_limit_leaves_them_balanced():
    for form in FORMS:
        items = questionnaire(*form)
        for start in range(0, 64, 4):
            assert {item.axis for item in items[start : start + 4]} == set(AXES)


def test_the_questionnaire_shares_no_run_of_six_words_with_the_corpus():
    statements = [t for form in FORMS for item in questionnaire(*form) for t in item.statements.values()]
    asked = set().union(*map(runs_of_words, statements))
    taught = set().union(*(runs_of_words(text) for s in whole_corpus() for text in texts(s)))
    assert asked & taught == set()


def test_a_form_that_there_is_not_is_a_data_error():
    with pytest.raises(DataError, match=r"questionnaire-c\.en\.json: there is no such file"):
        questionnaire("C")


def test_a_newer_questionnaire_is_refused(tmp_path):
    (tmp_path / "questionnaire-a.en.json").write_text(json.dumps({"schema": "lapd.questionnaire/2"}))
    with pytest.raises(StoreError, match=r"newer LAPD"):
        read_questionnaire(replace(mbti(), folder=tmp_path).questionnaire())


def test_the_social_items_are_balanced_over_their_labels():
    items = social_items()
    assert len(items) == len({item["id"] for item in items}) == len({item["context"] for item in items}) == 80
    labels = Counter(int(item["label"]) for item in items)
    assert set(labels) == {1, 2, 3}
    assert max(labels.values()) - min(labels.values()) <= 1
    for item in items:
        assert len({item[f"answer{letter}"] for letter in "ABC"}) == 3
        assert item["licence"] == "Apache-2.0"


def test_the_right_social_answer_is_not_the_longest_one():
    places = []
    for item in social_items():
        lengths = [len(item[f"answer{letter}"]) for letter in "ABC"]
        places.append(sorted(lengths).index(lengths[int(item["label"]) - 1]))
    assert max(Counter(places).values()) <= 40
