"""Choosing a judge, giving it its settings, and having it judge.

A judge is named on the command line (`--judge NAME`, `--judge-option key=value`) or in the environment (`LAPD_JUDGE`,
and `LAPD_JUDGE_OPTIONS`, a JSON object), which a stock `lm_eval` passes on to the tasks that it runs.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

from lapd.errors import LapdError, UsageError
from lapd.hookspecs import Judge, Verdict
from lapd.judges.judge import judge_all, judge_note, shown, verdicts_of
from lapd.options import build_options as options_of
from lapd.options import configured, read_options
from lapd.pluginmanager import registry

T = TypeVar("T")

DEFAULT = "keywords"
"""The judge that needs no key; its numbers say that they are not comparable."""

NAME_VARIABLE, OPTIONS_VARIABLE = "LAPD_JUDGE", "LAPD_JUDGE_OPTIONS"


def choose_judge(name: str | None = None, options: Sequence[str] = ()) -> Judge:
    """The judge that was asked for, else the environment's, else the one that needs no key.

    Args:
        name: as a plugin registered it.
        options: "key=value" texts. They are put on top of the environment's, if those are for the same judge.

    Raises:
        UnknownNameError: nobody registered it.
        UsageError: an option is no "key=value", or the judge does not take it.
    """
    theirs = os.environ.get(NAME_VARIABLE) or DEFAULT
    name = name or theirs
    from_environment = _environment_options() if name.lower() == theirs.lower() else {}
    return make_judge(name, {**from_environment, **read_options(options, "--judge-option")})


def make_judge(name: str, options: Mapping[str, Any] | None = None) -> Judge:
    """The judge registered under `name`, with these options.

    Raises:
        UnknownNameError, UsageError: as `choose_judge`.
    """
    judge: Judge = configured("judges", name, options)
    return judge


def _environment_options() -> dict[str, Any]:
    text = os.environ.get(OPTIONS_VARIABLE, "").strip()
    try:
        options = json.loads(text) if text else {}
    except json.JSONDecodeError:
        options = None
    if not isinstance(options, dict):
        raise UsageError(f"{OPTIONS_VARIABLE} is no JSON object.", 'Write it as {"model": "..."}.')
    return options


def build_options(cls: type[T], options: Mapping[str, Any], judge: str) -> T:
    """A judge's dataclass of settings from options; texts are read as YAML where a field is not text.

    Raises:
        UsageError: an option is no field, has the wrong type, or is missing.
    """
    return options_of(cls, options, f"judge {judge}", "docs/tasks.md")


def note_of(identity: Mapping[str, Any]) -> str:
    """The note of the judge whose identity stands beside stored verdicts; "" where no such judge is installed."""
    judge = registry("judges").get(str(identity.get("name", "")))
    return judge_note(judge) if judge else ""


def judged_line(task: str, judge: Mapping[str, Any]) -> str:
    """Who judged a task, for people; from what `describe_judge` gave, and the verdicts' name if it is another."""
    label = judge.get("verdicts", judge["name"])
    remarks = [f"verdicts {label}" if label != judge["name"] else "", judge.get("note", "")]
    said = "; ".join(filter(None, remarks))
    return f"{task} is judged by {judge['name']}" + (f" ({said})." if said else ".")


# The judge of a task that lm-eval runs

_in_use: ContextVar[tuple[Judge | None, bool]] = ContextVar("judge", default=(None, False))


@contextmanager
def use_judge(judge: Judge | None, quiet: bool = False) -> Iterator[None]:
    """Have the tasks that run inside the block judged by `judge`."""
    token = _in_use.set((judge, quiet))
    try:
        yield
    finally:
        _in_use.reset(token)


def judge_responses(batch: Sequence[tuple[str, str]]) -> list[Verdict]:
    """Verdicts on all (prompt, response) of a task: called by its lm-eval filter.

    Under `use_judge` (that is, in `lapd eval`, where responses are kept) a judge that cannot be used stops the
    evaluation, and the same command goes on from the responses. In a stock `lm_eval`, which would lose them, the rest
    of the verdicts are missing, and a line says why.
    """
    chosen, quiet = _in_use.get()
    if chosen is not None:
        return judge_all(chosen, batch, quiet)
    verdicts: list[Verdict] = []
    try:
        judge = choose_judge()
        if note := judge_note(judge):
            print(f"Judged by {judge.name} ({note}).", file=sys.stderr)
        for verdict in shown(verdicts_of(judge, batch), len(batch), f"judge {judge.name}"):
            verdicts.append(verdict)
    except LapdError as error:
        print(f"Warning: {len(batch) - len(verdicts)} responses have no verdict: {error}", file=sys.stderr)
        verdicts += [Verdict(None, str(error))] * (len(batch) - len(verdicts))
    return verdicts
