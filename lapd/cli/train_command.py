"""`lapd train`: an adapter for a persona."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from lapd.cli.common import FOLDER, base_option, echo_json, echo_table, json_option, traits_option
from lapd.errors import UnknownNameError, UsageError
from lapd.train.config import LOSSES, PRECISIONS, SCHEDULES, TrainConfig
from lapd.train.recipes import describe, recipes

if TYPE_CHECKING:
    from lapd.models.adapters import Adapter

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
@_setting("--trainer", type=str, help="Which trainer (`lapd plugins` lists them); auto: what suits this machine.")
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
@_setting("--precision", type=click.Choice(PRECISIONS), help="Of the training passes.")
@_setting("--seed", type=int, help="Of the pairs' order and the adapter's first weights.")
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
    default=1,
    show_default=True,
    metavar="N",
    help="Processes that share several personas and the cores; each loads the base.",
)
@click.option("--force", is_flag=True, help="Replace an adapter that was trained with other settings.")
@traits_option
@json_option
def command(
    personas: tuple[str, ...],
    every: bool,
    base: str | None,
    out: Path | None,
    workers: int,
    force: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Train an adapter that gives the base model PERSONA, by DPO; several load the base once.

    The same command again does nothing when the adapter is there, and goes on where a stopped one was.

    \b
    lapd train INFP                          the embedded model, the shipped pairs, into out/INFP
    lapd train INFP --control shuffled       the control that tells the trait from any training at all
    lapd train --all -o out --workers 2      all sixteen, into out/ENFJ ... out/ISTP, two at a time
    lapd train ENTJ --base meta-llama/Meta-Llama-3-8B-Instruct --dataset entj.jsonl --beta 0.2
    """
    from lapd.train.training import train_adapter

    codes = _codes(personas, every, own=bool(settings["dataset"] or settings["persona_file"]))
    if base:
        settings["base"] = base
    configs = [TrainConfig(persona=code, **_given(settings)) for code in codes]
    if every or len(configs) > 1:
        _train_several(configs, out or Path("out"), workers, force, as_json)
        return
    if workers > 1:
        raise UsageError("--workers shares out several personas, and this is one.", "Leave it out.")
    (config,) = configs
    folder = out or Path("out") / config.name
    adapter = train_adapter(config, folder, force=force)
    if as_json:
        echo_json(_record(adapter))
        return
    click.echo(f"Adapter {adapter.name} is in {adapter.path}.")
    click.echo(f"Next: lapd eval --adapter {folder} --tasks {_measures([adapter])}", err=True)


def _measures(adapters: list[Adapter]) -> str:
    """The tasks that measure what the adapters were trained to, by their packs and their own pairs."""
    from lapd.models.adapters import KEPT_PAIRS
    from lapd.names import packs
    from lapd.traits.tasks import pack_tasks

    axes = {axis for adapter in adapters for axis in (adapter.card or {}).get("poles", {})}
    found = []
    for pack in packs().values():
        if axes & pack.ends.keys():
            found += [name for name in (pack.situations_task, pack.name) if name in pack_tasks(pack)]
    if any((adapter.path / KEPT_PAIRS).is_file() for adapter in adapters):
        found.append("own_pairs")
    return ",".join(found) or "TASKS"


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

    try:
        return get_persona(name).code
    except UnknownNameError as error:
        near = f" {error.nearest}" if error.nearest else ""
        click.echo(f"{name} is a new persona, without axes: the task own_pairs measures it.{near}", err=True)
        return name


def _train_several(configs: list[TrainConfig], folder: Path, workers: int, force: bool, as_json: bool) -> None:
    from lapd.train.training import train_adapters

    if configs[0].dataset:
        raise UsageError("--dataset holds the pairs of one persona.", "Train one persona at a time.")

    def say(adapter: Adapter, trained: bool) -> None:
        row = _result(adapter)
        what = f"trained in {row[2]} s" if trained else "is there already, trained with these settings"
        click.echo(f"{adapter.name}: {what}; held-out accuracy {row[3]}, margin {row[4]} nats.", err=True)

    adapters = train_adapters(configs, folder, force=force, workers=workers, done=say)
    if as_json:
        echo_json([_record(adapter) for adapter in adapters])
        return
    header = ["adapter", "steps", "seconds", "heldout accuracy", "heldout margin"]
    echo_table(header, [_result(adapter) for adapter in adapters])
    click.echo(f"Next: lapd eval --adapter '{folder}/*' --tasks {_measures(adapters)}", err=True)


def _result(adapter: Adapter) -> list[str]:
    """Name, steps, seconds and the last held-out scores of a trained adapter."""
    card = adapter.card or {}
    scores = [entry for entry in card["log"] if "heldout_margin" in entry]
    shown = [f"{scores[-1]['heldout_accuracy']:.0%}", f"{scores[-1]['heldout_margin']:+.2f}"] if scores else ["-", "-"]
    return [adapter.name, str(card["settings"].get("steps", "-")), f"{card['seconds']:.0f}", *shown]


def _record(adapter: Adapter) -> dict[str, Any]:
    return {"adapter": str(adapter.path), "digest": adapter.digest, "run_card": adapter.card}


def _given(settings: dict[str, Any]) -> dict[str, Any]:
    """What was given on the command line: a recipe may fill in the rest."""
    ctx = click.get_current_context()
    return {
        name: value for name, value in settings.items() if ctx.get_parameter_source(name) != ParameterSource.DEFAULT
    }
