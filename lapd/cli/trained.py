"""What `lapd train` ends with: what each training came to, and what measures it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lapd.cli.common import echo_json, echo_table

if TYPE_CHECKING:
    from lapd.adapters.adapter import Adapter


def say_trained(adapter: Adapter, trained: bool) -> None:
    """One line on standard error as soon as one of several adapters is there."""
    from lapd.adapters.outcome import told
    from lapd.files.progress import say

    card = adapter.card or {}
    what = f"trained in {card['seconds']:.0f} s" if trained else "is there already, trained with these settings"
    say(" ".join([f"{adapter.name}: {what}.", *told(card, adapter.name)[:1]]))


def echo_trained(adapter: Adapter, folder: Path, as_json: bool) -> None:
    """Print what one training came to; `folder` is the adapter's as it was given."""
    from lapd.adapters.outcome import told

    if as_json:
        echo_json(_record(adapter))
        return
    click.echo(f"Adapter {adapter.name} is in {adapter.path}.")
    for line in told(adapter.card or {}, adapter.name):
        click.echo(line)
    click.echo(f"Next: {_how_to_evaluate(adapter, folder)}", err=True)


def _how_to_evaluate(adapter: Adapter, folder: Path) -> str:
    """The command; a control is evaluated beside its persona's adapter."""
    persona = folder.with_name(str(adapter.persona))
    both = [persona, folder] if adapter.control else [folder]
    asked = " ".join(f"--adapter {shlex.quote(str(path))}" for path in both)
    first = f"train {adapter.persona} without --control into {persona}, then " if not both[0].is_dir() else ""
    return f"{first}lapd eval {asked} --tasks {_measures([adapter])}"


def echo_several(adapters: Sequence[Adapter], folder: Path, as_json: bool) -> None:
    """Print what several trainings came to, whose adapters are below `folder`."""
    from lapd.adapters.outcome import told

    if as_json:
        echo_json([_record(adapter) for adapter in adapters])
        return
    header = ["adapter", "steps", "seconds", "loss", "held-out pairs", "moved", "margin in nats"]
    echo_table(header, [_row(adapter) for adapter in adapters])
    for line in {line: None for adapter in adapters for line in told(adapter.card or {}, adapter.name)[1:]}:
        click.echo(line, err=True)
    click.echo(f"Next: lapd eval --adapter '{folder}/*' --tasks {_measures(adapters)}", err=True)


def _record(adapter: Adapter) -> dict[str, Any]:
    return {"adapter": str(adapter.path), "digest": adapter.digest, "run_card": adapter.card}


def _row(adapter: Adapter) -> list[str]:
    """Name, steps, seconds, loss and the last held-out scores of a trained adapter."""
    from lapd.adapters.outcome import outcome

    card = adapter.card or {}
    row = [adapter.name, str(card["settings"].get("steps", "-")), f"{card['seconds']:.0f}"]
    if (found := outcome(card)) is None:
        return [*row, "-", "-", "-", "-"]
    loss = f"{found.first:.2f} to {found.last:.2f}"
    if found.heldout is None:
        return [*row, loss, "0", "-", "-"]
    return [*row, loss, str(found.pairs), f"{found.share:.0%}", f"{found.heldout:+.2f}"]


def _measures(adapters: Sequence[Adapter]) -> str:
    """The tasks that measure what the adapters were trained to, by their packs and their own pairs."""
    from lapd.adapters.adapter import KEPT_PAIRS
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
