"""Comparisons of a run that is made by hand: what is compared with what, item by item, towards which pole."""

import json
import math
from pathlib import Path

import pytest

from lapd.catalog.find import find_task
from lapd.compare.comparisons import as_json, compare_run
from lapd.errors import StoreError
from lapd.evaluate.cells import Settings
from lapd.evaluate.plan import make_arms, make_cells
from lapd.evaluate.store import Store
from lapd.files.whole import write_json, write_jsonl
from lapd.models.adapters import Adapter
from lapd.statistics.tests import holm


def adapter(digest="a", persona="INFP", control=None):
    name = f"{control}-INFP" if control else "INFP"
    return Adapter(name, Path("/nowhere"), digest * 64, {"persona": persona, "control": control})


@pytest.fixture
def evaluate(tmp_path, base):
    """`evaluate(task, {arm: {item: metrics}}, settings, adapter)`: enter the cells and write their results."""
    store = Store(tmp_path / "run")

    def run(task, values, settings=None, subject=None):
        made = [arm for arm in make_arms([subject or adapter()]) if arm.name in values]
        cells = make_cells(base, made, [find_task(task)], settings or Settings())
        store.enter(cells)
        for cell in cells:
            folder = store.cell_folder(cell.name)
            rows = [{"item": item, "metrics": m} for item, m in values[cell.arm.name]]
            write_jsonl(folder / "samples.jsonl", rows)
            result = {"schema": "lapd.result/1", "cell": cell.identity(), "arm": cell.arm.name, "metrics": {}}
            write_json(folder / "result.json", result)
        return store

    return run


def odds(axis, *values):
    return [(f"{axis}-{n}", {f"log_odds_{axis}": v}) for n, v in enumerate(values)]


def find(rows, **wanted):
    (row,) = [r for r in rows if all(getattr(r, k) == v for k, v in wanted.items())]
    return row


def test_an_adapter_is_compared_with_its_base_item_by_item(evaluate):
    base, ours = odds("EI", 1.0, 2, 3), odds("EI", 0.0, 0, 2)
    store = evaluate("situations", {"base": base, "INFP": ours[::-1]})
    row = find(compare_run(store.folder), metric="log_odds_EI")
    assert (row.arm, row.baseline, row.axis, row.unit, row.n, row.missing) == ("INFP", "base", "E/I", "nats", 3, 0)
    assert (row.baseline_mean, row.arm_mean) == pytest.approx((2, 2 / 3))
    assert row.difference == pytest.approx(-4 / 3)
    assert not row.headline
    assert not row.self_report


def test_pooled_rows_count_towards_the_personas_poles(evaluate):
    # I is the second pole of E/I: going down there is going towards INFP, as it is on each of its axes.
    base = odds("EI", 1.0, 2.0) + odds("TF", 0.5, 0.5)
    ours = odds("EI", 0.0, 1.5) + odds("TF", -1.0, 0.75)
    rows = compare_run(evaluate("situations", {"base": base, "INFP": ours}).folder)
    towards = find(rows, metric="log_odds_towards")
    assert (towards.persona, towards.n, towards.headline, towards.axis) == ("INFP", 4, True, None)
    assert towards.difference == pytest.approx((1 + 0.5 + 1.5 - 0.25) / 4)
    moved = find(rows, metric="log_odds_moved")
    assert (moved.n, moved.arm_mean, moved.baseline_mean, moved.unit, moved.test) == (
        4,
        0.75,
        0.5,
        "share",
        "sign test",
    )
    assert moved.p == pytest.approx(2 * (1 + 4) / 16)
    assert moved.low < 0 < moved.difference < moved.high


def test_points_are_turned_round_at_50(evaluate):
    base = [(f"i{n}", {"agreement_EI": v, "acquiescence": v}) for n, v in enumerate((60.0, 55.0))]
    ours = [(f"i{n}", {"agreement_EI": v, "acquiescence": v}) for n, v in enumerate((40.0, 20.0))]
    rows = compare_run(evaluate("mbti", {"base": base, "INFP": ours}).folder)
    towards = find(rows, metric="agreement_towards")
    assert (towards.baseline_mean, towards.arm_mean, towards.unit) == (42.5, 70, "points")
    assert towards.self_report
    assert not find(rows, metric="acquiescence").headline


def test_prompted_arms_are_compared_with_the_prompted_base(evaluate):
    names = ["base", "base+prompt(INFP)", "INFP", "INFP+prompt(INFP)"]
    store = evaluate("situations", {name: odds("EI", float(n), 1.0) for n, name in enumerate(names)})
    compared = {(r.arm, r.baseline) for r in compare_run(store.folder)}
    assert compared == {(names[1], names[0]), (names[2], names[0]), (names[3], names[1])}


