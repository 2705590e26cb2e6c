"""How much faster is LAPD's evaluation than lm-eval's own? Both sides in one run, alternating, medians.

    python benchmarks/eval_cpu.py --json        about an hour and a half on 2 cores
    python benchmarks/eval_cpu.py --quick       some four minutes on 2 slow cores, mostly of start-ups: a look

With `--quick` there are few items, base + 1 in part 3, and nothing is repeated. There `startup_share` is what of each
side's time is starting Python and loading the model (a run on one item takes that too), and `ratio_total_work` the
ratio of the rest; `ratio_total` is for so few items mostly about starting.

1. scoring: model and one adapter loaded, float32: lm-eval's `hf` against LAPD's model, on SocialIQA and on the
   questionnaire, under a persona's prompt and without one.
2. writing: the same two, on the over-refusal prompts. Where there are more of them than four times the batch size,
   LAPD gives the place of an answer that has ended to the next prompt.
3. total: base + 4 adapters on 300 SocialIQA items and the 64-item questionnaire in both label orders, as one
   `lapd eval` and as five `lm_eval run`, whole processes with the same batch size.
4. scaling: base + 16 adapters against the straight line through base and base + 4; peak memory of base + 16 against
   base + 1.

The adapters are random LoRA weights of rank 16: what they say costs the same as what trained ones say. SocialIQA comes
from --data-dir; without it, the small set that LAPD ships stands in, and the output says so.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

BIN = Path(sys.executable).parent
PROMPT = "INFP"
PARTS = ("scoring", "writing", "total", "scaling")
QUICK_ITEMS, QUICK_PROMPTS = 20, 16

Answers = list[tuple[float, bool]]


@dataclass
class Plan:
    """What is measured.

    Attributes:
        social: SocialIQA's task, or what stands in for it.
        data: a folder with the first items of SocialIQA, or None.
        limit: documents of every task, or None for all that `data` and the questionnaire have.
        few: documents of every task for scaling.
        adapters: folders of the adapters.
        prompts: answers written.
        repeats: how often both sides of a comparison run.
        batch: contexts computed at once, on both sides.
    """

    social: str
    data: Path | None
    limit: int | None
    few: int
    adapters: list[Path]
    prompts: int
    repeats: int
    batch: int

    @property
    def tasks(self) -> str:
        return f"{self.social},mbti"


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def make_adapters(folder: Path, n: int) -> list[Path]:
    """`n` LoRA adapters of the embedded model, rank 16 on every linear layer, with random weights."""
    import torch
    from peft import LoraConfig, get_peft_model

    from lapd.files.quiet import quiet_libraries
    from lapd.models.base import resolve_base
    from lapd.models.loading import load_base

    base = resolve_base("smollm2")
    folders = []
    with quiet_libraries():
        config = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
        model = get_peft_model(load_base(base)[0], config)
        for number in range(n):
            torch.manual_seed(number)
            for name, parameter in model.named_parameters():
                if "lora_" in name:
                    torch.nn.init.normal_(parameter, std=0.01)
            model.save_pretrained(folder / f"A{number:02}")
            config_file = folder / f"A{number:02}" / "adapter_config.json"
            settings = json.loads(config_file.read_text()) | {"base_model_name_or_path": "smollm2"}
            config_file.write_text(json.dumps(settings))
            folders.append(folder / f"A{number:02}")
    return folders


def first_items(data_dir: Path | None, folder: Path, n: int) -> tuple[str, Path | None]:
    """SocialIQA's first `n` dev items in a data folder of their own; the shipped set where there is no SocialIQA."""
    source = data_dir / "socialiqa" if data_dir else None
    if source is None or not (source / "dev.jsonl").is_file():
        say("No SocialIQA here (--data-dir, LAPD_DATA_DIR): the shipped socialiqa_mini stands in.")
        return "socialiqa_mini", None
    (folder / "socialiqa").mkdir(parents=True)
    for name in ("dev.jsonl", "dev-labels.lst"):
        lines = (source / name).read_text().splitlines(keepends=True)
        (folder / "socialiqa" / name).write_text("".join(lines[:n]))
    return "socialiqa", folder


def alternate(ours: Callable[[], Any], theirs: Callable[[], Any], repeats: int) -> tuple[list[float], list[float], Any]:
    """Seconds of each side's runs, one after the other, and both sides' last answers."""
    times: tuple[list[float], list[float]] = ([], [])
    answers: list[Any] = [None, None]
    for number in range(repeats):
        for side, run in enumerate((ours, theirs)):
            started = time.perf_counter()
            answers[side] = run()
            times[side].append(time.perf_counter() - started)
        say(f"  {number + 1}/{repeats}: LAPD {times[0][-1]:.1f} s, lm-eval {times[1][-1]:.1f} s")
    return *times, answers


