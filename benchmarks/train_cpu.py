"""Training speed and memory on the CPU: `lapd train` against the stock DPOTrainer of the installed TRL.

    python benchmarks/train_cpu.py --json            median of three, a quarter of an hour on 2 cores
    python benchmarks/train_cpu.py --quick --json    one short round: minutes; two by estimate on 2 idle cores
    python benchmarks/train_cpu.py --levers          what each lever gives, too
    python benchmarks/train_cpu.py --heldout --pairs 16    does bfloat16 train the same adapter? (12 minutes)

Both sides train the embedded model on the same pairs in the same order, from the same first weights, with the same
batches and steps. Each job runs in a process of its own, in turn; its time runs from the loading of the model to the
saved adapter, the reference pass included, without the imports. Memory is the peak resident set of that process.
`items` are the pairs. `work_seconds` is a side's time without loading and saving: the reference pass and the steps.
With `--quick` the ratios are of it, since a short job is mostly start-up; else of the whole time. `processor_seconds`
are those of all cores for the same work, which other work on the machine moves less than the clock.

"stock" is `DPOTrainer(model, DPOConfig(...), peft_config=...)` with TRL's defaults (which checkpoint gradients and
compute the reference anew at every step). "ours" is `lapd.train_adapter` with its defaults, but for the held-out
scores, which TRL does not compute, and with an empty reference cache; "ours, warm" has the cache that the first left.
Where the processor only emulates bfloat16 ("products" has what was measured), stock bfloat16 would take an hour: it is
left out, and its ratios are null.

With `--heldout`, ours alone: the held-out margin (nats) at the end of a training in bfloat16 beside those of three in
float32 which differ by their seed (of the pairs' choice and order, and of the first weights), scored in float32.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any
from unittest import mock

from lapd.models.products import EMBEDDED, HOPELESS, Products, measured_products

GOALS = {"ratio_fp32": 4.0, "ratio_bf16": 2.0, "ratio_bf16_warm": 2.5, "max_loss_difference": 0.02, "memory_ratio": 0.6}


@dataclass(frozen=True)
class Stock:
    """TRL's own trainer, with some of our levers pulled by its own options."""

    bf16: bool = False
    weights: str = "float32"
    checkpointing: bool = True
    reference_once: bool = False
    allocator: bool = False


STOCK = {"stock float32": Stock(), "stock bfloat16": Stock(bf16=True)}
OURS = ("ours", "ours, warm")
HELDOUT = [("bfloat16", 0), ("float32", 0), ("float32", 1), ("float32", 2)]
"""Precision and seed of each training whose held-out margin is shown."""

HELDOUT_PAIRS = 32

COLUMNS = ("seconds", "work_seconds", "processor_seconds", "pairs_per_second", "peak_mib")
LEVERS = {
    "stock float32, no checkpointing": Stock(checkpointing=False),
    "... and the reference once": Stock(checkpointing=False, reference_once=True),
    "... and freed memory kept": Stock(checkpointing=False, reference_once=True, allocator=True),
}


