"""Switching between more adapters than are held at once."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import torch
from lora import make_lora
from tiny import make_tiny_base

from lapd.evaluate.canary import check_adapters
from lapd.models import load_base, resolve_adapter, resolve_base
from lapd.switching import RESIDENT, load_adapters, peft_name, switch_adapter

IDS = torch.arange(5, 25)[None]


def logits(model: Any) -> torch.Tensor:
    with torch.inference_mode():
        return model(IDS).logits


def test_an_adapter_that_was_let_go_comes_back_as_it_was(tmp_path: Path) -> None:
    base = resolve_base(str(make_tiny_base(tmp_path / "base")))
    ranks = [4, 4, 8, 4, 4, 2, 4]
    folders = [make_lora(tmp_path / f"A{n}", base, seed=n, r=rank) for n, rank in enumerate(ranks)]
    adapters = [resolve_adapter(folder) for folder in folders]
    alone = {a.name: logits(load_adapters(load_base(base)[0], [a])) for a in adapters}
    bare = logits(load_base(base)[0])

    model = load_adapters(load_base(base)[0], adapters[:1])
    check_adapters(model, adapters[::-1])
    assert list(model.peft_config) == [peft_name(a) for a in adapters[RESIDENT - 1 :: -1]], "the first are at hand"
    rng = random.Random(0)
    for adapter in rng.choices([*adapters, None], k=40):
        switch_adapter(model, adapter)
        assert torch.equal(logits(model), alone[adapter.name] if adapter else bare)
        assert len(model.peft_config) <= RESIDENT
        assert not model.training


def test_what_is_loaded_together_stays_together(tmp_path: Path) -> None:
    """Merging needs all its parts at once, however many they are."""
    base = resolve_base(str(make_tiny_base(tmp_path / "base")))
    adapters = [resolve_adapter(make_lora(tmp_path / f"A{n}", base, seed=n)) for n in range(RESIDENT + 2)]
    model = load_adapters(load_base(base)[0], adapters)
    for adapter in adapters:
        switch_adapter(model, adapter)
    assert len(model.peft_config) == RESIDENT + 2
