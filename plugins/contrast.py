"""The generator `contrast`: pairs from the shipped contrast corpus, without a network or a model.

A persona's pairs are those of its poles: chosen is what its pole says, rejected what the other pole says.
"""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import click
from lapd.data import Situation, contrast_corpus

from lapd.errors import UsageError
from lapd.hookspecs import Generator
from lapd.pairs.pair import PreferencePair
from lapd.personas import AXES, Persona, opposite_pole
from lapd.pluginmanager import hookimpl


class ContrastGenerator:
    name = "contrast"
    description = "everyday situations with a response from each pole, shipped with LAPD"

    options: Sequence[click.Option] = (
        click.Option(
            ["--axis", "axes"], multiple=True, type=click.Choice(list(AXES)), help="Only this axis; repeatable."
        ),
    )

    def generate(self, persona: Persona, *, pairs: int | None, seed: int, **options: Any) -> Iterable[PreferencePair]:
        """The axes in turn, so that any number of pairs is spread evenly over them.

        Raises:
            UsageError: the persona takes no side on one of the `axes` in the options.
        """
        axes = [axis for axis in persona.poles if axis in options.get("axes", ())] or list(persona.poles)
        if missing := [axis for axis in options.get("axes", ()) if axis not in persona.poles]:
            raise UsageError(f"{persona.code} takes no side on {missing[0]}.", "Leave that --axis out.")
        shuffle = random.Random(f"{seed}").shuffle
        by_axis = {axis: [s for s in contrast_corpus("train") if s.axis == axis] for axis in axes}
        for situations in by_axis.values():
            shuffle(situations)
        return self._pairs(persona, by_axis, pairs)

    def heldout(self, persona: Persona, *, pairs: int) -> Iterable[PreferencePair]:
        """The pairs of the split `heldout`, the axes in turn, in the order of their ids."""
        by_axis = {axis: [s for s in contrast_corpus("heldout") if s.axis == axis] for axis in persona.poles}
        return self._pairs(persona, by_axis, pairs)

    def _pairs(
        self, persona: Persona, by_axis: Mapping[str, Sequence[Situation]], pairs: int | None
    ) -> Iterable[PreferencePair]:
        longest = max((len(s) for s in by_axis.values()), default=0)
        turns = [(axis, s[n]) for n in range(longest) for axis, s in by_axis.items() if n < len(s)]
        for axis, situation in turns[:pairs]:
            pole = persona.poles[axis]
            source = {"generator": self.name, "id": situation.id, "axis": axis, "chosen_pole": pole}
            chosen, rejected = situation.responses[pole], situation.responses[opposite_pole(pole)]
            yield PreferencePair(situation.situation, chosen, rejected, source)


@hookimpl
def lapd_register_generators(register: Callable[[Generator], None]) -> None:
    register(ContrastGenerator())
