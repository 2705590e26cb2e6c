"""Verdicts and what they come to: rates with intervals and bounds, labels, kappa; nothing missing is ever an answer."""

import json
from collections import Counter

import numpy as np
import pytest
from conftest import SHARED

from lapd.errors import DataError
from lapd.hookspecs import Verdict
from lapd.judges.harms import CATEGORIES, category_metric
from lapd.judges.verdicts import Judged, Labelled, agreement, check, rates, read_labels, read_verdicts
from lapd.statistics.shares import cohen_kappa, share_interval

FLAGS = SHARED / "benchmarks" / "beavertails" / "flags_llama3_8b_seed42.jsonl"

YES, NO, LOST = Verdict(True), Verdict(False), Verdict(None, "timed out")


def write(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.skipif(not FLAGS.is_file(), reason=f"{FLAGS} is missing")
def test_the_published_rate_is_reproduced_in_all_and_by_category():
    judged = read_verdicts(FLAGS)
    found = rates(judged)
    assert round(found["flagged"], 6) == 0.328571
    assert (found["n_flagged"], found["n_judged"], found["n_missing"], found["n_total"]) == (230, 700, 0, 700)
    assert found["interval"] == list(share_interval(230, 700))
    assert found["bounds"] == [230 / 700, 230 / 700]
    rows = [json.loads(line) for line in FLAGS.read_text().splitlines()]
    flagged = Counter(row["category_id"] for row in rows if row["flagged"])
    assert list(found["by_category"]) == list(CATEGORIES)
    for number, name in enumerate(CATEGORIES):
        assert found["by_category"][name]["flagged"] == flagged[number] / 50
        assert found["by_category"][name]["n_total"] == 50


def test_missing_verdicts_are_left_out_counted_bounded_and_named():
    found = rates([Judged(v, "self_harm") for v in (YES, NO, NO, LOST, Verdict(None, "no JSON"), LOST)])
    assert found["flagged"] == 1 / 3
    assert found["bounds"] == [1 / 6, 4 / 6]
    assert (found["n_judged"], found["n_missing"], found["n_total"]) == (3, 3, 6)
    assert found["missing_reasons"] == {"timed out": 2, "no JSON": 1}
    assert found["by_category"]["self_harm"]["bounds"] == [1 / 6, 4 / 6]


def test_without_any_verdict_there_is_no_rate_and_the_bounds_are_everything():
    found = rates([Judged(LOST)] * 4)
    assert (found["flagged"], found["interval"], found["bounds"]) == (None, None, [0.0, 1.0])
    assert found["by_category"] == {}


def test_the_interval_is_exact_and_does_not_collapse_at_none():
    low, high = rates([Judged(NO)] * 20)["interval"]
    assert low == 0
    assert high == pytest.approx(1 - 0.025 ** (1 / 20))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"prompt": "x"}, "a verdict is an object"),
        ({"flagged": 1}, "a verdict is an object"),
        ({"flagged": "true"}, "a verdict is an object"),
        ([True], "a verdict is an object"),
        ({"flagged": None}, "needs its `reason`"),
        ({"flagged": True, "category_id": 14}, "category_id is 0 to 13"),
        ({"flagged": True, "category_id": "3"}, "category_id is 0 to 13"),
    ],
)
def test_a_line_that_is_no_verdict_is_refused_with_its_number(tmp_path, row, message):
    path = write(tmp_path / "v.jsonl", {"flagged": True}, row)
    with pytest.raises(DataError, match=rf"v\.jsonl:2: .*{message}"):
        read_verdicts(path)


def test_a_file_without_verdicts_is_refused(tmp_path):
    with pytest.raises(DataError, match="no verdict"):
        read_verdicts(write(tmp_path / "v.jsonl"))


def test_a_category_can_be_a_name_or_the_publishers_number(tmp_path):
    path = write(tmp_path / "v.jsonl", {"flagged": True, "category": "own"}, {"flagged": False, "category_id": 10})
    assert [one.category for one in read_verdicts(path)] == ["own", "self_harm"]


def test_the_categories_are_fourteen_and_their_metrics_hold_no_comma():
    assert len(set(CATEGORIES)) == 14
    assert not any("," in category_metric(name) for name in CATEGORIES)
    assert category_metric("terrorism,organized_crime") == "flagged_terrorism_organized_crime"


# Against people


def labelled(*safe):
    return [Labelled("?", "!", is_safe) for is_safe in safe]


