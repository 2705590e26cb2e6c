"""Training on the embedded model: what is written, what survives a kill, what is refused."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import SCRIPT, SMALL
from warm import Fork, Warm

from lapd.adapters.adapter import resolve_adapter
from lapd.errors import DataError, LapdError, UsageError
from lapd.models.base import resolve_base
from lapd.pairs.pair import PreferencePair, write_pairs
from lapd.testing import make_tiny_base
from lapd.train.config import TrainConfig
from lapd.train.divergence import check_log
from lapd.train.training import train_adapter

pytestmark = pytest.mark.slow


Lapd = Callable[..., subprocess.CompletedProcess[str]]

START = ("train", "INFP", *SMALL, "--epochs", 20, "--base")
"""Eighty steps on the base that follows."""


def wait_for_checkpoint(partial: Path, process: Fork) -> None:
    """Until a checkpoint has been written whole."""
    deadline = time.time() + 240
    while not list(partial.glob("checkpoints/checkpoint-*/lapd_complete")):
        assert process.poll() is None, process.communicate()
        assert time.time() < deadline, "no checkpoint"
        time.sleep(0.005)


def test_the_adapter_has_a_run_card_with_settings_curves_and_digests(small_adapter: Path) -> None:
    card = json.loads((small_adapter / "run_card.json").read_text())
    assert card["schema"] == "lapd.run_card/1"
    assert card["persona"] == "INFP"
    assert card["poles"] == {"E/I": "I", "S/N": "N", "T/F": "F", "J/P": "P"}
    assert card["base"]["digest"] == resolve_base("smollm2").digest
    assert card["data"]["sources"]["pairs_by_axis"] == {"E/I": 2, "J/P": 2, "S/N": 2, "T/F": 2}
    assert card["settings"]["lr"] == 2e-4
    assert card["settings"]["steps"] == 8
    assert [entry["step"] for entry in card["log"]] == list(range(1, 9))
    assert all({"loss", "margin", "accuracy"} <= entry.keys() for entry in card["log"])
    # DPO starts at ln 2: policy and reference are the same model.
    assert card["log"][0]["loss"] == pytest.approx(0.6931, abs=1e-3)
    assert card["log"][-1]["margin"] > card["log"][0]["margin"]
    assert {"torch", "trl", "peft", "lapd"} <= card["versions"].keys()
    assert (small_adapter / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert not list(small_adapter.glob("ref*"))


def test_plain_peft_loads_the_adapter_and_gets_the_same_logits(small_adapter: Path) -> None:
    import torch
    from peft import PeftModel

    from lapd.adapters.switching import load_adapters
    from lapd.models.loading import load_base

    base = resolve_base("smollm2")
    ids = torch.tensor([[1, 9690, 198, 2683]])
    ours = load_adapters(load_base(base)[0], [resolve_adapter(small_adapter)])
    theirs = PeftModel.from_pretrained(load_base(base)[0], small_adapter).eval()
    with torch.inference_mode():
        a, b, bare = ours(ids).logits, theirs(ids).logits, theirs.get_base_model()
        assert torch.equal(a, b)
        with theirs.disable_adapter():
            assert not torch.equal(a, theirs(ids).logits)
    assert bare is not None


def test_the_same_command_again_does_nothing(small_adapter: Path, warm_lapd: Lapd) -> None:
    before = {p: p.stat().st_mtime_ns for p in small_adapter.iterdir()}
    result = warm_lapd("train", "INFP", *SMALL, "-o", small_adapter)
    assert result.returncode == 0, result.stderr
    assert "is there already" in result.stderr
    assert {p: p.stat().st_mtime_ns for p in small_adapter.iterdir()} == before


def test_other_settings_do_not_replace_an_adapter(small_adapter: Path, warm_lapd: Lapd) -> None:
    result = warm_lapd("train", "INFP", *SMALL, "--beta", "0.3", "-o", small_adapter)
    assert result.returncode == 2
    assert "other settings" in result.stderr and "--force" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_killed_training_goes_on_and_ends_in_the_same_weights(warm: Warm, tmp_path: Path) -> None:
    base = make_tiny_base(tmp_path / "base")
    out, whole = tmp_path / "INFP", tmp_path / "whole"
    process = warm.start(SCRIPT, *START, base, "-o", out)
    wait_for_checkpoint(tmp_path / "INFP.partial", process)
    process.kill()
    process.communicate()
    assert not out.exists()
    # A kill in the middle of saving leaves a checkpoint without its mark.
    torn = tmp_path / "INFP.partial/checkpoints/checkpoint-999"
    torn.mkdir()
    (torn / "adapter_model.safetensors").write_bytes(b"half")
    for folder in (out, whole):
        result = warm.run(SCRIPT, *START, base, "-o", folder)
        assert result.returncode == 0, result.stderr
    assert (out / "adapter_model.safetensors").read_bytes() == (whole / "adapter_model.safetensors").read_bytes()
    ours, theirs = (json.loads((f / "run_card.json").read_text())["log"] for f in (out, whole))
    assert ours == theirs
    assert not (tmp_path / "INFP.partial").exists()


def test_an_interrupt_says_how_to_go_on(warm: Warm, tmp_path: Path) -> None:
    out = tmp_path / "INFP"
    process = warm.start(SCRIPT, *START, make_tiny_base(tmp_path / "base"), "--epochs", 1000, "-o", out)
    wait_for_checkpoint(tmp_path / "INFP.partial", process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130
    assert "the same command goes on" in errors
    assert "Traceback" not in errors
    assert not out.exists()


@pytest.mark.thorough
def test_the_packed_loss_is_trls_loss(tmp_path: Path) -> None:
    """Three float32 steps on the same pairs in the same order: TRL's trainer and the packed one."""
    from unittest import mock

    config = TrainConfig("INFP", pairs=6, batch_size=2, epochs=1, eval_pairs=0, precision="float32")
    packed = train_adapter(config, tmp_path / "packed")
    with mock.patch("lapd.packed.forward.takes_packed_rows", return_value=False):
        plain = train_adapter(config, tmp_path / "plain")
    assert packed.card and plain.card
    for ours, theirs in zip(packed.card["log"], plain.card["log"], strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], abs=1e-3)
        assert ours["margin"] == pytest.approx(theirs["margin"], abs=1e-3)


