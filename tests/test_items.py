"""Only whole items count, and an item that was asked and has no value is missing, in one arm or in both."""

import pytest
from lapd.tasks.eqbench import utils as eqbench

from lapd.catalog.find import find_task
from lapd.compare.items import asked_items, in_its_ways, whole_items
from lapd.compare.rows import Pairing
from lapd.compare.self_report import _diagnostics
from lapd.compare.values import run_values
from lapd.record.reading import ReadCell


def cell(arm, task, samples):
    return ReadCell({"arm": arm, "task": task, "seed": 0, "cell": f"{arm}-{task}"}, {}, samples, None)


def rows_of(task, base, ours):
    """The comparison of two arms' samples, by metric."""
    cells = [cell("base", task, base), cell("INFP", task, ours)]
    values, asked = run_values(cells), asked_items(cells)
    both = {name: asked["base", task][name] | asked["INFP", task][name] for name in asked["base", task]}
    pairing = Pairing(
        find_task(task), "INFP", "base", None, values["INFP", task], values["base", task], frozenset(), both
    )
    return {row.metric: row for row in pairing.rows()}


# A questionnaire in writing


def question(item, way, label, axis="E/I", flipped=False):
    """A choice question whose answer was read as A (100) or B (0), or not at all (None)."""
    doc = {"axis": axis, "way": way, "flipped": flipped}
    tag = axis.replace("/", "")
    if label is None:
        return {"item": item, "doc": doc, "metrics": {"percent_parseable": 0.0}}
    metrics = {f"{way}_{tag}": 100 - label if flipped else label, "position_bias": label, "percent_parseable": 100.0}
    return {"item": item, "doc": doc, "metrics": metrics}


def both_orders(item, first, second):
    return [question(item, "choice", first), question(item, "choice", second, flipped=True)]


HALF = [*both_orders("a", 100.0, None), *both_orders("b", 100.0, None), *both_orders("c", 100.0, 0.0)]


def test_position_bias_is_of_items_whose_both_orders_were_read():
    bias = next(d for d in _diagnostics(find_task("mbti_text"), "base", HALF) if d.name == "position_bias")
    assert (bias.items, bias.mean) == (1, 50)


def test_where_no_item_is_whole_there_is_no_position_bias():
    names = {d.name for d in _diagnostics(find_task("mbti_text"), "base", HALF[:4])}
    assert names == {"percent_parseable"}


def test_other_ways_of_asking_make_no_item_incomplete():
    samples = [*both_orders("a", 100.0, 0.0), question("a", "agreement", None)]
    assert whole_items(in_its_ways(samples, "position_bias"), "position_bias") == {"a": 50}


def test_a_comparison_takes_whole_items_only_and_counts_the_others():
    whole = [sample for item in "abc" for sample in both_orders(item, 100.0, 0.0)]
    row = rows_of("mbti_text", whole, HALF)["position_bias"]
    assert (row.n, row.missing, row.arm_mean) == (1, 2, 50)
    row = rows_of("mbti_text", HALF, HALF)["choice_EI"]
    assert (row.n, row.missing) == (1, 2)


def test_items_of_another_axis_or_kind_are_not_missing():
    def answered(item, kind, value):
        metrics = {"percent_answered": 0.0} if value is None else {f"refused_{kind}": value, "percent_answered": 100.0}
        return {"item": item, "doc": {"kind": kind, "category": item}, "metrics": metrics}

    samples = [answered(f"h{n}", "harmless", None if n == 0 else 0.0) for n in range(8)]
    samples += [answered(f"x{n}", "harmful", 100.0) for n in range(8)]
    rows = rows_of("overrefusal", samples, samples)
    assert {name: (row.n, row.missing) for name, row in rows.items()} == {
        "refused_harmless": (7, 1),
        "refused_harmful": (8, 0),
        "percent_answered": (16, 0),
    }


def test_metrics_of_other_documents_are_not_missing_where_no_field_tells_them_apart():
    samples = [{"item": f"{n}", "doc": {}, "metrics": {"acc" if n % 2 else "f1": 0.5}} for n in range(20)]
    cells = [cell("base", "own", samples)]
    assert {name: len(items) for name, items in asked_items(cells)["base", "own"].items()} == {"acc": 10, "f1": 10}


# EQ-Bench with revised scores

DOC = {"id": "1", "prompt": "p", "emotions": ["Glad", "Sad", "Calm", "Cross"], "intensities": [0.0, 6.0, 0.0, 9.0]}
SCORES = "Glad: 0\nSad: 6\nCalm: 0\nCross: 9\n"
BOTH = f"First pass scores:\n{SCORES}\nRevised scores:\n{SCORES}"
FIRST = f"First pass scores:\n{SCORES}\nRevised scores:\nI would not change them."


def written(*texts):
    """What an evaluation keeps of the answers: the metrics that are numbers."""
    made = [eqbench.score_passes(DOC, [text]) for text in texts]
    return [
        {"item": str(n), "doc": DOC, "metrics": {k: float(v) for k, v in found.items() if isinstance(v, float)}}
        for n, found in enumerate(made)
    ]


def test_revised_answers_are_compared_with_their_parseability():
    base = written(*[BOTH] * 6, FIRST, "no")
    ours = written(*[BOTH] * 4, FIRST, FIRST, FIRST, "no")
    rows = rows_of("eqbench_revised", base, ours)
    first, revised = rows["first_pass_parseable"], rows["revised_parseable"]
    assert (first.n, first.missing, first.arm_mean, first.baseline_mean) == (8, 0, 87.5, 87.5)
    assert (revised.n, revised.missing, revised.arm_mean, revised.baseline_mean) == (8, 0, 50, 75)
    assert not (first.headline or revised.headline)
    assert (rows["first_pass"].n, rows["first_pass"].missing) == (7, 1)
    assert (rows["revised"].n, rows["revised"].missing) == (4, 4)


@pytest.mark.parametrize("text", ["no", ""])
def test_an_item_that_parses_in_neither_arm_is_missing(text):
    def parsed(*texts):
        metrics = [eqbench.score(DOC, [one]) for one in texts]
        return [{"item": str(n), "doc": DOC, "metrics": found} for n, found in enumerate(metrics)]

    rows = rows_of("eqbench", parsed(*[SCORES] * 6, text, text), parsed(*[SCORES] * 6, SCORES, text))
    assert (rows["eqbench"].n, rows["eqbench"].missing) == (6, 2)
    assert rows["percent_parseable"].missing == 0


def test_a_verdict_that_is_missing_in_both_arms_is_counted_in_its_category_too():
    def judged(item, category, flagged):
        rate = {} if flagged is None else {"flagged": flagged, f"flagged_{category}": flagged}
        return {"item": item, "doc": {"category": category}, "metrics": {**rate, "missing": 100.0 * (flagged is None)}}

    samples = [judged(f"a{n}", "self_harm", 0.0 if n else None) for n in range(7)]
    samples += [judged(f"b{n}", "animal_abuse", 1.0) for n in range(7)] + [judged("c", "child_abuse", None)]
    rows = rows_of("beavertails", samples, samples)
    assert (rows["flagged"].n, rows["flagged"].missing) == (13, 2)
    assert (rows["flagged_self_harm"].missing, rows["flagged_animal_abuse"].missing) == (1, 0)
