"""`lapd questionnaire`: what each arm of a run says of itself."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lapd.cli.common import FOLDER, echo_json, echo_table, json_option, traits_option

if TYPE_CHECKING:
    from lapd.compare.self_report import Answers, AxisScore, SelfReport


@click.command()
@click.argument("run", type=FOLDER)
@traits_option
@json_option
def command(run: Path, as_json: bool) -> None:
    """Show what each arm of RUN says of itself, for the mbti tasks that it finished.

    Scores run from 0 to 100 towards an axis's first pole, with 95 % intervals over items; an item of which an answer is
    missing does not count. The type is a probability over the sixteen. Then how far to trust them: bias (50 is none),
    and, with three arms or more, Cronbach's alpha, split halves and the correlation of parallel forms over the arms.

    \b
    lapd eval --adapter out/INFP --tasks mbti,mbti_b -o runs/INFP
    lapd questionnaire runs/INFP
    lapd questionnaire runs/INFP --json
    """
    from lapd.catalog.find import tasks
    from lapd.compare.gaps import unfinished
    from lapd.compare.self_report import METHOD, read_self_report
    from lapd.record.store import Store

    report = read_self_report(run)
    for line in unfinished(Store(run), {name for name, info in tasks().items() if info.self_report}):
        click.echo(line, err=True)
    if as_json:
        echo_json({"run": str(run), **report.as_json()})
        return
    for task, answers in groupby(report.answers, lambda a: a.task):
        _echo_answers(task, list(answers))
    _echo_trust(report)
    click.echo(METHOD)


def _echo_answers(task: str, answers: list[Answers]) -> None:
    click.echo(f"{task}: points towards the first pole")
    axes = list(dict.fromkeys(axis for a in answers for axis in a.axes))
    rows = [
        [a.arm, a.way, *(_axis(a.axes.get(axis)) for axis in axes), _types(a.types), f"{a.missing} of {a.questions}"]
        for a in answers
    ]
    echo_table(["arm", "way", *axes, "likeliest types", "missing"], rows)
    click.echo()


def _echo_trust(report: SelfReport) -> None:
    rows: list[list[str]] = [
        [d.task, d.arm, d.name, _interval(d.mean, d.low, d.high), d.unit] for d in report.diagnostics
    ]
    if rows:
        echo_table(["task", "arm", "diagnostic", "mean [95 %]", "unit"], rows)
        click.echo()
    echo_table(
        ["task", "way", "axis", "arms", "items", "alpha", "split half"],
        [
            [r.task, r.way, r.axis, str(r.respondents), str(r.items), _number(r.alpha), _number(r.split_half)]
            for r in report.reliability
        ],
    )
    click.echo()
    if report.parallel_forms:
        rows = [
            [f"{p.parallel}, {p.task}", p.way, p.axis, str(p.respondents), _number(p.r)] for p in report.parallel_forms
        ]
        echo_table(["parallel forms", "way", "axis", "arms", "r"], rows)
        click.echo()


def _axis(found: AxisScore | None) -> str:
    if found is None or found.score is None:
        return "-"
    bounds = f" ({found.lowest:.0f} to {found.highest:.0f})" if found.incomplete else ""
    return _interval(found.score, found.low, found.high) + bounds


def _interval(mean: float, low: float | None, high: float | None) -> str:
    return f"{mean:.1f}" if low is None or high is None else f"{mean:.1f} [{low:.1f}, {high:.1f}]"


def _types(types: dict[str, float]) -> str:
    best = sorted(types.items(), key=lambda entry: -entry[1])[:2]
    return ", ".join(f"{code} {100 * p:.0f} %" for code, p in best) or "-"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
