"""The folder that `lapd train` writes: what is in it, and that programs without LAPD load the same adapter."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import listing

from lapd.adapters.adapter import resolve_adapter
from lapd.adapters.switching import load_adapters
from lapd.catalog.find import find_task
from lapd.compare.comparisons import Comparison
from lapd.compare.verdicts import CHANGED, UNTOLD
from lapd.evaluate.plan import make_arms, make_cells
from lapd.files.whole import write_json
from lapd.models.base import BaseModel, resolve_base
from lapd.models.loading import load_base
from lapd.record.cells import Settings
from lapd.record.store import Store
from lapd.report.cards import BEGIN, END, primary, write_cards


@pytest.mark.slow
def test_the_folder_is_peft_in_safetensors_with_lapds_cards(small_adapter: Path) -> None:
    assert listing(small_adapter) == [
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
        "chat_template.jinja",
        "curves.png",
        "run_card.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    assert (small_adapter / "curves.png").read_bytes().startswith(b"\x89PNG")
    config = json.loads((small_adapter / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert config["task_type"] == "CAUSAL_LM" and config["modules_to_save"] is None
    card = (small_adapter / "README.md").read_text()
    for part in ("library_name: peft", "INFP, the Letter Writer", "**Intended use.**", "**Data.** 8 preference pairs"):
        assert part in card


@pytest.mark.slow
def test_plain_peft_gives_the_same_logits(small_adapter: Path) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base = resolve_base("smollm2")
    plain = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(base.path, dtype=torch.float32), small_adapter
    )
    ids = AutoTokenizer.from_pretrained(small_adapter)("A quiet evening is", return_tensors="pt")
    ours = load_adapters(load_base(base)[0], [resolve_adapter(small_adapter)])
    with torch.inference_mode():
        assert torch.equal(plain.eval()(**ids).logits, ours(**ids).logits)


def row(arm: str, baseline: str, **more: Any) -> Comparison:
    """A comparison of 40 items, told from none."""
    values: dict[str, Any] = {"task": "situations", "metric": "acc", "axis": None, "persona": None, "n": 40}
    values |= {"missing": 0, "arm_mean": 0.6, "baseline_mean": 0.5, "difference": 0.1, "low": 0.05, "high": 0.15}
    values |= {"p": 0.001, "p_holm": 0.002, "verdict": CHANGED, "test": "paired t", "unit": "share"}
    values |= {"self_report": False, "headline": True, "note": ""}
    return Comparison(arm=arm, baseline=baseline, **(values | more))


@pytest.fixture
def measured(tmp_path: Path, base: BaseModel, make_adapter: Any) -> tuple[Path, Path]:
    """A run's folder with finished cells of an adapter at two strengths, and the adapter's folder with a card."""
    folder = make_adapter()
    (folder / "README.md").write_text("# INFP on fake\n\nWritten by hand.\n")
    adapter = resolve_adapter(folder)
    store = Store(tmp_path / "run")
    arms = make_arms([adapter.at(0.5), adapter])
    cells = make_cells(base, arms, [find_task("situations")], Settings(limit=40))
    store.enter(cells)
    for cell in cells:
        result = {"schema": "lapd.result/1", "cell": cell.identity(), "metrics": {}, "finished": "2026-11-22T10:00:00Z"}
        write_json(store.cell_folder(cell.name) / "result.json", result)
    return store.folder, folder


ROWS = [
    row("base+prompt(INFP)", "base"),
    row("INFP@0.5", "base", p_holm=0.9, verdict=UNTOLD),
    row("INFP", "base", note="Judged by keywords 1."),
    row("INFP", "base", metric="acc_EI", headline=False),
    row("INFP", "base", metric="acc_norm"),
]


def test_what_was_measured_is_put_into_the_card_once(measured: tuple[Path, Path]) -> None:
    run, folder = measured
    digest = resolve_adapter(folder).digest
    assert write_cards(run, ROWS) == [folder / "README.md"]
    text = (folder / "README.md").read_text()
    assert text.startswith("# INFP on fake\n\nWritten by hand.\n")
    lines = text.partition(BEGIN)[2].partition(END)[0].splitlines()
    table = [line.strip("| ").split(" | ") for line in lines if line.startswith("| INFP")]
    numbers = ["50.0", "60.0", "+10.0 percentage points", "[5.0, 15.0]"]
    assert table == [
        ["INFP@0.5", "base", "situations", "accuracy (%)", *numbers, ".90", "cannot tell", "40"],
        ["INFP", "base", "situations", "**accuracy (%)**", *numbers, ".002", "changed", "40"],
    ]
    assert "Judged by keywords 1." in lines
    assert "2026-11-22" in text and "Only the first 40 documents" in text
    assert "The primary metric of each task; `lapd compare` shows 1 more." in lines
    assert resolve_adapter(folder).digest == digest
    before = (folder / "README.md").stat().st_mtime_ns
    write_cards(run, ROWS)
    assert (folder / "README.md").stat().st_mtime_ns == before


def test_a_card_has_one_row_of_each_task_and_comparison(measured: tuple[Path, Path]) -> None:
    run, folder = measured
    metrics = ("log_odds_towards", "log_odds_moved", "prefer_towards", "log_odds_EI")
    everything = [
        row(arm, base, task=task, metric=metric, headline=metric != "log_odds_EI")
        for arm, base in (("INFP", "base"), ("INFP", "shuffled-INFP"), ("base+prompt(INFP)", "base"))
        for task in ("situations", "mbti")
        for metric in metrics
    ]
    assert [(r.arm, r.baseline, r.task, r.metric) for r in primary(everything)][:2] == [
        ("INFP", "base", "situations", "log_odds_towards"),
        ("INFP", "base", "mbti", "log_odds_towards"),
    ]
    write_cards(run, everything)
    table = [line for line in (folder / "README.md").read_text().splitlines() if line.startswith("| INFP")]
    assert len(table) == 4
    assert "`lapd compare` shows 8 more." in (folder / "README.md").read_text()


def test_a_new_measurement_takes_the_old_ones_place(measured: tuple[Path, Path]) -> None:
    run, folder = measured
    write_cards(run, ROWS)
    card = folder / "README.md"
    card.write_text(card.read_text() + "\nA note below.\n")
    write_cards(run, [row("INFP", "base", difference=0.2, low=0.1, high=0.3)])
    text = card.read_text()
    assert text.count(BEGIN) == text.count(END) == text.count("## Measured") == 1
    assert "+20" in text and "INFP@0.5" not in text
    assert text.endswith(f"{END}\n\nA note below.\n")
    before = text
    write_cards(run, [row("INFP", "base", difference=0.2, low=0.1, high=0.3)])
    assert card.read_text() == before


def test_other_weights_and_others_folders_get_no_results(measured: tuple[Path, Path]) -> None:
    run, folder = measured
    before = (folder / "README.md").read_text()
    (folder / "run_card.json").rename(folder / "kept.json")
    assert write_cards(run, ROWS) == []
    (folder / "kept.json").rename(folder / "run_card.json")
    (folder / "adapter_model.safetensors").write_bytes(b"trained again")
    assert write_cards(run, ROWS) == []
    assert (folder / "README.md").read_text() == before
    shutil.rmtree(folder)
    assert write_cards(run, ROWS) == []
