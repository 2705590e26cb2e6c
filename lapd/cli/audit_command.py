"""`lapd audit`: what a fine-tune bought and what it cost, in one command."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lapd.cli.common import FOLDER, base_option, echo_json, echo_table, json_option, traits_option
from lapd.cli.endpoint_options import ENDPOINT, endpoint_options, read_served
from lapd.cli.plan import amount, duration

if TYPE_CHECKING:
    from lapd.audit.plan import AuditPlan
    from lapd.audit.verdicts import Told

WIDTH = 110


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH [PATH ...]")
@base_option
@click.option("--minutes", type=click.FloatRange(0, min_open=True), default=30.0, show_default=True, metavar="N",
              help="What everything has to fit into.")  # fmt: skip
@click.option("--persona", metavar="CODE", help="Whose poles count, where the files name no persona.")
@click.option("--plan", "only_plan", is_flag=True, help="Only say what would be measured, for which the speed is.")
@click.option("--fail-on", "conditions", multiple=True, metavar="EXPR",
              help="End with 1 where a verdict is so: PLACE:VERDICT, see above; repeatable.")  # fmt: skip
@click.option("--seed", type=int, default=0, show_default=True, help="Of the draw of the items.")
@click.option("--batch-size", type=click.IntRange(1), metavar="N", help="Contexts computed at once.  [default: 32]")
@click.option("--dtype", type=click.Choice(["float32", "bfloat16", "float16"]),
              help="Precision; bfloat16 hides much of what a small adapter learned.  [default: float32]")  # fmt: skip
@endpoint_options
@click.option("-o", "--out", type=FOLDER, metavar="FOLDER", help="The run folder.  [default: runs/audit-NAMES]")
@traits_option
@json_option
def command(
    paths: tuple[str, ...],
    base: str | None,
    minutes: float,
    persona: str | None,
    only_plan: bool,
    conditions: tuple[str, ...],
    seed: int,
    batch_size: int | None,
    dtype: str | None,
    kind: str,
    out: Path | None,
    as_json: bool,
    **of_endpoint: Any,
) -> None:
    """Say what the training of PATH bought and what it cost, and how sure that is.

    PATH is the folder of an adapter or of a whole model, a pattern, or a Hugging Face id. Its base is found by its
    files; the tasks and their items are chosen so that one sees most in --minutes. Several are held against one base;
    of checkpoints of a training, trait and cost are told over the steps. Without a persona it is asked which axes
    moved. The same command goes on where it was stopped.

    \b
    lapd audit out/INFP
    lapd audit someone/their-lora --minutes 15
    lapd audit ./my-full-finetune --base meta-llama/Meta-Llama-3-8B-Instruct
    lapd audit out/run/checkpoint-* --fail-on cost:worse
    lapd audit served-name --base served-base --base-url http://127.0.0.1:8000/v1

    --fail-on PLACE:VERDICT ends with 1 where one is met, several with commas: PLACE is `any`, a side (`trait`,
    `cost`), `coherence` or a task; VERDICT is `changed`, `no-change`, `cannot-tell`, or which way it changed: `bought`,
    `lost` (of the trait), `better`, `worse` (of the rest). Controls do not count.
    """
    from lapd.audit.audit import Wanted, default_folder, plan_audit, run_audit
    from lapd.audit.expression import met, read_conditions
    from lapd.audit.subject import find_audited
    from lapd.catalog.find import tasks
    from lapd.errors import UsageError

    served = read_served(ENDPOINT if of_endpoint.get("base_url") else kind, base, paths, of_endpoint)
    if served and (dtype or batch_size):
        raise UsageError(f"{'--dtype' if dtype else '--batch-size'} is the server's to settle.", "Leave it out.")
    read_conditions(conditions, tasks())  # a wrong one is told before anything is measured
    audited = find_audited(paths, base, persona, served)
    wanted, folder = Wanted(minutes, seed, dtype, batch_size), out or default_folder(audited)
    plan = plan_audit(audited, folder, wanted)
    wished = read_conditions(conditions, plan.names)
    if only_plan and as_json:
        echo_json({"run": str(folder), "base": audited.base.name, **plan.as_json()})
        return
    names = ", ".join(dict.fromkeys(subject.label for subject in audited.subjects))
    _echo_plan(plan, f"{names} against {audited.base.name}", err=not only_plan)
    if only_plan:
        return
    told = run_audit(audited, folder, wanted, plan)
    failed = met(wished, told.verdicts)
    if as_json:
        echo_json({**told.as_json(), "failed_on": list(failed)})
    else:
        _echo_told(told)
        for condition, verdicts in failed.items():
            click.echo(f"Fails on {condition}: {', '.join(f'{one.arm} on {one.task}' for one in verdicts)}.", err=True)
    if failed:
        sys.exit(1)


def _echo_plan(plan: AuditPlan, what: str, err: bool) -> None:
    """What will be asked, how long that takes and what it could show."""
    click.echo(f"Audit of {what}: planned {duration(plan.planned_s)} of {plan.minutes:g} minutes.", err=err)
    head = ["side", "task", "items", "time", "would show", f"of {plan.family} together", "matters"]
    rows = [
        [
            {"trait": "bought"}.get(task.side, task.side),
            task.task,
            f"{task.items} of {task.of}" + (f", {task.each} an axis" if task.each != task.items else ""),
            duration(task.seconds),
            amount(task.would_show, task.unit),
            amount(task.corrected, task.unit),
            f"{task.margin:g} {'points' if task.unit in ('share', 'percent') else task.unit}",
        ]
        for task in plan.tasks
    ]
    echo_table(head, rows, err=err)
    notes = ["Would show: the smallest change with an 80 % chance to, at 5 %; together, at what Holm asks first."]
    notes += [f"How far values vary is taken from {source}." for source in _sources(plan)]
    if plan.left_out:
        notes.append(f"No time for {', '.join(plan.left_out)}.")
    for note in notes:
        click.echo(textwrap.fill(note, WIDTH), err=err)


def _sources(plan: AuditPlan) -> list[str]:
    return list(dict.fromkeys(task.known_from for task in plan.tasks if task.known_from))


def _echo_told(told: Told) -> None:
    """The report's first screen in words, the primary rows, and what could not be seen."""
    from lapd.audit.verdicts import coherence_lines
    from lapd.report.glance.checkpoints import first_changes
    from lapd.report.table import text_table

    click.echo()
    for arm, sentence in told.sentences.items():
        click.echo(textwrap.fill(f"{arm}: {sentence}", WIDTH))
    click.echo()
    for answer in told.answers:
        click.echo(textwrap.fill(f"{answer.question} {answer.word}: {answer.detail}.", WIDTH))
    click.echo()
    click.echo(text_table(told.rows))
    for line in (*coherence_lines(told.written), *first_changes(told.steps)):
        click.echo(textwrap.fill(line, WIDTH))
    if told.not_seen:
        click.echo("\nWhat this audit could not see:")
        for line in told.not_seen:
            click.echo(textwrap.fill(line, WIDTH, initial_indent="- ", subsequent_indent="  "))
    took, planned = duration(told.took_s), duration(told.plan.planned_s)
    click.echo(f"\nTook {took} (planned: {planned}).")
    click.echo(f"Report: {told.page}")
