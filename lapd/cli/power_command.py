"""`lapd power`: what so many items and trainings would let one see."""

from __future__ import annotations

from math import sqrt
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lapd.cli.common import FOLDER, echo_json, echo_table, json_option, poles_option, traits_option, verdicts_option
from lapd.cli.compare_command import read_margins
from lapd.cli.plan import amount
from lapd.errors import UsageError

if TYPE_CHECKING:
    from lapd.planning.power import Assumed, Plan
    from lapd.planning.variances import Spreads

COUNT = click.IntRange(min=1)
SHARE = click.FloatRange(0, 1)


@click.command()
@click.argument("run", type=FOLDER, required=False)
@click.option("--items", type=click.IntRange(min=2), metavar="N", help="So many items of each task.")
@click.option("--seeds", type=COUNT, metavar="N", help="So many trainings of a persona.")
@click.option(
    "--between-seeds",
    "trainings",
    multiple=True,
    metavar="[NAME=]SD",
    callback=read_margins,
    help="Standard deviation between trainings, of a task or metric, or of all.",
)
@click.option(
    "--change",
    "changes",
    multiple=True,
    metavar="[NAME=]VALUE",
    callback=read_margins,
    help="Change that shall show.  [default: half of what would]",
)
@click.option("--family", type=COUNT, metavar="N", help="So many comparisons are corrected together.")
@click.option("--sd", type=click.FloatRange(0, min_open=True), metavar="SD", help="Without RUN: SD between items.")
@click.option("--rate", type=SHARE, metavar="RATE", help="Without RUN: share of yes answers.")
@click.option("--discordant", type=SHARE, metavar="RATE", help="Without RUN: share of items that change either way.")
@verdicts_option
@poles_option
@traits_option
@json_option
def command(
    run: Path | None,
    items: int | None,
    seeds: int | None,
    trainings: dict[str, float],
    changes: dict[str, float],
    family: int | None,
    sd: float | None,
    rate: float | None,
    discordant: float | None,
    judge: str | None,
    persona: str | None,
    as_json: bool,
) -> None:
    """Show the smallest change that would show, with 80 % power, and how many items or seeds a smaller one needs.

    By how far the values of RUN vary, on what sums each task up: of one adapter, where items vary, and of its training
    where the run has several. Without RUN by what you suppose: --items, and --sd or --discordant (with --rate alone,
    as if the two arms' answers had nothing to do with each other). Standard deviations and changes are in the unit that
    the table shows: percentage points of shares.

    \b
    lapd power runs/quickstart
    lapd power runs/quickstart --seeds 4 --items 500 --change 2
    lapd power --items 171 --rate .3 --discordant .1
    lapd power --items 171 --discordant .1 --seeds 3 --between-seeds 2 --change 5
    """
    from lapd.compare.verdicts import ALPHA
    from lapd.planning.power import Assumed, plans, power_of_run
    from lapd.planning.power import as_json as plans_as_json
    from lapd.statistics.paired import POWER

    _check_positive(trainings, "--between-seeds")
    _check_positive(changes, "--change")
    assumed = Assumed(items, seeds, trainings, family, changes)
    if run is not None:
        if {sd, rate, discordant} != {None}:
            raise UsageError("--sd, --rate and --discordant are for a plan without a run.", "Leave RUN out, or these.")
        found = power_of_run(run, assumed, judge, persona)
    else:
        found = list(plans(_supposed(assumed, sd, rate, discordant), family or 1, assumed))
    if as_json:
        echo_json({"run": str(run) if run else None, "power": POWER, "alpha": ALPHA, "rows": plans_as_json(found)})
        return
    _echo(found)


def _check_positive(numbers: dict[str, float], option: str) -> None:
    for value in numbers.values():
        if not value > 0:
            raise UsageError(f"{option} must be above 0, not {value:g}.")


def _supposed(assumed: Assumed, sd: float | None, rate: float | None, discordant: float | None) -> Spreads:
    """How far values vary by what is given in the call."""
    from lapd.planning.variances import Spreads

    if assumed.seeds and not assumed.trainings:
        raise UsageError("--seeds says nothing alone.", "Give --between-seeds, how far trainings differ, as well.")
    if assumed.items is None or (sd is None) == (rate is None and discordant is None):
        hint = "Or name a run: `lapd power RUN`."
        raise UsageError("Without a run give --items, and either --sd or --discordant (or --rate).", hint)
    if sd is not None:
        return Spreads("", "", "", "adapter", True, assumed.items, assumed.items, sd)
    changed = 2 * rate * (1 - rate) if discordant is None and rate is not None else discordant or 0.0
    if changed == 0:
        raise UsageError("No item would ever change.", "Give a --discordant, or a --rate, between 0 and 1.")
    return Spreads("", "", "share", "adapter", True, assumed.items, assumed.items, sqrt(changed), changed)


def _echo(found: list[Plan]) -> None:
    trained = {(plan.task, plan.metric, plan.condition) for plan in found if plan.seeds is not None}
    shown = [
        plan for plan in found if plan.seeds is not None or (plan.task, plan.metric, plan.condition) not in trained
    ]
    family = max(plan.family_size for plan in found)
    head = ["task", "change of", "about", "items", "seeds", "would show", f"in a family of {family}"]
    head += ["for a change of", "items", "or seeds"]
    left_out = [head.index("in a family of 1")] if family == 1 else []
    lines = [[cell for n, cell in enumerate(line) if n not in left_out] for line in [head, *map(_cells, shown)]]
    echo_table(lines[0], lines[1:])
    click.echo()
    click.echo("Would show: the smallest change with an 80 % chance to, at 5 %; in a family, at what Holm asks first.")
    click.echo("Items, seeds: so many of the one while the other stays. Where none is enough (-), try more of both.")
    if not trained:
        click.echo("About one adapter each: how far trainings differ is not known. `lapd train --seeds 0,1` makes two,")
        click.echo("--between-seeds supposes it.")


def _cells(plan: Plan) -> list[str]:
    about = f"training, {plan.controls} controls" if plan.controls else "training" if plan.seeds else "adapter"
    items = f"{plan.items} ({plan.clusters} clusters)" if plan.clusters else str(plan.items)
    return [
        plan.task or "-",
        plan.condition,
        about,
        items,
        str(plan.seeds or "-"),
        amount(plan.detectable_alone, plan.unit),
        amount(plan.detectable, plan.unit),
        amount(plan.change, plan.unit),
        str(plan.items_needed or "-"),
        str(plan.seeds_needed or "-"),
    ]
