"""`lapd data`: check, fix and count preference data and questionnaires."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from lapd.cli.common import FOLDER, data_dir_option, echo_json, echo_table, json_option

if TYPE_CHECKING:
    from lapd.hygiene.checks import Check
    from lapd.questionnaires.reading import Questionnaire

F = TypeVar("F", bound=Callable[..., Any])

SHOWN = 5
"""Rows at fault that the table names for each check; --json names all."""

VERDICTS = {True: "ok", False: "FAIL", None: "n/a"}


def _field_options(function: F) -> F:
    """`--prompt`, `--chosen`, `--rejected`: for files whose fields have names of their own."""
    for name in ("rejected", "chosen", "prompt"):
        text = f"Field with the {name}{'' if name == 'prompt' else ' response'}.  [default: recognised]"
        function = click.option(f"--{name}", metavar="FIELD", help=text)(function)
    return function


@click.group()
def command() -> None:
    """Check, fix and count preference data; fetch benchmark data.

    PATH is a corpus folder such as data/contrast, a pairs file (JSON lines, JSON, CSV, Parquet) in LAPD's form,
    TRL's, ShareGPT's, Alpaca's or HH's, a folder of such files or of `save_to_disk`, or a Hugging Face data set.

    \b
    lapd data check data/contrast
    lapd data fix pairs.csv -o pairs.jsonl
    lapd data stats pairs.jsonl -o out/pictures
    """


@command.command()
@click.argument("path")
@_field_options
@json_option
def check(path: str, prompt: str | None, chosen: str | None, rejected: str | None, as_json: bool) -> None:
    """Check that PATH teaches the trait and nothing else; exit 1 when a check fails.

    A questionnaire (CSV or JSON with text, axis and key) is checked for its key instead.

    \b
    lapd data check data/contrast
    lapd data check pairs.jsonl --json
    lapd data check answers.csv --prompt question --chosen good --rejected bad
    """
    from lapd.questionnaires.reading import is_questionnaire, read_questionnaire

    if is_questionnaire(Path(path)):
        _show_questionnaire(path, read_questionnaire(Path(path)), as_json)
        return
    from lapd.hygiene.checks import check_entries, total
    from lapd.hygiene.entries import read_entries
    from lapd.pairs.readers import Fields

    entries = read_entries(path, Fields(prompt, chosen, rejected))
    checks = check_entries(entries)
    passed = all(found.ok is not False for found in checks)
    if as_json:
        echo_json(
            {
                "path": path,
                "rows": len(entries),
                "ok": passed,
                "duplicate_prompts": total(checks, "duplicate prompts"),
                "identical_pairs": total(checks, "identical pairs"),
                "checks": [check_record(found) for found in checks],
            }
        )
    else:
        show_checks(path, len(entries), checks)
    sys.exit(0 if passed else 1)


def check_record(found: Check) -> dict[str, Any]:
    """A check as JSON."""
    shown = {**asdict(found), "ok": found.ok, "threshold": found.threshold, "by_axis": dict(found.by_axis)}
    return {**shown, "rows": [asdict(row) for row in found.rows]}


def show_checks(path: str, rows: int, checks: list[Check]) -> None:
    """Print the checks of a file or folder, the rows at fault, and how many failed."""
    lines = []
    for found in checks:
        value = "-" if found.value is None else str(found.value) if found.at_most == 0 else f"{found.value:.4f}"
        by_axis = "  ".join(f"{axis} {number:.2f}" for axis, number in found.by_axis)
        note = "; ".join(text for text in (found.note, by_axis) if text)
        lines.append([found.lang, found.name, value, found.threshold, VERDICTS[found.ok], note])
    header = ["lang", "check", "value", "wanted", "result", "note"]
    start = 0 if any(found.lang for found in checks) else 1
    echo_table(header[start:], [line[start:] for line in lines])
    failed = [found for found in checks if found.ok is False]
    for found in failed:
        for row in found.rows[:SHOWN]:
            click.echo(f"{found.name}: {row.row}: {row.fault}")
        if (more := len(found.rows) - SHOWN) > 0:
            click.echo(f"{found.name}: and {more} more (--json lists all)")
    click.echo(f"{path}: {rows} rows, {len(failed)} of {sum(c.ok is not None for c in checks)} checks failed.")


def _show_questionnaire(path: str, found: Questionnaire, as_json: bool) -> None:
    """What a questionnaire's key does; a key that is not balanced is a warning, no failure."""
    if as_json:
        answers = {"agree": found.constant_answer(), "disagree": found.constant_answer(False)}
        echo_json(
            {
                "path": path,
                "items": len(found.items),
                "keyed": found.keyed,
                "balanced": not found.warning,
                "constant_answers": answers,
                "warning": found.warning or None,
            }
        )
        return
    rows = [[axis, *(f"{n} for {pole}" for pole, n in keyed.items())] for axis, keyed in found.keyed.items()]
    echo_table(["axis", "statements", ""], rows)
    click.echo(f"{path}: a questionnaire of {len(found.items)} items.")
    click.echo(f"Warning: {found.warning}" if found.warning else "The key is balanced: no constant answer has a type.")


