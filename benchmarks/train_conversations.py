"""Training on conversations: `lapd train` against the stock DPOTrainer of the installed TRL, in float32.

    python benchmarks/train_conversations.py --json                 200 pairs, the embedded model: an hour on 2 cores
    python benchmarks/train_conversations.py --base tiny            a tiny model with random weights: a minute
    python benchmarks/train_conversations.py --pairs 8 --base tiny  does it run?

The pairs are made of the shipped situations, the same each time: one to three exchanges before the prompt, and before
every second conversation a system prompt. Both sides train one epoch on them, in the same order, from the same first
weights, each in a process of its own; the time runs from the loading of the model to the saved adapter, the reference
pass included, without the imports. "stock" has TRL's defaults, "ours" is `lapd.train_adapter` with an empty reference
cache. Beside the times, of the clock and of the processor (which other work on the machine disturbs less): the largest
distance of the loss curves, and of how many pairs TRL makes the same token ids.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from train_cpu import Stock, train_stock

GOAL = 1e-3
"""The largest distance of the loss curves, in nats."""

SIDES = ("stock", "ours")
PERSONAS = ("INFP", "ESTJ", "ENFP", "ISTJ")
"""Whose system prompts stand before every second conversation."""


def make_pairs(number: int) -> list[Any]:
    """So many pairs with one to three exchanges before the prompt."""
    from lapd.data import contrast_corpus

    from lapd.names import get_persona
    from lapd.pairs.messages import Turn
    from lapd.pairs.pair import PreferencePair

    situations = contrast_corpus("train")
    pairs = []
    for n in range(number):
        earlier = [situations[(7 * n + 131 * k) % len(situations)] for k in range(1, 2 + n % 3)]
        history = [(s.situation, list(s.responses.values())[n % 2]) for s in earlier]
        asked = situations[n % len(situations)]
        chosen, rejected = asked.responses.values()
        system = get_persona(PERSONAS[n // 2 % len(PERSONAS)]).system_prompt if n % 2 else ""
        turns = [turn for user, assistant in history for turn in (Turn("user", user), Turn("assistant", assistant))]
        source = {"id": asked.id, "axis": asked.axis}
        pairs.append(PreferencePair(asked.situation, chosen, rejected, source, system, tuple(turns)))
    return pairs


def configuration(folder: Path, base: str) -> Any:
    """What both sides train with."""
    from lapd import TrainConfig

    settings = {"precision": "float32", "epochs": 1.0, "eval_pairs": 0, "max_length": 1024, "save_steps": 10_000}
    return TrainConfig("INFP", base=base, dataset=str(folder / "pairs.jsonl"), trainer="trl", **settings)  # type: ignore[arg-type]


def job(side: str, folder: Path, base: str) -> dict[str, Any]:
    """One side's training in this process: its seconds, those of the processor, and its losses (nats)."""
    from lapd import read_pairs, resolve_base, train_adapter
    from lapd.files.quiet import quiet_libraries

    config = configuration(folder, base)
    resolved, pairs = resolve_base(base), read_pairs(folder / "pairs.jsonl")
    for package in ("datasets", "peft", "trl"):  # before the clock runs, on both sides
        import_module(package)
    with tempfile.TemporaryDirectory() as out, quiet_libraries():
        started, computed = time.perf_counter(), time.process_time()
        if side == "ours":
            card = train_adapter(config, Path(out) / "INFP", quiet=True).card or {}
            losses = [entry["loss"] for entry in card["log"] if "loss" in entry]
        else:
            losses = train_stock(Stock(), config, resolved, pairs, Path(out))
        seconds, busy = time.perf_counter() - started, time.process_time() - computed
    timed = {"seconds": seconds, "processor_seconds": busy, "pairs_per_second": len(pairs) / seconds}
    return {**timed, "losses": losses}


def run_job(side: str, folder: Path, base: str) -> dict[str, Any]:
    """`job` in a process of its own, with a reference cache of its own."""
    command = [sys.executable, __file__, "--job", side, "--folder", str(folder), "--base", base]
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "LAPD_CACHE": cache}
        result = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if result.returncode:
        raise SystemExit(f"{side} failed:\n{result.stderr[-3000:]}")
    found = dict(json.loads(result.stdout.splitlines()[-1]))
    print(f"{side}: {found['seconds']:.1f} s, {found['pairs_per_second']:.2f} pairs/s", file=sys.stderr)
    return found


def same_token_ids(pairs: list[Any], base: str) -> int:
    """Of how many pairs TRL's DPOTrainer makes the same token ids as `lapd train`."""
    from datasets import Dataset
    from lapd.plugins import dpo
    from trl import DPOTrainer

    from lapd import resolve_base
    from lapd.models.loading import load_tokenizer

    tokenizer = load_tokenizer(resolve_base(base))
    rows = Dataset.from_list([dpo.conversation(pair, tokenizer) for pair in pairs])
    arguments = SimpleNamespace(dataset_num_proc=None, max_length=None, truncation_mode="keep_start")
    theirs = DPOTrainer._prepare_dataset(SimpleNamespace(_tokenizer=tokenizer), rows, tokenizer, arguments, "train")
    ours = [dpo.tokenize(pair, tokenizer) for pair in pairs]
    return sum(all(list(row[name]) == ids[name] for name in ids) for row, ids in zip(theirs, ours, strict=True))


def measure(number: int, base: str) -> dict[str, Any]:
    """Both sides, one after the other."""
    from lapd import resolve_base, write_pairs
    from lapd.files.quiet import quiet_libraries
    from lapd.testing.tiny import make_tiny_base

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        base = str(make_tiny_base(folder / "base")) if base == "tiny" else str(resolve_base(base).path)
        pairs = make_pairs(number)
        write_pairs(folder / "pairs.jsonl", pairs)
        with quiet_libraries():
            same = same_token_ids(pairs, base)
        runs = {side: run_job(side, folder, base) for side in SIDES}
    curves = [run.pop("losses") for run in runs.values()]
    return {
        "pairs": number,
        "turns": sum(len(pair.history) + 1 for pair in pairs),
        "steps": len(curves[0]),
        "same_token_ids": same,
        "max_loss_difference": max(abs(a - b) for a, b in zip(*curves, strict=True)),
        "goal": GOAL,
        "ratio": runs["ours"]["pairs_per_second"] / runs["stock"]["pairs_per_second"],
        "sides": runs,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=200, help="how many (default 200)")
    parser.add_argument("--base", default="smollm2", help="a base model, or tiny (default smollm2)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--job", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        print(json.dumps(job(options.job, options.folder, options.base)))
        return 0
    found = measure(options.pairs, options.base)
    if options.json:
        print(json.dumps(found, indent=1))
    else:
        for side, row in found["sides"].items():
            speed = f"{row['pairs_per_second']:9.2f} pairs/s"
            print(f"{side:8}{row['seconds']:9.1f} s{speed}{row['processor_seconds']:9.1f} s of the processor")
        print(f"{found['same_token_ids']} of {found['pairs']} pairs have TRL's token ids")
        print(f"largest distance of the losses over {found['steps']} steps: {found['max_loss_difference']:.2g} nats")
    return 0 if found["max_loss_difference"] <= GOAL and found["same_token_ids"] == found["pairs"] else 1


if __name__ == "__main__":
    sys.exit(main())
