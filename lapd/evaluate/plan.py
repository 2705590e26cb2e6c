"""What is to be evaluated: the arms of adapters, and the cells of arms and tasks."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from lapd.adapters.adapter import Adapter
from lapd.adapters.personas import find_persona, persona_of
from lapd.catalog.task import TaskInfo
from lapd.errors import UsageError
from lapd.models.base import BaseModel
from lapd.personas import Persona
from lapd.record.cells import ARM_KINDS, Arm, Cell, Settings, names_of

if TYPE_CHECKING:
    from lapd.hookspecs import Judge


def make_arms(
    adapters: Sequence[Adapter],
    kinds: Iterable[str] | None = None,
    persona: str | None = None,
    *,
    quiet: bool = False,
) -> list[Arm]:
    """The arms of `kinds` for each adapter, without repetition, base arms first.

    Args:
        adapters: may be empty: then only base arms are made.
        kinds: any of `ARM_KINDS`; by default all that can be made, and a line says which cannot.
        persona: whose prompt the prompted arms use, by default each adapter's own; and whose poles those adapters count
            towards of which no persona is known. One that is not installed may be an adapter's own.
        quiet: leave out what cannot be made without a word.

    Raises:
        UsageError: there is no such kind; or one was asked for that needs an adapter, or a prompt whose persona is
            not known.
        UnknownNameError: there is no such persona.
    """
    asked_for = kinds is not None
    kinds = list(kinds or ARM_KINDS)
    if unknown := sorted(set(kinds) - set(ARM_KINDS)):
        raise UsageError(f"There is no arm {unknown[0]!r}.", f"Known: {', '.join(ARM_KINDS)}.")
    given = find_persona(persona, adapters) if persona else None
    arms: list[Arm] = []
    promptless: dict[str, None] = {}
    subjects: Sequence[Adapter | None] = adapters or [None]
    for adapter in subjects:
        if adapter and given and not adapter.persona:
            adapter = replace(adapter, given=given.code)
        who = given or (persona_of(adapter) if adapter else None)
        _check_can_be_made(adapter, who, kinds, asked_for)
        if who and not who.system_prompt:
            promptless |= {} if asked_for else {who.code: None}
            who = None
        made = {"base": Arm(), "base+prompt": who and Arm(None, who)}
        if adapter:
            made |= {"adapter": Arm(adapter), "adapter+prompt": who and Arm(adapter, who)}
        arms += [arm for kind in kinds if (arm := made.get(kind))]
    if promptless and not quiet:
        what = f"No system prompt is known for {', '.join(promptless)}: the prompted arms are left out."
        print(what, file=sys.stderr)
    return sorted(dict.fromkeys(arms), key=lambda arm: arm.adapter is not None)


def _check_can_be_made(adapter: Adapter | None, who: Persona | None, kinds: Sequence[str], asked_for: bool) -> None:
    """Refuse kinds of arms that an adapter, or none, and whose prompt it is do not give."""
    prompted = any("prompt" in kind for kind in kinds)
    if prompted and who is None and adapter:
        hint = "Say whose prompt to use with --persona, or leave the prompted arms out with --arms base,adapter."
        raise UsageError(f"Adapter {adapter.name} has no run card that names its persona.", hint)
    if asked_for and prompted and who and not who.system_prompt:
        hint = "Give --persona, or leave the prompted arms out with --arms base,adapter."
        raise UsageError(f"No system prompt is known for the persona {who.code}.", hint)
    if asked_for and adapter is None and any("adapter" in kind for kind in kinds):
        raise UsageError("An arm with an adapter was asked for, but no adapter was given.", "Give --adapter.")
    if asked_for and prompted and who is None:
        raise UsageError("A prompted arm was asked for, but not whose prompt.", "Give --persona.")


def make_cells(
    base: BaseModel, arms: Sequence[Arm], infos: Sequence[TaskInfo], settings: Settings, judge: Judge | None = None
) -> list[Cell]:
    """Every arm on every task, an adapter's cells together so that it is switched on once.

    Raises:
        UsageError: a task has a limit of its own that is not among the tasks.
    """
    known = {name for info in infos for name in names_of(info)}
    if unknown := sorted(settings.limits.keys() - known):
        hint = f"These are evaluated: {', '.join(info.name for info in infos)}."
        raise UsageError(f"There is a limit for {unknown[0]}, which is none of the tasks.", hint)
    digests = {info.name: info.digest(settings.data_dir, settings.questionnaire) for info in infos}
    return [
        Cell(base, arm, info, digests[info.name], settings.of_task(info), judge if info.judged else None)
        for arm in arms
        for info in infos
    ]
