"""`lapd tasks`: which tasks there are, where they lie for a stock `lm_eval`, and whether they work."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from lapd.cli.common import base_option, data_dir_option, echo_json, echo_table, json_option, traits_option

if TYPE_CHECKING:
    from lapd.catalog.task import TaskInfo


@click.group(invoke_without_command=True)
@click.option(
    "--path", "show_path", is_flag=True, help="Print one folder with all of them, for lm_eval --include_path."
)
@traits_option
@json_option
@click.pass_context
def command(ctx: click.Context, show_path: bool, as_json: bool) -> None:
    """List LAPD's tasks and groups, and those of plugins. lm-eval's own (hellaswag, mmlu) can be evaluated too.

    \b
    lapd tasks
    lapd tasks check
    lm_eval run --include_path "$(lapd tasks --path)" --tasks mbti ...
    """
    if ctx.invoked_subcommand is not None:
        return
    from lapd.catalog.find import tasks
    from lapd.catalog.gathered import one_folder, origin, task_folders
    from lapd.catalog.groups import groups_of_plugins

    if show_path:
        folder, found = one_folder(), task_folders()
        if as_json:
            echo_json({"include_path": str(folder), "folders": {name: str(path) for name, path in found.items()}})
            return
        click.echo(folder)
        if folder not in found.values():
            click.echo(f"It has links to the tasks in {', '.join(map(str, found.values()))}.", err=True)
        return
    infos = [info for _, info in sorted(tasks().items())]
    if as_json:
        rows = [
            {
                "task": i.name,
                "version": i.version,
                "description": i.description,
                "side": i.side or None,
                "primary": i.primary,
                "output_type": i.kind,
                "metrics": list(i.metrics),
                "needs_data": i.publisher,
                "folder": str(i.folder),
                "from": origin(i) or "lapd",
            }
            for i in infos
        ]
        echo_json(rows)
        return
    echo_table(
        ["task", "side", "primary", "version", "data", "description"],
        [[i.name, i.side, i.primary or "", i.version, _data(i), i.description] for i in infos],
    )
    if groups := groups_of_plugins():
        click.echo()
        table = [[name, ", ".join(names) if isinstance(names, list) else str(names)] for name, names in groups.items()]
        echo_table(["group", "its tasks"], table)


def _data(info: TaskInfo) -> str:
    """Where a task's data are, in a few words."""
    from lapd.catalog.gathered import origin

    if info.publisher:
        return f"--data-dir or Hub: {info.publisher}"
    return f"with {whose}" if (whose := origin(info)) else "shipped"


@command.command()
@base_option
@data_dir_option
@json_option
def check(base: str | None, data_dir: str | None, as_json: bool) -> None:
    """Load every task, render its first documents and score made-up answers; exit 1 if one is broken.

    lm-eval leaves out a broken YAML without a word. Prompts are rendered plainly and by the base model's chat
    template; the model itself is not loaded. A task whose data are not there is no broken one.

    \b
    lapd tasks check
    lapd tasks check --data-dir ~/benchmarks --json
    """
    from lapd.catalog.check import BROKEN, check_tasks
    from lapd.models.base import resolve_base
    from lapd.models.embedded import EMBEDDED

    found = list(check_tasks(resolve_base(base or EMBEDDED).path, data_dir))
    if as_json:
        echo_json([{"task": f.task, "state": f.state, "detail": f.detail, "file": str(f.file)} for f in found])
    else:
        echo_table(["task", "state", "what was found"], [[f.task, f.state, f.detail] for f in found])
    sys.exit(any(f.state == BROKEN for f in found))
