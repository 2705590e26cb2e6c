"""The generator `contrast`: pairs from the contrast corpora of the trait packs, without a network or a model.

A persona's pairs are those of its poles: chosen is what its pole says, rejected what the other pole says.
"""

import math
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import click

from lapd.errors import DataError, UsageError
from lapd.hookspecs import Generator
from lapd.names import axes, axis_ends, pack_of
from lapd.options import completed
from lapd.pairs.pair import PreferencePair
from lapd.personas import Persona
from lapd.pluginmanager import hookimpl
from lapd.traits.situations import Situation


class ContrastGenerator:
    name = "contrast"
    description = "everyday situations with a response from each pole, from the trait packs"

    options: Sequence[click.Option] = (
        click.Option(["--axis", "axes"], multiple=True, metavar="AXIS", help="Only this axis; repeatable."),
    )

    def __init__(self, only: Sequence[str] = ()) -> None:
        self.only = only

    def configure(self, options: Mapping[str, Any]) -> Generator:
        only = completed(self.options, options, f"generator {self.name}")["axes"]
        if unknown := [axis for axis in only if axis not in axes()]:
            raise UsageError(f"There is no axis {unknown[0]!r}.", f"Known: {', '.join(axes())}.")
        return ContrastGenerator(only)

    def generate(self, persona: Persona, *, pairs: int | None, seed: int) -> Iterable[PreferencePair]:
        """The axes in turn, so that any number of pairs is spread evenly over them.

        Of an axis on which the persona goes only half of the way, half of the situations are taken.

        Raises:
            UsageError: the persona takes no side on one of the axes that were asked for.
            DataError: the persona's pack has no situations for its axes.
        """
        if missing := [axis for axis in self.only if axis not in persona.poles]:
            raise UsageError(f"{persona.code} takes no side on {missing[0]}.", "Leave that --axis out.")
        by_axis = _situations(persona, self.only or list(persona.poles), "train")
        if persona.poles and not any(by_axis.values()):
            folder = pack_of(next(iter(persona.poles))).folder
            hint = f"`lapd traits check {folder}` says what it lacks; or give pairs of your own with --dataset."
            raise DataError(folder, f"this pack has no situations to train {persona.code} on.", hint=hint)
        shuffle = random.Random(f"{seed}").shuffle
        for axis, situations in by_axis.items():
            shuffle(situations)
            del situations[math.ceil(persona.degrees.get(axis, 1.0) * len(situations)) :]
        return self._pairs(persona, by_axis, pairs)

    def heldout(self, persona: Persona, *, pairs: int) -> Iterable[PreferencePair]:
        """The pairs of the split `heldout`, the axes in turn, in the order of their ids."""
        return self._pairs(persona, _situations(persona, list(persona.poles), "heldout"), pairs)

    def _pairs(
        self, persona: Persona, by_axis: Mapping[str, Sequence[Situation]], pairs: int | None
    ) -> Iterable[PreferencePair]:
        longest = max((len(s) for s in by_axis.values()), default=0)
        turns = [(axis, s[n]) for n in range(longest) for axis, s in by_axis.items() if n < len(s)]
        for axis, situation in turns[:pairs]:
            pole = persona.poles[axis]
            (other,) = set(axis_ends(axis)) - {pole}
            source = {"generator": self.name, "id": situation.id, "axis": axis, "chosen_pole": pole}
            yield PreferencePair(situation.situation, situation.responses[pole], situation.responses[other], source)


def _situations(persona: Persona, wanted: Sequence[str], split: str) -> dict[str, list[Situation]]:
    """The situations of one split, by axis, in the order in which the persona names its axes."""
    return {
        axis: [s for s in pack_of(axis).situations(split) if s.axis == axis] for axis in persona.poles if axis in wanted
    }


@hookimpl
def lapd_register_generators(register: Callable[[Generator], None]) -> None:
    register(ContrastGenerator())
