"""Which layers a training puts LoRA on, and that the base leaves nothing out at random meanwhile."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import Result
from lapd.plugins.layers import target_layers, without_dropout

from lapd.errors import UsageError
from lapd.files.whole import read_json
from lapd.models.base import BaseModel, resolve_base
from lapd.models.loading import load_base
from lapd.testing.tiny import LLAMA, make_tiny_adapter, make_tiny_base

KINDS: dict[str, dict[str, Any]] = {
    "opt": {"hidden_size": 64, "ffn_dim": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
            "word_embed_proj_dim": 64, "layerdrop": 0.5},
    "xglm": {"d_model": 64, "ffn_dim": 128, "num_layers": 2, "attention_heads": 4},
    "gpt2": {"n_embd": 64, "n_layer": 2, "n_head": 4},
    "mixtral": {**LLAMA, "num_local_experts": 2, "num_experts_per_tok": 1, "router_jitter_noise": 0.3},
    "mamba": {"hidden_size": 64, "num_hidden_layers": 2, "state_size": 8},
    "llama4_text": {**LLAMA, "head_dim": 16, "intermediate_size_mlp": 128, "num_local_experts": 2,
                    "num_experts_per_tok": 1},
    "gpt_oss": {**LLAMA, "head_dim": 16, "num_local_experts": 2, "num_experts_per_tok": 1},
}  # fmt: skip


def make(folder: Path, model_type: str) -> Path:
    return make_tiny_base(folder / "base", None, model_type, **KINDS[model_type])


@pytest.mark.parametrize("model_type", ["opt", "xglm", "gpt2", "mixtral"])
def test_in_training_mode_the_base_computes_what_it_always_does(tmp_path: Path, model_type: str) -> None:
    model, _ = load_base(resolve_base(str(make(tmp_path, model_type))))
    ids = torch.arange(5, 25)[None]
    with torch.no_grad():
        wanted = model(ids, use_cache=False).logits
        torch.manual_seed(0)
        assert not torch.equal(model.train()(ids, use_cache=False).logits, wanted), "left out by default"
        without_dropout(model)
        assert torch.equal(model.train()(ids, use_cache=False).logits, wanted)


@pytest.mark.parametrize("model_type", ["opt", "xglm", "mamba", "llama4_text", "gpt_oss"])
def test_every_make_of_model_trains_from_a_loss_of_log_2(tmp_path: Path, model_type: str) -> None:
    adapter = make_tiny_adapter(make(tmp_path, model_type), tmp_path / "INFP", trainer="trl")
    assert adapter.card and adapter.card["log"][0]["loss"] == pytest.approx(math.log(2), abs=1e-4)


def targets(model: Any, wanted: str | None = None) -> dict[str, Any]:
    return target_layers(model, BaseModel("it", Path(), "b" * 64, "it"), wanted)


def test_layers_that_cannot_take_lora_are_left_out_by_themselves(tmp_path: Path) -> None:
    for model_type, left_out in (("mamba", ["out_proj"]), ("llama4_text", ["router"])):
        model, _ = load_base(resolve_base(str(make(tmp_path / model_type, model_type))))
        assert targets(model) == {"target_modules": "all-linear", "exclude_modules": left_out}


def test_a_choice_of_layers_is_taken_or_refused_with_those_that_there_are(
    tmp_path: Path, invoke: Callable[..., Result]
) -> None:
    folder = make_tiny_base(tmp_path / "base")
    model, _ = load_base(resolve_base(str(folder)))
    assert targets(model) == {"target_modules": "all-linear"}
    assert targets(model, "q_proj, layers.1.mlp.up_proj") == {"target_modules": ["q_proj", "layers.1.mlp.up_proj"]}
    with pytest.raises(UsageError, match=r"no layer 'query' that takes LoRA\. Those that take LoRA: .*v_proj"):
        targets(model, "q_proj,query")
    adapter = make_tiny_adapter(folder, tmp_path / "INFP", target_modules="v_proj,q_proj", trainer="trl")
    assert read_json(adapter.path / "adapter_config.json")["target_modules"] == ["q_proj", "v_proj"]
    refused = invoke("train", "INFP", "--base", folder, "--target-modules", "router", "-o", tmp_path / "no",
                     "--pairs", 2, "--eval-pairs", 0, "--trainer", "trl", "--max-length", 1024)  # fmt: skip
    assert refused.exit_code == 2 and "has no layer 'router' that takes LoRA" in refused.stderr
