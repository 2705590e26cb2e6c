"""`lapd score`: responses or verdicts that are on disk already, without a model."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lapd.cli.common import FOLDER, data_dir_option, echo_json, echo_table, json_option, judge_options, traits_option

if TYPE_CHECKING:
    from lapd.catalog.scoring import Score


@click.command()
@click.argument("task")
@click.option("--responses", type=FOLDER, metavar="FILE", help='One {"id": ..., "response": ...} a line.')
@click.option("--verdicts", type=FOLDER, metavar="FILE", help="One verdict on a response a line (beavertails).")
@judge_options
@data_dir_option
@traits_option
@json_option
def command(
    task: str,
    responses: Path | None,
    verdicts: Path | None,
    judge: str | None,
    options: tuple[str, ...],
    data_dir: str | None,
    as_json: bool,
) -> None:
    """Score stored responses to TASK, or aggregate stored verdicts on them. No model is loaded.

    The ids are the publisher's. An unknown or repeated id is an error; one without a response is named and counted.
    Responses to a judged task go to the judge.
    A verdict is {"prompt" or "id": ..., "flagged": true, false or null, "reason": ..., "category": ...}.

    \b
    lapd score eqbench --responses answers.jsonl --data-dir ~/benchmarks
    lapd score beavertails --verdicts verdicts.jsonl --json
    """
    from lapd.errors import UsageError

    if (responses is None) == (verdicts is None):
        raise UsageError("Give one of --responses and --verdicts.")
    if verdicts is not None and (judge or options):
        raise UsageError("--verdicts are judged already.", "Leave --judge out.")
    if responses is not None:
        _score_responses(task, responses, judge, options, data_dir, as_json)
    elif verdicts is not None:
        _score_verdicts(task, verdicts, data_dir, as_json)


def _score_responses(
    task: str, path: Path, judge: str | None, options: tuple[str, ...], data_dir: str | None, as_json: bool
) -> None:
    from lapd.catalog.scoring import name_missing, score_responses
    from lapd.judges.choosing import choose_judge, judged_line

    score = score_responses(task, path, data_dir, choose_judge(judge, options) if judge or options else None)
    if score.missing:
        click.echo(name_missing(score), err=True)
    if as_json:
        echo_json(_as_json(score))
        return
    counts = {} if score.n_parseable is None else {"n_parseable": score.n_parseable}
    counts |= {"n_total": score.n_total}
    echo_table(["metric", "value"], [*_rows(score.metrics), *([name, str(n)] for name, n in counts.items())])
    if score.judge:
        click.echo(judged_line(task, score.judge))


def _as_json(score: Score) -> dict[str, Any]:
    """The metrics beside the counts; a metric may be called `missing`, so the ids are `missing_ids`."""
    made = asdict(score)
    metrics, missing, judge = (made.pop(name) for name in ("metrics", "missing", "judge"))
    return {"task": made.pop("task"), **metrics, **made, "missing_ids": missing, **({"judge": judge} if judge else {})}


def _rows(metrics: dict[str, float | None]) -> list[list[str]]:
    return [[name, "-" if value is None else f"{value:.4g}"] for name, value in metrics.items()]


def _score_verdicts(task: str, path: Path, data_dir: str | None, as_json: bool) -> None:
    from lapd.catalog.scoring import score_verdicts
    from lapd.judges.choosing import judged_line

    found = score_verdicts(task, path, data_dir)
    if as_json:
        echo_json(found)
        return
    lines = [("all", found), *found["by_category"].items()]
    echo_table(["category", "flagged", "bounds", "judged", "missing"], [_line(name, rate) for name, rate in lines])
    if "judge" in found:
        click.echo(judged_line(task, found["judge"]))
    for reason, count in found["missing_reasons"].items():
        click.echo(f"missing: {count} x {reason}")


def _line(name: str, rate: dict[str, Any]) -> list[str]:
    flagged = "-" if rate["flagged"] is None else f"{rate['flagged']:.4f}"
    low, high = rate["bounds"]
    return [name, flagged, f"{low:.4f} to {high:.4f}", str(rate["n_judged"]), str(rate["n_missing"])]
