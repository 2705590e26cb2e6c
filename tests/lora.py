"""Real PEFT adapters with random weights on the tiny Llama of `lapd.testing`: for tests of strength and merging."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

from lapd.files.quiet import quiet_libraries
from lapd.models.base import BaseModel

POLES = {"E/I": "I", "S/N": "N", "T/F": "F", "J/P": "P"}


def make_lora(folder: Path, base: BaseModel, seed: int, card: dict[str, Any] | None = None, **lora: Any) -> Path:
    """Write an adapter whose two matrices are random; `card` adds to its run card, `lora` to its `LoraConfig`."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with quiet_libraries(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        settings = {"r": 4, "lora_alpha": 6, "target_modules": ["q_proj", "v_proj", "down_proj"], **lora}
        model = get_peft_model(AutoModelForCausalLM.from_pretrained(base.path), LoraConfig(**settings))
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                torch.nn.init.normal_(parameter, std=0.1)
        model.save_pretrained(folder, save_embedding_layers=False)
        AutoTokenizer.from_pretrained(base.path).save_pretrained(folder)
    origin = {"name": base.name, "digest": base.digest, "upstream": base.upstream}
    record = {
        "schema": "lapd.run_card/1",
        "identity": f"random {seed}",
        "persona": "INFP",
        "poles": POLES,
        "control": None,
        "base": origin,
        "data": {"digest": f"{seed:064}", "pairs": 8, "sources": {"from": "nothing"}},
        "settings": {"r": settings["r"], "alpha": settings["lora_alpha"]},
        "versions": {"lapd": "0"},
        "log": [],
        "seconds": 0.0,
        "finished": "2026-01-01T00:00:00Z",
    }
    (folder / "run_card.json").write_text(json.dumps(record | (card or {})))
    return folder


def make_peft(folder: Path, base: Path, config: Any) -> Path:
    """Write an adapter as others make them, of whatever kind PEFT has: everything that it trains is moved at random."""
    import torch
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM

    with quiet_libraries(), torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(1)
        model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.add_(torch.randn_like(parameter) * 0.1)
        model.save_pretrained(folder, save_embedding_layers=False)
    return folder
