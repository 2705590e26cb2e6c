"""What `lapd eval` ends with: the comparison of a run's arms, and what to do next."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lapd.cli.common import echo_table

if TYPE_CHECKING:
    from lapd.record.store import Store

RUN_CARD = "run_card.json"


def echo_results(store: Store) -> None:
    """Print a run's comparison as `lapd compare` does, or, where nothing can be compared, every metric; then what next.

    Raises:
        DataError: verdicts are damaged.
    """
    from lapd.compare.comparisons import compare
    from lapd.errors import StoreError
    from lapd.evaluate.group_totals import group_totals
    from lapd.report.table import text_table

    if totals := group_totals(store):
        rows = [[f"{g.group} ({g.tasks} tasks)", g.arm, m, f"{v:.4g}"] for g in totals for m, v in g.metrics.items()]
        echo_table(["group", "arm", "metric", "value"], rows)
        click.echo()
    try:
        compared = compare(store.folder)
    except StoreError as error:
        _echo_metrics(store)
        click.echo(f"\n{error}", err=True)
        lines = _next(store)
    else:
        click.echo(text_table(compared.rows, compared.notes))
        lines = [*_next(store), f"lapd report {shlex.quote(str(store.folder))}"]
    click.echo(err=True)
    for line in lines:
        click.echo(f"Next: {line}", err=True)


def _echo_metrics(store: Store) -> None:
    """Every metric of every finished cell, what its written answers are like, and who judged."""
    from lapd.judges.choosing import judged_line

    results = store.results()
    values = [(r, {**r.get("coherence", {}), **r["metrics"]}) for r in results]
    rows = [[r["task"], r["arm"], metric, f"{value:.4g}"] for r, found in values for metric, value in found.items()]
    echo_table(["task", "arm", "metric", "value"], rows)
    for line in {judged_line(r["task"], r["judge"]): None for r in results if "judge" in r}:
        click.echo(line)


def _next(store: Store) -> list[str]:
    """What is worth doing now: controls and their personas' adapters beside each other."""
    adapters = [arm for arm in store.run()["arms"].values() if arm["adapter"] and arm["adapter_persona"]]
    personas = {arm["adapter_persona"]: arm for arm in adapters if not arm["adapter_control"]}
    controls = {arm["adapter_persona"]: arm for arm in adapters if arm["adapter_control"]}
    lines = [_beside(arm, store.folder) for code, arm in controls.items() if code not in personas]
    ours = [arm for arm in personas.values() if (Path(arm["adapter"]["path"]) / RUN_CARD).is_file()]
    if lone := [arm["adapter_persona"] for arm in ours if arm["adapter_persona"] not in controls]:
        lines.append(f"`lapd train` as before with --control shuffled, to tell {' and '.join(lone)} from any training")
    return lines


def _beside(control: Mapping[str, Any], run: Path) -> str:
    """How a control is evaluated beside its persona's adapter."""
    code, adapter = str(control["adapter_persona"]), control["adapter"]
    folder, here = Path(adapter["path"]).with_name(code), Path.cwd()
    more = "--adapter for that too"  # which need not be where one would look for it
    if folder.is_dir():
        shown = folder.relative_to(here) if folder.is_relative_to(here) else folder
        more = shlex.join(["--adapter", str(shown), "-o", str(run)])
    return f"{adapter['name']} is a control: evaluate it beside the adapter of {code}, by this command with {more}"
