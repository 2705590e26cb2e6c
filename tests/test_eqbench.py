"""EQ-Bench: the published rule on made-up answers, and on eight published runs, beside lm-eval's own."""

from math import exp, isnan
from statistics import mean

import pytest
from conftest import ROOT, SHARED
from known_answers import (
    TEXT_EXCEPTIONS,
    differences_from_lm_eval,
    eqbench_documents,
    from_stored_answers,
    from_text,
    published_runs,
)
from lapd.tasks.eqbench import scoring, utils
from lapd.tasks.eqbench.scoring import (
    Pass,
    choose,
    item_score,
    item_score_later,
    parse,
    parse_leniently,
    parse_passes,
    split_leniently,
)

from lapd.errors import DataError
from lapd.files.whole import write_json, write_jsonl

DATA = SHARED / "benchmarks" / "eqbench"
RUNS = published_runs(DATA.parent)

REFERENCE = {"Glad": 0.0, "Sad": 6.0, "Calm": 0.0, "Cross": 9.0}

here = pytest.mark.skipif(not RUNS, reason="../shared/benchmarks/eqbench is not here")
each_run = pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)


def answer(**differences):
    return {name: score + differences.get(name, 0) for name, score in REFERENCE.items()}


def test_the_reference_itself_scores_100():
    assert item_score(REFERENCE, answer()) == 100


@pytest.mark.parametrize(
    ("difference", "counts"),
    [(1, 6.5 / (1 + exp(3.6))), (4, 3.25), (5, 6.5 / (1 + exp(-1.2))), (5.5, 5.5), (6, 6), (10, 10)],
)
def test_small_differences_count_less_than_they_are_and_large_ones_as_they_are(difference, counts):
    assert item_score(REFERENCE, answer(Glad=difference)) == pytest.approx(100 - 7.477 * counts)


@pytest.mark.parametrize(
    "wrong",
    [{}, {"Glad": 1.0}, {**REFERENCE, "Confidence": 8.0}, {"glad": 0.0, "Sad": 6.0, "Calm": 0.0, "Cross": 9.0}],
)
def test_an_answer_that_does_not_name_the_four_emotions_is_missing(wrong):
    assert item_score(REFERENCE, wrong) is None


def test_the_published_parse_has_its_quirks():
    assert parse("Glad: 3\nSad:  7.5\nCalm:\n4 Cross:5 Glad: 9") == {"Glad": 9, "Sad": 7, "Calm": 4}
    assert parse("**Glad**: 7") == {}
    assert parse("") == {}


LATER = ["**Glad**: 0\n**sad**: 6\n## CALM: 0\ncross: **9**", "glad: 0\n*Sad*: 6\nCalm: 0\n*Cross:* 9"]


@pytest.mark.parametrize("text", LATER)
def test_the_publishers_later_rule_reads_through_markdown_and_case(text):
    found = utils.score(document(), [text])
    assert (found["eqbench_later"], found["percent_parseable_later"]) == (100, 100)
    assert "eqbench" not in found
    both = f"**First pass scores:**\n{text}\n\nCritique: none.\n\n**Revised scores:**\n{text}"
    assert utils.score_passes(document(), [both])["final_later"] == [100, 100]
    assert utils.score_passes(document(), [both])["final"] == [None, None]


def test_the_later_rule_wants_four_names_that_differ_in_more_than_case():
    assert item_score_later(REFERENCE, {"GLAD": 0, "sad": 6, "Calm": 0, "cross": 9}) == 100
    assert item_score_later(REFERENCE, {**REFERENCE, "glad": 3}) is None
    assert item_score_later(REFERENCE, {"Glad": 0, "glad": 0, "Calm": 0, "Cross": 9}) is None
    assert item_score_later(REFERENCE, {**REFERENCE, "Confidence": 8}) is None


def test_passes_are_told_by_their_headings():
    text = "First pass scores:\nGlad: 1\n\nCritique: no.\n\nRevised scores:\nGlad: 2\n"
    assert parse_passes(text) == ({"Glad": 1}, {"Glad": 2})
    assert parse_passes("Glad: 1") == ({}, {})
    assert parse_passes("First pass scores:\nGlad: 1") == ({}, {})
    assert parse_passes("Glad: 1\nRevised scores:\nGlad: 2") == ({}, {"Glad": 2})


