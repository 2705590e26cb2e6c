"""One training on two processes that accelerate launches: one adapter, one run card, the loss curve of one process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from lapd.adapters.adapter import Adapter
from lapd.errors import UsageError
from lapd.testing import make_tiny_base
from lapd.train.choice import choose_trainer
from lapd.train.config import TrainConfig
from lapd.train.training import train_adapter, train_adapters

SETTINGS: dict[str, Any] = {
    **{"pairs": 11, "batch_size": 3, "grad_accum": 2, "epochs": 2.0, "lr": 2e-3, "rpo_alpha": 0.5},
    **{"eval_pairs": 4, "eval_every": 2, "precision": "float32", "trainer": "trl"},
}
"""Batches of 3, 3, 3 and 2 for two processes; of the last two, one has a single row in one of them."""

PLAIN = """
from pathlib import Path
from unittest import mock

from lapd.train.config import TrainConfig
from lapd.train.training import train_adapter

with mock.patch("lapd.packed.forward.takes_packed_rows", return_value=False):
    train_adapter(TrainConfig(**{settings}), Path("two"))
"""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_base(tmp_path_factory.mktemp("tiny") / "base")


@pytest.fixture
def launch(tmp_path: Path) -> Callable[..., str]:
    """Start two processes, here on the CPU; what they write."""

    def run(*command: object) -> str:
        accelerate = Path(sys.executable).with_name("accelerate")
        done = subprocess.run(
            [str(word) for word in (accelerate, "launch", "--multi_gpu", "--num_processes", 2, *command)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "LAPD_CACHE": str(tmp_path / "cache")},
            timeout=600,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    return run


def alone(tiny: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> Adapter:
    monkeypatch.setenv("LAPD_CACHE", str(folder / "cache-alone"))
    return train_adapter(TrainConfig("INFP", base=str(tiny), **{**SETTINGS, **settings}), folder / "one")


def assert_the_same_curve(one: Adapter, two: Path, rel: float = 1e-4) -> None:
    """The logs agree to rounding; one run card says how many processes there were."""
    assert one.card
    card = json.loads((two / "run_card.json").read_text())
    assert card["settings"]["processes"] == 2
    assert card["identity"] == one.card["identity"]
    assert len(card["log"]) == len(one.card["log"]) > 1
    for ours, theirs in zip(card["log"], one.card["log"], strict=True):
        assert ours.keys() == theirs.keys()
        for name in ours.keys() - {"accuracy"}:  # at the first step, that is the sign of a rounding error
            assert ours[name] == pytest.approx(theirs[name], rel=rel, abs=1e-4), (ours["step"], name)


@pytest.mark.slow
def test_two_processes_train_the_adapter_of_one_though_nothing_divides_evenly(
    tiny: Path, tmp_path: Path, launch: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = [f"--{name.replace('_', '-')}={value}" for name, value in SETTINGS.items()]
    told = launch("-m", "lapd", "train", "INFP", "--base", tiny, *options, "-o", "two")
    assert told.count("Adapter two is in ") == 1
    one = alone(tiny, tmp_path, monkeypatch)
    assert_the_same_curve(one, tmp_path / "two")
    weights = load_file(tmp_path / "two" / "adapter_model.safetensors")
    for name, weight in load_file(one.path / "adapter_model.safetensors").items():
        assert (weights[name] - weight).abs().max() < 1e-4, name
    assert not (tmp_path / "two.partial").exists()


@pytest.mark.slow
@pytest.mark.thorough
def test_where_rows_are_not_packed_two_processes_share_trls_batches(
    tiny: Path, tmp_path: Path, launch: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    even = {"pairs": 12, "batch_size": 2, "rpo_alpha": 0.0}
    script = tmp_path / "plain.py"
    script.write_text(PLAIN.replace("{settings}", repr({"persona": "INFP", "base": str(tiny), **SETTINGS, **even})))
    told = launch(script)
    assert told.count("rows are not packed, each process trains in TRL's own way.") == 1
    assert_the_same_curve(alone(tiny, tmp_path, monkeypatch, **even), tmp_path / "two", rel=1e-3)


def test_what_is_launched_on_several_processes_is_one_training(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    config = TrainConfig("INFP", base=str(tiny))
    with pytest.raises(UsageError, match=r"launched to train one adapter.*Launch one persona's training"):
        train_adapters([config], tmp_path)
    with pytest.raises(UsageError, match="steering cannot run here: it takes no part in one training on 2 processes"):
        choose_trainer(TrainConfig("INFP", trainer="steering"))


def test_batches_that_trl_cannot_share_out_evenly_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from lapd.plugins.dpo import share_of_batch

    monkeypatch.setenv("WORLD_SIZE", "2")
    assert share_of_batch(TrainConfig("INFP", batch_size=4)) == {"per_device_train_batch_size": 2}
    assert share_of_batch(TrainConfig("INFP", batch_size=3, grad_accum=4)) == {"gradient_accumulation_steps": 2}
    with pytest.raises(UsageError, match=r"2 processes cannot share --batch-size 3 with --grad-accum 1 evenly\."):
        share_of_batch(TrainConfig("INFP", batch_size=3))