def test_a_pair_that_is_too_long_is_named_not_cut(tmp_path: Path) -> None:
    pairs = [PreferencePair("Hi", "word " * 300, "no", {})]
    write_pairs(tmp_path / "pairs.jsonl", pairs)
    config = TrainConfig("INFP", dataset=str(tmp_path / "pairs.jsonl"), max_length=128)
    with pytest.raises(DataError, match=r"pair 1: it has \d+ tokens, more than max_length 128"):
        train_adapter(config, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("force", [False, True])
def test_a_folder_that_is_no_adapter_is_not_replaced(tmp_path: Path, force: bool) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(UsageError, match="no adapter of LAPD's"):
        train_adapter(TrainConfig("INFP", pairs=2), tmp_path, force=force)
    assert (tmp_path / "mine.txt").read_text() == "precious"


def test_a_loss_that_is_no_number_stops_with_advice() -> None:
    with pytest.raises(LapdError, match=r"not a number at step 3.*--lr"):
        check_log([{"step": 2, "loss": 0.5}, {"step": 3, "loss": float("nan")}])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lr": 0.0}, "lr must be above 0"),
        ({"pairs": 0}, "pairs must be at least 1"),
        ({"warmup": 1.0}, "warmup is a share"),
        ({"precision": "int8"}, "There is no precision 'int8'"),
    ],
)
def test_settings_that_make_no_sense_are_named(settings: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        TrainConfig("INFP", **settings)  # type: ignore[arg-type]
