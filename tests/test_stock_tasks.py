"""Tasks with turns of their own and differences give LAPD and a stock lm_eval the same scores, and can be compared."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest
from conftest import ROOT

from lapd import Settings, evaluate_arms, get_persona, make_arms, resolve_base
from lapd.compare.comparisons import compare
from lapd.testing import make_tiny_base

pytestmark = pytest.mark.slow

TASKS = ["pressure", "persona_holds"]
LIMIT = 24
"""Documents: all parts of four items of `pressure`, and all contexts of three of `persona_holds`."""


def stock_scores(base: str, system: str | None) -> dict[str, float]:
    """Each metric as lm-eval itself computes it."""
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # lm-eval's and its libraries' own
        done = simple_evaluate(
            model="hf",
            model_args={"pretrained": base, "dtype": "float32", "device": "cpu"},
            tasks=TASKS,
            task_manager=TaskManager(include_path=str(ROOT / "tasks"), include_defaults=False),
            limit=LIMIT,
            apply_chat_template=True,
            system_instruction=system,
        )
    found = [pair for scores in done["results"].values() for pair in scores.items()]
    return {name.removesuffix(",none"): value for name, value in found if name.endswith(",none")}


def test_lapd_and_a_stock_lm_eval_give_the_same_scores(tmp_path: Path) -> None:
    base, persona = str(make_tiny_base(tmp_path / "base")), get_persona("INFP")
    arms = make_arms([], ["base", "base+prompt"], persona="INFP")
    store = evaluate_arms(resolve_base(base), arms, TASKS, tmp_path / "run", Settings(limit=LIMIT), quiet=True)
    for name, system in (("base", None), ("base+prompt(INFP)", persona.system_prompt)):
        cells = [entry["cell"] for entry in store.finished() if entry["arm"] == name]
        ours = {metric: value for cell in cells for metric, value in store.result(cell)["metrics"].items()}
        theirs = stock_scores(base, system)
        assert {"sycophancy", "error_under_both_nats", "log_odds_talk_8_EI", "log_odds_after_second_TF"} < set(ours)
        for metric, value in ours.items():
            assert theirs[metric] == pytest.approx(value, abs=1e-3, nan_ok=True), (name, metric)
    rows = {row.metric: row for row in compare(tmp_path / "run").rows}
    assert (rows["sycophancy"].n, rows["sycophancy"].unit, rows["sycophancy"].primary) == (5, "points", True)
    samples = (store.cell_folder(cells[0]) / "samples.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(samples) == LIMIT
    assert json.loads(samples[0])["doc"]["way"] in ("neutral", "plain")