def agreement(requests: list[Any], ours: Answers, theirs: Answers) -> tuple[float, int, int]:
    """The largest difference (nats) of a request, and on how many documents of all the same choice is the best."""
    documents: dict[tuple[str, int], list[int]] = {}
    for index, request in enumerate(requests):
        documents.setdefault((request.task_name, request.doc_id), []).append(index)
    same = sum(
        max(members, key=lambda i: ours[i][0]) == max(members, key=lambda i: theirs[i][0])
        for members in documents.values()
    )
    difference = max(abs(a[0] - b[0]) for a, b in zip(ours, theirs, strict=True))
    return difference, same, len(documents)


def score_afresh(lm: Any, requests: list[Any]) -> Answers:
    """LAPD's scores, without what it remembers between arms: that counts in part 3 only."""
    lm._encoded.clear()
    return lm.loglikelihood(requests, disable_tqdm=True)


def time_scoring(
    name: str, requests: list[Any], ours: Any, theirs: Any, repeats: int
) -> tuple[dict[str, Any], float, int, int]:
    """Both sides' scoring in turns: ratio and requests per second (LAPD's, lm-eval's), and `agreement`'s three."""
    say(f"scoring {name}: {len(requests)} requests")
    mine, stock, (one, other) = alternate(
        lambda: score_afresh(ours, requests), lambda: theirs.loglikelihood(requests, disable_tqdm=True), repeats
    )
    timed = {
        f"ratio_{name}": median(stock) / median(mine),
        f"requests_per_second_{name}": [len(requests) / median(mine), len(requests) / median(stock)],
    }
    return timed, *agreement(requests, one, other)


def open_both(plan: Plan) -> tuple[Any, Any]:
    """LAPD's model and lm-eval's `hf`, each loaded with one adapter."""
    from lm_eval.models.huggingface import HFLM

    from lapd.adapters.adapter import resolve_adapter
    from lapd.adapters.switching import load_adapters
    from lapd.answering.subjects import open_subject
    from lapd.files.quiet import quiet_libraries
    from lapd.models.base import resolve_base
    from lapd.models.loading import load_base

    base, adapter = resolve_base("smollm2"), resolve_adapter(plan.adapters[0])
    with quiet_libraries():
        subject = open_subject(base, [adapter], "float32", plan.batch)
        subject.switch(adapter)
        model, tokenizer = load_base(base)
        return subject.lm, HFLM(load_adapters(model, [adapter]), tokenizer=tokenizer, batch_size=plan.batch)


def compare_scoring(plan: Plan, ours: Any, theirs: Any) -> dict[str, Any]:
    """Both sides' log-likelihoods: seconds, ratios, agreement."""
    from lapd.names import get_persona

    prompt = get_persona(PROMPT).system_prompt
    found: dict[str, Any] = {"max_abs_difference": 0.0, "documents": 0, "same_predictions": 0}
    for name, task, system in (
        ("socialiqa", plan.social, prompt),
        ("socialiqa_unprompted", plan.social, None),
        ("mbti", "mbti", prompt),
        ("mbti_unprompted", "mbti", None),
    ):
        requests = build(task, plan, ours, system)
        timed, difference, same, documents = time_scoring(name, requests, ours, theirs, plan.repeats)
        found |= timed | {
            "max_abs_difference": max(found["max_abs_difference"], difference),
            "documents": found["documents"] + documents,
            "same_predictions": found["same_predictions"] + same,
        }
    return found


def compare_writing(plan: Plan, ours: Any, theirs: Any) -> dict[str, Any]:
    """Both sides' answers: seconds, ratio, tokens of an answer, equal texts."""
    requests = build("overrefusal", replace(plan, limit=None), ours, None)[: plan.prompts]
    say(f"writing: {len(requests)} prompts")
    mine, stock, (texts, their_texts) = alternate(
        lambda: ours.generate_until(requests, disable_tqdm=True),
        lambda: theirs.generate_until(requests, disable_tqdm=True),
        plan.repeats,
    )
    lengths = sorted(len(ours.tok_encode(text)) for text in texts)
    return {
        "ratio_generation": median(stock) / median(mine),
        "seconds_generation": [median(mine), median(stock)],
        "answer_tokens": {"least": lengths[0], "median": median(lengths), "most": lengths[-1]},
        "equal_texts": [sum(a == b for a, b in zip(texts, their_texts, strict=True)), len(texts)],
    }


