"""Families, margins, verdicts, and statements about trainings, in runs that are made by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lapd.adapters.adapter import Adapter
from lapd.catalog.find import find_task
from lapd.compare.comparisons import Comparison, as_json, compare, compare_run
from lapd.compare.verdicts import CHANGED, CONFIRMATORY, EXPLORATORY, SAME, UNTOLD
from lapd.errors import UsageError
from lapd.evaluate.plan import make_arms, make_cells
from lapd.files.whole import write_json, write_jsonl
from lapd.record.cells import Settings
from lapd.record.store import Store
from lapd.report.table import family_table, text_table
from lapd.statistics.tests import benjamini_hochberg, holm

Evaluate = Callable[..., Path]


def subject(
    name: str = "INFP", persona: str = "INFP", control: str | None = None, seed: int = 0, **more: Any
) -> Adapter:
    """An adapter as its run card tells of it; no two of one digest."""
    digest = f"{abs(hash((name, control, seed))):064x}"[:64]
    card = {"persona": persona, "control": control, "settings": {"seed": seed, "lr": 1e-4}} | more
    return Adapter(name, Path("/nowhere"), digest, card)


@pytest.fixture
def evaluate(tmp_path: Path, base: Any) -> Evaluate:
    """`evaluate(task, {adapter or None: {item: {metric: value}}})`: a run with these cells."""
    store = Store(tmp_path / "run")

    def run(task: str, values: Mapping[Adapter | None, Mapping[str, Mapping[str, float]]]) -> Path:
        adapters = [adapter for adapter in values if adapter]
        arms = {arm.adapter: arm for arm in make_arms(adapters, ["base", "adapter"])}
        cells = make_cells(base, [arms[adapter] for adapter in values], [find_task(task)], Settings())
        store.enter(cells)
        for cell in cells:
            folder = store.cell_folder(cell.name)
            items = values[cell.arm.adapter]
            write_jsonl(folder / "samples.jsonl", [{"item": item, "metrics": m} for item, m in items.items()])
            result = {"schema": "lapd.result/1", "cell": cell.identity(), "arm": cell.arm.name, "metrics": {}}
            write_json(folder / "result.json", result)
        return store.folder

    return run


def items(metric: str, values: Any) -> dict[str, dict[str, float]]:
    return {f"i{n}": {metric: float(value)} for n, value in enumerate(values)}


def noise(seed: int, n: int = 60) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=n)


def row_of(rows: list[Comparison], **wanted: object) -> Comparison:
    (found,) = [row for row in rows if all(getattr(row, key) == value for key, value in wanted.items())]
    return found


def test_what_is_looked_at_beside_the_confirmatory_rows_changes_nothing_in_them(evaluate: Evaluate) -> None:
    ours, base = noise(1) + 0.4, noise(0)
    run = evaluate("situations", {None: items("log_odds_EI", base), subject(): items("log_odds_EI", base - ours)})
    alone = row_of(compare_run(run), metric="log_odds_towards")
    assert (alone.family, alone.family_size, alone.p_holm, alone.q) == (CONFIRMATORY, 1, alone.p, None)
    more = {"prefer_EI": 1.0, "prefer_SN": 0.0, "log_odds_SN": 3.0}
    values = {i: {**m, **more} for i, m in items("log_odds_EI", base).items()}
    evaluate("own_pairs", {None: values, subject(): values})  # its metrics are not among these: no primary row
    again = row_of(compare_run(run), metric="log_odds_towards", task="situations")
    assert (again.p, again.p_holm, again.family_size) == (alone.p, alone.p_holm, 1)


def test_confirmatory_rows_are_held_by_holm_and_the_rest_by_its_false_discovery_rate(evaluate: Evaluate) -> None:
    base, ours = noise(0), noise(0) - 0.3 * noise(1) - 0.2
    evaluate("situations", {None: items("log_odds_EI", base), subject(): items("log_odds_EI", ours)})
    answers = [float(n % 3 == 0) for n in range(60)], [float(n % 2 == 0) for n in range(60)]
    run = evaluate("socialiqa_mini", {None: items("acc", answers[0]), subject(): items("acc", answers[1])})
    rows = compare_run(run)
    confirmed = [row for row in rows if row.family == CONFIRMATORY]
    rest = [row for row in rows if row.family == EXPLORATORY]
    assert {(row.task, row.metric) for row in confirmed} == {
        ("situations", "log_odds_towards"),
        ("socialiqa_mini", "acc"),
    }
    assert [row.p_holm for row in confirmed] == holm([row.p for row in confirmed])
    assert [row.q for row in rest] == benjamini_hochberg([row.p for row in rest])
    assert {row.family_size for row in confirmed} == {2}
    text = family_table(rows)
    assert "Confirmatory is what a run was made to show" in " ".join(text.split()) and "INFP against base" in text


@pytest.mark.parametrize(
    ("shift", "spread", "margin", "verdict"),
    [(2.0, 0.5, {}, CHANGED), (0.0, 0.01, {}, SAME), (0.1, 5.0, {}, UNTOLD), (0.1, 5.0, {"log_odds": 50.0}, SAME)],
)
def test_there_are_three_verdicts(
    evaluate: Evaluate, shift: float, spread: float, margin: dict[str, float], verdict: str
) -> None:
    base = noise(0)
    ours = base - shift - spread * noise(1)
    run = evaluate("situations", {None: items("log_odds_EI", base), subject(): items("log_odds_EI", ours)})
    row = row_of(compare(run, margins=margin).rows, metric="log_odds_towards")
    assert row.verdict == verdict
    assert (row.items_needed is not None) == (verdict == UNTOLD)
    if row.items_needed is not None:
        assert row.items_needed > row.n


def test_a_margin_of_nothing_that_was_measured_is_refused(evaluate: Evaluate) -> None:
    run = evaluate("situations", {None: items("log_odds_EI", noise(0)), subject(): items("log_odds_EI", noise(1))})
    with pytest.raises(UsageError, match="a margin for 'humour', which this run has not measured"):
        compare(run, margins={"humour": 1.0})
    with pytest.raises(UsageError, match="must be above 0"):
        compare(run, margins={"log_odds": 0.0})


def test_a_change_that_what_is_missing_could_undo_is_not_told(evaluate: Evaluate) -> None:
    right = items("acc", [0.0] * 40 + [1.0] * 20)
    ours = items("acc", [1.0] * 12 + [0.0] * 28 + [1.0] * 20)
    gone = {item: {} for item in list(right)[40:]}
    row = row_of(compare_run(evaluate("socialiqa_mini", {None: right, subject(): {**ours, **gone}})), metric="acc")
    assert row.p < 0.05 and (row.missing_arm, row.missing_baseline) == (20, 0)
    assert row.worst is not None and row.best is not None and row.worst < 0 < row.best
    assert (row.verdict, row.why) == (UNTOLD, "missing")


def replicates(kind: str | None, shifts: list[float], start: int) -> dict[Adapter, np.ndarray]:
    """Adapters of one condition, and what each adds to the base on every item."""
    name = f"{kind}-INFP" if kind else "INFP"
    made = {}
    for seed, shift in enumerate(shifts):
        control = kind if not kind or seed == 0 else f"{kind}-{seed}"
        made[subject(f"{name}.{seed}", control=control, seed=seed)] = shift + 0.1 * noise(start + seed)
    return made


def test_replicates_are_held_together_against_their_base_and_their_controls(evaluate: Evaluate) -> None:
    base = noise(0)
    shifts = replicates(None, [1.0, 1.2, 0.8], 10) | replicates("shuffled", [0.3, -0.1], 20)
    values = {adapter: items("log_odds_EI", base - shift) for adapter, shift in shifts.items()}
    compared = compare(evaluate("situations", {None: items("log_odds_EI", base), **values}))
    training = row_of(compared.rows, scope="training", arm="INFP", baseline="base", metric="log_odds_towards")
    assert training.difference == pytest.approx(1.0, abs=0.1)
    assert training.arms == ("INFP.0", "INFP.1", "INFP.2") and training.family == CONFIRMATORY
    singles = [row for row in compared.rows if row.arm == "INFP.0" and row.metric == "log_odds_towards"]
    assert [row.baseline for row in singles] == ["base"], "single shuffled controls give way to all of them"
    assert singles[0].family == EXPLORATORY
    assert training.high - training.low > 2 * (singles[0].high - singles[0].low), "trainings differ more than items"
    persona = row_of(compared.rows, arm="INFP", baseline="shuffled-INFP", metric="log_odds_towards")
    assert (persona.scope, persona.family) == ("training", CONFIRMATORY)
    assert persona.difference == pytest.approx(0.9, abs=0.1)
    assert persona.baselines == ("shuffled-INFP.0", "shuffled-INFP.1")
    text = text_table(compared.rows, compared.notes)
    assert "INFP against base (about such a training: 3 trainings)" in text and "INFP.0 against" not in text
    json.dumps(as_json(compared.rows), allow_nan=False)


def test_how_far_trainings_differ_is_learned_from_all_replicates_of_a_run(evaluate: Evaluate) -> None:
    base = noise(0)
    ours = replicates(None, [1.0, 1.1], 10)
    others = {
        subject(f"{code}.{seed}", code, seed=seed): shift + 0.1 * noise(30 + seed)
        for code in ("ISTJ", "ISTP", "INTJ", "INTP")
        for seed, shift in enumerate((0.5, 0.6))
    }
    alone = compare(evaluate("situations", {None: items("log_odds_EI", base)} | values_of(base, ours)))
    wide = row_of(alone.rows, scope="training", arm="INFP", metric="log_odds_towards")
    together = compare(evaluate("situations", values_of(base, others)))
    told = row_of(together.rows, scope="training", arm="INFP", metric="log_odds_towards")
    assert told.difference == pytest.approx(wide.difference)
    assert (told.high - told.low) < 0.5 * (wide.high - wide.low), "one degree of freedom tells next to nothing"


def values_of(
    base: np.ndarray, shifts: Mapping[Adapter, np.ndarray]
) -> dict[Adapter | None, dict[str, dict[str, float]]]:
    return {adapter: items("log_odds_EI", base - shift) for adapter, shift in shifts.items()}


def test_one_training_says_nothing_of_trainings(evaluate: Evaluate) -> None:
    values = {adapter: items("log_odds_EI", noise(3) - shift) for adapter, shift in replicates(None, [1.0], 10).items()}
    compared = compare(evaluate("situations", {None: items("log_odds_EI", noise(3)), **values}))
    assert {row.scope for row in compared.rows} == {"adapter"}
    assert any("INFP.0 is one training:" in note for note in compared.notes)
