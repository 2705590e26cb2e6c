"""Processes that train adapters beside this one, on a tiny model."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import Result
from safetensors.torch import load_file
from tiny import make_tiny_base

from lapd.errors import UsageError
from lapd.train.config import TrainConfig
from lapd.train.helpers import _start, helpers
from lapd.train.training import train_adapters

PERSONAS = ("INFP", "ESTJ", "ENTP")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = make_tiny_base(tmp_path_factory.mktemp("tiny") / "base")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAPD_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield folder


def configs(tiny: Path, **settings: Any) -> list[TrainConfig]:
    return [
        TrainConfig(p, base=str(tiny), pairs=6, batch_size=2, epochs=1, eval_pairs=0, precision="float32", **settings)
        for p in PERSONAS
    ]


def test_a_helper_alone_trains_everything_and_to_the_same_weights(tiny: Path, tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    with helpers(1, partial(train_adapters, configs(tiny), tmp_path / "helped")):
        assert torch.get_num_threads() == max(1, threads // 2)
        deadline = time.monotonic() + 120
        while len(list((tmp_path / "helped").glob("*/run_card.json"))) < len(PERSONAS):
            assert time.monotonic() < deadline
            time.sleep(0.1)
    assert torch.get_num_threads() == threads
    for adapter in train_adapters(configs(tiny), tmp_path / "alone"):
        one, other = (
            load_file(p / "adapter_model.safetensors") for p in (adapter.path, tmp_path / "helped" / adapter.name)
        )
        for name, weight in one.items():
            torch.testing.assert_close(weight, other[name], rtol=0, atol=1e-6)


def test_a_helper_that_is_done_ends_well(tiny: Path, tmp_path: Path) -> None:
    train_adapters(configs(tiny)[:1], tmp_path)
    process = _start(partial(train_adapters, configs(tiny)[:1], tmp_path), 1)
    assert process.wait(timeout=120) == 0
    process.communicate()


def test_two_workers_end_with_all_of_them(tiny: Path, tmp_path: Path) -> None:
    done: dict[str, bool] = {}
    adapters = train_adapters(
        configs(tiny), tmp_path, workers=2, done=lambda adapter, trained: done.update({adapter.name: trained})
    )
    assert [adapter.name for adapter in adapters] == list(PERSONAS)
    assert done == dict.fromkeys(PERSONAS, True)
    assert not list(tmp_path.glob("*.partial"))


def test_a_helper_ends_with_its_parent(tiny: Path, tmp_path: Path) -> None:
    process = _start(partial(train_adapters, configs(tiny, lora_dropout=0.1), tmp_path), 1)
    assert process.stdin
    process.stdin.close()  # as the kernel does when the parent is killed
    assert process.wait(timeout=120) == 1
    assert not list(tmp_path.glob("*/run_card.json"))


def test_several_workers_replace_nothing(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"Several workers .* Use one with --force\."):
        train_adapters(configs(tiny), tmp_path, workers=2, force=True)


def test_workers_for_one_persona_are_refused(invoke: Any) -> None:
    result: Result = invoke("train", "INFP", "--workers", 2)
    assert result.exit_code == 2
    assert "--workers shares out several adapters, and this is one." in result.stderr
