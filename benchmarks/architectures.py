"""Does LAPD score as lm-eval's `hf` does, on every decoder architecture of the installed transformers?

    python benchmarks/architectures.py --json      some minutes on one core
    python benchmarks/architectures.py --only mistral,gemma3_text

For each a tiny model with random weights is made, with windows of 32 tokens where it has windows. Short rows (within
the windows) and long ones (beyond) are scored in float32, by LAPD in packed rows where it finds that it can, and by
`hf` one request at a time. An architecture is `packed` where both are packed, `fallback` where one is answered as `hf`
does, and `wrong` where any number is more than 1e-3 nats away. What cannot be made tiny is listed with the reason.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TOLERANCE = 1e-3
WINDOW, VOCABULARY, LARGEST = 32, 256, 20_000_000

WIDTH, HEADS, LAYERS = 64, 4, 2
SIZES: dict[str, Any] = {
    **dict.fromkeys(("hidden_size", "d_model", "n_embd", "dim", "embedding_size", "d_embed"), WIDTH),
    **dict.fromkeys(
        ("intermediate_size", "ffn_dim", "decoder_ffn_dim", "encoder_ffn_dim", "d_ff", "n_inner"), 2 * WIDTH
    ),
    **dict.fromkeys(("moe_intermediate_size", "shared_expert_intermediate_size", "shared_intermediate_size"), WIDTH),
    **dict.fromkeys(("intermediate_size_mlp", "ffn_hidden_size", "expert_ffn_hidden_size"), 2 * WIDTH),
    **dict.fromkeys(
        ("num_hidden_layers", "num_layers", "n_layer", "n_layers", "decoder_layers", "encoder_layers"), LAYERS
    ),
    **dict.fromkeys(("num_attention_heads", "num_heads", "n_head", "n_heads", "decoder_attention_heads"), HEADS),
    **dict.fromkeys(("num_key_value_heads", "encoder_attention_heads", "linear_num_key_heads"), HEADS),
    **dict.fromkeys(("linear_num_value_heads", "num_v_heads", "index_n_heads"), HEADS),
    **dict.fromkeys(("head_dim", "v_head_dim", "linear_key_head_dim", "linear_value_head_dim"), WIDTH // HEADS),
    **dict.fromkeys(("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts"), 4),
    **dict.fromkeys(("num_experts_per_tok", "moe_topk", "top_k_experts"), 2),
    **dict.fromkeys(("n_group", "topk_group", "n_groups"), 1),
    **{"n_shared_experts": 1, "first_k_dense_replace": 1, "num_global_key_value_heads": HEADS, "global_head_dim": 16},
    **{"kv_lora_rank": 16, "q_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "rotary_dim": 8},
    **{"hidden_size_per_layer_input": 8, "vocab_size_per_layer_input": VOCABULARY, "laurel_rank": 8},
    **{"num_kv_shared_layers": 0, "mamba_d_state": 8, "mamba_n_heads": 8, "mamba_d_head": 16, "mamba_n_groups": 1},
    **{"state_size": 8, "max_window_layers": 1, "use_sliding_window": True, "attention_hidden_size": WIDTH},
    **{"lru_width": WIDTH, "mamba_num_heads": 8, "mamba_head_dim": 16, "ssm_state_size": 8, "mamba_ngroups": 1},
    **{"vocab_size": VOCABULARY, "initializer_range": 0.1, "init_std": 0.1, "is_decoder": True, "attn_head_dim": 16},
    **dict.fromkeys(("sliding_window", "window_size", "attention_chunk_size", "attention_window_size"), WINDOW),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "max_target_positions", "max_seq_len"), 256),
    **{"local_attention": 2 * WINDOW, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0},
}
"""How large things are made, by the names that configurations have for them."""

OWN: dict[str, dict[str, Any]] = {
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_period": 2, "expert_layer_offset": 1},
    "bamba": {"attn_layer_indices": [1]},
    "prophetnet": {"num_encoder_layers": LAYERS, "num_decoder_layers": LAYERS, "num_hidden_layers": None},
    "lfm2": {"layer_types": ["conv", "full_attention"]},
    "granitemoehybrid": {"layer_types": ["mamba", "attention"]},
    "reformer": {"axial_pos_embds_dim": [32, 32], "axial_pos_shape": [16, 16], "is_decoder": True},
}
"""What some architectures need besides."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="model types, separated by commas")
    parser.add_argument("--json", action="store_true", help="print JSON instead of lines")
    options = parser.parse_args()
    started = time.perf_counter()
    rows = list(compare_all([name for name in options.only.split(",") if name]))
    made = [row for row in rows if row["outcome"] != "not made"]
    counts = {what: sum(row["outcome"] == what for row in made) for what in ("packed", "fallback", "wrong")}
    found = {"tried": len(made), **counts, "not_made": len(rows) - len(made), **versions()}
    found |= {"seconds": round(time.perf_counter() - started)}
    if options.json:
        print(json.dumps({**found, "architectures": rows}, indent=1))
    else:
        for row in rows:
            print(f"{row['model_type']:26} {row['outcome']:10} {row.get('difference', ''):<10} {row.get('why', '')}")
        print(*(f"{key} {value}" for key, value in found.items()), sep=", ")
    sys.exit(counts["wrong"] > 0)


