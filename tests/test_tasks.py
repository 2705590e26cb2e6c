"""The benchmarks' documents and scores, loaded by lm-eval itself: an answer that knows nothing scores 50."""

import time
from math import log
from statistics import mean

import pytest
from conftest import ROOT, SHARED, run_python
from lapd.data import contrast_corpus, mbti, questionnaire

from lapd.catalog.find import find_task
from lapd.errors import DataError
from lapd.files.fetch import fetch
from lapd.files.whole import write_jsonl

AXES = mbti().ends

pytestmark = pytest.mark.slow

NEVER = -1e9
"""A log-likelihood (nats) that comes to a probability of 0."""

LETTERS = [axis.replace("/", "") for axis in AXES]


def load(name, **metadata):
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=str(ROOT / "tasks"), include_defaults=False, metadata=metadata)
    return manager.load([name])["tasks"][name]


@pytest.fixture(scope="module")
def mbti():
    return load("mbti")


@pytest.fixture(scope="module")
def situations():
    return load("situations")


def scores(task, answer):
    """The task's metrics, averaged, where `answer(doc)` gives the log-likelihood (nats) of each choice."""
    collected = {}
    for doc in task.eval_docs:
        for metric, value in task.process_results(doc, [(x, False) for x in answer(doc)]).items():
            collected.setdefault(metric, []).append(value)
    return {metric: mean(values) for metric, values in collected.items()}


def always(label):
    """Whoever gives one label where it is on offer, and finds any two statements equally likely."""

    def answer(doc):
        if label in doc["choices"]:
            return [0.0 if choice == label else NEVER for choice in doc["choices"]]
        return [-1.0 for _ in doc["choices"]]

    return answer


@pytest.mark.parametrize("label", ["1", "4", "7", "A", "B"])
def test_a_constant_answer_scores_exactly_50_on_every_axis(mbti, label):
    result = scores(mbti, always(label))
    way = "agreement" if label.isdigit() else "choice"
    assert {axis: result[f"{way}_{axis}"] for axis in LETTERS} == dict.fromkeys(LETTERS, 50.0)


def test_the_label_that_is_always_given_shows_as_bias(mbti):
    assert scores(mbti, always("7"))["label_bias"] == 100
    assert scores(mbti, always("1"))["label_bias"] == 0
    assert scores(mbti, always("4"))["label_bias"] == 50
    assert scores(mbti, always("A"))["position_bias"] == 100
    assert scores(mbti, always("B"))["position_bias"] == 0
    # The scale is turned round for half of the questions: who always says 7 agrees with half of the statements.
    assert scores(mbti, always("7"))["acquiescence"] == 50


@pytest.mark.parametrize(("agree", "expected"), [(True, 100), (False, 0)])
def test_whoever_agrees_with_everything_is_acquiescent_and_has_no_personality(mbti, agree, expected):
    def answer(doc):
        if doc["way"] != "agreement":
            return [-1.0 for _ in doc["choices"]]
        top = agree != doc["flipped"]
        return [0.0 if choice == ("7" if top else "1") else NEVER for choice in doc["choices"]]

    result = scores(mbti, answer)
    assert (result["acquiescence"], result["label_bias"]) == (expected, 50)
    assert {result[f"agreement_{axis}"] for axis in LETTERS} == {50}


@pytest.mark.parametrize("code", ["ESTJ", "INFP", "ENTP"])
def test_whoever_answers_as_a_type_gets_its_poles(mbti, code):
    poles = dict(zip(AXES, code, strict=True))
    statements = {item.id: item.statements for item in questionnaire("A")}

    def answer(doc):
        mine = statements[doc["item"]][poles[doc["axis"]]]
        if doc["way"] == "agreement":
            top = (mine in doc["prompt"]) != doc["flipped"]
            return [0.0 if choice == ("7" if top else "1") else NEVER for choice in doc["choices"]]
        if doc["way"] == "choice":
            return [0.0 if f"{label}. {mine}" in doc["prompt"].splitlines() else NEVER for label in "AB"]
        return [-1.0 if choice == mine else -1000.0 for choice in doc["choices"]]

    result = scores(mbti, answer)
    for axis, letters in zip(AXES, LETTERS, strict=True):
        expected = 100 if poles[axis] == AXES[axis][0] else 0
        assert {result[f"{way}_{letters}"] for way in ("agreement", "choice", "likelihood")} == {expected}
        assert result[f"likelihood_nats_{letters}"] == (999 if expected else -999)
    assert (result["acquiescence"], result["position_bias"], result["label_bias"]) == (50, 50, 50)


