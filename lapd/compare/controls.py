"""Which control adapters an arm may be held against, one by one or pooled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lapd.adapters.personas import persona_of_card
from lapd.adapters.replicates import replicate_groups
from lapd.personas import Persona

Arms = Mapping[str, Mapping[str, Any]]
"""The arms of a run's record, by name."""

SHUFFLED = "shuffled"

FEWEST_TRAININGS = 3
"""An arm's replicates and its controls are so many together where a variance between trainings can be told."""


def persona_of_arm(entry: Mapping[str, Any]) -> Persona | None:
    """Whose poles an arm's rows count towards: its adapter's persona, else its prompt's; installed or not."""
    prompt = entry["prompt"] or {}
    code, poles = entry["adapter_persona"], entry.get("adapter_poles")
    return persona_of_card({"persona": code or prompt.get("code"), "poles": poles if code else prompt.get("poles")})


def is_shuffled(entry: Mapping[str, Any]) -> bool:
    """Whether an arm has a shuffled control, of whatever draw."""
    return str(entry.get("adapter_control") or "").partition("-")[0] == SHUFFLED


def baselines_of(arms: Arms, arm: str) -> list[str]:
    """What an arm is compared with: its baseline, and its persona's controls at its strength, under the same prompt.

    What an adapter has moved beyond its shuffled controls can be put down to the persona, not to training as such.
    Where there are so many that they can be pooled (`pooled_controls`), no single shuffled one is held against it.
    """
    entry = arms[arm]
    found = [entry["baseline"]] if entry["baseline"] else []
    if not entry["adapter"] or entry.get("adapter_control"):
        return found
    own = [
        name
        for name, other in arms.items()
        if other.get("adapter_control")
        and other["adapter_persona"] == entry["adapter_persona"]
        and _strength(other) == _strength(entry)
        and other["baseline"] == entry["baseline"]
    ]
    pooled = bool(pooled_controls(arms, replicates_of(arms, arm)))
    return found + [name for name in own if not (pooled and is_shuffled(arms[name]))]


def pooled_controls(arms: Arms, replicates: list[str]) -> list[str]:
    """The shuffled controls that an arm's replicates are held against together; none where there are too few for that.

    A shuffled control has lost its persona: whose pairs they were does not matter, as long as they were of as many
    axes, and the training was the same. So all such controls of a run count.
    """
    first = arms[replicates[0]]
    if not first.get("adapter_recipe") or first.get("adapter_control"):
        return []
    found = [
        name
        for name, other in arms.items()
        if is_shuffled(other)
        and other.get("adapter_recipe") == first["adapter_recipe"]
        and _strength(other) == _strength(first)
        and other["baseline"] == first["baseline"]
        and _axes(other) == _axes(first)
    ]
    return found if found and len(found) + len(replicates) >= FEWEST_TRAININGS else []


def replicates_of(arms: Arms, arm: str) -> list[str]:
    """The arms that are replicates of one another and of this one, itself among them."""
    return next((group for group in replicate_groups(arms).values() if arm in group), [arm])


def no_baseline(arms: Arms) -> bool:
    """Whether no arm has anything to be compared with."""
    return not any(baselines_of(arms, arm) for arm in arms)


def _axes(entry: Mapping[str, Any]) -> frozenset[str]:
    persona = persona_of_arm(entry)
    return frozenset(persona.poles) if persona else frozenset()


def _strength(entry: Mapping[str, Any]) -> float:
    return float(entry["adapter"].get("strength", 1))
