"""The generator: preference pairs of the items that the benchmark does not ask."""

import random
from collections.abc import Iterator, Sequence
from typing import Any

from lapd import Persona, PreferencePair
from lapd_plugin_template.items import AXIS, items


class PluginTemplateGenerator:
    name = "plugin_template"
    description = "twelve situations, for personas that take a side on J/P"

    def generate(self, persona: Persona, *, pairs: int | None, seed: int) -> Iterator[PreferencePair]:
        """At most `pairs` pairs (None: all), chosen and ordered by `seed` alone; none if the persona takes no side."""
        found = items("train")
        random.Random(seed).shuffle(found)
        return self._pairs(persona, found[:pairs])

    def heldout(self, persona: Persona, *, pairs: int) -> Iterator[PreferencePair]:
        """Pairs that `generate` never yields: a training is scored by them while it runs."""
        return self._pairs(persona, items("heldout")[:pairs])

    def _pairs(self, persona: Persona, found: Sequence[dict[str, Any]]) -> Iterator[PreferencePair]:
        pole = persona.poles.get(AXIS)
        for item in found if pole else ():
            other = "P" if pole == "J" else "J"
            source = {"generator": self.name, "id": item["id"], "axis": AXIS, "chosen_pole": pole}
            yield PreferencePair(item["prompt"], item[pole], item[other], source)
