"""`lapd judge`: judge or grade stored responses, check a judge against people, compare two judges."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lapd.cli.common import FOLDER, comma_list, echo_json, echo_table, grader_options, json_option, judge_options

if TYPE_CHECKING:
    from lapd.hookspecs import Judge
    from lapd.record.verdicts import JudgedCell

DEFAULT = "run"
"""The command that is meant where a run is named instead of a command."""


class _Judging(click.Group):
    """A group whose first argument may be a run's folder."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = [DEFAULT, *args]
        return super().parse_args(ctx, args)


@click.group(cls=_Judging, subcommand_metavar="RUN | COMMAND [ARGS]...")
def command() -> None:
    """Judge or grade a run's stored responses, check who does, or compare two of them.

    A judge decides whether a response is harmful, or whether it refuses. A grader gives it a grade from 0 to 100, on a
    trait pack's axes and on coherence. Nothing is generated again. `lapd judge RUN` is short for `lapd judge run RUN`.
    `lapd plugins` lists judges and graders, `lapd plugins --options` what they take.

    \b
    lapd judge runs/safety --judge openai --judge-option model=NAME
    lapd judge runs/demo --grader reader
    lapd judge check --judge keywords --labels labels.jsonl
    lapd judge check --grader words
    lapd judge agree keywords openai --run runs/safety
    """


def _tasks_option(text: str) -> Callable[[Any], Any]:
    return click.option("--tasks", "names", callback=comma_list, metavar="A,B", help=text)


@command.command(name=DEFAULT)
@click.argument("run", type=FOLDER)
@_tasks_option("Whose responses to judge.  [default: all tasks that this judge can decide on]")
@judge_options
@grader_options
@click.option(
    "--as", "label", metavar="NAME", help="What the verdicts or grades are called.  [default: as who decides]"
)
@json_option
def run_command(
    run: Path,
    names: list[str],
    judge: str | None,
    options: tuple[str, ...],
    grader: str | None,
    grader_texts: tuple[str, ...],
    label: str | None,
    as_json: bool,
) -> None:
    """Judge RUN's stored responses, and write the verdicts beside them as verdicts-NAME.jsonl; or grades (--grader).

    What is judged already is kept; what is missing is asked for again. Answers to beavertails are judged for harm,
    those to overrefusal for whether they refuse, which the judge openai can tell. A grader grades the answers of tasks
    such as situations_open, each on the axis that its situation is about; `lapd compare` has the grades among the
    metrics.

    \b
    lapd judge runs/demo --tasks overrefusal --judge openai --judge-option model=NAME
    lapd judge runs/safety --judge openai --judge-option model=NAME --judge-option max_cost=2 \\
        --judge-option price_in=0.15 --judge-option price_out=0.6
    lapd judge runs/demo --grader reader
    """
    if grader:
        from lapd.cli.grading import grade

        _refuse_both(judge, options, names)
        grade(run, grader, grader_texts, label, as_json)
        return
    _refuse_without_grader(grader_texts)
    from lapd.judges.choosing import choose_judge
    from lapd.judges.judge import describe_judge
    from lapd.judges.questions import HARM
    from lapd.record.verdicts import judge_run

    chosen = choose_judge(judge, options)
    cells = judge_run(run, lambda: chosen, label or chosen.name, names)
    about = describe_judge(chosen)
    rows = [_harm(cell) if cell.question == HARM else _refusals(cell) for cell in cells]
    if as_json:
        echo_json({"run": str(run), "judge": about, "verdicts": label or chosen.name, "cells": rows})
        return
    harm, refusals = ([row for row in rows if ("metrics" in row) == told] for told in (False, True))
    _print_harm(harm)
    _print_refusals(refusals)
    _say_note(about)
    _say_limits(harm)
    _say_reasons(rows)
    click.echo(f"\nNext: lapd compare {run} --judge {label or chosen.name}", err=True)


def _harm(cell: JudgedCell) -> dict[str, Any]:
    from lapd.judges.verdicts import as_judged, rates

    return {**cell.entry, **rates(as_judged(cell.verdicts, cell.categories))}


def _refusals(cell: JudgedCell) -> dict[str, Any]:
    """What a cell's verdicts come to by metric: what is harmless and what is harmful are never one rate."""
    found = _harm(cell)
    overall = ("flagged", "interval", "bounds", "n_flagged", "by_category")
    return {
        **{name: value for name, value in found.items() if name not in overall},
        "question": cell.question,
        "judge": cell.judge,
        "metrics": found["by_category"],
    }


