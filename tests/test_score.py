"""`lapd score`: stored responses and verdicts come to what they would in an evaluation, and nothing is lost."""

import json

import pytest
from conftest import SHARED

from lapd.catalog.scoring import read_responses, score_responses
from lapd.errors import DataError, UsageError
from lapd.files.whole import write_json, write_jsonl

DATA = SHARED / "benchmarks"
RUNS = DATA / "eqbench" / "official_runs"
FLAGS = DATA / "beavertails" / "flags_llama3_8b_seed42.jsonl"

EMOTIONS = ("Glad", "Sad", "Calm", "Cross")


@pytest.fixture
def data_dir(tmp_path):
    """Three questions in EQ-Bench's own form; the reference is always 0, 6, 0, 9."""
    reference = {f"emotion{n}": name for n, name in enumerate(EMOTIONS, 1)}
    reference |= {f"emotion{n}_score": score for n, score in enumerate((0, 6, 0, 9), 1)}
    questions = {str(n): {"prompt": f"Question {n}?", "reference_answer_fullscale": reference} for n in (1, 2, 3)}
    write_json(tmp_path / "data" / "eqbench" / "eq_bench_v2_questions_171.json", questions)
    return tmp_path / "data"


@pytest.fixture
def responses(tmp_path):
    def write(rows):
        path = tmp_path / "responses.jsonl"
        write_jsonl(path, [{"id": key, "response": text} for key, text in rows])
        return path

    return write


def text(*scores):
    return "\n".join(f"{name}: {score}" for name, score in zip(EMOTIONS, scores, strict=True))


PERFECT = text(0, 6, 0, 9)


@pytest.mark.slow
def test_responses_are_scored_by_the_tasks_own_rule(data_dir, responses, invoke):
    path = responses([(1, PERFECT), ("2", "no idea"), (3, text(10, 6, 0, 9))])
    result = invoke("score", "eqbench", "--responses", path, "--data-dir", data_dir, "--json")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert found["eqbench"] == pytest.approx((100 + 100 - 74.77) / 2)
    assert (found["n_parseable"], found["n_total"], found["missing_ids"]) == (2, 3, [])
    assert found["percent_parseable"] == pytest.approx(200 / 3)
    table = invoke("score", "eqbench", "--responses", path, "--data-dir", data_dir).stdout.splitlines()
    assert [line.split() for line in table if line.startswith(("eqbench ", "n_"))] == [
        ["eqbench", "62.61"],
        ["n_parseable", "2"],
        ["n_total", "3"],
    ]


@pytest.mark.slow
def test_a_missing_response_is_named_and_counted_as_not_parsed(data_dir, responses, invoke):
    result = invoke("score", "eqbench", "--responses", responses([(2, PERFECT)]), "--data-dir", data_dir, "--json")
    found = json.loads(result.stdout)
    assert (found["eqbench"], found["n_parseable"], found["n_total"]) == (100, 1, 3)
    assert found["missing_ids"] == ["1", "3"]
    assert result.stderr.splitlines() == ["ids 1, 3: no response (2 of 3; they count as not parsed)."]


@pytest.mark.slow
def test_both_passes_and_the_official_choice_are_given(data_dir, responses, invoke):
    both = f"First pass scores:\n{text(10, 6, 0, 9)}\n\nCritique: too glad.\n\nRevised scores:\n{PERFECT}\n"
    path = responses([(n, both) for n in (1, 2, 3)])
    found = json.loads(invoke("score", "eqbench_revised", "--responses", path, "--data-dir", data_dir, "--json").stdout)
    assert (found["first_pass"], found["revised"]) == (pytest.approx(25.23), 100)
    assert found["final"] == found["eqbench"] == 100
    assert (found["n_parseable"], found["n_total"]) == (3, 3)


@pytest.mark.slow
def test_what_no_response_has_a_value_for_is_null(data_dir, responses, invoke):
    path = responses([(n, PERFECT) for n in (1, 2, 3)])  # without headings
    found = json.loads(invoke("score", "eqbench_revised", "--responses", path, "--data-dir", data_dir, "--json").stdout)
    assert [found[name] for name in ("first_pass", "revised", "final", "eqbench")] == [None] * 4
    assert (found["n_parseable"], found["final_lenient"]) == (0, 100)


@pytest.mark.slow
def test_a_task_that_does_not_parse_leaves_missing_responses_out(responses, invoke):
    from lapd.data import contrast_corpus

    first = contrast_corpus("heldout")[0]
    score = score_responses("situations_open", responses([(first.id, "Three words here.")]))
    assert (score.metrics, score.n_total, score.n_parseable) == ({"words": 3}, 100, None)
    assert len(score.missing) == 99
    none = score_responses("situations_open", responses([]))
    assert none.metrics == {"words": None}
    shown = invoke("score", "situations_open", "--responses", responses([])).stderr
    assert shown.endswith("and 95 more: no response (100 of 100; they are left out).\n")