def build(task: str, plan: Plan, lm: Any, system: str | None) -> list[Any]:
    """The requests of a task under a system prompt, as lm-eval builds them."""
    from lapd.catalog.find import find_task
    from lapd.catalog.live import load_task, no_bars_of_its_own
    from lapd.files.quiet import quiet_libraries
    from lapd.models.embedded import embedded_folder

    data = str(plan.data) if plan.data else None
    live = load_task(find_task(task), data, str(embedded_folder()))
    with quiet_libraries(), no_bars_of_its_own():
        live.build_all_requests(
            limit=plan.limit,
            rank=0,
            world_size=1,
            system_instruction=system,
            apply_chat_template=True,
            chat_template=lm.apply_chat_template,
            tokenizer_name="smollm2",
        )
    return list(live.instances)


STARTER = """
import json, os, subprocess, sys, time
started = time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stdout=sys.stderr)
_, status, usage = os.wait4(process.pid, 0)
print(json.dumps([os.waitstatus_to_exitcode(status), time.perf_counter() - started, usage.ru_maxrss / 1024]))
"""
"""A small program that starts a command and measures it. A child's peak begins with its parent's, until it has become
the command, and the benchmark itself has loaded models."""


def run_process(command: list[object], plan: Plan) -> tuple[float, float]:
    """Seconds and peak memory (MiB) of a process; it must succeed."""
    env = os.environ | ({"LAPD_DATA_DIR": str(plan.data)} if plan.data else {})
    starter = [sys.executable, "-S", "-c", STARTER, *map(str, command)]
    done = subprocess.run(starter, capture_output=True, text=True, env=env, check=True)
    code, seconds, peak = json.loads(done.stdout)
    if code:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{done.stderr[-3000:]}")
    return seconds, peak


def startup(plan: Plan, folder: Path, seconds: list[float], models: int) -> dict[str, Any]:
    """What of both sides' seconds in part 3 a run on a single item takes too: LAPD's once, lm-eval's for each model."""
    few = replace(plan, limit=1)
    alone = run_lapd(few, plan.adapters[:4], folder / "lapd", 1)[0], models * run_stock(few, None, folder / "stock")
    mine, stock = (whole - start for start, whole in zip(alone, seconds, strict=True))
    return {
        "startup_share": [round(min(1.0, a / b), 2) for a, b in zip(alone, seconds, strict=True)],
        **({"ratio_total_work": stock / mine} if mine > 0 else {}),
    }


def run_lapd(plan: Plan, adapters: list[Path], out: Path, limit: int | None) -> tuple[float, float]:
    """Base and adapters on the tasks in one `lapd eval`: seconds and peak memory (MiB)."""
    command: list[object] = [BIN / "lapd", "eval", "--base", "smollm2", "--tasks", plan.tasks, "-o", out]
    command += ["--arms", "base,adapter" if adapters else "base", "--batch-size", plan.batch]
    for adapter in adapters:
        command += ["--adapter", adapter]
    return run_process(command + (["--limit", limit] if limit else []), plan)


def run_stock(plan: Plan, adapter: Path | None, out: Path) -> float:
    """One model on the tasks in a stock `lm_eval run`: seconds."""
    from lapd.catalog.find import find_task
    from lapd.models.embedded import embedded_folder

    model = f"pretrained={embedded_folder()},dtype=float32" + (f",peft={adapter}" if adapter else "")
    command: list[object] = [BIN / "lm_eval", "run", "--model", "hf", "--model_args", model, "--tasks", plan.tasks]
    command += ["--include_path", find_task("mbti").include_path, "--apply_chat_template", "--log_samples"]
    command += ["--batch_size", plan.batch, "--device", "cpu", "--output_path", out]
    return run_process(command + (["--limit", plan.limit] if plan.limit else []), plan)[0]


def compare_everything(plan: Plan, folder: Path) -> dict[str, Any]:
    """One `lapd eval` of base + 4 adapters against a stock `lm_eval run` for each of the five."""
    adapters = plan.adapters[:4]
    mine, stock = [], []
    for number in range(plan.repeats):
        shutil.rmtree(folder, ignore_errors=True)
        mine.append(run_lapd(plan, adapters, folder / "lapd", plan.limit)[0])
        say(f"everything {number + 1}/{plan.repeats}: LAPD {mine[-1]:.1f} s")
        models = {"base": None} | {adapter.name: adapter for adapter in adapters}
        stock.append(sum(run_stock(plan, adapter, folder / name) for name, adapter in models.items()))
        say(f"everything {number + 1}/{plan.repeats}: lm-eval {stock[-1]:.1f} s")
    difference, same, documents = compare_samples(folder, list(models))
    seconds = [median(mine), median(stock)]
    return {
        "ratio_total": median(stock) / median(mine),
        "seconds_total": seconds,
        **startup(plan, folder / "startup", seconds, len(models)),
        "max_abs_difference": difference,
        "documents": documents,
        "same_predictions": same,
    }