def test_an_adapter_is_compared_with_its_control_adapters_under_the_same_prompt(evaluate):
    prompted = "+prompt(INFP)"
    of_another = Adapter("shuffled-ENTJ", Path("/"), "c" * 64, {"persona": "ENTJ", "control": "shuffled"})
    for control, digest in ((None, "a"), ("shuffled", "b")):
        name = adapter(digest, control=control).name
        arms = ["base", f"base{prompted}", name, name + prompted]
        store = evaluate(
            "situations", {arm: odds("EI", 1.0, 2) for arm in arms}, subject=adapter(digest, control=control)
        )
    evaluate("situations", {"shuffled-ENTJ": odds("EI", 1.0, 2)}, subject=of_another)
    compared = {(r.arm, r.baseline) for r in compare_run(store.folder)}
    controls = {("INFP", "shuffled-INFP"), (f"INFP{prompted}", f"shuffled-INFP{prompted}")}
    assert {pair for pair in compared if pair[1].startswith("shuffled")} == controls
    assert ("shuffled-INFP", "base") in compared


def test_an_items_documents_are_averaged_and_what_is_no_number_is_missing(evaluate):
    base = [("a", {"acc": 0.0}), ("a", {"acc": 1.0}), ("b", {"acc": 0.3}), ("c", {"acc": 0.7})]
    ours = [("a", {"acc": 1.0}), ("b", {"acc": 0.3}), ("d", {"acc": 0.1})]
    (row,) = compare_run(evaluate("socialiqa_mini", {"base": base, "INFP": ours}).folder)
    assert (row.n, row.missing, row.difference, row.headline) == (2, 2, 0.25, True)


def test_seeds_are_averaged(evaluate):
    for seed, value in ((0, 0.0), (1, 1.0)):
        store = evaluate("situations", {"base": odds("EI", 0, 0), "INFP": odds("EI", value, value)}, Settings(seed))
    assert find(compare_run(store.folder), metric="log_odds_EI").arm_mean == 0.5


def test_p_values_are_corrected_over_the_whole_run(evaluate):
    evaluate("situations", {"base": odds("EI", 1, 2, 3.5), "INFP": odds("EI", 0, 0.5, 2)})
    values = {name: [(f"i{n}", {"acc": v}) for n in range(9)] for name, v in (("base", 0), ("INFP", 1))}
    rows = compare_run(evaluate("socialiqa_mini", values).folder)
    assert len(rows) == 4
    assert [row.p_holm for row in rows] == holm([row.p for row in rows])
    assert find(rows, metric="acc").p_holm == 4 * find(rows, metric="acc").p == 4 * 2 / 512


def test_a_run_without_a_finished_baseline_is_refused(evaluate):
    store = evaluate("situations", {"INFP": odds("EI", 1.0)})
    with pytest.raises(StoreError, match=r"no arm has a finished baseline.*Run the evaluation to its end"):
        compare_run(store.folder)


def test_rows_become_json_without_infinities(evaluate):
    rows = compare_run(evaluate("situations", {"base": odds("EI", 1.0), "INFP": odds("EI", 0.5)}).folder)
    assert find(rows, metric="log_odds_EI").high == math.inf
    records = json.loads(json.dumps(as_json(rows), allow_nan=False))
    assert next(r for r in records if r["metric"] == "log_odds_EI")["high"] is None


def test_arms_that_were_scored_in_other_precisions_are_not_compared(evaluate):
    evaluate("situations", {"base": odds("EI", 1.0, 2), "INFP": odds("EI", 0.5, 1)})
    store = evaluate("situations", {"base": odds("EI", 9.0, 9)}, Settings(dtype="bfloat16"))
    try:
        rows = compare_run(store.folder)
    except StoreError:
        return
    assert all(row.baseline_mean != 9 for row in rows)


def test_an_arm_never_mixes_two_adapters_of_one_name(evaluate):
    for task in ("situations", "situations_open"):
        evaluate(task, {"base": odds("EI", 1.0, 2), "INFP": odds("EI", 0.5, 1)})
    retrained = {"base": odds("EI", 1.0, 2), "INFP": odds("EI", 0.25, 1)}
    store = evaluate("situations", retrained, subject=adapter("d"))
    arm = store.run()["arms"]["INFP"]["adapter"]["digest"]
    cells = [entry["cell"] for entry in store.run()["cells"].values() if entry["arm"] == "INFP"]
    assert {store.result(cell)["cell"]["adapter"] for cell in cells} == {arm}
