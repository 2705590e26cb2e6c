"""What `lapd judge` does with a grader: a run graded, a grader checked, two graders compared."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from lapd.cli.common import echo_json, echo_table


def grade(run: Path, name: str, options: Sequence[str], label: str | None, as_json: bool) -> None:
    """Have a run's written answers graded, and print the means."""
    from lapd.judges.grades import choose_grader
    from lapd.judges.known_checks import note_of_grades
    from lapd.record.grades import grade_run
    from lapd.record.store import Store

    grader = choose_grader(name, options, base=Store(run).run()["base"]["name"])
    label = label or grader.name
    cells = grade_run(run, grader, label)
    notes = list(dict.fromkeys(filter(None, (note_of_grades(cell.grader) for cell in cells))))
    rows = [
        {**cell.entry, "dimension": about, **found} for cell in cells for about, found in cell.by_dimension().items()
    ]
    if as_json:
        echo_json({"run": str(run), "grader": cells[0].grader, "notes": notes, "grades": label, "cells": rows})
        return
    lines = [[r["arm"], r["task"], r["dimension"], _number(r["mean"], 1), str(r["n_graded"]), str(r["n_missing"])]
             for r in rows]  # fmt: skip
    echo_table(["arm", "task", "graded on", "mean of 0 to 100", "graded", "missing"], lines)
    click.echo("An axis is graded towards its first pole: 100 is E of E/I.")
    for note in notes:
        click.echo(f"{grader.name}: {note}.")
    _say_missing(row["missing_reasons"] for row in rows)
    click.echo(f"\nNext: lapd compare {run}", err=True)


def check(name: str, options: Sequence[str], labels: Path | None, limit: int | None, as_json: bool) -> None:
    """Print how well a grader tells poles apart that are known."""
    from lapd.judges.grader_check import check_grades, check_sample, order_effect
    from lapd.judges.grades import axis_dimension, choose_grader, grader_identity, grades_of, refusal
    from lapd.judges.judge import shown
    from lapd.judges.known_checks import keep_check, note_of_grades
    from lapd.judges.pole_labels import heldout_texts, read_pole_texts

    grader = choose_grader(name, options)
    texts = check_sample(read_pole_texts(labels) if labels else heldout_texts(), limit)
    dimensions = [axis_dimension(axis) for axis in dict.fromkeys(text.axis for text in texts)]
    refused = {d.name: why for d in dimensions if (why := refusal(grader, d))}
    dimensions = [d for d in dimensions if d.name not in refused]
    texts = sorted(
        (t for t in texts if t.axis not in refused), key=lambda t: [d.name for d in dimensions].index(t.axis)
    )
    batches = [(d, [(t.prompt, t.response) for t in texts if t.axis == d.name]) for d in dimensions]
    coming = (grade for about, batch in batches for grade in grades_of(grader, batch, about))
    grades = list(shown(coming, len(texts), f"grade {grader.name}"))
    found = check_grades(grades, texts)
    if labels:
        keep_check(grader, dimensions, found.get("auc", {}))
    by = grader_identity(grader, dimensions)
    about = {"grader": by, "note": note_of_grades(by), "labels": str(labels) if labels else "held-out situations"}
    if turned := getattr(grader, "turned", None):
        ways = [turned(t.prompt, t.response, next(d for d in dimensions if d.name == t.axis)) for t in texts]
        about["order"] = order_effect(grades, texts, ways)
    if as_json:
        echo_json({**about, "refused": refused, **found})
        return
    _print_check(grader.name, about, refused, found)


def _print_check(name: str, about: dict[str, Any], refused: dict[str, str], found: dict[str, Any]) -> None:
    header = [
        "axis",
        "AUC",
        "95 % interval",
        "mean first pole",
        "mean second",
        "calibration error",
        "graded",
        "missing",
    ]
    lines = [
        [
            axis,
            _number(auc, 3),
            _range(found["auc_interval"][axis]),
            _number(found["mean_first"][axis], 1),
            _number(found["mean_second"][axis], 1),
            _number(found["calibration_error"][axis], 3),
            str(found["n_graded"][axis]),
            str(found["n_missing"][axis]),
        ]
        for axis, auc in found.get("auc", {}).items()
    ]
    echo_table(header, lines)
    click.echo(f"On {about['labels']}. AUC: of two texts, one of each pole, how often the first pole's has the higher.")
    if (order := about.get("order")) and order["difference"] is not None:
        difference, error = order["difference"], order["standard_error"]
        click.echo(
            f"With the second pole named first, grades differ by {difference:+.1f} (standard error {error:.1f})."
        )
    if about["note"]:
        click.echo(f"{name}: {about['note']}.")
    for axis, why in refused.items():
        click.echo(f"Left out: {axis}: {why}.")
    _say_missing(found.get("missing_reasons", {}).values())


def agree(names: tuple[str, str], run: Path, as_json: bool) -> None:
    """Print how far two graders agree on a run's answers, by dimension."""
    from lapd.judges.grader_check import graded_agreement
    from lapd.record.grades import both_graded

    found = {about: graded_agreement(*grades) for about, grades in both_graded(run, *names).items()}
    if as_json:
        echo_json({"graders": list(names), "run": str(run), "dimensions": found})
        return
    header = ["graded on", "rank correlation", "95 % interval", f"{names[0]} less {names[1]}", "graded", "missing"]
    lines = [[about, _number(f["correlation"], 3), _range(f["interval"]), _number(f["difference"], 1),
              str(f["n_graded"]), str(f["n_missing"])] for about, f in found.items()]  # fmt: skip
    echo_table(header, lines)


def _say_missing(reasons: Any) -> None:
    counts: dict[str, int] = {}
    for each in reasons:
        for reason, count in each.items():
            counts[reason] = counts.get(reason, 0) + count
    for reason, count in sorted(counts.items(), key=lambda pair: -pair[1])[:5]:
        click.echo(f"Missing {count}: {reason}")


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _range(ends: Sequence[float] | None) -> str:
    return "-" if ends is None else f"{ends[0]:.3f} to {ends[1]:.3f}"