@pytest.mark.slow
def test_a_response_may_name_its_prompt_instead_of_an_id(data_dir, tmp_path):
    path = tmp_path / "by_prompt.jsonl"
    write_jsonl(path, [{"prompt": "Question 2?", "response": PERFECT}])
    score = score_responses("eqbench_revised", path, str(data_dir))
    assert score.missing == ["1", "3"]


@pytest.mark.slow
def test_unknown_ids_are_an_error_in_one_line(data_dir, responses, invoke):
    path = responses([(n, PERFECT) for n in range(1, 12)])
    result = invoke("score", "eqbench", "--responses", path, "--data-dir", data_dir)
    assert result.exit_code == 1
    assert result.stderr == (
        f"Error: {path}: ids 4, 5, 6, 7, 8 and 3 more: not in eqbench. Its ids are the publisher's: 1, 2, 3 ...\n"
    )


def test_repeated_ids_and_lines_that_are_no_response_are_refused(responses, tmp_path):
    with pytest.raises(DataError, match=r"responses\.jsonl: id 1: more than once"):
        read_responses(responses([(1, "a"), ("1", "b"), (2, "c")]))
    for row in ({"id": 1}, {"id": 1, "response": None}, {"response": "a"}, [1, "a"]):
        write_jsonl(tmp_path / "bad.jsonl", [row])
        with pytest.raises(DataError, match=r'bad\.jsonl:1: a response is \{"id"'):
            read_responses(tmp_path / "bad.jsonl")


def test_a_task_of_likelihoods_and_a_call_without_a_file_are_refused(responses, invoke):
    with pytest.raises(UsageError, match="lapd eval --tasks mbti"):
        score_responses("mbti", responses([(1, "a")]))
    for args in ((), ("--responses", "a", "--verdicts", "b")):
        result = invoke("score", "eqbench", *args)
        assert result.exit_code == 2
        assert result.stderr == "Error: Give one of --responses and --verdicts.\n"


VERDICTS = [
    {"prompt": "a", "flagged": True, "category": "self_harm"},
    {"prompt": "b", "flagged": False, "category": "self_harm"},
    {"prompt": "c", "flagged": None, "reason": "time-out", "category": "animal_abuse"},
]


def test_missing_verdicts_are_counted_and_bounded(tmp_path, invoke, monkeypatch):
    monkeypatch.delenv("LAPD_DATA_DIR", raising=False)
    write_jsonl(tmp_path / "v.jsonl", VERDICTS)
    found = json.loads(invoke("score", "beavertails", "--verdicts", tmp_path / "v.jsonl", "--json").stdout)
    assert (found["flagged"], found["bounds"]) == (0.5, [pytest.approx(1 / 3), pytest.approx(2 / 3)])
    assert (found["n_judged"], found["n_missing"], found["missing_reasons"]) == (2, 1, {"time-out": 1})
    assert found["by_category"]["animal_abuse"]["flagged"] is None
    table = invoke("score", "beavertails", "--verdicts", tmp_path / "v.jsonl").stdout.splitlines()
    assert table[1].split() == ["all", "0.5000", "0.3333", "to", "0.6667", "2", "1"]
    assert table[-1] == "missing: 1 x time-out"


def test_verdicts_that_name_their_judge_come_with_its_note(tmp_path, invoke, monkeypatch):
    monkeypatch.delenv("LAPD_DATA_DIR", raising=False)
    keywords = {"name": "keywords", "version": "1", "settings": {}}
    write_jsonl(tmp_path / "v.jsonl", [{**row, "judge": keywords} for row in VERDICTS])
    args = ("score", "beavertails", "--verdicts", tmp_path / "v.jsonl")
    said = "heuristic: not comparable with published rates"
    assert json.loads(invoke(*args, "--json").stdout)["judge"] == {**keywords, "note": said}
    assert f"beavertails is judged by keywords ({said})." in invoke(*args).stdout.splitlines()
    write_jsonl(tmp_path / "v.jsonl", [{**VERDICTS[0], "judge": keywords}, VERDICTS[1]])
    result = invoke(*args)
    assert result.exit_code == 1
    assert "not all by one judge" in result.stderr


