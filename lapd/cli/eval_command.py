"""`lapd eval`: adapters and their base on tasks."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from lapd.cli.common import (
    FOLDER,
    base_option,
    comma_list,
    data_dir_option,
    echo_json,
    executor_options,
    json_option,
    judge_options,
    read_limits,
    traits_option,
)
from lapd.cli.endpoint_options import endpoint_options, read_served
from lapd.cli.plan import echo_plan, plan_option
from lapd.cli.results import echo_results


@click.command()
@click.option(
    "--adapter",
    "adapters",
    multiple=True,
    metavar="[NAME=]FOLDER[@S][:CODE]",
    help="An adapter, or a pattern ('out/*'), at strength S (-1 to 2; several: @0.5,1), called NAME, of the persona "
    "CODE; repeatable. On a server: NAME, or NAME=FOLDER.",
)
@click.option(
    "--model-arm",
    "models",
    multiple=True,
    metavar="[NAME=]PATH[:CODE]",
    help="A whole model, fully fine-tuned or merged, as an arm beside the base: a folder, or a name on the Hub; "
    "repeatable.",
)
@click.option(
    "--tasks",
    "names",
    required=True,
    callback=comma_list,
    metavar="A,B",
    help="Tasks, groups, or all of a side (trait, cost) that can run here; `lapd tasks` lists them.",
)
@base_option
@click.option(
    "--arms", callback=comma_list, metavar="A,B", help="Of base, base+prompt, adapter, adapter+prompt.  [default: all]"
)
@click.option("--persona", metavar="CODE",
              help="Whose prompt the prompted arms use, and whose adapters are that have no persona.  "
              "[default: the adapter's]")  # fmt: skip
@click.option(
    "--limit",
    "limits",
    multiple=True,
    callback=read_limits,
    metavar="[TASK=]N",
    help="Only the first N documents of each task, or of TASK (or group); repeatable.",
)
@click.option("--balanced", is_flag=True,
              help="Draw what --limit takes by --seed, whole items, the parts of a task in turn.")  # fmt: skip
@click.option("--batch-size", type=click.IntRange(1), metavar="N", help="Contexts computed at once.  [default: 32]")
@click.option("--dtype", type=click.Choice(["float32", "bfloat16", "float16"]),
              help="Precision; bfloat16 hides much of what a small adapter learned.  [default: float32]")  # fmt: skip
@click.option("--seed", type=int, default=0, show_default=True, help="Of everything random.")
@click.option("--samples", type=click.IntRange(1), default=1, metavar="N",
              help="Draw N answers to each document of tasks that write, at --temperature.  [default: 1]")  # fmt: skip
@click.option("--temperature", type=click.FloatRange(0), default=0.0, metavar="T",
              help="Draw answers at temperature T.  [default: the likeliest, or as the task says]")  # fmt: skip
@click.option("--top-p", type=click.FloatRange(0, 1, min_open=True), default=1.0, metavar="P",
              help="Draw from the likeliest tokens with probability P together.  [default: 1, all]")  # fmt: skip
@data_dir_option
@click.option("--pairs", metavar="FILE", help="For the task own_pairs.  [default: what training was kept from]")
@click.option("--questionnaire", metavar="FILE", help="Your own for the task mbti: CSV or JSON; text, axis, key.")
@click.option(
    "--fold-system-prompt",
    is_flag=True,
    help="Put a persona's prompt before the user's words: for chat templates without a system role.",
)
@judge_options
@endpoint_options
@executor_options("local")
@click.option("-o", "--out", type=FOLDER, metavar="FOLDER", help="The run folder.  [default: runs/ADAPTERS]")
@plan_option
@traits_option
@json_option
def command(
    adapters: tuple[str, ...],
    models: tuple[str, ...],
    names: list[str],
    base: str | None,
    arms: list[str],
    persona: str | None,
    limits: tuple[int | None, dict[str, int]],
    balanced: bool,
    batch_size: int | None,
    dtype: str | None,
    seed: int,
    samples: int,
    temperature: float,
    top_p: float,
    data_dir: str | None,
    pairs: str | None,
    questionnaire: str | None,
    fold_system_prompt: bool,
    judge: str | None,
    options: tuple[str, ...],
    kind: str,
    executor: str | None,
    executor_texts: tuple[str, ...],
    out: Path | None,
    only_plan: bool,
    as_json: bool,
    **of_endpoint: Any,
) -> None:
    """Evaluate adapters and their base model on tasks, and keep every answer in a run folder.

    Each adapter is measured beside its own base, both without and with the persona's system prompt. Finished cells are
    not computed again; a stopped evaluation goes on with the same command, and several at once share the work.

    \b
    lapd eval --adapter out/INFP --tasks mbti,socialiqa
    lapd eval --adapter 'out/*' --tasks situations --json
    lapd eval --adapter out/INFP@0.5,1,1.5 --tasks situations        at three strengths
    lapd eval --adapter out/INFP --tasks trait,cost      what it changed, and what that cost
    lapd eval --base smollm2 --model-arm tuned=out/tuned --arms base,adapter --tasks cost
    lapd eval --tasks hellaswag --limit 50               the base alone, any task of lm-eval
    lapd eval --adapter out/INFP --tasks mbti,situations,socialiqa --limit 200 --limit mbti=64
    lapd eval --adapter out/INFP --tasks situations_open --samples 5 --temperature 1

    With --model endpoint a server answers: that of `lapd serve-models`, or another, such as vLLM with --lora-modules
    INFP=out/INFP. Log-likelihoods need the base model's tokenizer on this machine.

    \b
    lapd eval --model endpoint --tasks situations,mbti,socialiqa
    lapd eval --model endpoint --base-url http://127.0.0.1:8000/v1 --base llama-3-8b \\
        --tokenizer models/llama-3-8b --adapter INFP=out/INFP --tasks situations,eqbench
    """
    from lapd.adapters.adapter import common_base, resolve_adapters
    from lapd.adapters.whole import base_of_models, resolve_models
    from lapd.errors import UsageError
    from lapd.evaluate.estimate import make_plan
    from lapd.evaluate.group_totals import group_totals
    from lapd.evaluate.plan import make_arms
    from lapd.experiment.arms import evaluate_arms, plan_cells
    from lapd.files.whole import fitting_name
    from lapd.judges.choosing import choose_judge
    from lapd.models.base import resolve_base
    from lapd.options import configured, read_options
    from lapd.record.cells import SERVED_DTYPE, Settings
    from lapd.record.store import Store

    served = read_served(kind, base, adapters, of_endpoint)
    if served and (dtype or batch_size):
        raise UsageError(f"{'--dtype' if dtype else '--batch-size'} is the server's to settle.", "Leave it out.")
    if served and models:
        raise UsageError("A server's models are asked by their names there.", "Give --adapter NAME for each.")
    found = served.adapters if served else resolve_adapters(adapters)
    name = base or (common_base(found) if found else base_of_models(models)) or common_base(found)
    model = served.model if served else resolve_base(name)
    found += resolve_models(models, model, [adapter.name for adapter in found])
    made = make_arms(found, arms or None, persona)
    where = ("served-" if served else "") + ("-".join(list(dict.fromkeys(a.name for a in found))[:4]) or "base")
    folder = out or Path("runs") / fitting_name(where.replace("/", "-"))
    precision = SERVED_DTYPE if served else dtype or "float32"
    limit, of_tasks = limits
    drawn = (samples, temperature, top_p, balanced)
    settings = Settings(seed, limit, precision, data_dir, questionnaire, fold_system_prompt, pairs, of_tasks, *drawn)
    chosen = choose_judge(judge, options) if judge or options else None
    executor, where_options = executor or "local", read_options(executor_texts, "--executor-option")
    configured("executors", executor, where_options)  # a plan shows a wrong name too
    if only_plan:
        echo_plan(make_plan(Store(folder), plan_cells(model, made, names, settings, chosen)), as_json)
        return
    store = evaluate_arms(
        model,
        made,
        names,
        folder,
        settings,
        executor=executor,
        executor_options=where_options,
        batch_size=batch_size,
        judge=chosen,
    )
    if as_json:
        groups = group_totals(store)
        together = {"groups": [asdict(total) for total in groups]} if groups else {}
        echo_json({"run": str(folder), "results": store.results(), **together})
        return
    echo_results(store)
