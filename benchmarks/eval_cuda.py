"""Packed scoring against lm-eval's `hf` on a GPU, and what a switch of adapters costs: an 8B-shaped random model.

    python benchmarks/eval_cuda.py --json
    python benchmarks/eval_cuda.py --quick         a tiny shape and few items, on a CPU too: a look, no measurement

Loading and the first pass through each shape are not timed (`startup_share` is 0); `items` are those of each task.

The model has Llama 3's 8B shape, random weights and the embedded model's tokenizer and vocabulary (49,152; Llama's own
has 128,256, which would cost lm-eval's side more). In bfloat16 both sides' answers lie on a coarse grid: the largest
difference is reported, and how many predictions agree; equality is tested in float32 (benchmarks/eval_cpu.py).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from eval_cpu import PROMPT, Plan, build, first_items, time_scoring


def make_model(layers: int, hidden: int, device: str, dtype: str) -> Any:
    """A Llama of the given depth and width with random weights, made on the device."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, set_seed

    from lapd.models.embedded import embedded_folder

    tokenizer = AutoTokenizer.from_pretrained(embedded_folder())
    heads = max(4, hidden // 128)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=hidden * 7 // 2,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads // 4,
        max_position_embeddings=8192,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    set_seed(0)
    torch.set_default_dtype(getattr(torch, dtype))
    try:
        with torch.device(device):
            return LlamaForCausalLM(config).eval(), tokenizer
    finally:
        torch.set_default_dtype(torch.float32)


def add_adapters(model: Any, n: int, folder: Path) -> tuple[Any, list[Any]]:
    """The model with `n` random LoRA adapters (rank 16, every linear layer) loaded as LAPD loads them."""
    import torch
    from peft import LoraConfig, get_peft_model

    from lapd.adapters.adapter import resolve_adapter
    from lapd.adapters.switching import load_adapters

    config = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
    wrapped = get_peft_model(model, config)
    for number in range(n):
        torch.manual_seed(number)
        for name, parameter in wrapped.named_parameters():
            if "lora_" in name:
                torch.nn.init.normal_(parameter, std=0.01)
        wrapped.save_pretrained(folder / f"A{number}")
    adapters = [resolve_adapter(folder / f"A{number}") for number in range(n)]
    return load_adapters(wrapped.unload(), adapters), adapters


def switch_seconds(model: Any, adapters: list[Any], device: str, rounds: int = 20) -> float:
    """The median time of switching from one adapter to another."""
    import torch

    from lapd.adapters.switching import switch_adapter

    times = []
    for number in range(rounds):
        if device != "cpu":
            torch.cuda.synchronize()
        started = time.perf_counter()
        switch_adapter(model, adapters[number % len(adapters)])
        if device != "cpu":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    return median(times)


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Requests per second of both sides on each task, agreement, and the cost of a switch."""
    from lm_eval.models.huggingface import HFLM

    from lapd.adapters.switching import switch_adapter
    from lapd.answering.canary import check_adapters
    from lapd.answering.lm import PackedLM
    from lapd.files.quiet import quiet_libraries
    from lapd.names import get_persona

    with quiet_libraries():
        model, tokenizer = make_model(options.layers, options.hidden, options.device, options.dtype)
        found: dict[str, Any] = {"parameters": model.num_parameters()}
        model, adapters = add_adapters(model, 2, folder / "adapters")
        check_adapters(model, adapters)
        ours, theirs = (kind(model, tokenizer=tokenizer, batch_size=options.batch_size) for kind in (PackedLM, HFLM))
    switch_adapter(model, adapters[0])
    social, data = first_items(options.data_dir, folder / "data", options.items)
    plan = Plan(social, data, options.limit, 0, [], options.repeats, options.batch_size)
    system = get_persona(PROMPT).system_prompt
    for name, task in (("socialiqa", social), ("mbti", "mbti")):
        requests = build(task, plan, ours, system)
        for lm in (ours, theirs):  # the first pass through each shape compiles and allocates
            lm.loglikelihood(requests[:64], disable_tqdm=True)
        timed, difference, same, documents = time_scoring(name, requests, ours, theirs, plan.repeats)
        found |= timed | {
            f"max_abs_difference_{name}": difference,
            f"same_predictions_{name}": [same, documents],
            f"items_{name}": documents,
        }
    return found | {"packed": ours.packs, "switch_milliseconds": 1000 * switch_seconds(model, adapters, options.device)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=32, help="depth; 32 is Llama 3 8B's")
    parser.add_argument("--hidden", type=int, default=4096, help="width; 4096 is Llama 3 8B's")
    parser.add_argument("--device", default="cuda", help="such as cuda, cuda:1 or cpu")
    parser.add_argument("--dtype", default="bfloat16", help="of weights and computing")
    parser.add_argument("--batch-size", type=int, default=64, help="contexts computed at once, on both sides")
    parser.add_argument("--items", type=int, default=300, help="items of SocialIQA")
    parser.add_argument("--limit", type=int, help="at most so many documents of each task")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each side")
    default = os.environ.get("LAPD_DATA_DIR") or "../shared/benchmarks"
    parser.add_argument("--data-dir", type=Path, default=Path(default), help="a folder with socialiqa/dev.jsonl")
    parser.add_argument("--quick", action="store_true", help="--layers 2 --hidden 64 --limit 14 --repeats 1, anywhere")
    parser.add_argument("--json", action="store_true", help="print JSON instead of lines")
    options = parser.parse_args()
    import torch

    if options.quick:
        options.layers, options.hidden, options.limit, options.repeats = 2, 64, 14, 1
        options.device = options.device if torch.cuda.is_available() else "cpu"
    started = time.perf_counter()
    if options.device != "cpu" and not torch.cuda.is_available():
        sys.exit("There is no CUDA GPU here. (--quick shows that the program runs.)")
    with tempfile.TemporaryDirectory(prefix="lapd-eval-") as name:
        found = measure(options, Path(name))
    device = "cpu" if options.device == "cpu" else torch.cuda.get_device_name(options.device)
    found |= {"device": device, "dtype": options.dtype, "batch_size": options.batch_size, "repeats": options.repeats}
    found |= {"startup_share": 0.0, "seconds": round(time.perf_counter() - started)}
    if options.quick:
        found["note"] = "A tiny shape, few items, one run a side: the ratios show that both sides run, not how fast."
    if options.json:
        print(json.dumps(found, indent=1))
        return
    for key, value in found.items():
        print(f"{key:36} {value:.4g}" if isinstance(value, float) else f"{key:36} {value}")


if __name__ == "__main__":
    main()
