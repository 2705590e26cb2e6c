"""What several verbs share: options and the printing of tables."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from lapd.cli.terminal import takes_every_text

F = TypeVar("F", bound=Callable[..., Any])

FOLDER = click.Path(path_type=Path)


def json_option(function: F) -> F:
    """`--json`: machine-readable output on standard output."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")(function)


def base_option(function: F) -> F:
    """`--base`: the base model."""
    text = "Base model: smollm2 (embedded), a Hugging Face id, or a folder."
    return click.option("--base", metavar="MODEL", help=text)(function)


def traits_option(function: F) -> F:
    """`--traits`: a trait pack beside the installed ones."""

    def use(ctx: click.Context, parameter: click.Parameter, value: tuple[Path, ...]) -> None:
        from lapd.names import use_traits

        for folder in value:
            use_traits(folder)

    text = "A trait pack's folder, beside the packs that are installed; repeatable.  [env: LAPD_TRAITS]"
    kind = click.Path(path_type=Path)
    # Eager, so that the pack is there when other options' personas and tasks are looked up.
    return click.option(
        "--traits", type=kind, multiple=True, metavar="DIR", help=text, expose_value=False, is_eager=True, callback=use
    )(function)


def data_dir_option(function: F) -> F:
    """`--data-dir`: benchmark data."""
    text = "Folder with benchmark data in its publishers' own files (socialiqa/dev.jsonl ...)."
    return click.option("--data-dir", envvar="LAPD_DATA_DIR", metavar="DIR", help=text, show_envvar=True)(function)


def judge_options(function: F) -> F:
    """`--judge` and `--judge-option`: who decides on responses."""
    text = "Option of the judge; repeatable. `lapd plugins --options` lists them.  [env: LAPD_JUDGE_OPTIONS, JSON]"
    function = click.option("--judge-option", "options", multiple=True, metavar="KEY=VALUE", help=text)(function)
    text = "Who decides; `lapd plugins` lists judges.  [env: LAPD_JUDGE; default: keywords]"
    return click.option("--judge", metavar="NAME", help=text)(function)


def grader_options(function: F) -> F:
    """`--grader` and `--grader-option`: who grades responses."""
    text = "Option of the grader; repeatable. `lapd plugins --options` lists them."
    function = click.option("--grader-option", "grader_texts", multiple=True, metavar="KEY=VALUE", help=text)(function)
    return click.option(
        "--grader", metavar="NAME", help="Who grades instead of judging; `lapd plugins` lists graders."
    )(function)


def executor_options(default: str, what: str = "runs the cells") -> Callable[[F], F]:
    """`--executor` and `--executor-option`; `default` and `what` it does are for the help."""

    def add(function: F) -> F:
        text = "Option of the executor; repeatable. `lapd plugins --options` lists them."
        option = click.option("--executor-option", "executor_texts", multiple=True, metavar="KEY=VALUE", help=text)
        text = f"What {what}; `lapd plugins` lists executors.  [default: {default}]"
        return click.option("--executor", metavar="NAME", help=text)(option(function))

    return add


def verdicts_option(function: F) -> F:
    """`--judge` of what reads a run: which verdicts."""
    text = "Whose verdicts judged tasks are scored by: NAME of `lapd judge`.  [default: the evaluation's own judge]"
    return click.option("--judge", metavar="NAME", help=text)(function)


def poles_option(function: F) -> F:
    """`--persona` of what reads a run: whose poles count."""
    text = "Whose poles adapters count towards that have no persona of their own."
    return click.option("--persona", metavar="CODE", help=text)(function)


def comma_list(ctx: click.Context, parameter: click.Parameter, value: Any) -> list[str]:
    """A callback: `a,b` and repeated options both give ["a", "b"]."""
    values = value if isinstance(value, (tuple, list)) else [value or ""]
    return [part.strip() for text in values for part in text.split(",") if part.strip()]


def read_limits(
    ctx: click.Context, parameter: click.Parameter, value: tuple[str, ...]
) -> tuple[int | None, dict[str, int]]:
    """A callback: `50` is for every task, `mbti=64` for one."""
    plain: int | None = None
    of_tasks: dict[str, int] = {}
    for text in value:
        task, equals, number = (part.strip() for part in text.rpartition("="))
        if not number.isdecimal() or not int(number) or (equals and not task):
            raise click.BadParameter(f"{text!r} is neither a number from 1 on, nor TASK=NUMBER.")
        if (plain is not None and not task) or task in of_tasks:
            raise click.BadParameter(f"{text!r} comes after another number for {task or 'every task'}.")
        if task:
            of_tasks[task] = int(number)
        else:
            plain = int(number)
    return plain, of_tasks


def echo_json(value: Any) -> None:
    """Print `value` as JSON on standard output, in ASCII where the encoding lacks some characters."""
    click.echo(json.dumps(value, indent=1, ensure_ascii=not takes_every_text()))


def echo_table(header: Sequence[str], rows: Sequence[Sequence[object]], *, err: bool = False) -> None:
    """Print a table with a header line, columns aligned on the left; the last column is not padded.

    Args:
        header: the columns' names.
        rows: of cells.
        err: print it on standard error.
    """
    cells = [[str(c) for c in row] for row in [header, *rows]]
    widths = [max(len(row[n]) for row in cells) for n in range(len(header))]
    for row in cells:
        click.echo("  ".join(c.ljust(w) for c, w in zip(row[:-1], widths, strict=False)) + "  " + row[-1], err=err)