def train_stock(side: Stock, config: Any, base: Any, pairs: list[Any], out: Path) -> list[float]:
    """A job of TRL's, as its documentation has it; returns the loss of each step (nats)."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from lapd.files.heap import keep_freed_memory

    if side.allocator:
        keep_freed_memory()
    model = AutoModelForCausalLM.from_pretrained(base.path, dtype=side.weights)
    return train_loaded(side, config, model, AutoTokenizer.from_pretrained(base.path), pairs, out)


def train_loaded(side: Stock, config: Any, model: Any, tokenizer: Any, pairs: list[Any], out: Path) -> list[float]:
    """The same on a model that is loaded, whatever its weights are in; it keeps the LoRA layers."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import set_seed
    from transformers.trainer_callback import PrinterCallback
    from trl import DPOConfig, DPOTrainer

    set_seed(config.seed)
    rows = [
        {
            "prompt": pair.messages,
            "chosen": [{"role": "assistant", "content": pair.chosen}],
            "rejected": [{"role": "assistant", "content": pair.rejected}],
        }
        for pair in pairs
    ]
    trainer = DPOTrainer(
        model=model,
        args=DPOConfig(
            output_dir=str(out),
            beta=config.beta,
            num_train_epochs=config.epochs,
            learning_rate=config.lr,
            lr_scheduler_type="cosine",
            warmup_steps=config.warmup,
            per_device_train_batch_size=config.batch_size,
            max_length=config.max_length,
            bf16=side.bf16,
            gradient_checkpointing=side.checkpointing,
            precompute_ref_log_probs=side.reference_once,
            use_cpu=not torch.cuda.is_available(),
            seed=config.seed,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        ),
        processing_class=tokenizer,
        train_dataset=Dataset.from_list(rows),
        peft_config=LoraConfig(
            r=config.r, lora_alpha=config.alpha, target_modules="all-linear", lora_dropout=0.0, task_type="CAUSAL_LM"
        ),
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    trainer.save_model(str(out))
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def job(name: str, pairs: int, epochs: float) -> dict[str, Any]:
    """One side's job in this process: seconds, peak memory in MiB, the loss curve."""
    from lapd import TrainConfig, resolve_base, train_adapter
    from lapd.files.heap import share_one_heap
    from lapd.files.quiet import quiet_libraries
    from lapd.names import get_persona
    from lapd.train.job import load_pairs

    if name in OURS:
        share_one_heap()  # as every command of LAPD does
    base_folder = os.environ["BENCHMARK_BASE"]
    config = TrainConfig("INFP", base=base_folder, trainer="trl", pairs=pairs, epochs=epochs, eval_pairs=0)
    base = resolve_base(config.base)
    data = load_pairs(config, get_persona(config.persona))
    for package in ("datasets", "peft", "trl"):  # before the clock runs, on both sides
        import_module(package)
    with tempfile.TemporaryDirectory() as folder, quiet_libraries(), timed_work() as spent:
        started = time.perf_counter()
        if name in OURS:
            adapter = train_adapter(config, Path(folder) / "INFP", quiet=True)
            assert adapter.card
            losses = [entry["loss"] for entry in adapter.card["log"] if "loss" in entry]
        else:
            losses = train_stock((STOCK | LEVERS)[name], config, base, data, Path(folder))
        seconds = time.perf_counter() - started
    work, processor = (sum(times) for times in zip(*spent, strict=True))
    return {
        "seconds": seconds,
        "work_seconds": work,
        "processor_seconds": processor,
        "pairs_per_second": epochs * pairs / seconds,
        "peak_mib": peak_mib(),
        "losses": losses,
    }


def heldout_job(precision: str, seed: int, pairs: int, epochs: float) -> dict[str, Any]:
    """A training of ours: the held-out margin (nats) at its end, and seconds."""
    from lapd import TrainConfig, train_adapter

    config = TrainConfig("INFP", base="smollm2", trainer="trl", pairs=pairs, epochs=epochs, eval_pairs=HELDOUT_PAIRS)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        adapter = train_adapter(replace(config, precision=precision, seed=seed), Path(folder) / "INFP")
    assert adapter.card
    margins = [entry["heldout_margin"] for entry in adapter.card["log"] if "heldout_margin" in entry]
    return {"precision": precision, "seed": seed, "margin": margins[-1], "seconds": time.perf_counter() - started}


def compare_heldout(pairs: int, epochs: float) -> dict[str, Any]:
    """Whether bfloat16's margin lies within those of float32's seeds."""
    runs = []
    for precision, seed in HELDOUT:
        runs.append(heldout_job(precision, seed, pairs, epochs))
        print(f"{precision}, seed {seed}: {runs[-1]['margin']:+.3f} nats, {runs[-1]['seconds']:.0f} s", file=sys.stderr)
    half, *others = [run["margin"] for run in runs]
    return {
        "runs": runs,
        "difference": half - others[0],
        "spread": max(others) - min(others),
        "within": min(others) <= half <= max(others),
        "items": pairs,
        "heldout_pairs": HELDOUT_PAIRS,
        "epochs": epochs,
    }


def peak_mib() -> float:
    """This program's peak resident set. The system's own count (ru_maxrss) begins with that of who started it."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


@contextmanager
def timed_work() -> Iterator[list[tuple[float, float]]]:
    """Seconds by the clock and of the processor: transformers' training loop on both sides, and our reference pass."""
    from lapd.plugins import packed_dpo
    from transformers import Trainer

    spent: list[tuple[float, float]] = []

    def timed(function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            started = time.perf_counter(), time.process_time()
            try:
                return function(*args, **kwargs)
            finally:
                spent.append((time.perf_counter() - started[0], time.process_time() - started[1]))

        return run

    with (
        mock.patch.object(Trainer, "_inner_training_loop", timed(Trainer._inner_training_loop)),
        mock.patch.object(packed_dpo, "reference_logps", timed(packed_dpo.reference_logps)),
    ):
        yield spent


def run_job(name: str, pairs: int, epochs: float, environment: dict[str, str]) -> dict[str, Any]:
    """`job` in a process of its own."""
    command = [sys.executable, __file__, "--job", name, "--pairs", str(pairs), "--epochs", str(epochs)]
    result = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if result.returncode:
        raise SystemExit(f"{name} failed:\n{result.stderr[-3000:]}")
    return dict(json.loads(result.stdout.splitlines()[-1]))


def measure(sides: list[str], rounds: int, pairs: int, epochs: float) -> dict[str, list[dict[str, Any]]]:
    """Every side's jobs, the sides taking turns."""
    from lapd import resolve_base

    runs: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
    base = str(resolve_base("smollm2").path)
    for number in range(rounds):
        with tempfile.TemporaryDirectory() as cache:
            environment = {**os.environ, "LAPD_CACHE": cache, "BENCHMARK_BASE": base}
            for side in sides:
                run = run_job(side, pairs, epochs, environment)
                runs[side].append(run)
                words = f"{run['seconds']:.1f} s, {run['pairs_per_second']:.2f} pairs/s, {run['peak_mib']:.0f} MiB"
                print(f"round {number + 1} of {rounds}: {side}: {words}", file=sys.stderr)
    return runs


def summarize(runs: dict[str, list[dict[str, Any]]], of: str = "seconds") -> dict[str, Any]:
    """The ratios (medians of the rounds' own ratios), the curves' largest distance, the memory's ratio.

    Args:
        runs: from `measure`.
        of: which time the ratios of speed are taken of.
    """

    def ratio(ours: str, theirs: str, key: str = of) -> float | None:
        if theirs not in runs:
            return None
        return median(b[key] / a[key] for a, b in zip(runs[ours], runs[theirs], strict=True))

    def distance(theirs: str) -> float | None:
        if theirs not in runs:
            return None
        return max(abs(a - b) for a, b in zip(runs["ours"][0]["losses"], runs[theirs][0]["losses"], strict=True))

    return {
        "ratio_fp32": ratio("ours", "stock float32"),
        "ratio_bf16": ratio("ours", "stock bfloat16"),
        "ratio_fp32_warm": ratio("ours, warm", "stock float32"),
        "ratio_bf16_warm": ratio("ours, warm", "stock bfloat16"),
        "ratio_fp32_processor": ratio("ours", "stock float32", "processor_seconds"),
        "max_loss_difference": distance("stock bfloat16"),
        "max_loss_difference_fp32": distance("stock float32"),
        "memory_ratio": ratio("stock float32", "ours", "peak_mib"),
        "sides": {side: {key: median(run[key] for run in done) for key in COLUMNS} for side, done in runs.items()},
    }


def print_table(summary: dict[str, Any]) -> None:
    print(f"{summary['items']} pairs, {summary['epochs']:g} epochs, {summary['rounds']} rounds; {summary['products']}")
    print(f"{'':34}{'seconds':>9}{'work':>8}{'processor':>11}{'pairs/s':>9}{'peak MiB':>10}")
    for side, row in summary["sides"].items():
        times = f"{row['seconds']:9.1f}{row['work_seconds']:8.1f}{row['processor_seconds']:11.1f}"
        print(f"{side:34}{times}{row['pairs_per_second']:9.2f}{row['peak_mib']:10.0f}")
    print(f"\n{summary['note']}\n")
    for key, value in summary.items():
        if isinstance(value, float) and key != "epochs":
            goal = f"   (goal {GOALS[key]:g})" if key in GOALS else ""
            print(f"{key:26}{value:8.3f}{goal}")


def sides(levers: bool, products: Products) -> list[str]:
    """Whom to measure: without stock bfloat16 where that would take an hour."""
    emulated = products.bfloat16 < HOPELESS * products.float32
    stock = [side for side in STOCK if not (STOCK[side].bf16 and emulated)]
    return [*stock, *(LEVERS if levers else ()), *OURS]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one round of four steps")
    parser.add_argument("--levers", action="store_true", help="also TRL with our levers that its options have")
    parser.add_argument("--rounds", type=int, help="rounds (default 3; 1 with --quick)")
    parser.add_argument("--pairs", type=int, help="pairs (default 32; 8 with --quick)")
    parser.add_argument("--epochs", type=float, default=2.0, help="passes over them")
    parser.add_argument("--heldout", action="store_true", help="only held-out margins, bfloat16's and float32's")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    options = parser.parse_args()
    pairs = options.pairs or (8 if options.quick else 32)
    if options.job:
        print(json.dumps(job(options.job, pairs, options.epochs)))
        return
    if options.heldout:
        print(json.dumps(compare_heldout(pairs, options.epochs), indent=1))
        return
    products = measured_products(EMBEDDED)
    rounds = options.rounds or (1 if options.quick else 3)
    of = "work_seconds" if options.quick else "seconds"
    summary = summarize(measure(sides(options.levers, products), rounds, pairs, options.epochs), of)
    summary |= {"items": pairs, "epochs": options.epochs, "rounds": rounds, "products": str(products)}
    summary["note"] = (
        f"The ratios of speed are of {'the work without start-up' if options.quick else 'the whole jobs'}."
    )
    if options.json:
        print(json.dumps(summary, indent=1))
    else:
        print_table(summary)


if __name__ == "__main__":
    main()