def versions() -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in ("transformers", "torch", "lm_eval")}


def compare_all(names: list[str]) -> Iterator[dict[str, Any]]:
    """Each architecture's outcome."""
    from transformers import AutoTokenizer
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    from lapd.files.quiet import quiet_libraries
    from lapd.testing.tiny import make_tiny_base

    with tempfile.TemporaryDirectory() as folder, quiet_libraries():
        tokenizer = AutoTokenizer.from_pretrained(make_tiny_base(Path(folder) / "base"))
        for name in names or MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
            try:
                model = make_model(name)
                asked = {what: make_requests(length) for what, length in (("short", 12), ("long", 50))}
                right = {what: score_as_hf(model, tokenizer, requests) for what, requests in asked.items()}
            except Exception as error:  # whatever a library says to sizes that nobody else gives it
                row = {"model_type": name, "outcome": "not made", "why": reason(error)}
            else:
                try:
                    row = {"model_type": name, **compare(model, tokenizer, asked, right)}
                except Exception as error:
                    row = {"model_type": name, "outcome": "wrong", "why": reason(error)}
            print(*row.values(), file=sys.stderr, flush=True)
            yield row


def reason(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"[:120]


def make_model(name: str) -> Any:
    """A tiny causal language model of the architecture, its weights random, in float32."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = make_config(AutoConfig.for_model(name), OWN.get(name, {}))
    with torch.device("meta"):
        size = sum(p.numel() for p in AutoModelForCausalLM.from_config(config).parameters())
    if size > LARGEST:
        raise ValueError(f"it would have {size:,} parameters")
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if not bool(parameter.isfinite().all()):  # some leave a few as they find them in memory
                parameter.normal_(std=0.1)
    return model


def make_config(default: Any, own: dict[str, Any]) -> Any:
    """A configuration of tiny sizes, with a layer of each kind that the default has, and two where it has one."""
    text = default.get_text_config(decoder=True)
    known = text.to_dict()
    names = known.keys() | getattr(text, "attribute_map", {}).keys()
    settings = {key: value for key, value in SIZES.items() if key in names}
    if "qk_rope_head_dim" in known:  # latent attention: a head's width is computed from others
        settings |= dict.fromkeys({"head_dim", "qk_head_dim"} & names, SIZES["qk_rope_head_dim"])
    for kinds in ("layer_types", "layers_block_type"):
        if known.get(kinds):
            each = list(dict.fromkeys(known[kinds]))
            each = (each * LAYERS)[: max(LAYERS, len(each))]
            settings |= {kinds: each, "num_hidden_layers": len(each)}
    config = type(text)(**settings | own)
    return config if type(text) is type(default) else type(default)(text_config=config.to_dict())


def make_requests(shared: int) -> list[tuple[None, list[int], list[int]]]:
    """Nine contexts that share so many tokens, each with two continuations."""
    rng = random.Random(shared)

    def tokens(n: int) -> list[int]:
        return [rng.randrange(5, VOCABULARY) for _ in range(n)]

    start = tokens(shared)
    contexts = [start + tokens(rng.randint(1, 6 if shared < WINDOW else 30)) for _ in range(9)]
    return [(None, context, tokens(n)) for context in contexts for n in (1, 3)]


def score_as_hf(model: Any, tokenizer: Any, requests: list[Any]) -> list[float]:
    """Log-likelihoods by lm-eval's `hf`, one at a time: padding shows in some architectures."""
    from lm_eval.models.huggingface import HFLM

    lm = HFLM(model, tokenizer=tokenizer, batch_size=1, max_length=200)
    scores = [score for score, _ in lm._loglikelihood_tokens(requests, disable_tqdm=True)]
    if not all(abs(score) < float("inf") for score in scores):
        raise ValueError("its numbers are none")
    return scores


def compare(model: Any, tokenizer: Any, asked: dict[str, list[Any]], right: dict[str, list[float]]) -> dict[str, Any]:
    """How LAPD scores both kinds of rows, and how far it is from what is right."""
    from lapd.answering.lm import PackedLM

    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        lm = PackedLM(model, tokenizer=tokenizer, batch_size=8, max_length=200)
        packed = {what: lm._packed_batches([r[1:] for r in requests]) is not None for what, requests in asked.items()}
        scores = {what: lm._loglikelihood_tokens(requests, disable_tqdm=True) for what, requests in asked.items()}
    away = max(abs(ours - hf) for what in asked for (ours, _), hf in zip(scores[what], right[what], strict=True))
    outcome = "packed" if all(packed.values()) else "fallback"
    return {
        "outcome": "wrong" if not away <= TOLERANCE else outcome,
        "difference": float(f"{away:.1e}"),
        **{f"{what}_rows_packed": done for what, done in packed.items()},
        "why": said.getvalue().strip().splitlines()[0] if said.getvalue().strip() else "",
    }


if __name__ == "__main__":
    main()
