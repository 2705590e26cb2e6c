"""Comparisons of a run that is made by hand: what is compared with what, item by item, towards which pole."""

import json
import math
from pathlib import Path

import pytest

from lapd import names
from lapd.adapters.adapter import Adapter
from lapd.catalog.find import find_task
from lapd.compare.comparisons import as_json, compare, compare_run
from lapd.errors import StoreError, UnknownNameError, UsageError
from lapd.evaluate.plan import make_arms, make_cells
from lapd.files.whole import write_json, write_jsonl
from lapd.models.base import BaseModel
from lapd.personas import Persona
from lapd.record.cells import Settings
from lapd.record.store import Store
from lapd.report.labels import metric_label, moved, shown
from lapd.report.summary import closing_sentence, summaries
from lapd.report.table import text_table

BASE = BaseModel("fake", Path("/nowhere"), "b" * 64, "someone/fake")


def adapter(digest="a", persona="INFP", control=None):
    name = f"{control}-INFP" if control else "INFP"
    return Adapter(name, Path("/nowhere"), digest * 64, {"persona": persona, "control": control})


@pytest.fixture
def evaluate(tmp_path, base):
    """`evaluate(task, {arm: {item: metrics}}, settings, adapter)`: enter the cells and write their results."""
    store = Store(tmp_path / "run")

    def run(task, values, settings=None, subject=None, kinds=None):
        made = [arm for arm in make_arms([subject or adapter()], kinds) if arm.name in values]
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


def foreign(name="lora"):
    return Adapter(name, Path("/nowhere") / name, "f" * 64, None)


def eight(axis, start=0.0):
    return [(f"{axis}-{n}", {f"log_odds_{axis}": start + n % 3}) for n in range(8)]


def test_an_adapter_without_a_persona_has_each_axis_as_a_row_to_be_shown(evaluate):
    base, ours = eight("EI") + eight("TF"), eight("EI", -2) + eight("TF", 1.5)
    store = evaluate("situations", {"base": base, "lora": ours}, subject=foreign(), kinds=["base", "adapter"])
    compared = compare(store.folder)
    assert [(r.metric, r.persona) for r in compared.rows if r.headline] == [
        ("log_odds_EI", None),
        ("log_odds_TF", None),
    ]
    text = " ".join(text_table(compared.rows, compared.notes).split())
    assert "* situations log-odds towards E, nats" in text and "log-odds towards T, nats" in text
    assert "lora has no persona, and each axis alone: --persona CODE gives one." in text
    assert "lora against base changed log-odds on E/I and log-odds on T/F in situations" in text


def test_a_persona_can_be_given_to_an_adapter_that_has_none(evaluate):
    base, ours = eight("EI") + eight("TF"), eight("EI", -2) + eight("TF", 1.5)
    store = evaluate("situations", {"base": base, "lora": ours}, subject=foreign(), kinds=["base", "adapter"])
    towards = find(compare_run(store.folder, persona="istj"), metric="log_odds_towards")
    assert (towards.persona, towards.n, towards.headline) == ("ISTJ", 16, True)
    assert towards.difference == pytest.approx((8 * 2 + 8 * 1.5) / 16)
    assert [r.metric for r in compare_run(store.folder, persona="ISTJ") if r.headline] == [
        "log_odds_towards",
        "log_odds_moved",
    ]
    with pytest.raises(UnknownNameError, match="There is no persona 'ISTX'"):
        compare_run(store.folder, persona="ISTX")


def test_a_persona_for_a_run_whose_adapters_have_their_own_is_refused(evaluate):
    store = evaluate("situations", {"base": eight("EI"), "INFP": eight("EI", 1)})
    with pytest.raises(UsageError, match="Every adapter of this run counts towards a persona of its own"):
        compare_run(store.folder, persona="ENTJ")


@pytest.mark.parametrize("poles", [{}, {"openness": "curious"}])
def test_what_a_persona_without_a_side_on_a_tasks_axes_was_asked_is_shown(evaluate, monkeypatch, poles):
    sailor = Persona("SAILOR", "the Sailor", poles, "Sails.", "You sail.")
    monkeypatch.setattr(names, "all_personas", lambda: {"SAILOR": sailor})
    subject = Adapter("SAILOR", Path("/s"), "e" * 64, {"persona": "SAILOR", "poles": poles})
    arms = ["base", "base+prompt(SAILOR)", "SAILOR", "SAILOR+prompt(SAILOR)"]
    values = {arm: [(f"{axis}-{n}", {f"agreement_{axis}": 50.0 + n + i}) for axis in ("EI", "SN") for n in range(8)]
              for i, arm in enumerate(arms)}  # fmt: skip
    compared = compare(evaluate("mbti", values, subject=subject).folder)
    shown = {(r.arm, r.metric) for r in compared.rows if r.headline}
    assert shown == {(arm, f"agreement_{axis}") for arm in arms[1:] for axis in ("EI", "SN")}
    assert "SAILOR takes no side on the axes of mbti: SAILOR has each axis alone." in compared.notes


def test_a_number_beyond_0_to_1_without_a_declared_unit_is_no_share(evaluate):
    score = {arm: [(f"i{n}", {"score": 40.0 + n % 4 + more, "acc": float(n % 2)}) for n in range(12)]
             for arm, more in (("base", 0), ("INFP", 3))}  # fmt: skip
    rows = compare_run(evaluate("socialiqa_mini", score).folder)
    assert [(r.metric, r.unit) for r in rows] == [("score", ""), ("acc", "share")]
    assert find(rows, metric="score").difference == pytest.approx(3)
    text = text_table(rows)
    assert "+3.0" in text and "+300" not in text and "percentage points" not in closing_sentence(rows)
    assert "score (" not in metric_label(find(rows, metric="score"))