def _print_harm(rows: list[dict[str, Any]]) -> None:
    if not rows:
        return
    header = ["arm", "task", "flagged", "95 % interval", "judged", "missing", "none to all missing flagged"]
    lines = [[r["arm"], r["task"], *_rate(r)] for r in rows]
    lines += [
        [f"  {r['arm']}", name, *_rate(part)] for r in rows if len(rows) == 1 for name, part in r["by_category"].items()
    ]
    echo_table(header, lines)


def _print_refusals(rows: list[dict[str, Any]]) -> None:
    if not rows:
        return
    header = ["arm", "task", "metric", "refused", "95 % interval", "judged", "missing", "none to all missing refused"]
    lines = [[r["arm"], r["task"], name, *_rate(part)] for r in rows for name, part in r["metrics"].items()]
    echo_table(header, lines)


def _rate(row: dict[str, Any]) -> list[str]:
    return [
        _number(row["flagged"]),
        _range(row["interval"]),
        str(row["n_judged"]),
        str(row["n_missing"]),
        _range(row["bounds"]),
    ]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _range(ends: list[float] | None) -> str:
    return "-" if ends is None else f"{ends[0]:.4f} to {ends[1]:.4f}"


def _say_note(about: dict[str, Any]) -> None:
    """The judge's own warning, on the output: it belongs to the numbers."""
    if note := about.get("note"):
        click.echo(f"{about['name']}: {note}.")


def _say_limits(rows: list[dict[str, Any]]) -> None:
    """A line for each task on which every arm has nearly all of its responses flagged, or nearly none."""
    from lapd.statistics.limits import CEILING, FLOOR, NEARLY

    for task in dict.fromkeys(row["task"] for row in rows):
        rates = [row["flagged"] for row in rows if row["task"] == task and row["flagged"] is not None]
        for limit, reached in ((CEILING, [r >= NEARLY for r in rates]), (FLOOR, [r <= 1 - NEARLY for r in rates])):
            if rates and all(reached):
                click.echo(f"{task} is at a {limit} in every arm: this judge cannot tell them apart.")


def _say_reasons(rows: list[dict[str, Any]]) -> None:
    counts: dict[str, int] = {}
    for row in rows:
        for reason, count in row["missing_reasons"].items():
            counts[reason] = counts.get(reason, 0) + count
    for reason, count in sorted(counts.items(), key=lambda pair: -pair[1])[:5]:
        click.echo(f"Missing {count}: {reason}")


def _refuse_both(judge: str | None, options: tuple[str, ...], names: list[str] | None = None) -> None:
    from lapd.errors import UsageError

    if judge or options:
        raise UsageError("A judge and a grader are two commands.", "Give --judge or --grader.")
    if names:
        raise UsageError("--tasks is for a judge.", "Leave it out with --grader.")


def _refuse_without_grader(options: tuple[str, ...], limit: int | None = None) -> None:
    if options or limit is not None:
        from lapd.errors import UsageError

        flag = "--grader-option" if options else "--limit"
        raise UsageError(f"{flag} is for a grader.", "Give --grader NAME, or leave it out.")


@command.command()
@judge_options
@grader_options
@click.option("--labels", type=FOLDER, metavar="FILE", help="{prompt, response, is_safe} a line; poles for a grader.")
@click.option("--limit", type=int, metavar="N", help="A grader: N prompts of each axis, drawn once for all.")
@json_option
def check(
    judge: str | None,
    options: tuple[str, ...],
    grader: str | None,
    grader_texts: tuple[str, ...],
    labels: Path | None,
    limit: int | None,
    as_json: bool,
) -> None:
    """Measure a judge against human labels: accuracy, precision, recall and Cohen's kappa; harmful is the positive.

    With --grader, a grader against texts whose pole is known: AUC with its interval, and calibration, by axis. Without
    --labels these are the held-out situations of the trait packs; a file has {prompt, response, axis, pole} a line, or
    {prompt, POLE: response, OTHER POLE: response}. What a file shows is kept, and said beside the grader's numbers.

    Intervals are at 95 %: Clopper and Pearson's for shares, for kappa the large-sample standard error of Fleiss, Cohen
    and Everitt (1969). Responses without a verdict are left out and counted.

    \b
    lapd judge check --judge moderation --judge-option model=FOLDER --labels labels.jsonl --json
    lapd judge check --grader words --json
    """
    if grader:
        from lapd.cli import grading

        _refuse_both(judge, options)
        grading.check(grader, grader_texts, labels, limit, as_json)
        return
    _refuse_without_grader(grader_texts, limit)
    if labels is None:
        raise click.MissingParameter(ctx=click.get_current_context(), param_hint="'--labels'", param_type="option")
    from lapd.judges.choosing import choose_judge
    from lapd.judges.judge import describe_judge, judge_all
    from lapd.judges.verdicts import check as check_verdicts
    from lapd.judges.verdicts import read_labels

    known = read_labels(labels)
    chosen = choose_judge(judge, options)
    verdicts = judge_all(chosen, [(label.prompt, label.response) for label in known])
    found = check_verdicts(verdicts, known)
    about = describe_judge(chosen)
    if as_json:
        echo_json({"labels": str(labels), "judge": about, **found})
        return
    names = ("accuracy", "precision", "recall", "kappa")
    echo_table(
        ["measure", "value", "95 % interval"], [[n, _number(found[n]), _range(found[f"{n}_interval"])] for n in names]
    )
    click.echo(
        f"Harmful and flagged {found['true_positives']}, safe and flagged {found['false_positives']}, harmful and not "
        f"flagged {found['false_negatives']}, safe and not flagged {found['true_negatives']}; "
        f"{found['n_missing']} of {found['n_total']} without a verdict."
    )
    _say_note(about)
    _say_reasons([found])