@pytest.mark.parametrize(
    "text",
    [
        "**Glad**: 7.5\n**Sad:** 3\n- *Calm* - 0\nCross = 10/10",
        "glad: 7,5\nSAD: 3 (he hides it)\ncalm | 0 |\nCross (10)\n\nConfidence: 8/10",
        "Here are my scores.\n\n1. Glad: 7.5\n2. Sad: 3\n3. Calm: 0\n4. Cross: 10\n\nGlad: 1 would be too little.",
        "Glad: <score>\n\nGlad: 7.5, Sad: 3, Calm: 0, Cross: 10",
    ],
)
def test_the_lenient_parse_reads_what_a_reader_would(text):
    assert parse_leniently(text, list(REFERENCE)) == {"Glad": 7.5, "Sad": 3, "Calm": 0, "Cross": 10}


def test_the_lenient_parse_leaves_out_what_is_no_score():
    assert parse_leniently("Glad: 80%\nSad is 3\nCalm\n\n4\nGladness: 3", list(REFERENCE)) == {}
    assert parse_leniently("Glad: 7-9\nSad: 3 to 4\nCalm: 0 or 1\nCross: 9/10", list(REFERENCE)) == {"Cross": 9}


def test_the_lenient_parse_tells_the_passes_by_any_announcement():
    assert split_leniently("Glad: 1\n**Revised Scores**:\nGlad: 2") == ("Glad: 1\n", "**:\nGlad: 2")
    assert split_leniently("Glad: 1") == ("Glad: 1", "")


def test_the_revised_pass_counts_only_where_it_is_no_worse_and_nearly_as_parseable():
    first = Pass(60, 100)
    assert choose(first, Pass(60, 95)) == Pass(60, 95)
    assert choose(first, Pass(90, 94)) == first
    assert choose(first, Pass(59.9, 100)) == first
    assert choose(Pass(float("nan"), 0), Pass(-3, 4)) == Pass(-3, 4)
    assert choose(first, scoring.sum_up([None, None])) == first


def document(number="1"):
    return {"id": number, "prompt": "p", "emotions": list(REFERENCE), "intensities": list(REFERENCE.values())}


def test_what_does_not_parse_has_no_score_at_all():
    parseable = dict.fromkeys(("percent_parseable", "percent_parseable_later", "percent_parseable_lenient"), 0)
    assert utils.score(document(), ["I cannot say."]) == parseable
    metrics = utils.score(document(), ["Glad - 0\nSad - 6\nCalm - 0\nCross - 9"])
    assert metrics == parseable | {"eqbench_lenient": 100, "percent_parseable_lenient": 100}


def test_a_run_without_any_parseable_answer_has_no_score_rather_than_0():
    metrics = utils.score_passes(document(), ["no"])
    assert not {"first_pass", "revised"} & set(metrics)
    assert (metrics["first_pass_parseable"], metrics["revised_parseable"]) == (0, 0)
    assert isnan(utils.final([metrics["final"]]))
    assert utils.final_parseable([metrics["final"]]) == 0


def question(**more):
    reference = {f"emotion{n}": name for n, name in enumerate(REFERENCE, 1)}
    reference |= {f"emotion{n}_score": str(score) for n, score in enumerate(REFERENCE.values(), 1)}
    return {"prompt": "p", "reference_answer": {}, "reference_answer_fullscale": reference, **more}


def test_both_forms_of_the_publishers_data_are_read(tmp_path):
    write_json(tmp_path / "eqbench" / utils.QUESTIONS, {"7": question()})
    assert utils.read_questions(tmp_path / "eqbench") == [document("7")]
    row = question(qid=7) | {"reference_answer_fullscale": str(question()["reference_answer_fullscale"])}
    write_jsonl(tmp_path / "hub" / "eqbench" / utils.UNREVISED, [row])
    assert list(utils.documents(data_dir=str(tmp_path / "hub"))["test"]) == [document("7")]
    with pytest.raises(DataError, match=r"eq_bench_v2_questions_171\.json: there is no such file"):
        utils.revised_documents(data_dir=str(tmp_path / "hub"))


