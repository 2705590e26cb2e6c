"""Training speed on a GPU: Unsloth, `lapd`'s TRL path and stock TRL + PEFT on a model of Llama-3-8B's shape.

    python benchmarks/train_cuda.py --json                     one GPU with 80 GB or more
    python benchmarks/train_cuda.py --quick                    a tiny shape, also without a GPU: a look, no measurement

The weights are random (speed does not depend on them): bfloat16, LoRA r = 16 beside every linear layer, pairs of two
sequences of 512 tokens. Each side runs in a process of its own, once for a few steps and once for more; the difference
is the time of a step without loading, compiling and the reference pass. "tokens" counts both sequences of each pair,
prompt included, for every side alike. "share" is how much of the machine's measured matrix-product rate that is, at 4
floating-point operations a parameter and token (forward 2, and 2 for the gradients of the activations; the frozen
weights get none). `items` are the longer job's pairs, `startup_share` is what of its time is no step.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from train_cpu import Stock, train_stock

OURS: dict[str, dict[str, Any]] = {
    "trl": {"trainer": "trl"},
    "trl-checkpointing": {"trainer": "trl", "gradient_checkpointing": True},
    "unsloth": {"trainer": "unsloth"},
    "unsloth-4bit": {"trainer": "unsloth", "load_in_4bit": True},
}
STOCK = {
    "stock": Stock(bf16=True, weights="bfloat16"),
    "stock-no-checkpointing": Stock(bf16=True, weights="bfloat16", checkpointing=False),
}
SHORT, LONG = 4, 16
"""Steps of the two jobs of a side."""


def make_model(folder: Path, layers: int, hidden: int) -> int:
    """Write a random model of Llama-3-8B's proportions, and return its parameters."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    from lapd import resolve_base

    config = LlamaConfig(
        vocab_size=128_256 if hidden >= 1024 else 49_152,
        hidden_size=hidden,
        intermediate_size=hidden * 7 // 2,
        num_hidden_layers=layers,
        num_attention_heads=max(1, hidden // 128),
        num_key_value_heads=max(1, hidden // 512),
        max_position_embeddings=8192,
        rope_theta=500_000.0,
    )
    model = LlamaForCausalLM(config).to(torch.bfloat16)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(resolve_base("smollm2").path).save_pretrained(folder)
    return sum(parameter.numel() for parameter in model.parameters())


def make_pairs(folder: Path, n: int, tokens: int) -> None:
    """Write `n` pairs whose sequences have about `tokens` tokens, half of them the prompt's; words of the corpus."""
    from transformers import AutoTokenizer

    from lapd.names import get_persona
    from lapd.pairs.pair import PreferencePair, write_pairs
    from lapd.pluginmanager import lookup

    tokenizer = AutoTokenizer.from_pretrained(folder)
    shipped = lookup("generators", "contrast").generate(get_persona("INFP"), pairs=None, seed=0)
    ids = tokenizer(" ".join(pair.chosen for pair in shipped))["input_ids"]
    half = tokens // 2 - 20  # what the chat template adds

    def text(start: int) -> str:
        return tokenizer.decode([ids[(start + i) % len(ids)] for i in range(half)])

    write_pairs(
        folder / "pairs.jsonl",
        [PreferencePair(text(3 * k * half), text((3 * k + 1) * half), text((3 * k + 2) * half)) for k in range(n)],
    )


def matmul_rate(device: str) -> float:
    """Measured floating-point operations a second of a large bfloat16 matrix product; the best of ten."""
    import torch

    n = 8192 if device == "cuda" else 1024
    a, b = (torch.randn(n, n, device=device, dtype=torch.bfloat16) for _ in range(2))
    best = float("inf")
    for _ in range(10):
        _wait(device)
        started = time.perf_counter()
        a @ b
        _wait(device)
        best = min(best, time.perf_counter() - started)
    return 2 * n**3 / best


def _wait(device: str) -> None:
    import torch

    if device == "cuda":
        torch.cuda.synchronize()


def job(name: str, folder: Path, pairs: int, batch: int, tokens: int) -> float:
    """One training in this process, in seconds."""
    from lapd import TrainConfig, resolve_base, train_adapter
    from lapd.pairs.pair import read_pairs

    config = TrainConfig(
        "INFP",
        base=str(folder),
        dataset=str(folder / "pairs.jsonl"),
        pairs=pairs,
        batch_size=batch,
        epochs=1,
        max_length=tokens + 64,
        save_steps=10_000,
        **OURS.get(name, {}),
    )
    base = resolve_base(config.base)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as out:
        if name in OURS:
            train_adapter(config, Path(out) / "INFP", quiet=True)
        else:
            train_stock(STOCK[name], config, base, read_pairs(folder / "pairs.jsonl")[:pairs], Path(out))
    return time.perf_counter() - started


def measure(name: str, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """A side's seconds a step, from a short and a long job, and the GPU's peak memory; or why it did not run."""
    seconds, gib = [], 0.0
    for steps in (SHORT, LONG):
        command = [sys.executable, __file__, "--job", name, "--folder", str(folder), "--steps", str(steps)]
        command += ["--batch-size", str(options.batch_size), "--tokens", str(options.tokens)]
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
            process = subprocess.Popen(command, stdout=out, stderr=errors)
            while process.poll() is None:
                gib = max(gib, gpu_memory())
                time.sleep(0.5)
            out.seek(0)
            errors.seek(0)
            if process.returncode:
                return {"failed": (errors.read().strip().splitlines() or ["no message"])[-1]}
            seconds.append(json.loads(out.read().splitlines()[-1]))
    step = (seconds[1] - seconds[0]) / (LONG - SHORT)
    return {"seconds_a_step": step, "startup_share": min(1.0, max(0.0, 1 - LONG * step / seconds[1])), "gib": gib}


def gpu_memory() -> float:
    """GiB in use on the first GPU, whichever process uses them; 0 without one."""
    if shutil.which("nvidia-smi") is None:
        return 0.0
    query = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits", "--id=0"]
    return float(subprocess.run(query, capture_output=True, text=True, check=True).stdout) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=32, help="layers (Llama-3-8B: 32)")
    parser.add_argument("--hidden", type=int, default=4096, help="width (Llama-3-8B: 4096)")
    parser.add_argument("--tokens", type=int, default=512, help="tokens a sequence")
    parser.add_argument("--batch-size", type=int, default=8, help="pairs a step")
    parser.add_argument("--sides", default=",".join([*STOCK, *OURS]), metavar="A,B", help="[default: all six]")
    parser.add_argument("--quick", action="store_true", help="--layers 2 --hidden 64 --tokens 128 --batch-size 2")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--steps", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        pairs = options.steps * options.batch_size
        print(json.dumps(job(options.job, options.folder, pairs, options.batch_size, options.tokens)))
        return
    if options.quick:
        options.layers, options.hidden, options.tokens, options.batch_size = 2, 64, 128, 2
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu" and options.hidden >= 1024:
        parser.exit(1, "There is no CUDA GPU here. --quick tries the benchmark out without one.\n")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        parameters = make_model(folder, options.layers, options.hidden)
        make_pairs(folder, LONG * options.batch_size, options.tokens)
        rate = matmul_rate(device)
        results = {}
        for side in options.sides.split(","):
            results[side] = measure(side, options, folder)
            print(f"{side}: {results[side]}", file=sys.stderr)
    for result in results.values():
        if step := result.get("seconds_a_step"):
            result["tokens_per_second"] = 2 * options.tokens * options.batch_size / step
            result["share"] = result["tokens_per_second"] * 4 * parameters / rate
    shape = {"items": LONG * options.batch_size, "parameters": parameters, "matmul_flops": rate}
    report(results, shape, quick=options.quick, as_json=options.json)


def report(results: dict[str, Any], shape: dict[str, Any], quick: bool, as_json: bool) -> None:
    """Print the sides, and each one's speed against stock TRL's."""
    stock = results.get("stock", {}).get("tokens_per_second")
    for result in results.values():
        if stock and "tokens_per_second" in result:
            result["ratio"] = result["tokens_per_second"] / stock
    note = "A tiny shape, few steps: the ratios show that the sides run, not how fast." if quick else ""
    if as_json:
        print(json.dumps({**shape, **({"note": note} if note else {}), "sides": results}, indent=1))
        return
    billions, rate = shape["parameters"] / 1e9, shape["matmul_flops"] / 1e12
    print(f"{shape['items']} pairs; {billions:.2f} billion parameters; matrix product {rate:.1f} TFLOP/s. {note}\n")
    print(f"{'':26}{'tokens/s':>12}{'of stock':>10}{'of matmul':>11}{'start-up':>10}{'GiB':>8}")
    for name, result in results.items():
        if "failed" in result:
            print(f"{name:26}did not run: {result['failed']}")
            continue
        ratio = f"{result['ratio']:.2f}" if "ratio" in result else ""
        shares = f"{result['share']:11.1%}{result['startup_share']:10.0%}"
        print(f"{name:26}{result['tokens_per_second']:12.0f}{ratio:>10}{shares}{result['gib']:8.1f}")


if __name__ == "__main__":
    main()