def test_a_judge_is_refused_where_nothing_is_to_be_judged(tmp_path, responses, invoke):
    write_jsonl(tmp_path / "v.jsonl", VERDICTS)
    verdicts = ("--verdicts", tmp_path / "v.jsonl")
    for args in (("beavertails", *verdicts, "--judge", "keywords"), ("eqbench", *verdicts),
                 ("situations_open", "--responses", responses([]), "--judge", "keywords")):  # fmt: skip
        result = invoke("score", *args)
        assert result.exit_code == 2
        assert result.stderr.count("\n") == 1


@pytest.mark.slow
@pytest.mark.skipif(not FLAGS.is_file(), reason="../shared/benchmarks/beavertails is not here")
def test_responses_to_a_judged_task_are_judged_and_the_judge_is_named(responses, invoke, monkeypatch):
    for name in ("LAPD_JUDGE", "LAPD_JUDGE_OPTIONS"):
        monkeypatch.delenv(name, raising=False)
    answers = ("Sure.", "I cannot help with that.", "")
    path = responses([(f"evaluation-{n}", text) for n, text in enumerate(answers)])
    args = ("score", "beavertails", "--responses", path, "--data-dir", DATA)
    found = json.loads(invoke(*args, "--json").stdout)
    assert (found["flagged"], found["missing"]) == (0.5, pytest.approx(100 / 3))
    assert (found["n_total"], len(found["missing_ids"])) == (700, 697)
    said = "heuristic: not comparable with published rates"
    assert found["judge"]["note"] == said
    assert f"beavertails is judged by keywords ({said})." in invoke(*args).stdout.splitlines()


def test_two_verdicts_on_one_prompt_are_refused(tmp_path, invoke):
    write_jsonl(tmp_path / "v.jsonl", [*VERDICTS, VERDICTS[0]])
    result = invoke("score", "beavertails", "--verdicts", tmp_path / "v.jsonl")
    assert result.exit_code == 1
    assert "id a: more than once" in result.stderr


@pytest.mark.skipif(not FLAGS.is_file(), reason="../shared/benchmarks/beavertails is not here")
def test_the_published_flagged_rate(invoke, monkeypatch):
    monkeypatch.delenv("LAPD_DATA_DIR", raising=False)
    found = json.loads(invoke("score", "beavertails", "--verdicts", FLAGS, "--json").stdout)
    assert round(found["flagged"], 6) == 0.328571
    assert (found["n_judged"], found["n_missing"]) == (700, 0)
    flags = {name: rate["n_flagged"] for name, rate in found["by_category"].items()}
    assert {rate["n_total"] for rate in found["by_category"].values()} == {50}
    assert list(flags.values()) == [15, 12, 9, 20, 25, 14, 18, 0, 21, 4, 27, 13, 28, 24]


@pytest.mark.slow
@pytest.mark.skipif(not FLAGS.is_file(), reason="../shared/benchmarks/beavertails is not here")
def test_prompts_without_a_verdict_are_missing_where_the_prompts_are_at_hand(tmp_path, invoke):
    rows = [json.loads(line) for line in FLAGS.read_text().splitlines()]
    write_jsonl(tmp_path / "v.jsonl", rows[:690])
    args = ("score", "beavertails", "--verdicts", tmp_path / "v.jsonl", "--data-dir", DATA, "--json")
    found = json.loads(invoke(*args).stdout)
    assert (found["n_judged"], found["n_missing"], found["n_total"]) == (690, 10, 700)
    assert found["missing_reasons"] == {"no verdict in the file": 10}
    write_jsonl(tmp_path / "v.jsonl", [*rows, {"prompt": "another", "flagged": True}])
    result = invoke(*args)
    assert result.exit_code == 1
    assert "id another: not in beavertails" in result.stderr


@pytest.mark.slow
@pytest.mark.skipif(not RUNS.is_dir(), reason="../shared/benchmarks/eqbench is not here")
@pytest.mark.parametrize(
    ("run", "task"),
    [("gpt-4-0125-preview", "eqbench"), ("01-ai__Yi-6B-Chat", "eqbench"),
     ("NousResearch__Llama-2-7b-chat-hf", "eqbench_revised")],
)  # fmt: skip
def test_published_eqbench_runs_come_to_their_published_scores(run, task, responses, invoke):
    published = json.loads((RUNS / f"{run}_eqbench_v2_results.json").read_text())
    path = responses(published["raw_results"]["1"]["raw_inference"].items())
    found = json.loads(invoke("score", task, "--responses", path, "--data-dir", DATA, "--json").stdout)
    assert found["eqbench"] == pytest.approx(published["benchmark_score"], abs=0.03)
    assert (found["n_parseable"], found["n_total"]) == (published["n_questions_parseable"], 171)
    assert len(found["missing_ids"]) == 171 - found["n_parseable"]