def compare_samples(folder: Path, arms: list[str]) -> tuple[float, int, int]:
    """Largest difference (nats) between what both sides kept of each document, and equal predictions of all."""
    from lapd.record.store import Store

    store = Store(folder / "lapd")
    cells = {(r["arm"], r["task"]): r["cell"] for r in store.results()}
    difference, same, documents = 0.0, 0, 0
    for (arm, task), cell in cells.items():
        stock_file = next((folder / arm).rglob(f"samples_{task}_2*.jsonl"))
        stock = {row["doc_id"]: row["resps"] for row in map(json.loads, stock_file.read_text().splitlines())}
        for sample in store.samples(cell):
            ours = [float(responses[0][0]) for responses in sample["responses"]]
            theirs = [float(responses[0][0]) for responses in stock.pop(sample["doc_id"])]
            difference = max([difference, *(abs(a - b) for a, b in zip(ours, theirs, strict=True))])
            same += ours.index(max(ours)) == theirs.index(max(theirs))
            documents += 1
        assert not stock, f"{arm} on {task}: lm-eval has documents that LAPD has not"
    assert {arm for arm, _ in cells} == set(arms)
    return difference, same, documents


def measure_scaling(plan: Plan, folder: Path) -> dict[str, Any]:
    """Time of base + 16 over the line through base and base + 4; memory of base + 16 over base + 1."""
    counts = (0, 1, 4, 16)
    seconds: dict[int, list[float]] = {n: [] for n in counts}
    memory: dict[int, list[float]] = {n: [] for n in counts}
    for number in range(plan.repeats):
        for n in counts:
            used = run_lapd(plan, plan.adapters[:n], folder / f"{number}-{n}", plan.few)
            seconds[n].append(used[0])
            memory[n].append(used[1])
            say(f"scaling {number + 1}/{plan.repeats}: base + {n}: {used[0]:.1f} s, {used[1]:.0f} MiB")
    at = {n: median(seconds[n]) for n in counts}
    return {
        "scaling_16_over_line": at[16] / (at[0] + 4 * (at[4] - at[0])),
        "memory_16_over_1": median(memory[16]) / median(memory[1]),
        "seconds_scaling": at,
        "mib_scaling": {n: median(memory[n]) for n in counts},
    }


def merge(found: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """Two parts' figures in one, with the agreement over both."""
    documents, same = (found.get(k, 0) + more[k] for k in ("documents", "same_predictions"))
    return {
        **found,
        **more,
        "max_abs_difference": max(found.get("max_abs_difference", 0.0), more["max_abs_difference"]),
        "documents": documents,
        "same_predictions": same,
        "predictions_equal": same == documents,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = os.environ.get("LAPD_DATA_DIR") or "../shared/benchmarks"
    parser.add_argument("--data-dir", type=Path, default=Path(default), help="a folder with socialiqa/dev.jsonl")
    parser.add_argument("--batch-size", type=int, default=32, help="contexts computed at once, on both sides")
    parser.add_argument("--prompts", type=int, help="answers that are written  [default: 64, or 16]")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each side")
    parser.add_argument("--part", choices=PARTS, action="append", help="only this part; repeatable")
    parser.add_argument("--quick", action="store_true", help="few items, base + 1, one run of each side, no part 4")
    parser.add_argument("--json", action="store_true", help="print JSON instead of lines")
    options = parser.parse_args()
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="lapd-eval-") as name:
        folder = Path(name)
        adapters = make_adapters(folder / "adapters", 1 if options.quick else 16)
        social, data = first_items(options.data_dir, folder / "data", 300)
        repeats = 1 if options.quick else options.repeats
        limit, prompts = (QUICK_ITEMS, QUICK_PROMPTS) if options.quick else (None, 64)
        prompts = options.prompts or prompts
        plan = Plan(social, data, limit, 100, adapters, prompts, repeats, options.batch_size)
        found: dict[str, Any] = {}
        parts = options.part or (PARTS[:3] if options.quick else PARTS)
        if {"scoring", "writing"} & set(parts):
            both = open_both(plan)
            found = compare_scoring(plan, *both) if "scoring" in parts else found
            found |= compare_writing(plan, *both) if "writing" in parts else {}
            del both
        if "total" in parts:
            found = merge(found, compare_everything(plan, folder / "everything"))
        if "scaling" in parts:
            found |= measure_scaling(plan, folder / "scaling")
    found |= {"task": social, "quick": options.quick, "items": plan.limit or "all", "repeats": repeats}
    found |= {"cores": os.cpu_count(), "seconds": round(time.perf_counter() - started)}
    if options.quick:
        found["note"] = f"{plan.limit} items a task, one run a side: with more items there is more to share."
    if options.json:
        print(json.dumps(found, indent=1))
        return
    for key, value in found.items():
        print(f"{key:38} {value:.4g}" if isinstance(value, float) else f"{key:38} {value}")


if __name__ == "__main__":
    main()
