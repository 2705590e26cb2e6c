"""The ways in which a run moves a persona, each at one or more strengths: adapters, steering vectors, prompts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lapd.adapters.replicates import replicate_groups
from lapd.adapters.steering import is_steering
from lapd.compare.measured import Measured
from lapd.compare.verdicts import Margins
from lapd.designs.outcomes import Outcome, outcomes, shifts, strength_of
from lapd.personas import Persona

ADAPTER, STEERING, PROMPT = "adapter", "steering", "prompt"


@dataclass(frozen=True)
class Series:
    """One way of moving a persona, from the base on.

    Attributes:
        name: an adapter's name, or what its replicates are called together, or "prompt(INFP)".
        kind: "adapter", "steering" or "prompt".
        persona: whose it is.
        strengths: ascending; 1 of a prompt. The base, 0, is not among them.
        arms: for each strength, the replicates' arms, in one order.
    """

    name: str
    kind: str
    persona: Persona
    strengths: tuple[float, ...]
    arms: tuple[tuple[str, ...], ...]

    @property
    def every_arm(self) -> list[str]:
        """All arms, strength by strength."""
        return [arm for arms in self.arms for arm in arms]


@dataclass(frozen=True)
class Response:
    """What a series does to one metric.

    Attributes:
        series: which.
        outcome: the metric.
        items: those that all its arms and the base have.
        values: [items, strengths, replicates] the shifts from the base.
        clusters: [items] which items belong together, as numbers; None where each stands for itself.
        missing: items that were asked and that some arm lacks.
    """

    series: Series
    outcome: Outcome
    items: list[str]
    values: np.ndarray
    clusters: np.ndarray | None
    missing: int

    @property
    def path(self) -> tuple[np.ndarray, np.ndarray]:
        """The strengths with the base's, 0, among them, ascending; and [items, strengths, replicates] their shifts."""
        at = np.array([0.0, *self.series.strengths])
        order = np.argsort(at)
        return at[order], np.concatenate([np.zeros_like(self.values[:, :1]), self.values], axis=1)[:, order]

    def on(self, items: Sequence[str]) -> np.ndarray:
        """[items, strengths] the shifts on some of the items, replicates averaged."""
        place = {item: n for n, item in enumerate(self.items)}
        found: np.ndarray = self.values.mean(axis=2)[[place[item] for item in items]]
        return found


def all_series(measured: Measured) -> list[Series]:
    """The run's series, in its order: of adapters that are no control, and of prompts without an adapter."""
    found: dict[tuple[str, ...], dict[float, tuple[str, ...]]] = {}
    called: dict[tuple[str, ...], str] = {}
    for label, arms in replicate_groups(measured.arms).items():
        entry = measured.arms[arms[0]]
        if entry.get("adapter_control") or entry["prompt"] or measured.persona(arms[0]) is None:
            continue
        names = tuple(str(measured.arms[arm]["adapter"]["name"]) for arm in arms)
        strength = strength_of(entry)
        found.setdefault(names, {})[strength] = tuple(arms)
        called[names] = names[0] if len(names) == 1 else label.replace(f"@{strength:g}", "", 1)
    made = [_of_adapters(measured, called[names], at) for names, at in found.items()]
    for name, entry in measured.arms.items():
        if not entry["adapter"] and entry["baseline"] and (persona := measured.persona(name)):
            made.append(Series(f"prompt({persona.code})", PROMPT, persona, (1.0,), ((name,),)))
    return made


def _of_adapters(measured: Measured, name: str, at: Mapping[float, tuple[str, ...]]) -> Series:
    strengths = tuple(sorted(at))
    first = at[strengths[0]][0]
    persona = measured.persona(first)
    assert persona is not None
    kind = STEERING if is_steering(Path(measured.arms[first]["adapter"]["path"])) else ADAPTER
    return Series(name, kind, persona, strengths, tuple(at[strength] for strength in strengths))


def responses(measured: Measured, series: Series, margins: Margins | None = None) -> Iterator[Response]:
    """What a series does to each metric that sums up a task of a trait or a cost, where all its arms have it."""
    for outcome in outcomes(measured, series.arms[0][0], series.persona, margins, primary=True):
        if outcome.row.side in ("trait", "cost") and (found := shifts(measured, series.every_arm, outcome)):
            values = found.values.reshape(len(found.items), len(series.strengths), -1)
            yield Response(series, outcome, found.items, values, found.clusters, found.missing)
