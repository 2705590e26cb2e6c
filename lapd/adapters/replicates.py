"""Which adapters are replicates: of one persona or control, trained in the same way, and another time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from lapd.files.whole import digest_json
from lapd.pairs.controls import parse_control

COUNTED = (
    *("dataset", "generator", "pairs", "trainer", "beta", "epochs", "lr", "batch_size", "grad_accum", "warmup"),
    *("max_length", "r", "alpha", "precision", "loss", "rpo_alpha", "label_smoothing", "schedule", "weight_decay"),
    *("lora_dropout", "load_in_4bit", "target_modules", "train_prompt", "fold_system_prompt", "stop_when"),
)
"""The settings that make a way of training."""

OF_STOPPING = ("eval_every", "eval_pairs")
"""Those that do so where held-out scores may end the training."""

BEFORE = {"loss": "sigmoid", "schedule": "cosine"}
"""What was done by a LAPD whose run cards did not name these settings; of all others, nothing."""


def training_of(card: Mapping[str, Any] | None) -> dict[str, Any]:
    """What a run's record keeps of how an adapter was trained, from its run card; nothing of one that was not.

    Returns:
        `adapter_seed`; and `adapter_recipe`, 12 hex digits that are the same for trainings that differ in nothing but
        their persona, their control and their seed.
    """
    settings: dict[str, Any] = {**BEFORE, **(card or {}).get("settings", {})}
    if not isinstance(seed := settings.get("seed"), int):
        return {}
    names = COUNTED + (OF_STOPPING if settings.get("stop_when") else ())
    # What is not set is left out, as it is from the cards of a LAPD that had no such setting.
    counted = {name: _plain(settings[name]) for name in names if settings.get(name)}
    return {"adapter_seed": seed, "adapter_recipe": digest_json(counted)[:12]}


def _plain(value: Any) -> Any:
    """2 and 2.0 are the same setting."""
    return float(value) if isinstance(value, int) else value


def replicate_groups(arms: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    """The arms of a run with an adapter, by what they are replicates of.

    Replicates are of the same persona, kind of control, strength and prompt, trained in the same way on the run's one
    base, with another seed; or, of a shuffled control, with another draw. A training that is there twice under two
    names is no replicate of itself: the second arm is in a group of its own. So is an adapter of which it is not known
    how it was trained, under its arm's name.

    Args:
        arms: those of `run.json`, by name.

    Returns:
        Lists of arms' names in the record's order, by a label such as "INFP", "shuffled-INFP", "INFP@0.5" or
        "INFP+prompt(INFP)". Where two groups would have one label, the arms' names stand behind it.
    """
    groups: dict[tuple[Any, ...], list[str]] = {}
    times: Counter[tuple[Any, ...]] = Counter()
    for name, arm in arms.items():
        if not arm["adapter"]:
            continue
        if not _is_known(arm):
            groups[name,] = [name]
            continue
        condition, control = _condition(arm), arm.get("adapter_control")
        training = (condition, arm["adapter_seed"], parse_control(control) if control else None)
        groups.setdefault((*condition, times[training]), []).append(name)
        times[training] += 1
    labels = {key: _label(arms[names[0]]) if _is_known(arms[names[0]]) else names[0] for key, names in groups.items()}
    shared = Counter(labels.values())
    named: dict[str, list[str]] = {}
    for key, names in groups.items():
        label = labels[key] if shared[labels[key]] == 1 else f"{labels[key]} ({', '.join(names)})"
        while label in named:  # an adapter may be called anything
            label += "'"
        named[label] = names
    return named


def _is_known(arm: Mapping[str, Any]) -> bool:
    """Whether it is recorded how the arm's adapter was trained, and for whom."""
    return bool(arm.get("adapter_recipe") and arm.get("adapter_persona")) and "adapter_seed" in arm


def _condition(arm: Mapping[str, Any]) -> tuple[Any, ...]:
    words = (arm.get("prompt") or {}).get("system_prompt")
    return arm["adapter_persona"], _kind(arm), _strength(arm), words, arm["adapter_recipe"]


def _label(arm: Mapping[str, Any]) -> str:
    label = f"{kind}-{arm['adapter_persona']}" if (kind := _kind(arm)) else str(arm["adapter_persona"])
    if (strength := _strength(arm)) != 1:
        label += f"@{strength:g}"
    return f"{label}+prompt({prompt['code']})" if (prompt := arm.get("prompt")) else label


def _kind(arm: Mapping[str, Any]) -> str | None:
    """Which kind of control it is, whatever its draw."""
    control = arm.get("adapter_control")
    return parse_control(control)[0] if control else None


def _strength(arm: Mapping[str, Any]) -> float:
    return float(arm["adapter"].get("strength", 1))