@command.command()
@click.argument("first", metavar="J1")
@click.argument("second", metavar="J2")
@click.option("--run", type=FOLDER, required=True, metavar="RUN", help="The run whose responses they judged.")
@_tasks_option("On whose responses.  [default: those that are judged for harm]")
@click.option(
    "--judge-option", "options", multiple=True, metavar="JUDGE.KEY=VALUE", help="For a judge that has yet to judge."
)
@click.option("--graders", is_flag=True, help="J1 and J2 are names of grades.")
@json_option
def agree(
    first: str, second: str, run: Path, names: list[str], options: tuple[str, ...], graders: bool, as_json: bool
) -> None:
    """Show how far two judges agree on RUN's responses: share, Cohen's kappa, and who flags more.

    J1 and J2 are names of verdicts (`lapd judge RUN --as NAME`). A judge whose verdicts are not there judges first.
    With --graders they are names of grades: rank correlation and difference, by what is graded.

    \b
    lapd judge agree keywords moderation --run runs/safety --json
    lapd judge agree words reader --graders --run runs/demo
    """
    if graders:
        from lapd.cli import grading

        if options or names:
            from lapd.errors import UsageError

            flag = "--judge-option" if options else "--tasks"
            raise UsageError(f"{flag} is for judges, and grades are there already.", "Leave it out.")
        grading.agree((first, second), run, as_json)
        return
    from lapd.judges.choosing import note_of
    from lapd.judges.verdicts import agreement
    from lapd.record.verdicts import asked_alike, judge_run

    both, of = (first, second), asked_alike(run, names)
    one, other = (judge_run(run, _maker(name, options, both), name, of, again=False) for name in both)
    judges = {name: cells[0].judge for name, cells in zip(both, (one, other), strict=True)}
    found = {
        "judges": list(both),
        "judged_by": judges,
        "run": str(run),
        **agreement([v for c in one for v in c.verdicts], [v for c in other for v in c.verdicts]),
        "cells": [{**a.entry, **agreement(a.verdicts, b.verdicts)} for a, b in zip(one, other, strict=True)],
    }
    notes = {name: note for name, judge in judges.items() if (note := note_of(judge))}
    if as_json:
        echo_json(found | ({"notes": notes} if notes else {}))
        return
    header = ["arm", "task", "agree", "95 % interval", "kappa", "95 % interval", "both", f"only {first}",
              f"only {second}", "neither", "missing"]  # fmt: skip
    rows = [{"arm": "all", "task": "", **found}, *found["cells"]]
    echo_table(header, [_agreement(row) for row in rows])
    for name, note in notes.items():
        click.echo(f"{name}: {note}.")


def _agreement(row: dict[str, Any]) -> list[str]:
    shares = [
        _number(row["agreement"]), _range(row["agreement_interval"]), _number(row["kappa"]),
        _range(row["kappa_interval"]),
    ]  # fmt: skip
    counts = ("both_flagged", "only_first", "only_second", "neither_flagged", "n_missing")
    return [row["arm"], row["task"], *shares, *(str(row[name]) for name in counts)]


def _maker(name: str, options: tuple[str, ...], names: tuple[str, str]) -> Callable[[], Judge]:
    """What makes the judge of that name, with those of the options that are for it."""
    from lapd.errors import UsageError
    from lapd.judges.choosing import choose_judge

    for option in options:
        if option.partition("=")[0].partition(".")[0] not in names:
            raise UsageError(f"--judge-option {option!r} is for neither judge.", f"Begin it with {names[0]}. or so.")
    own = [option.removeprefix(f"{name}.") for option in options if option.startswith(f"{name}.")]
    return lambda: choose_judge(name, own)
