"""`lapd train`: an adapter for a persona."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from lapd.cli.common import FOLDER, base_option, executor_options, json_option, traits_option
from lapd.cli.plan import echo_training_plan
from lapd.cli.trained import echo_several, echo_trained, say_trained
from lapd.errors import UnknownNameError, UsageError
from lapd.train.config import LOSSES, PRECISIONS, SCHEDULES, TrainConfig
from lapd.train.recipes import describe, recipes
from lapd.train.seeds import check_seeds, replicates

F = TypeVar("F", bound=Callable[..., Any])

_RECIPES = "; ".join(f"{name} ({describe(recipe)})" for name, recipe in recipes().items())


def _setting(*names: str, type: Any, help: str, metavar: str | None = None) -> Callable[[F], F]:
    """An option whose default is `TrainConfig`'s, so that there is one place for it."""
    default = TrainConfig.__dataclass_fields__[names[0].lstrip("-").replace("-", "_")].default
    shown = default if default is not None else False
    return click.option(
        *names,
        type=type,
        metavar=metavar,
        default=default,
        show_default=bool(shown),
        help=help,
        is_flag=type is bool or None,
    )


def _seeds(ctx: click.Context, parameter: click.Parameter, value: str | None) -> list[int]:
    """A callback: "0,1,2" gives [0, 1, 2], nothing an empty list."""
    if value is None:
        return []
    parts = [part.strip() for part in value.split(",")]
    if wrong := [part for part in parts if not part.isdecimal()]:
        raise UsageError(f"--seeds {value}: {wrong[0]!r} is no seed.", "Give whole numbers from 0 on, as in 0,1,2.")
    seeds = [int(part) for part in parts]
    check_seeds(seeds, f"--seeds {value}")
    return seeds


