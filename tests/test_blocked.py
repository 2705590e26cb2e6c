"""Weights in blocks: the same answers meanwhile, the same bits afterwards, and models that cannot have them so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from lapd.models.base import resolve_base
from lapd.models.loading import load_base
from lapd.packed.blocked import TOLERANCE, blocked_weights
from lapd.testing import make_tiny_base

IDS = torch.tensor([[7, 11, 13, 17], [19, 23, 29, 31]])


@pytest.fixture
def model(tmp_path: Path) -> Any:
    return load_base(resolve_base(str(make_tiny_base(tmp_path))))[0]


@torch.inference_mode()
def logits(model: Any) -> torch.Tensor:
    return model(input_ids=IDS, use_cache=False).logits  # type: ignore[no-any-return]


def weights(model: Any) -> dict[str, torch.Tensor]:
    return {name: weight.detach().clone() for name, weight in model.state_dict().items()}


def assert_as_before(model: Any, before: dict[str, torch.Tensor]) -> None:
    after = weights(model)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not any("forward" in vars(module) for module in model.modules())


@pytest.mark.parametrize("tied", [True, False])
def test_the_answers_are_alike_meanwhile_and_the_weights_the_same_afterwards(model: Any, tied: bool) -> None:
    if not tied:
        model.lm_head.weight = nn.Parameter(model.lm_head.weight.detach().clone())
    before, usual = weights(model), logits(model)
    layer = model.model.layers[0].mlp.down_proj
    with torch.inference_mode(), blocked_weights(model) as taken:
        assert taken
        assert layer.weight.numel() == 0
        assert (model.lm_head.weight.numel() > 0) == tied
        assert (logits(model) - usual).abs().max() <= TOLERANCE
    assert_as_before(model, before)
    assert torch.equal(logits(model), usual)


def test_a_bias_is_added(model: Any) -> None:
    layer = model.model.layers[0].self_attn.o_proj
    layer.bias = nn.Parameter(torch.linspace(-2, 2, layer.out_features))
    usual = logits(model)
    with blocked_weights(model) as taken:
        assert taken
        assert torch.allclose(logits(model), usual, atol=TOLERANCE)


def test_they_come_back_when_writing_fails(model: Any) -> None:
    before = weights(model)
    with pytest.raises(KeyboardInterrupt), blocked_weights(model):
        raise KeyboardInterrupt
    assert_as_before(model, before)


def test_a_training_may_go_on_with_them(model: Any) -> None:
    with torch.inference_mode(), blocked_weights(model):
        pass
    model(input_ids=IDS, labels=IDS).loss.backward()
    assert all(weight.grad is not None for weight in model.parameters())


def test_a_model_that_reads_past_its_layers_keeps_its_weights(model: Any) -> None:
    layer = model.model.layers[1].mlp.down_proj

    class Reader(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = layer

        def forward(self, states: torch.Tensor) -> torch.Tensor:
            return functional.linear(states, self.inner.weight)

    model.model.layers[1].mlp.down_proj = Reader()
    before, usual = weights(model), logits(model)
    with blocked_weights(model) as taken:
        assert not taken
        assert torch.equal(logits(model), usual)
    assert_as_before(model, before)


def test_a_model_that_answers_otherwise_keeps_its_weights(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    before = weights(model)
    monkeypatch.setattr(
        "lapd.packed.blocked._product", lambda weight, bias: lambda states: states @ weight.to_dense().T * 2
    )
    with blocked_weights(model) as taken:
        assert not taken
    assert_as_before(model, before)


def test_other_precisions_stay_as_they_are(model: Any) -> None:
    with blocked_weights(model.to(torch.bfloat16)) as taken:
        assert not taken
