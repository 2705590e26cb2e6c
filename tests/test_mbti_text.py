"""The questionnaire answered in writing, and its form B: what cannot be read is missing, a constant answer is 50."""

from statistics import mean

import pytest
from lapd.data import mbti, questionnaire
from lapd.tasks.mbti import form_b, generated, utils

from lapd.catalog.find import find_task

AXES = mbti().ends

LETTERS = [axis.replace("/", "") for axis in AXES]
DOCUMENTS = {"A": list(generated.documents()["test"]), "B": list(form_b.text_documents(form="B")["test"])}


def scores(docs, answer, score=generated.score):
    """The metrics, averaged over the documents that have them, where `answer(doc)` is what the model wrote."""
    collected = {}
    for doc in docs:
        for metric, value in score(doc, answer(doc)).items():
            collected.setdefault(metric, []).append(value)
    return {metric: mean(values) for metric, values in collected.items()}


def written(agreement, choice="A"):
    return lambda doc: [agreement if doc["way"] == "agreement" else choice]


@pytest.mark.parametrize("form", ["A", "B"])
def test_every_agreement_and_choice_question_of_the_form_is_asked(form):
    docs = DOCUMENTS[form]
    assert len(docs) == 64 * (4 + 2)
    assert {doc["way"] for doc in docs} == {"agreement", "choice"}
    assert {doc["item"] for doc in docs} == {item.id for item in questionnaire(form)}


@pytest.mark.parametrize("form", ["A", "B"])
@pytest.mark.parametrize("agreement", ["1", "4", "7", "**7**", "I would say 4 out of 7."])
@pytest.mark.parametrize("choice", ["A", "B.", "My answer is: A"])
def test_a_constant_answer_scores_50_on_every_axis(form, agreement, choice):
    found = scores(DOCUMENTS[form], written(agreement, choice))
    assert {found[f"{way}_{axis}"] for way in ("agreement", "choice") for axis in LETTERS} == {50}
    assert (found["acquiescence"], found["percent_parseable"]) == (50, 100)
    assert found["position_bias"] == (0 if choice == "B." else 100)


@pytest.mark.parametrize("label", ["1", "4", "7", "A", "B"])
def test_a_constant_label_scores_50_on_form_b_too(label):
    def answer(doc):
        return [(0.0 if choice == label or label not in doc["choices"] else -1e9, False) for choice in doc["choices"]]

    docs = [doc for doc in form_b.documents(form="B")["test"] if label in doc["choices"]]
    found = scores(docs, answer, utils.score)
    way = "agreement" if label.isdigit() else "choice"
    assert {found[f"{way}_{axis}"] for axis in LETTERS} == {50}


def test_what_is_written_scores_as_the_probability_of_its_label_does():
    for doc in DOCUMENTS["A"][::37]:
        for label in doc["choices"]:
            certain = [(0.0 if choice == label else -1e9, False) for choice in doc["choices"]]
            expected = {k: v for k, v in utils.score(doc, certain).items() if k != "label_mass"}
            assert generated.score(doc, [f"{label}."]) == {**expected, "percent_parseable": 100}


def test_the_own_words_of_a_statement_are_read_in_both_orders():
    for doc in [doc for doc in DOCUMENTS["A"] if doc["way"] == "choice"][:8]:
        first, second = questionnaire("A")[[i.id for i in questionnaire("A")].index(doc["item"])].statements.values()
        axis = doc["axis"].replace("/", "")
        assert generated.score(doc, [first])[f"choice_{axis}"] == 100
        assert generated.score(doc, [f"The best answer is: {second}"])[f"choice_{axis}"] == 0


@pytest.mark.parametrize("text", ["", "As a model I have no self.", "5 or 6", "A or B", "8"])
def test_what_cannot_be_read_is_missing_and_counted(text):
    assert scores(DOCUMENTS["A"], lambda doc: [text]) == {"percent_parseable": 0}


@pytest.mark.parametrize("name", ["mbti_b", "mbti_text", "mbti_text_b"])
def test_the_tasks_say_which_form_they_are(name):
    info = find_task(name)
    form = "b" if name.endswith("_b") else "a"
    assert info.data == ("traits.yaml", f"questionnaire-{form}.en.json")
    assert info.parallel == {"mbti_b": "mbti", "mbti_text_b": "mbti_text"}.get(name)
    assert info.questionnaire == (form == "a")
    assert info.self_report
    metrics = find_task("mbti" if name == "mbti_b" else "mbti_text").metrics
    assert info.metrics == metrics


def test_another_questionnaire_takes_the_place_of_form_a_only(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text("text,axis,key\nI like crowds.,E/I,E\nI like rules.,J/P,J\n")
    assert len(generated.documents(questionnaire=str(path))["test"]) == 2 * 2
    assert len(form_b.text_documents(form="B", questionnaire=str(path))["test"]) == 384
    assert len(form_b.documents(form="B", questionnaire=str(path))["test"]) == 448


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mbti_b", "mbti_text", "mbti_text_b"])
def test_lm_eval_loads_the_form_and_every_metric(name):
    from lapd.catalog.live import load_task

    task = load_task(find_task(name))
    docs = list(task.eval_docs)
    assert docs[0]["item"] == ("b-ei-01" if name.endswith("_b") else "a-ei-01")
    if "text" in name:
        assert task.config.generation_kwargs["until"] == []
        assert set(scores(docs, written("5"), task.process_results)) == set(find_task(name).metrics)
    else:
        even = scores(docs, lambda doc: [(-1.0, False)] * len(doc["choices"]), task.process_results)
        assert set(even) == set(find_task(name).metrics)
