"""Rows of a batch on cores of their own, and layers with fewer tensors: the same bits, for less time and memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from lapd.plugins.cores import MOST, on_cores, rows_at_once
from lapd.plugins.lean import make_lean, undo_lean
from lapd.plugins.packed_dpo import in_one_piece
from peft import LoraConfig, get_peft_model

from lapd.adapters.adapter import Adapter
from lapd.errors import UsageError
from lapd.models.base import resolve_base
from lapd.models.loading import load_base
from lapd.packed.forward import causal_of, pack, trained_logprobs
from lapd.packed.layout import Row
from lapd.train.config import TrainConfig
from lapd.train.training import train_adapter

ROWS = [Row(tuple(range(5, 9 + n)), [(20, 21 + n), (30, 31, 32)]) for n in range(5)]

SETTINGS: dict[str, Any] = {"pairs": 5, "batch_size": 3, "epochs": 2.0, "lr": 2e-3, "trainer": "trl", "eval_pairs": 3}


@pytest.fixture
def two_threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(threads)


def lora(tiny: Path, **settings: Any) -> Any:
    """The tiny model with LoRA layers that change something."""
    model, _ = load_base(resolve_base(str(tiny)))
    made = get_peft_model(model, LoraConfig(target_modules="all-linear", **{"r": 4, "lora_alpha": 4, **settings}))
    torch.manual_seed(0)
    for name, weight in made.named_parameters():
        if "lora_" in name:
            weight.data.normal_(std=0.1)
    return made


def gradients(model: Any, row: Row = ROWS[0]) -> tuple[torch.Tensor, ...]:
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    logps = trained_logprobs(causal_of(model), pack([row], torch.device("cpu"), torch.float32))
    return (logps.detach(), *torch.autograd.grad(logps.square().sum(), trained))


def same(one: tuple[torch.Tensor, ...], other: tuple[torch.Tensor, ...]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def trained(tiny: Path, out: Path, **settings: Any) -> Adapter:
    return train_adapter(TrainConfig(**{"persona": "INFP", "base": str(tiny), **SETTINGS, **settings}), out)


def outcome(adapter: Adapter) -> tuple[bytes, Any]:
    assert adapter.card
    return (adapter.path / "adapter_model.safetensors").read_bytes(), adapter.card["log"]


def test_outcomes_come_in_order_and_the_threads_are_given_back(two_threads: None) -> None:
    with torch.no_grad(), on_cores(2) as mapped:
        found = list(mapped(lambda n: (n, torch.get_num_threads(), torch.is_grad_enabled()), range(7)))
    assert found == [(n, 1, False) for n in range(7)]
    assert torch.get_num_threads() == 2


def test_what_fails_on_a_core_is_raised_and_the_threads_are_given_back(two_threads: None) -> None:
    with pytest.raises(ZeroDivisionError), on_cores(2) as mapped:
        list(mapped(lambda n: 1 // n, range(3)))
    assert torch.get_num_threads() == 2


def test_rows_are_as_many_as_have_cores_and_memory(
    tiny: Path, two_threads: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    causal = causal_of(lora(tiny))
    assert rows_at_once(causal, ROWS) == 2
    assert rows_at_once(causal, ROWS[:1]) == 1
    assert rows_at_once(causal, ROWS, wanted=3) == 3
    assert rows_at_once(causal, ROWS, wanted=9) == len(ROWS)
    torch.set_num_threads(64)
    assert rows_at_once(causal, ROWS) == MOST
    monkeypatch.setattr("lapd.plugins.cores._memory", lambda: 1)
    assert rows_at_once(causal, ROWS) == 1


@pytest.mark.parametrize("settings", [{}, {"loss": "ipo", "rpo_alpha": 0.5, "batch_size": 2, "grad_accum": 2}])
def test_a_training_with_a_row_a_core_is_that_of_one_core_to_the_last_bit(
    tiny: Path, tmp_path: Path, two_threads: None, settings: dict[str, Any]
) -> None:
    apart = outcome(trained(tiny, tmp_path / "apart", **settings, batch_rows=3))
    torch.set_num_threads(1)
    alone = outcome(trained(tiny, tmp_path / "alone", **settings, batch_rows=1))
    assert apart == alone
    assert len({entry["loss"] for entry in apart[1]}) > 1


def test_dropout_is_not_drawn_by_several_at_once(tiny: Path, tmp_path: Path, two_threads: None) -> None:
    found = [outcome(trained(tiny, tmp_path / str(n), lora_dropout=0.5, batch_rows=n)) for n in (1, 3)]
    assert found[0] == found[1]


@pytest.mark.parametrize("settings", [{}, {"lora_alpha": 6}], ids=["scale 1", "another scale"])
def test_lean_layers_give_the_same_bits(tiny: Path, settings: dict[str, Any]) -> None:
    model = lora(tiny, **settings)
    before = gradients(model)
    make_lean(model, torch.float32)
    lean = [module for module in model.modules() if getattr(vars(module).get("forward"), "is_lean", False)]
    assert len(lean) > 1
    assert any(hasattr(module, "act_fn") for module in lean)
    assert same(gradients(model), before)
    with model.disable_adapter(), torch.no_grad():
        bare = trained_logprobs(causal_of(model), pack(ROWS[:1], torch.device("cpu"), torch.float32))
    assert not torch.equal(bare, before[0])
    undo_lean(model)
    assert not any("forward" in vars(module) for module in model.modules())
    assert same(gradients(model), before)


@pytest.mark.parametrize("anew", [True, False])
def test_what_can_be_computed_anew_is_not_kept(tiny: Path, monkeypatch: pytest.MonkeyPatch, anew: bool) -> None:
    left_out: list[bool] = []
    hooks = torch.autograd.graph.saved_tensors_hooks

    def watched(keep: Callable[[torch.Tensor], Any], give: Callable[[Any], torch.Tensor]) -> Any:
        def noting(tensor: torch.Tensor) -> Any:
            kept = keep(tensor)
            left_out.append(not isinstance(kept, torch.Tensor))
            return kept

        return hooks(noting, give)

    monkeypatch.setattr(torch.autograd.graph, "saved_tensors_hooks", watched)
    model = lora(tiny)
    before = gradients(model)
    make_lean(model, torch.float32, anew=anew)
    assert same(gradients(model), before)
    assert any(left_out) == anew


def test_gradients_in_one_piece_are_the_same() -> None:
    gradients = [torch.randn(2, 3), None, torch.randn(4), torch.randn(1, 1)]
    found = in_one_piece(gradients)
    assert found[1] is None
    assert all(b is None or torch.equal(a, b) for a, b in zip(found, gradients, strict=True))
    assert len({gradient.untyped_storage().data_ptr() for gradient in found if gradient is not None}) == 1
    mixed = [torch.randn(2), torch.randn(2).bfloat16()]
    assert [gradient.dtype for gradient in in_one_piece(mixed)] == [torch.float32, torch.bfloat16]


def test_bfloat16_weights_are_cast_once_and_lose_nothing(tiny: Path) -> None:
    model = lora(tiny)
    for name, weight in model.named_parameters():
        if "lora_" not in name:
            weight.data = weight.data.bfloat16().float()
    before = gradients(model)
    with torch.autocast("cpu", torch.bfloat16):
        cast = gradients(model)
    make_lean(model, torch.bfloat16)
    assert any(weight.dtype == torch.bfloat16 for weight in model.parameters())
    assert same(gradients(model), before), "what is scored in float32 is the same"
    with torch.autocast("cpu", torch.bfloat16):
        assert same(gradients(model), cast)
    assert not same(cast, before)
    undo_lean(model)
    assert all(weight.dtype == torch.float32 for weight in model.parameters())
    assert same(gradients(model), before)


def test_weights_that_bfloat16_would_round_stay_as_they_are(tiny: Path) -> None:
    model = lora(tiny)
    for module in model.modules():
        if hasattr(module, "base_layer"):
            module.base_layer.weight.data += 1e-4
    make_lean(model, torch.bfloat16)
    assert all(weight.dtype == torch.float32 for weight in model.parameters())


def test_a_layer_that_is_gated_otherwise_is_left_alone(tiny: Path) -> None:
    model = lora(tiny)
    for module in model.modules():
        if hasattr(module, "act_fn"):
            module.act_fn = torch.nn.GELU()
            module.forward = lambda states, own=module: own.down_proj(own.up_proj(states))
    gated = [module for module in model.modules() if hasattr(module, "act_fn")]
    make_lean(model, torch.float32)
    assert gated
    assert not any(getattr(module.forward, "is_lean", False) for module in gated)


def test_training_in_bfloat16_scores_in_float32(tiny: Path, tmp_path: Path, two_threads: None) -> None:
    found = outcome(trained(tiny, tmp_path / "half", precision="bfloat16"))[1]
    whole = outcome(trained(tiny, tmp_path / "whole", precision="float32"))[1]
    assert found[-1]["heldout_margin"] == pytest.approx(whole[-1]["heldout_margin"], abs=0.05)
    assert found[-1]["loss"] == pytest.approx(whole[-1]["loss"], abs=0.05)


@pytest.mark.parametrize("wrong", [0, "-1", "some", "1.5"])
def test_a_number_of_rows_that_is_none_is_refused(wrong: int | str) -> None:
    with pytest.raises(UsageError, match="--batch-rows is auto or a number from 1 on"):
        TrainConfig("INFP", batch_rows=wrong)
    assert TrainConfig("INFP", batch_rows="2").rows_at_once == 2
    assert TrainConfig("INFP").rows_at_once is None
