"""Makes of model: their scores beside lm-eval's, and their training."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wild_cases import command, expect, kind, refused, without_warnings
from wild_cases.adapters import answers, unlike

Case = tuple[str, str]


SMALL = ("--pairs", 2, "--batch-size", 2, "--epochs", 1, "--eval-pairs", 0, "--max-length", 1024, "--trainer", "trl")


TINY = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
TURN = {"rope_type": "longrope", "rope_theta": 1e4, "short_factor": [1.0] * 8, "long_factor": [4.0] * 8}


def architectures() -> dict[str, tuple[str, dict[str, Any]]]:
    from lapd.testing.tiny import LLAMA

    long = {"original_max_position_embeddings": 48}
    experts = {"num_local_experts": 2, "num_experts_per_tok": 1}
    return {
        "Llama": ("llama", {}),
        "GPT-Neo": ("gpt_neo", {"hidden_size": 64, "num_layers": 2, "num_heads": 4, "window_size": 48,
                                "attention_types": [[["global", "local"], 1]]}),
        "GPT-2": ("gpt2", {"n_embd": 64, "n_layer": 2, "n_head": 4}),
        "OPT": ("opt", {**TINY, "ffn_dim": 128, "word_embed_proj_dim": 64}),
        "XGLM": ("xglm", {"d_model": 64, "ffn_dim": 128, "num_layers": 2, "attention_heads": 4}),
        "Bloom": ("bloom", {"hidden_size": 64, "n_layer": 2, "n_head": 4}),
        "Mistral": ("mistral", {**LLAMA, "sliding_window": 48}),
        "Gemma 3": ("gemma3_text", {**LLAMA, "head_dim": 16, "sliding_window": 48}),
        "Phi-3, longrope": ("phi3", {**LLAMA, "max_position_embeddings": 1024, **long,
                                     "rope_parameters": {**TURN, **long}}),
        "Llama, dynamic NTK": ("llama", {"max_position_embeddings": 48, "rope_parameters": {
            "rope_type": "dynamic", "rope_theta": 1e4, "factor": 4.0}}),
        "Llama 4": ("llama4_text", {**LLAMA, **experts, "head_dim": 16, "intermediate_size_mlp": 128,
                                    "attention_chunk_size": 48}),
        "GPT-OSS": ("gpt_oss", {**LLAMA, **experts, "head_dim": 16, "sliding_window": 48}),
        "Mixtral": ("mixtral", {**LLAMA, **experts, "router_jitter_noise": 0.3}),
        "Mamba": ("mamba", {"hidden_size": 64, "num_hidden_layers": 2, "state_size": 8}),
        "RWKV": ("rwkv", {"hidden_size": 64, "num_hidden_layers": 2, "attention_hidden_size": 64}),
        "Doge": ("doge", LLAMA),
    }  # fmt: skip


@kind("Scores and answers are lm-eval's, one at a time, below and beyond every window and turn", slow=True)
def scores(folder: Path) -> Iterator[Case]:
    from lm_eval.models.huggingface import HFLM

    from lapd.answering.lm import PackedLM
    from lapd.models.base import resolve_base
    from lapd.models.loading import load_base
    from lapd.testing.tiny import make_tiny_base

    for name, (model_type, settings) in architectures().items():
        base = make_tiny_base(folder / name.replace(" ", "_"), None, model_type, **settings)
        for lengths in ((3, 5, 8), (60, 70, 80), (4, 12, 30, 60, 90)):
            with without_warnings():
                # A model each: dynamic NTK keeps the longest length that it has met.
                lms = []
                for make, size in ((PackedLM, 4), (HFLM, 1)):
                    model, tokenizer = load_base(resolve_base(str(base)))
                    lms.append(make(model, tokenizer=tokenizer, batch_size=size, max_length=256))
                ours, theirs = lms
                yield f"{name}, {lengths} words", unlike(answers(ours, lengths), answers(theirs, lengths))
                if name == "Llama":
                    yield "Llama is packed", expect(ours.packs, True)


@kind("Every make of model trains, from a loss of log 2", slow=True)
def first_losses(folder: Path) -> Iterator[Case]:
    from lapd.files.whole import read_json
    from lapd.testing.tiny import make_tiny_base

    for name, (model_type, settings) in architectures().items():
        place = folder / name.replace(" ", "_")
        base = make_tiny_base(place / "base", None, model_type, **settings)
        with without_warnings():
            code, _, errors = command("train", "INFP", "--base", base, "-o", place / "INFP", *SMALL)
        if code:
            yield name, f"exit code {code}: {errors.strip()[-300:]}"
            continue
        loss = read_json(place / "INFP/run_card.json")["log"][0]["loss"]
        yield name, "" if abs(loss - math.log(2)) < 1e-4 else f"its first loss is {loss}"
        wrong = command("train", "INFP", "--base", base, "-o", place / "no", *SMALL, "--target-modules", "nothing")
        yield f"{name}, a layer that it has not", refused(wrong, "--target-modules", "Those that take LoRA", code=2)