@command.command()
@click.argument("path")
@_field_options
@click.option("-o", "--out", type=FOLDER, required=True, metavar="FILE", help="The pairs file to write (JSON lines).")
@click.option("--leave-out", is_flag=True, help="Drop also rows that are refused: of which something would be lost.")
@json_option
def fix(
    path: str, prompt: str | None, chosen: str | None, rejected: str | None, out: Path, leave_out: bool, as_json: bool
) -> None:
    """Mend what needs no judgement, and write LAPD's own form.

    Rows with an empty text or with identical responses are dropped, of rows with one prompt all but the first, and
    spaces at the ends of texts. What was dropped, and why, is listed beside FILE, in FILE's name with .dropped.jsonl.

    \b
    lapd data fix pairs.csv -o pairs.jsonl
    """
    from lapd.errors import UsageError
    from lapd.hygiene.fix import dropped_path, fix_file
    from lapd.pairs.readers import Fields

    if out.is_dir():
        raise UsageError(f"{out} is a folder.", "Give -o a file, such as pairs.jsonl.")
    fixed = fix_file(path, out, Fields(prompt, chosen, rejected), leave_out)
    if as_json:
        echo_json(
            {
                "file": str(out),
                "pairs": len(fixed.kept),
                "trimmed": fixed.trimmed,
                "dropped": fixed.reasons,
                "dropped_file": str(dropped_path(out)),
            }
        )
        return
    click.echo(f"{len(fixed.kept)} pairs in {out}; spaces trimmed in {fixed.trimmed} of them.")
    why = ", ".join(f"{count} {reason}" for reason, count in fixed.reasons.items()) or "none"
    click.echo(f"{sum(fixed.reasons.values())} rows dropped ({why}), listed in {dropped_path(out)}.")


@command.command()
@click.argument("path")
@_field_options
@click.option("-o", "--out", type=FOLDER, metavar="FOLDER", help="Also draw lengths.png and axes.png into it.")
@json_option
def stats(
    path: str, prompt: str | None, chosen: str | None, rejected: str | None, out: Path | None, as_json: bool
) -> None:
    """Count PATH's rows by axis, split, topic and language, and show how many words its texts have.

    \b
    lapd data stats data/contrast -o out/pictures
    """
    from lapd.hygiene.counting import QUANTILES, data_stats
    from lapd.hygiene.entries import read_entries
    from lapd.pairs.readers import Fields
    from lapd.pictures.data import data_pictures

    found = data_stats(read_entries(path, Fields(prompt, chosen, rejected)))
    pictures = [str(picture) for picture in data_pictures(found, out)] if out else []
    if as_json:
        echo_json({"rows": found.rows, "counts": found.counts, "words": found.quantiles(), "pictures": pictures})
        return
    rows = [[what, value, count] for what, counts in found.counts.items() for value, count in counts.items()]
    echo_table(["what", "value", "rows"], [*rows, ["all", "", found.rows]])
    for lang, texts in found.quantiles().items():
        click.echo("")
        lines = [[name, *(f"{count:g}" for count in quantiles.values())] for name, quantiles in texts.items()]
        echo_table([f"words, {lang}" if lang else "words", *(f"{q} %" for q in QUANTILES)], lines)
    for picture in pictures:
        click.echo(f"Picture: {picture}")


@command.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@data_dir_option
@click.option("--from", "mirror", metavar="PLACE", help="A folder or address with NAME/FILE below it, instead.")
@json_option
def fetch(names: tuple[str, ...], data_dir: str | None, mirror: str | None, as_json: bool) -> None:
    """Fetch the data of benchmarks that are not shipped into --data-dir, from their publishers.

    NAME is beavertails, eqbench or socialiqa. Each file is checked against its SHA-256, and its licence is named. Files
    that are there already are left alone.

    \b
    lapd data fetch eqbench socialiqa --data-dir ~/benchmarks
    """
    from lapd.errors import UsageError
    from lapd.files.fetch import fetch as fetch_source

    if not data_dir:
        raise UsageError("Where to?", "Give --data-dir DIR, or set LAPD_DATA_DIR.")
    folders = {name: str(fetch_source(name, Path(data_dir), mirror)) for name in names}
    if as_json:
        echo_json({"data_dir": data_dir, "folders": folders})
    else:
        click.echo(f"Next: lapd eval --tasks {names[0]} --data-dir {data_dir} ...")