def test_the_unit_is_one_for_all_arms_of_a_run(evaluate):
    means = {"base": 0.0, "base+prompt(INFP)": 1.0, "INFP": 0.5, "INFP+prompt(INFP)": 60.0}
    values = {arm: [(f"i{n}", {"bleu": mean}) for n in range(8)] for arm, mean in means.items()}
    assert {row.unit for row in compare_run(evaluate("socialiqa_mini", values).folder)} == {""}


def test_undeclared_scores_of_0_or_100_are_yes_or_no(evaluate):
    values = {
        arm: [(f"i{n}", {"parsed": 100.0 * (n < k)}) for n in range(20)] for arm, k in (("base", 4), ("INFP", 12))
    }
    (row,) = compare_run(evaluate("socialiqa_mini", values).folder)
    assert (row.test, row.unit, row.difference, row.p) == ("McNemar exact", "", 40, 2 / 2**8)


@pytest.mark.parametrize(
    ("theirs", "ours", "limit"),
    [([1] * 20, [1] * 20, "ceiling"), ([0] * 20, [0] * 19 + [1], "floor"), ([0, 1] * 10, [0, 1] * 10, "")],
)
def test_at_a_ceiling_or_floor_that_stands_in_place_of_a_verdict(evaluate, theirs, ours, limit):
    values = {arm: [(f"i{n}", {"acc": float(v)}) for n, v in enumerate(vs)]
              for arm, vs in (("base", theirs), ("INFP", ours))}  # fmt: skip
    rows = compare_run(evaluate("socialiqa_mini", values).folder)
    assert (rows[0].limit, shown(rows[0]).verdict) == (limit, f"at a {limit}" if limit else "cannot tell")
    text = closing_sentence(rows)
    assert ("at a ceiling or floor, where nothing could show" in text) == bool(limit)
    assert ("it cannot be told" in text) == (not limit)
    (summary,) = summaries(rows)
    assert ("cannot be told" in summary.text) == (not limit)


def test_a_change_that_is_told_is_a_finding_near_a_ceiling_too(evaluate):
    values = {arm: [(f"i{n}", {"acc": float(n >= k)}) for n in range(1000)] for arm, k in (("base", 5), ("INFP", 45))}
    (row,) = compare_run(evaluate("socialiqa_mini", values).folder)
    assert (row.limit, shown(row).p, moved(row)) == ("ceiling", "<.001", True)
    assert "changed accuracy in socialiqa_mini" in closing_sentence([row])


def test_whatever_is_left_out_is_named_with_its_reason(evaluate):
    evaluate("situations", {"base": eight("EI"), "INFP": eight("EI", 1)})
    evaluate("mbti", {"INFP": [("a", {"agreement_EI": 50.0})]})
    evaluate("overrefusal", {"base": [("a", {})], "INFP": [("a", {})]})
    parsed = {"base": [(f"i{n}", {"acc": 1.0, "read": 1.0}) for n in range(8)],
              "INFP": [(f"i{n}", {"acc": 0.0}) for n in range(8)]}  # fmt: skip
    store = evaluate("socialiqa_mini", parsed)
    waiting = make_cells(BASE, make_arms([adapter()], ["adapter"]), [find_task("eqbench")], Settings())
    store.enter(waiting)
    notes = compare(store.folder).notes
    assert "Not finished, and left out: eqbench with INFP." in notes
    assert "Left out: INFP against base on mbti, where base has no result." in notes
    assert any(note.startswith("Left out: overrefusal, whose scores are not of single items") for note in notes)
    assert "Left out: read in socialiqa_mini, which has a value for no item in both INFP and base." in notes


def test_an_unfinished_runs_arms_are_named_on_the_command_line(evaluate, invoke):
    store = evaluate("situations", {"base": eight("EI"), "INFP": eight("EI", 1)})
    store.enter(make_cells(BASE, make_arms([adapter()]), [find_task("situations")], Settings()))
    said = "Not finished, and left out: situations with base+prompt(INFP) and INFP+prompt(INFP)."
    assert said in invoke("compare", store.folder).stdout.splitlines()
    assert said in invoke("compare", store.folder, "--json").stderr.splitlines()
    json.loads(invoke("compare", store.folder, "--json").stdout)


def test_a_run_of_the_base_alone_has_nothing_to_compare(evaluate):
    store = evaluate("situations", {"base": eight("EI")})
    with pytest.raises(StoreError, match=r"nothing to compare: the only arm is base"):
        compare_run(store.folder)


def test_the_size_of_the_family_is_said(evaluate):
    base, ours = eight("EI") + eight("TF"), eight("EI", 0.1) + eight("TF")
    rows = compare_run(evaluate("situations", {"base": base, "INFP": ours}).folder)
    assert len(rows) == 4
    text = " ".join(text_table(rows).split())
    assert "the primary metrics of situations, 1 row, adjusted by Holm" in text
    assert "Exploratory: everything else, 3 rows" in text


def test_an_axis_with_few_of_a_rows_items_is_no_row_of_its_own(evaluate):
    base, ours = eight("EI") + odds("TF", 1, 2), eight("EI", 1) + odds("TF", 2, 2)
    compared = compare(evaluate("situations", {"base": base, "INFP": ours}).folder)
    assert {r.metric: r.n for r in compared.rows if r.axis} == {"log_odds_EI": 8}
    assert find(compared.rows, metric="log_odds_towards").n == 10
    assert "No rows of their own, with fewer than 6 items: T/F in situations." in compared.notes