@click.command()
@click.argument("personas", nargs=-1, metavar="PERSONA...")
@click.option("--all", "every", is_flag=True, help="Train every persona that takes a side on each axis: the sixteen.")
@base_option
@_setting(
    "--dataset",
    type=click.Path(),
    metavar="PATH",
    help="Pairs to train on, in any form that `lapd data` reads.",
)
@_setting(
    "--persona-file",
    type=click.Path(),
    metavar="FILE",
    help="YAML with `description` and `system_prompt` of a persona of your own, which PERSONA then names.",
)
@_setting(
    "--train-prompt",
    type=str,
    metavar="persona|none|FILE",
    help="System prompt under which the pairs are trained.  [default: none but their own]",
)
@_setting(
    "--fold-system-prompt",
    type=bool,
    help="Put system prompts before the user's words, for chat templates without a place for them.",
)
@_setting("--generator", type=str, help="Where pairs come from without --dataset.")
@_setting("--pairs", type=int, metavar="N", help="Use at most so many pairs.  [default: all]")
@_setting(
    "--trainer",
    type=str,
    help="Which trainer (`lapd plugins` lists them); auto: what suits this machine; steering: no training, a vector.",
)
@_setting("--recipe", type=str, metavar="NAME", help=f"Settings for what is not given: {_RECIPES}.")
@_setting("--loss", type=click.Choice(LOSSES), help="sigmoid is DPO's; robust expects wrong labels.")
@_setting("--rpo-alpha", type=float, help="Weight of a term that keeps the chosen responses likely (NLL).")
@_setting("--label-smoothing", type=float, help="For robust: the share of pairs that may be the wrong way round.")
@_setting("--beta", type=float, help="DPO's beta: the larger, the closer to the base model.")
@_setting("--epochs", type=float, help="Passes over the pairs.")
@_setting("--lr", type=float, help="Peak learning rate.")
@_setting("--batch-size", type=int, help="Pairs a step.")
@_setting("--grad-accum", type=int, help="Steps whose gradients are added up.")
@_setting("--schedule", type=click.Choice(SCHEDULES), help="Of the learning rate after warmup.")
@_setting("--weight-decay", type=float, help="AdamW's, on the LoRA matrices.")
@_setting("--warmup", type=float, help="Share of the steps over which the learning rate rises.")
@_setting("--max-length", type=int, help="Most tokens in prompt and response.")
@_setting("--r", type=int, help="Rank of the LoRA matrices.")
@_setting("--alpha", type=int, help="LoRA's scale.")
@_setting(
    "--target-modules",
    type=str,
    metavar="NAMES",
    help="Layers that LoRA goes onto, as in q_proj,v_proj.  [default: every linear one that takes it]",
)
@_setting("--load-in-4bit", type=bool, help="Train on the base quantized to 4 bit: less memory. CUDA only.")
@_setting("--lora-dropout", type=float, help="Share of a LoRA layer's inputs left out at random.")
@_setting("--gradient-checkpointing", type=bool, help="Less memory, a third more time, the same adapter.")
@_setting(
    "--batch-rows",
    type=str,
    metavar="auto|N",
    help="Pairs of a batch that are computed at once, each on cores of its own: more speed, more memory.",
)
@_setting("--precision", type=click.Choice(PRECISIONS), help="Of the training passes.")
@_setting("--seed", type=int, help="Of the pairs' order and the adapter's first weights.")
@click.option(
    "--seeds",
    callback=_seeds,
    metavar="N,N...",
    help="Train once with each of these seeds: INFP.0, INFP.1 ...; shuffled controls each with a draw of their own.",
)
@_setting("--save-steps", type=int, help="Steps between checkpoints.")
@_setting(
    "--eval-every",
    type=int,
    metavar="N",
    help="Steps between scorings of held-out pairs.  [default: about four in all]",
)
@_setting(
    "--eval-pairs",
    type=int,
    metavar="N",
    help="Held-out pairs, 0 for none; of --dataset, taken off its end.  [default: up to 24 of the generator's; of "
    "--dataset a fifth, told by content]",
)
@_setting("--stop-when", type=str, metavar="RULE", help="End early at a score: 'heldout_accuracy>=0.95'.")
@_setting(
    "--control",
    type=str,
    metavar="KIND",
    help="Train a control adapter on the same pairs: shuffled (or shuffled-1, ...), opposite.",
)
@click.option(
    "-o",
    "--out",
    type=FOLDER,
    metavar="FOLDER",
    help="The adapter's folder; of several, their parent.  [default: out/NAME]",
)
@click.option(
    "--workers",
    type=click.IntRange(1),
    metavar="N",
    help="Short for --executor-option workers=N: so many trainings at once, on this machine or the executor's.",
)
@executor_options("local", "trains")
@click.option("--force", is_flag=True, help="Replace an adapter that was trained with other settings.")
@click.option(
    "--plan",
    "only_plan",
    is_flag=True,
    help="Only say what would be trained, and how long it takes by earlier run cards; loads and writes nothing.",
)
@traits_option
@json_option
def command(
    personas: tuple[str, ...],
    every: bool,
    base: str | None,
    seeds: list[int],
    out: Path | None,
    workers: int | None,
    executor: str | None,
    executor_texts: tuple[str, ...],
    force: bool,
    only_plan: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Train an adapter that gives the base model PERSONA, by DPO; several load the base once.

    The same command again does nothing when the adapter is there, and goes on where a stopped one was.

    \b
    lapd train INFP                          the embedded model, the shipped pairs, into out/INFP
    lapd train INFP --control shuffled       the control that tells the trait from any training at all
    lapd train INFP --trainer steering -o out/steer-INFP     a steering vector from the same pairs
    lapd train --all -o out --workers 2      all sixteen, into out/ENFJ ... out/ISTP, two at a time
    lapd train --all --executor ray          the same on every core or GPU of a Ray cluster
    lapd train INFP --seeds 0,1,2            three trainings of it: out/INFP.0, out/INFP.1, out/INFP.2
    lapd train --all --plan                  what there is to do, and how long it will take
    lapd train ENTJ --base meta-llama/Meta-Llama-3-8B-Instruct --dataset entj.jsonl --beta 0.2
    """
    from lapd.options import read_options
    from lapd.train.plan import plan_trainings
    from lapd.train.runner import Training
    from lapd.train.together import only_first_speaks
    from lapd.train.training import IN_PROCESS, train_adapter, train_all

    codes = _codes(personas, every, own=bool(settings["dataset"] or settings["persona_file"]))
    if base:
        settings["base"] = base
    given = _given(settings)
    if seeds and "seed" in given:
        raise UsageError("--seed and --seeds both say which seed to train with.", "Leave one of them out.")
    configs = [TrainConfig(persona=code, **given) for code in codes]
    if configs[0].dataset and (every or len(codes) > 1):
        raise UsageError("--dataset holds the pairs of one persona.", "Train one persona at a time.")
    if seeds:
        configs = [replicate for config in configs for replicate in replicates(config, seeds)]
    several = every or len(codes) > 1 or bool(seeds)
    if workers and not several:
        raise UsageError("--workers shares out several adapters, and this is one.", "Leave it out.")
    options = {**read_options(executor_texts, "--executor-option"), **({"workers": str(workers)} if workers else {})}
    above = out or Path("out")
    folders = [above / config.name for config in configs] if several or not out else [out]
    if only_plan:
        echo_training_plan(plan_trainings(list(zip(configs, folders, strict=True)), force), as_json)
        return
    if not several and executor is None and not options:
        adapter = train_adapter(configs[0], folders[0], force=force)
        with only_first_speaks():
            echo_trained(adapter, folders[0], as_json)
        return
    trainings = [Training(config, folder) for config, folder in zip(configs, folders, strict=True)]
    adapters = train_all(trainings, executor or IN_PROCESS, options, force=force, done=say_trained)
    if several:
        echo_several(adapters, above, as_json)
    else:
        echo_trained(adapters[0], folders[0], as_json)


def _codes(names: tuple[str, ...], every: bool, own: bool) -> list[str]:
    """The codes of the personas; with pairs or a persona of one's own, a single name may be a new one."""
    from lapd.names import get_personas, packs

    if every and names:
        raise UsageError("--all trains every persona.", f"Leave out {' '.join(names)}, or --all.")
    if not every and not names:
        raise click.UsageError("Name a persona, such as INFP, or give --all. `lapd personas` lists them.")
    if own and len(names) == 1:
        return [_own(names[0])]
    everybody = [p for pack in packs().values() for p in pack.personas if len(p.poles) == len(pack.axes)]
    return [persona.code for persona in (everybody if every else get_personas(names))]


def _own(name: str) -> str:
    """The code of the persona of that name, known or new; a new one that is nearly a known one is remarked on."""
    from lapd.names import get_persona
    from lapd.traits.pack import CODE

    try:
        return get_persona(name).code
    except UnknownNameError as error:
        if not CODE.fullmatch(name):
            raise UsageError(f"{name!r} cannot name a persona.", "Use letters, digits and dashes.") from None
        near = f" {error.nearest}" if error.nearest else ""
        click.echo(f"{name} is a new persona, without axes: the task own_pairs measures it.{near}", err=True)
        return name


def _given(settings: dict[str, Any]) -> dict[str, Any]:
    """What was given on the command line: a recipe may fill in the rest."""
    ctx = click.get_current_context()
    return {
        name: value for name, value in settings.items() if ctx.get_parameter_source(name) != ParameterSource.DEFAULT
    }
