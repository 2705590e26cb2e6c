"""Switching between more adapters than are held at once."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from lora import make_lora

from lapd.adapters.adapter import resolve_adapter
from lapd.adapters.switching import RESIDENT, can_fold, load_adapters, peft_name, switch_adapter
from lapd.answering.canary import check_adapters
from lapd.models.base import resolve_base
from lapd.models.loading import load_base
from lapd.testing import make_tiny_base

IDS = torch.arange(5, 25)[None]


def logits(model: Any) -> torch.Tensor:
    with torch.inference_mode():
        return model(IDS).logits


@pytest.mark.parametrize("fold", [False, True])
def test_an_adapter_that_was_let_go_comes_back_as_it_was(tmp_path: Path, fold: bool) -> None:
    base = resolve_base(str(make_tiny_base(tmp_path / "base")))
    ranks = [4, 4, 8, 4, 4, 2, 4]
    folders = [make_lora(tmp_path / f"A{n}", base, seed=n, r=rank) for n, rank in enumerate(ranks)]
    adapters = [resolve_adapter(folder) for folder in folders]
    bare = logits(load_base(base)[0])
    alone = {}
    for adapter in adapters:
        model = load_adapters(load_base(base)[0], [adapter])
        switch_adapter(model, adapter, fold)
        alone[adapter.name] = logits(model)

    model = load_adapters(load_base(base)[0], adapters[:1])
    check_adapters(model, adapters[::-1], fold)
    assert list(model.peft_config) == [peft_name(a) for a in adapters[RESIDENT - 1 :: -1]], "the first are at hand"
    rng = random.Random(0)
    for adapter in rng.choices([*adapters, None], k=40):
        switch_adapter(model, adapter, fold)
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


def test_a_folded_adapter_gives_pefts_logits_at_every_strength_and_leaves_the_base_alone(tmp_path: Path) -> None:
    base = resolve_base(str(make_tiny_base(tmp_path / "base")))
    first = resolve_adapter(make_lora(tmp_path / "A", base, seed=1))
    second = resolve_adapter(make_lora(tmp_path / "B", base, seed=2, use_rslora=True, target_modules="all-linear"))
    model = load_adapters(load_base(base)[0], [first, second])
    switch_adapter(model, None)
    bare, weights = logits(model), {name: p.clone() for name, p in model.named_parameters()}
    for adapter in (first, second.at(0.5), first.at(-1), second, first.at(2)):
        assert can_fold(model, adapter)
        switch_adapter(model, adapter)
        plain = logits(model)
        switch_adapter(model, adapter, fold=True)
        assert not torch.equal(logits(model), plain), "another order of additions"
        assert (logits(model) - plain).abs().max() < 1e-4 < (plain - bare).abs().max()
        switch_adapter(model, None)
        assert torch.equal(logits(model), bare)
    after = dict(model.named_parameters())
    assert all(torch.equal(after[name], before) for name, before in weights.items())


@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`")
def test_what_cannot_be_folded_is_switched_on_as_peft_does(tmp_path: Path) -> None:
    base = resolve_base(str(make_tiny_base(tmp_path / "base")))
    dora = resolve_adapter(make_lora(tmp_path / "dora", base, seed=1, use_dora=True))
    head = resolve_adapter(make_lora(tmp_path / "head", base, seed=2, target_modules=["lm_head"]))
    embedding = resolve_adapter(make_lora(tmp_path / "emb", base, seed=4, target_modules=["embed_tokens", "q_proj"]))
    plain = resolve_adapter(make_lora(tmp_path / "plain", base, seed=3))
    model = load_adapters(load_base(base)[0], [dora, head, embedding, plain])
    assert [can_fold(model, adapter) for adapter in (dora, head, embedding, plain)] == [False, False, False, True]
    half = load_adapters(load_base(base, "bfloat16")[0], [plain])
    assert not can_fold(half, plain)
    for adapter in (dora, head, embedding):
        switch_adapter(model, adapter)
        expected = logits(model)
        switch_adapter(model, plain, fold=True)
        switch_adapter(model, adapter, fold=True)
        assert torch.equal(logits(model), expected)