@pytest.mark.parametrize("content", [[], {"7": {"prompt": "p"}}, {"7": question(reference_answer_fullscale={})}])
def test_data_that_are_not_the_publishers_are_refused(tmp_path, content):
    write_json(tmp_path / utils.QUESTIONS, content)
    with pytest.raises(DataError, match=r"eq_bench_v2_questions_171\.json: "):
        utils.read_questions(tmp_path)


def test_without_data_or_a_network_one_line_names_both_ways(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("LAPD_CACHE", str(tmp_path))
    monkeypatch.delenv("LAPD_DATA_DIR", raising=False)
    with pytest.raises(DataError, match=r"--data-dir \(or LAPD_DATA_DIR\).*or get a network") as error:
        utils.documents()
    assert "\n" not in str(error.value)


# Known answers


@pytest.fixture(scope="module")
def documents():
    return eqbench_documents(DATA.parent)


@here
def test_random_answers_come_to_0(documents):
    """Every whole number from 0 to 10 alike, for each emotion of each question; the constant was chosen for it."""
    costs = [mean(scoring._scaled(abs(x - y)) for x in range(11)) for d in documents.values() for y in d["intensities"]]
    assert 100 - 4 * 10 * scoring.ADJUSTMENT * mean(costs) == pytest.approx(0, abs=2)


@here
def test_version_2_1s_prompts_are_version_2_0s_without_the_revision(documents):
    published = utils.read_unrevised(DATA / utils.UNREVISED)
    assert [{**d, "prompt": utils.without_revision(d["prompt"])} for d in documents.values()] == published
    assert len(published) == 171


@here
@each_run
def test_published_scores_from_the_stored_answers(run, documents):
    """The parsed answers of the published files, through LAPD's rule: score within .03, count exactly."""
    score, parseable = from_stored_answers(run, documents)
    assert score == pytest.approx(run.score, abs=0.03)
    assert parseable == run.parseable


@here
@each_run
@pytest.mark.parametrize("later", [False, True], ids=["earlier rule", "later rule"])
def test_published_scores_from_the_models_text(run, later, documents):
    known, count, _ = TEXT_EXCEPTIONS.get(run.name, (run.score, run.parseable, ""))
    score, parseable = from_text(run, documents, later)
    assert score == pytest.approx(known, abs=0.03)
    assert parseable == count


@here
def test_the_mixed_run_read_by_each_answers_own_version_gives_the_published_score(documents):
    run = next(run for run in RUNS if run.name.startswith("Qwen__Qwen-7B"))
    assert sum(scoring.REVISED in text for text in run.texts.values()) == 3
    answers = {k: parse_passes(text)[0] if scoring.REVISED in text else parse(text) for k, text in run.texts.items()}
    found = scoring.sum_up([item_score(utils._reference(documents[key]), a) for key, a in answers.items()])
    assert found == Pass(pytest.approx(run.score, abs=0.03), run.parseable)


@here
def test_the_run_with_a_fifth_pair_is_the_published_one_without_it(documents):
    run = next(run for run in RUNS if run.name.startswith("allenai"))
    made = [utils.score(documents[key], [text]) for key, text in run.texts.items()]
    assert mean(m["eqbench_lenient"] for m in made) == pytest.approx(run.score, abs=0.03)
    assert sum(m["percent_parseable_lenient"] for m in made) == 100 * run.parseable
    extra = [set(parse(text)) - set(documents[key]["emotions"]) for key, text in run.texts.items()]
    assert sum(map(bool, extra)) == 44
    assert set.union(*extra) == {"Confidence"}


@here
@each_run
def test_lm_evals_own_rule_gives_the_same_item_scores_but_0_for_what_is_missing(run):
    assert differences_from_lm_eval(run, DATA.parent) == 0


@here
@pytest.mark.slow
def test_lm_eval_loads_both_tasks():
    from lm_eval.tasks import TaskManager

    metadata = {"data_dir": str(DATA.parent)}
    manager = TaskManager(include_path=str(ROOT / "tasks"), include_defaults=False, metadata=metadata)
    for name, ending in (("eqbench", "Your answer:\n"), ("eqbench_revised", "emotion > 0.\n")):
        task = manager.load([name])["tasks"][name]
        assert len(task.eval_docs) == 171
        assert task.doc_to_text(next(iter(task.eval_docs))).endswith(ending)
        assert task.config.generation_kwargs["until"] == []