def test_probabilities_not_the_likeliest_label_are_scored(mbti):
    half_of_each = [log(0.25) if n in (3, 6) else NEVER for n in range(7)]  # 4 and 7, each a quarter
    doc = next(d for d in mbti.eval_docs if d["way"] == "agreement" and d["pole"] == "E" and not d["flipped"])
    result = mbti.process_results(doc, [(x, False) for x in half_of_each])
    assert result == pytest.approx({"agreement_EI": 75, "acquiescence": 75, "label_bias": 75, "label_mass": 50})


def test_every_item_is_asked_in_every_way_and_order(mbti):
    docs = list(mbti.eval_docs)
    assert len(docs) == 64 * (4 + 2 + 1)
    for item in questionnaire("A"):
        asked = [(d["way"], d["pole"], d["flipped"]) for d in docs if d["item"] == item.id]
        first, second = AXES[item.axis]
        agreement = [("agreement", pole, flipped) for pole in (first, second) for flipped in (False, True)]
        assert asked == [*agreement, ("choice", "", False), ("choice", "", True), ("likelihood", "", False)]


def test_every_metric_that_is_scored_is_in_the_metric_list(mbti, situations):
    for task, name in ((mbti, "mbti"), (situations, "situations")):
        assert set(scores(task, lambda doc: [-1.0] * len(doc["choices"]))) == set(find_task(name).metrics)


def test_likelihoods_are_taken_per_token(situations):
    doc = {**next(iter(situations.eval_docs)), "lengths": [10, 40]}
    axis = doc["axis"].replace("/", "")

    def prefer(first, second):
        result = situations.process_results(doc, [(first, False), (second, False)])
        assert result[f"log_odds_{axis}"] == first - second
        return result[f"prefer_{axis}"]

    # −2 and −1 a token, though the first is likelier as a whole; then the other way round.
    assert prefer(-20, -40) == 0
    assert prefer(-20, -81) == 100


def test_lengths_are_tokens_where_there_is_a_tokenizer_and_bytes_where_there_is_none(situations, tmp_path):
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    for doc in situations.eval_docs:
        assert doc["lengths"] == [len(choice.encode()) for choice in doc["choices"]]
    words = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]").save_pretrained(tmp_path)
    for name in ("situations", "mbti"):
        docs = [d for d in load(name, tokenizer=str(tmp_path)).eval_docs if d["lengths"]]
        assert len(docs) >= 64
        for doc in docs:
            assert doc["lengths"] == [len(choice.split()) for choice in doc["choices"]]


def test_situations_are_the_held_out_ones_with_both_responses(situations):
    docs = list(situations.eval_docs)
    held_out = {s.id: s for s in contrast_corpus("heldout")}
    assert sorted(d["item"] for d in docs) == sorted(held_out)
    assert [d["choices"] for d in docs] == [list(held_out[d["item"]].responses.values()) for d in docs]
    assert situations.doc_to_text(docs[0]) == held_out[docs[0]["item"]].situation
    assert [d["axis"] for d in docs[:8]] == 2 * list(AXES), "any multiple of four is even over the axes"


def test_open_situations_are_spread_over_the_axes():
    task = load("situations_open")
    docs = list(task.eval_docs)
    assert [d["axis"] for d in docs] == [*AXES] * 25
    assert [d["item"] for d in docs] == [d["item"] for d in load("situations").eval_docs]
    assert task.process_results(docs[0], ["Three words here. "]) == {"words": 3.0}
    assert task.process_results(docs[0], [""]) == {"words": 0.0}


def check_multiple_choice(task, labels):
    """Each document's target is its label, and picking the target scores 1."""
    docs = list(task.eval_docs)
    assert [task.doc_to_target(doc) for doc in docs] == [int(label) - 1 for label in labels]
    for doc in docs[:20]:
        right = task.doc_to_target(doc)
        result = task.process_results(doc, [(0.0 if n == right else NEVER, False) for n in range(3)])
        assert (result["acc"], result["acc_norm"]) == (1, 1)
        wrong = task.process_results(doc, [(NEVER if n == right else -1.0, False) for n in range(3)])
        assert wrong["acc"] == 0
    return docs


def test_the_small_social_set_scores_its_own_labels():
    task = load("socialiqa_mini")
    docs = check_multiple_choice(task, [doc["label"] for doc in task.eval_docs])
    assert len(docs) == 80
    assert task.doc_to_text(docs[0]) == f"Q: {docs[0]['context']} {docs[0]['question']}\nA:"
    assert task.doc_to_choice(docs[0]) == [docs[0][f"answer{letter}"] for letter in "ABC"]


