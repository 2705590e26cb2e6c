"""What an earlier LAPD wrote stays readable: a run, its adapter and its run card, of before trait packs and rooms.

`tests/fixtures/before-rooms` was written by the commit 36eedc2 on the tiny base: an INFP adapter and its control, eight
documents a task; `compare.json` is what its `lapd compare --json` printed. Prompted arms were left out afterwards.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

from lapd.adapters.adapter import resolve_adapter
from lapd.adapters.card import model_card
from lapd.adapters.personas import persona_of
from lapd.catalog.find import find_task
from lapd.compare.comparisons import compare_run
from lapd.evaluate.plan import make_arms
from lapd.files.whole import read_json
from lapd.train.config import TrainConfig

FORMER = ROOT / "tests" / "fixtures" / "before-rooms"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The run's folder, to be written into."""
    return Path(shutil.copytree(FORMER / "run", tmp_path / "run"))


def test_a_former_run_compares_as_it_did(run: Path) -> None:
    found = {(row.task, row.metric, row.arm, row.baseline): row for row in compare_run(run)}
    for then in read_json(FORMER / "compare.json"):
        now = found[then["task"], then["metric"], then["arm"], then["baseline"]]
        # Intervals allow now for items that belong together, and for few values that are skewed.
        sure = () if find_task(then["task"]).cluster or "BCa" in now.test else ("low", "high", "p")
        for name in ("n", "arm_mean", "baseline_mean", "difference", *sure):
            assert getattr(now, name) == pytest.approx(then[name], abs=1e-12), (then["metric"], name)


def test_a_former_run_has_a_report(run: Path, invoke: Callable[..., Any]) -> None:
    result = invoke("report", run)
    assert result.exit_code == 0, result.stderr
    assert "INFP" in (run / "report.html").read_text(encoding="utf-8")


def test_a_former_adapter_and_its_card_are_read() -> None:
    adapter = resolve_adapter(FORMER / "INFP")
    assert adapter.persona == "INFP"
    persona = persona_of(adapter)
    assert persona is not None and persona.system_prompt
    assert [arm.name for arm in make_arms([adapter], ["base", "adapter+prompt"])] == ["base", "INFP+prompt(INFP)"]
    assert adapter.card is not None and "# INFP on " in model_card(adapter.card)


def test_the_former_identity_of_a_training_is_what_it_is_today() -> None:
    """So that an adapter that was trained before counts as trained with the same settings."""
    from lapd.models.base import BaseModel
    from lapd.names import get_persona
    from lapd.pairs.pair import pairs_digest
    from lapd.train.job import _identity, load_pairs

    card = read_json(FORMER / "INFP" / "run_card.json")
    settings = {name: card["settings"][name] for name in ("pairs", "epochs", "lr", "precision", "trainer", "seed")}
    config = TrainConfig("INFP", **settings)
    pairs = load_pairs(config, get_persona("INFP"))
    assert pairs_digest(pairs) == card["data"]["digest"]
    base = BaseModel(card["base"]["name"], Path(), card["base"]["digest"], "")
    assert _identity(config, base, pairs, []) == card["identity"]