def test_harmful_is_the_positive():
    verdicts = [YES] * 6 + [NO] * 2 + [YES] * 1 + [NO] * 11 + [LOST]
    found = check(verdicts, labelled(*[False] * 8, *[True] * 12, True))
    assert (found["true_positives"], found["false_negatives"]) == (6, 2)
    assert (found["false_positives"], found["true_negatives"]) == (1, 11)
    assert found["accuracy"] == 17 / 20
    assert found["precision"] == 6 / 7
    assert found["recall"] == 6 / 8
    assert found["recall_interval"] == list(share_interval(6, 8))
    assert (found["n_judged"], found["n_missing"], found["n_total"]) == (20, 1, 21)
    assert found["missing_reasons"] == {"timed out": 1}


def test_what_cannot_be_computed_is_null():
    found = check([NO, NO], labelled(True, True))
    assert (found["precision"], found["recall"], found["kappa"], found["accuracy"]) == (None, None, None, 1.0)
    assert check([LOST], labelled(True))["accuracy"] is None


def test_kappa_is_scikit_learns():
    from sklearn.metrics import cohen_kappa_score

    rng = np.random.default_rng(0)
    for _ in range(20):
        truth = rng.random(60) < 0.4
        judge = np.where(rng.random(60) < 0.8, truth, ~truth)
        verdicts = [Verdict(bool(v)) for v in judge]
        found = check(verdicts, labelled(*[not bool(t) for t in truth]))
        assert found["kappa"] == pytest.approx(cohen_kappa_score(truth, judge))


def test_kappas_interval_is_the_published_one():
    """Fleiss, Cohen and Everitt (1969), table 2: kappa .429, standard error .054 (variance .002885) of 200 subjects."""
    table = np.array([[106, 10, 4], [22, 28, 10], [2, 12, 6]])
    kappa, low, high = cohen_kappa(table)
    assert kappa == pytest.approx(0.429, abs=5e-4)
    assert (high - low) / (2 * 1.959964) == pytest.approx(0.002885**0.5, abs=2e-4)


def test_kappas_interval_covers_as_often_as_it_says():
    rng = np.random.default_rng(1)
    p = np.array([[0.3, 0.1], [0.05, 0.55]])
    true = cohen_kappa(p * 1e6)[0]
    inside = 0
    for _ in range(1000):
        _, low, high = cohen_kappa(rng.multinomial(150, p.ravel()).reshape(2, 2))
        inside += low <= true <= high
    assert 930 <= inside <= 970


def test_without_items_there_is_no_kappa():
    assert cohen_kappa(np.zeros((2, 2))) is None


def test_labels_are_read_from_json_lines_and_from_csv(tmp_path):
    rows = [{"prompt": "a", "response": "b", "is_safe": True}, {"prompt": "c", "response": "", "is_safe": False}]
    expected = [Labelled("a", "b", True), Labelled("c", "", False)]
    assert read_labels(write(tmp_path / "l.jsonl", *rows)) == expected
    (tmp_path / "l.csv").write_text("prompt,response,is_safe\na,b,True\nc,,false\n")
    assert read_labels(tmp_path / "l.csv") == expected


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"prompt": "a", "is_safe": True}, "both text"),
        ({"prompt": "a", "response": "b"}, "`is_safe` is true or false, not None"),
        ({"prompt": "a", "response": "b", "is_safe": 1}, "`is_safe` is true or false, not 1"),
        (["a"], "both text"),
    ],
)
def test_a_row_that_is_no_label_is_refused(tmp_path, row, message):
    with pytest.raises(DataError, match=message):
        read_labels(write(tmp_path / "l.jsonl", row))
    with pytest.raises(DataError, match="no labelled response"):
        read_labels(write(tmp_path / "l.jsonl"))


# Against another judge


def test_two_judges_are_compared_on_what_both_judged():
    found = agreement([YES] * 10 + [NO] * 10 + [LOST, YES], [YES] * 4 + [NO] * 16 + [NO, LOST])
    assert found["agreement"] == 14 / 20
    assert (found["both_flagged"], found["only_first"], found["only_second"], found["neither_flagged"]) == (4, 6, 0, 10)
    assert (found["n_judged"], found["n_missing"], found["n_total"]) == (20, 2, 22)
    assert found["kappa"] == pytest.approx(0.4)
    assert found["p"] == pytest.approx(2 / 2**6)


def test_a_judge_agrees_with_itself():
    found = agreement([YES, NO], [YES, NO])
    assert (found["agreement"], found["kappa"], found["p"]) == (1.0, pytest.approx(1.0), 1.0)
