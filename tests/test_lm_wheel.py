"""The installed wheel makes `--model lapd` known to a stock `lm_eval`."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_wheel import python, run  # noqa: F401  (a fixture and its helper)
from tiny import make_tiny_base

pytestmark = pytest.mark.slow


def test_a_stock_lm_eval_knows_the_model_lapd(python: Path, tmp_path: Path) -> None:  # noqa: F811
    folder = make_tiny_base(tmp_path / "tiny")
    arguments = ("run", "--model", "lapd", "--model_args", f"pretrained={folder}", "--tasks", "socialiqa_mini",
                 "--limit", "3", "--apply_chat_template", "--device", "cpu")  # fmt: skip
    printed = run(python, "lm_eval", *arguments)
    assert "lapd ({'pretrained'" in printed
    assert "|socialiqa_mini|" in printed
    # Torch alone brings neither lm-eval nor LAPD's heavy parts in.
    code = "import sys, torch; print([m for m in ('lm_eval', 'lapd.evaluate', 'transformers') if m in sys.modules])"
    assert run(python, python.name, "-c", code).strip() == "[]"