@pytest.fixture
def ai2_folder(tmp_path):
    """Four items in AI2's own files."""
    folder = tmp_path / "socialiqa"
    rows = [
        {"context": f"c{n}", "question": "q?", "answerA": f"a{n}", "answerB": "b", "answerC": "c"} for n in range(4)
    ]
    write_jsonl(folder / "dev.jsonl", rows)
    (folder / "dev-labels.lst").write_text("1\n3\n2\n2\n")
    return folder


def test_socialiqa_is_read_from_its_publishers_files(ai2_folder, monkeypatch):
    docs = check_multiple_choice(load("socialiqa", data_dir=str(ai2_folder.parent)), [1, 3, 2, 2])
    assert [(d["id"], d["answerA"]) for d in docs] == [(f"dev-{n}", f"a{n}") for n in range(4)]
    monkeypatch.setenv("LAPD_DATA_DIR", str(ai2_folder.parent))
    assert len(load("socialiqa").eval_docs) == 4


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("1\n3\n2\n", "3 labels for 4 items"),
        ("1\n3\n2\n2\n1\n", "5 labels for 4 items"),
        ("1\n3\n2\n0\n", "one that is not 1, 2 or 3"),
        (None, "there is no such file"),
    ],
)
def test_labels_that_do_not_match_are_refused(ai2_folder, labels, message):
    from lapd.tasks.socialiqa import utils

    if labels is None:
        (ai2_folder / "dev-labels.lst").unlink()
    else:
        (ai2_folder / "dev-labels.lst").write_text(labels)
    with pytest.raises(DataError, match=rf"dev-labels\.lst: .*{message}"):
        utils.read_ai2(ai2_folder)


def test_a_data_folder_without_socialiqa_is_refused(tmp_path):
    from lapd.tasks.socialiqa import utils

    with pytest.raises(DataError, match=r"--data-dir must hold socialiqa/ in its publisher's own files"):
        utils.documents(data_dir=str(tmp_path))


def test_without_network_or_data_one_line_names_both_ways_at_once(tmp_path):
    code = "from lapd.tasks.socialiqa import utils; utils.documents()"
    offline = {"HF_HUB_OFFLINE": "1", "LAPD_CACHE": str(tmp_path), "LAPD_DATA_DIR": ""}
    started = time.monotonic()
    done = run_python(code, env=offline)
    assert done.returncode == 1
    assert time.monotonic() - started < 30
    line = done.stderr.splitlines()[-1]
    assert line.startswith("lapd.errors.DataError: https://")
    assert "socialiqa could not be fetched (HF_HUB_OFFLINE is set)" in line
    assert "--data-dir (or LAPD_DATA_DIR)" in line
    assert "socialiqa/dev.jsonl and dev-labels.lst" in line
    assert "or get a network: `lapd data fetch socialiqa`" in line


def test_socialiqa_without_a_data_folder_is_read_from_what_was_fetched(tmp_path, monkeypatch):
    from lapd.tasks.socialiqa import utils

    if not (SHARED / "benchmarks" / "socialiqa" / "dev.jsonl").is_file():
        pytest.skip("../shared/benchmarks/socialiqa is not here")
    for name in ("HF_HUB_OFFLINE", "LAPD_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LAPD_CACHE", str(tmp_path))
    fetch("socialiqa", tmp_path / "data", str(SHARED / "benchmarks"), quiet=True)
    assert len(utils.documents()["test"]) == 1954
    path = tmp_path / "data" / "socialiqa" / "dev.jsonl"
    path.write_text(path.read_text().replace("Tracy", "Tom"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(DataError, match="socialiqa could not be fetched"):
        utils.documents()


def test_the_whole_of_socialiqa():
    if not (SHARED / "benchmarks" / "socialiqa" / "dev.jsonl").is_file():
        pytest.skip("../shared/benchmarks/socialiqa is not here")
    docs = list(load("socialiqa", data_dir=str(SHARED / "benchmarks")).eval_docs)
    assert len(docs) == 1954
    # Its publisher's own slip, kept as it is: two of the three answers are the same words.
    assert (docs[669]["answerA"], docs[669]["answerB"], docs[669]["answerC"]) == (
        "accomplished",
        "accomplished",
        "proud",
    )


@pytest.mark.parametrize("name", ["mbti", "situations"])
def test_two_responses_that_are_equally_likely_per_token_score_50(name, request):
    task = request.getfixturevalue(name)

    def answer(doc):
        return [-1.0 * n for n in doc["lengths"]] or [-1.0] * len(doc["choices"])

    family = "likelihood" if name == "mbti" else "prefer"
    result = scores(task, answer)
    assert {result[f"{family}_{axis}"] for axis in LETTERS} == {50}
