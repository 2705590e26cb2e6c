"""Which precision a processor multiplies faster in: measured, kept, and what training makes of it."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import torch
from lapd.plugins.dpo import use_bfloat16

from lapd.models import products
from lapd.models.products import Products, kept_products, layer_shape, measured_products


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAPD_CACHE", str(tmp_path))


class Model(torch.nn.Module):
    """Layers of two shapes, one that LoRA has put in, and an output that is larger than either."""

    def __init__(self) -> None:
        super().__init__()
        self.narrow, self.wide = torch.nn.Linear(24, 24), torch.nn.Linear(24, 40)
        self.lora_B = torch.nn.Linear(16, 400)
        self.head = torch.nn.Linear(24, 500)

    def get_output_embeddings(self) -> torch.nn.Module:
        return self.head


def test_a_shape_is_measured_once_and_kept() -> None:
    random = torch.get_rng_state()
    threads, started = torch.get_num_threads(), time.process_time()
    found = measured_products((64, 96))
    assert time.process_time() - started < 2
    assert torch.equal(torch.get_rng_state(), random)
    assert torch.get_num_threads() == threads
    assert found.bfloat16 > 0
    assert 0 < found.float32 < 10_000
    (file,) = (products.cache_dir() / "products").iterdir()
    record = json.loads(file.read_text()) | {"float32": 12345.0}
    file.write_text(json.dumps(record))
    assert measured_products((64, 96)).float32 == 12345
    assert [(p.inputs, p.outputs) for p in kept_products()] == [(64, 96)]
    assert measured_products((96, 64)).float32 != 12345


def test_what_another_processor_was_measured_at_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    measured_products((64, 64))
    monkeypatch.setattr(products, "_machine", lambda: ["2.0", "riscv", "0"])
    assert not list(kept_products())


def test_a_damaged_record_is_measured_anew() -> None:
    measured_products((64, 64))
    (file,) = (products.cache_dir() / "products").iterdir()
    file.write_text("{")
    assert not list(kept_products())
    assert measured_products((64, 64)).float32 > 0
    assert len(list(kept_products())) == 1


def test_bfloat16_must_be_clearly_faster_to_be_chosen() -> None:
    assert Products(8, 8, 100, 129).faster == "float32"
    assert Products(8, 8, 100, 131).faster == "bfloat16"


def test_a_hopeless_bfloat16_is_not_tried_on_the_models_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def rate(kind: torch.dtype, tokens: int, inputs: int, outputs: int) -> float:
        tried.append((kind, inputs))
        return 50.0 if kind == torch.float32 else 1.0

    monkeypatch.setattr(products, "_rate", rate)
    assert measured_products((4096, 11008)) == Products(4096, 11008, 50, 1)
    assert (torch.float32, 4096) in tried
    assert (torch.bfloat16, 4096) not in tried


def test_auto_goes_by_what_was_measured_for_the_models_largest_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Model()
    assert layer_shape(model) == (24, 40)
    for rate, chosen in ((200.0, True), (50.0, False)):
        monkeypatch.setattr("lapd.plugins.dpo.measured_products", lambda shape, rate=rate: Products(*shape, 100, rate))
        assert use_bfloat16("auto", "cpu", model) is chosen
    assert use_bfloat16("bfloat16", "cpu", model)
    assert not use_bfloat16("float32", "cpu", model)
    assert not use_bfloat16("auto", "mps", model)
