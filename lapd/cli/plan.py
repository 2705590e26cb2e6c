"""What `lapd run`, `lapd eval` and `lapd train` share: `--plan`, and how a plan is printed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lapd.cli.common import F, echo_json, echo_table

if TYPE_CHECKING:
    from lapd.evaluate.estimate import Plan, PlannedCell, WouldShow
    from lapd.train.plan import PlannedTraining, TrainingPlan


def plan_option(function: F) -> F:
    """`--plan`: show what there is to do."""
    text = "Only list the cells, which are done, and how long the rest will take; loads and writes nothing."
    return click.option("--plan", "only_plan", is_flag=True, help=text)(function)


def echo_plan(plan: Plan, as_json: bool) -> None:
    """Print a plan on standard output."""
    if as_json:
        echo_json(plan.as_json())
        return
    for training in plan.trainings:
        click.echo(f"To be trained first: {training.adapter} ({duration(training.seconds_left)})")
    echo_table(
        ["arm", "task", "seed", "cell", "state"],
        [[c.arm, c.task, c.seed, c.cell or "-", _state(c)] for c in plan.cells],
    )
    todo = len(plan.cells) - plan.done
    click.echo(f"\n{len(plan.cells)} cells, {plan.done} of them done, {todo} to do.")
    if plan.seconds_left is not None:
        if todo:
            click.echo(f"Time left: {duration(plan.seconds_left)}, by what was measured here.")
    else:
        click.echo(f"Time left: not known; nothing was measured here for {', '.join(plan.unmeasured)}.")
    if more := plan.another_seed:
        adapters = f"{more.trainings} adapter{'s' if more.trainings > 1 else ''} to train"
        click.echo(f"One more seed: {adapters}, {more.cells} cells; {duration(more.seconds)}.")
    if plan.would_show is not None:
        _echo_would_show(plan.would_show, plan.unknown)


def _echo_would_show(rows: list[WouldShow], unknown: list[str]) -> None:
    """What the plan would let one see, and where that is not known."""
    click.echo()
    rows = [row for row in rows if {row.detectable_alone, row.another_seed} != {None}]
    if rows:
        family = max(row.family_size for row in rows)
        head = ["task", "change of", "about", "against", "items", "would show", f"in a family of {family}"]
        again = any(row.another_seed is not None for row in rows)
        echo_table([*head, "with one more seed"] if again else head, [_cells(row, again) for row in rows])
        click.echo(
            "\nWould show: the smallest change with an 80 % chance to, at 5 %; in a family, at what Holm asks first."
        )
        for source in dict.fromkeys(row.source for row in rows):
            tasks = list(dict.fromkeys(row.task for row in rows if row.source == source))
            click.echo(f"How far values vary is taken from {source}: {', '.join(tasks)}.")
    if unknown:
        what = "no cell of it is finished here, and it is not in data/variances.json"
        click.echo(f"What would show is not known for {', '.join(unknown)}: {what}.")


def _cells(row: WouldShow, again: bool) -> list[str]:
    about = "adapter" if row.seeds is None else f"training, {row.seeds} seed{'s' if row.seeds > 1 else ''}"
    controls = f"{row.controls} controls" if row.controls else row.against
    items = f"{row.items} ({row.clusters} clusters)" if row.clusters else str(row.items)
    shown = [amount(row.detectable_alone, row.unit), amount(row.detectable, row.unit)]
    more = [amount(row.another_seed, row.unit)] if again else []
    return [row.task, row.condition, about, controls, items, *shown, *more]


def echo_training_plan(plan: TrainingPlan, as_json: bool) -> None:
    """Print what would be trained on standard output."""
    if as_json:
        echo_json(plan.as_json())
        return
    header = ["adapter", "base", "trainer", "pairs", "held-out", "steps", "state"]
    rows = [[t.adapter, t.base, t.trainer, t.pairs, t.heldout, t.steps, _state_of(t)] for t in plan.trainings]
    echo_table(header, rows)
    todo = len(plan.trainings) - plan.done
    click.echo(f"\n{len(plan.trainings)} adapters, {plan.done} of them there, {todo} to train.")
    if plan.seconds_left is None:
        click.echo("Time left: not known; no run card here is of such a training on a machine like this one.")
    elif todo:
        click.echo(
            f"Time left: about {duration(plan.seconds_left)}, by earlier run cards from a machine like this one."
        )


def _state_of(training: PlannedTraining) -> str:
    if training.done:
        return "done"
    begun = f"at step {training.step}" if training.step else "to do"
    return begun if training.seconds_left is None else f"{begun}, {duration(training.seconds_left)} left"


def _state(cell: PlannedCell) -> str:
    if cell.done:
        return "done"
    begun = f"{cell.batches} batches done" if cell.batches else ("to do" if cell.cell else "waits for its adapter")
    return begun if cell.seconds_left is None else f"{begun}, {duration(cell.seconds_left)} left"


def amount(value: float | None, unit: str) -> str:
    """A change for people: "2.1 nats", "5.4 points" of shares; "-" for none."""
    if value is None:
        return "-"
    name = "points" if unit in ("share", "percent") else unit
    return f"{value * (100 if unit == 'share' else 1):.3g} {name}".rstrip()


def duration(seconds: float | None) -> str:
    """For people: "40 s", "12 min", "3.5 h"."""
    if seconds is None:
        return "how long is not known"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
